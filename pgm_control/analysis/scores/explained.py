"""What the explanations of tabular and continuous models share: their sentences and two differences."""

from ...text.html import bullets, heading
from .evaluation import Evaluation


class Explained:
    """The base of an explanation. Printing it prints its sentences."""

    sentences: tuple[str, ...]
    headline: str
    free: Evaluation
    clamped: Evaluation

    @property
    def price_of_optimism(self) -> float:
        """True return of the clamped guide minus that of the explained guide, in reward units."""
        return self.clamped.true_return - self.free.true_return

    @property
    def gap(self) -> float:
        """ELBO of the explained guide minus that of the clamped guide, in nats.

        It is never negative for the free guide, but for the error of a mesh.
        """
        return self.free.elbo - self.clamped.elbo

    def __str__(self) -> str:
        """The sentences, one per line."""
        return "\n".join(self.sentences)

    def __repr__(self) -> str:
        """The sentences of the explanation, one per line."""
        return str(self)

    def _repr_html_(self) -> str:
        """The headline and the sentences as HTML, for a notebook."""
        return heading(f"{self.headline}.") + bullets(self.sentences)

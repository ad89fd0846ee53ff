"""The scorecard by sampling: a table of guides of any Pyro program, each number with its standard error."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InvalidGuide
from ..inference.sampling.estimate import Estimate, difference
from ..inference.sampling.of_programs import program_draws
from ..inference.sampling.resampling import effective_sample_size
from ..text.tables import grid, html_grid

_HEADINGS = {
    "true_return": ("true return", "reward"),
    "delusion": ("delusion", "reward"),
    "imagined_return": ("imagined return", "reward"),
    "elbo": ("ELBO", "nats"),
    "policy_kl": ("KL of policy", "nats"),
    "dynamics_kl": ("KL of dynamics", "nats"),
}


@final
@dataclass(frozen=True)
class SampledScore:
    """The scores of one guide, as in `Score`, estimated from independent draws.

    Attributes:
        elbo, policy_kl, dynamics_kl: in nats. The KLs are None if the guide computes its sites from auxiliary
            variables, as Pyro's AutoGuides do; they contain none of what the auxiliary variables of other guides cost.
        imagined_return, true_return, delusion: in reward units.
        effective_sample_size: 1/Σ w² of the normalised weights of the draws, from 1 to their number; near 1 the guide
            is far from the posterior, and an estimate of log p(O) by its weights is not to be trusted.
    """

    elbo: Estimate
    imagined_return: Estimate
    policy_kl: Estimate | None
    dynamics_kl: Estimate | None
    true_return: Estimate
    delusion: Estimate
    effective_sample_size: float


@final
@dataclass(frozen=True)
class SampledScorecard:
    """A table of estimated scores by name.

    Attributes:
        scores: one `SampledScore` per name.
        num_samples: the number of draws of each guide, and in the true world.
        log_evidence: log p(O), in nats, for a model with tables; None for other programs, where it is not known.
    """

    scores: Mapping[str, SampledScore]
    num_samples: int
    log_evidence: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, for JSON or a data frame."""
        scores = {name: asdict(row) for name, row in self.scores.items()}
        return {"log_evidence": self.log_evidence, "num_samples": self.num_samples, "scores": scores}

    def __str__(self) -> str:
        """The table as text, for a terminal."""
        return "\n".join([grid(_head(), self._rows(), []), self._note()])

    def __repr__(self) -> str:
        """The scorecard as a table for a terminal."""
        return str(self)

    def _repr_html_(self) -> str:
        """The table as HTML, for a notebook."""
        return html_grid(_head(), self._rows(), caption=self._note())

    def _rows(self) -> list[list[str]]:
        return [
            [
                name,
                *("–" if getattr(row, key) is None else str(getattr(row, key)) for key in _HEADINGS),
                f"{row.effective_sample_size:.0f}",
            ]
            for name, row in self.scores.items()
        ]

    def _note(self) -> str:
        about = f"estimates ± standard error, from {self.num_samples:,} draws"
        if self.log_evidence is not None:
            return f"log p(O) = {self.log_evidence:.4f} nats; {about}"
        return f"log p(O) is at least each ELBO, and not known here; {about}"


def _head() -> list[list[str]]:
    titles, units = zip(*_HEADINGS.values(), strict=True)
    return [["", *titles, "ESS"], ["", *(f"[{unit}]" for unit in units), "[draws]"]]


def sampled_scores(
    model: Callable[[], Any], guides: Mapping[str, Any], num_samples: int, seed: int | torch.Generator | None
) -> dict[str, SampledScore]:
    """The scores of guides of a Pyro program, all from the same seed if it is an integer."""
    return {name: _score(model, name, guide, num_samples, seed) for name, guide in guides.items()}


@contextmanager
def naming(name: str) -> Iterator[None]:
    """A context whose errors about a guide begin with its name."""
    try:
        yield
    except InvalidGuide as problem:
        raise InvalidGuide(f"{name!r} of `guides`: {problem}") from problem


def _score(
    model: Callable[[], Any], name: str, guide: object, num_samples: int, seed: int | torch.Generator | None
) -> SampledScore:
    with naming(name):
        drawn = program_draws(model, guide, num_samples, seed)
    imagined, true = Estimate.of(drawn.imagined_return), Estimate.of(drawn.true_return)
    return SampledScore(
        elbo=Estimate.of(drawn.log_weight),
        imagined_return=imagined,
        policy_kl=_estimate_or_none(drawn.policy_kl),
        dynamics_kl=_estimate_or_none(drawn.dynamics_kl),
        true_return=true,
        delusion=difference(imagined, true),
        effective_sample_size=float(effective_sample_size(drawn.log_weight[None])[0]),
    )


def _estimate_or_none(values: Float[Tensor, " draw"] | None) -> Estimate | None:
    return None if values is None else Estimate.of(values)

"""The scorecard: a table of guides with ELBO, gap to the exact posterior, imagined and true return."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, final

import torch

from ..chance.log_space import expect, relative
from ..chance.optimism import Optimism
from ..inference.exact.infer import infer
from ..runtime.arguments import named
from ..text.tables import grid, html_grid
from ..trajectories.blocks import Blocks, HasBlocks, MarkovModel, require_model
from ..trajectories.tabulate import tabulate
from .evaluate import evaluate


@final
@dataclass(frozen=True)
class Score:
    """The scores of one guide.

    Attributes:
        elbo: the ELBO, in nats.
        gap: log p(O) − ELBO, in nats; 0 for the exact posterior, never negative.
        imagined_return: the return under the guide's own start and dynamics, in reward units.
        true_return: the return of its policy in the true world, in reward units.
        delusion: imagined − true return, in reward units.
        policy_entropy: the entropy of the policy, summed over the steps of true trajectories, in nats.
        dynamics_kl: the KL of the guide's dynamics from the true ones, summed over the guide's own trajectories, in
            nats.
    """

    elbo: float
    gap: float
    imagined_return: float
    true_return: float
    delusion: float
    policy_entropy: float
    dynamics_kl: float


_HEADINGS = {
    "elbo": ("ELBO", "nats"),
    "gap": ("gap", "nats"),
    "imagined_return": ("imagined return", "reward"),
    "true_return": ("true return", "reward"),
    "delusion": ("delusion", "reward"),
    "policy_entropy": ("policy entropy", "nats"),
    "dynamics_kl": ("KL of dynamics", "nats"),
}


@final
@dataclass(frozen=True)
class Scorecard:
    """A table of scores by name, with the exact evidence as the reference.

    Attributes:
        log_evidence: log p(O), in nats, with every block free.
        scores: one `Score` per name.
    """

    log_evidence: float
    scores: Mapping[str, Score]

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, for JSON or a data frame."""
        return {"log_evidence": self.log_evidence, "scores": {name: asdict(row) for name, row in self.scores.items()}}

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
        return [[name, *(_number(getattr(row, key)) for key in _HEADINGS)] for name, row in self.scores.items()]

    def _note(self) -> str:
        return f"log p(O) = {_number(self.log_evidence)} nats"


def _head() -> list[list[str]]:
    titles, units = zip(*_HEADINGS.values(), strict=True)
    return [["", *titles], ["", *(f"[{unit}]" for unit in units)]]


def scorecard(model: MarkovModel, guides: Mapping[str, HasBlocks]) -> Scorecard:
    r"""Score guides against the exact posterior of their model.

    Args:
        model: the tabular model.
        guides: the guides by name. A posterior counts as a guide, so exact and fitted ones can be compared.

    Returns:
        A `Scorecard`; print it, or show it in a notebook.

    Raises:
        InvalidArgument: if `guides` is empty, or the temperature is 0.
        InvalidGuide: if a guide's factors do not fit the model.
    """
    require_model(model, in_nats=True)
    guides = named("guides", guides)
    evidence = infer(model, Optimism(1.0, 1.0, 1.0)).log_evidence
    return Scorecard(evidence, {name: _score(model, guide, evidence) for name, guide in guides.items()})


def _score(model: MarkovModel, guide: HasBlocks, evidence: float) -> Score:
    with torch.no_grad():
        blocks = tabulate(model, guide)
        found = evaluate(model, guide)
        return Score(
            elbo=found.elbo,
            gap=0.0 if found.elbo == evidence else evidence - found.elbo,  # 0 even if both are −inf
            imagined_return=found.imagined_return,
            true_return=found.true_return,
            delusion=found.delusion,
            policy_entropy=found.policy_entropy,
            dynamics_kl=_dynamics_kl(model, blocks),
        )


def _dynamics_kl(model: MarkovModel, blocks: Blocks) -> float:
    r"""$\sum_t E_q KL(q_t(k \mid s,a) \,\|\, p(k \mid s,a))$, in nats."""
    kl = expect(blocks.log_dynamics, relative(blocks.log_dynamics, model.blocks().log_dynamics))
    visits = blocks.marginals().state_action
    return float((visits * torch.where(visits > 0, kl, 0.0)).sum())


def _number(value: float) -> str:
    """The value with four decimals, without a minus sign before a rounded zero."""
    text = f"{value:.4f}" if abs(value) < 1e5 else f"{value:.6g}"
    return text.lstrip("-") if float(text) == 0 else text

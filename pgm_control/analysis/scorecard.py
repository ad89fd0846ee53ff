"""The scorecard: a table of guides with ELBO, gap to the exact posterior, imagined and true return."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, final, overload

import torch

from ..chance.optimism import Optimism
from ..errors import InvalidArgument
from ..inference.exact.grid.posterior import GridPosterior
from ..inference.exact.infer import infer
from ..inference.sampling.estimate import require_draws
from ..models.tabular import hard_model
from ..runtime.arguments import named
from ..runtime.randomness import require_seed
from ..text.html import bullets
from ..text.tables import grid, html_grid
from ..text.terminal import wrapped
from ..text.wording import above_rounding
from ..trajectories.action_measure import evidence_name
from ..trajectories.blocks import MarkovModel, require_model
from ..trajectories.gaussian.blocks import HasGaussianBlocks
from ..trajectories.gaussian.model import GaussianModel, is_gaussian, one_problem
from ..trajectories.gaussian.terms import is_exact_here, require_nats
from ..trajectories.program import is_program
from ..trajectories.steps import is_plain, temperature_at
from ..trajectories.tabulate import Tabulable
from .continuous.closed_form import best_policy, reference
from .continuous.closed_form import evidence_name as continuous_evidence_name
from .evaluate import evaluate
from .sampled_scorecard import SampledScorecard, naming, sampled_scores
from .untrained import untrained

BEST = "best policy"


@final
@dataclass(frozen=True)
class Score:
    r"""The scores of one guide.

    $$\mathrm{ELBO} = \text{imagined return}/\tau - \text{KL of policy} - \text{KL of dynamics}$$

    All of these are over the guide's own trajectories; only the true return is that of its policy in the true world.

    Attributes:
        elbo: the ELBO, in nats.
        gap: log p(O) − ELBO, in nats; 0 for the exact posterior, never negative.
        imagined_return: the return under the guide's own start and dynamics, in reward units.
        policy_kl: the KL of the policy from the action prior, in nats; with the prior "count", minus its entropy.
        dynamics_kl: the KL of the guide's start, dynamics and survival from the true ones, in nats.
        true_return: the return of its policy in the true world, in reward units.
        delusion: imagined − true return, in reward units.
    """

    elbo: float
    gap: float
    imagined_return: float
    policy_kl: float
    dynamics_kl: float
    true_return: float
    delusion: float


_HEADINGS = {
    "true_return": ("true return", "reward"),
    "delusion": ("delusion", "reward"),
    "imagined_return": ("imagined return", "reward"),
    "elbo": ("ELBO", "nats"),
    "gap": ("gap", "nats"),
    "policy_kl": ("KL of policy", "nats"),
    "dynamics_kl": ("KL of dynamics", "nats"),
}


@final
@dataclass(frozen=True)
class Scorecard:
    """A table of scores by name, with the exact evidence as the reference.

    Attributes:
        log_evidence: log p(O), in nats, with every block free; a log partition function if the action prior counts
            actions or is Lebesgue measure.
        scores: one `Score` per name, and last that of the "best policy", the one of the largest true return (risk
            neutral, exact).
        temperature: τ, in reward units per nat; None unless each step has the factor exp(r/τ).
        evidence_name: "log p(O)", "log partition function", or "largest ELBO with clamped survival".
        untrained: the warning of each guide that is at the optimum of its objective, but truly earns something else; it
            is printed below the table.
    """

    log_evidence: float
    scores: Mapping[str, Score]
    temperature: float | None
    evidence_name: str
    untrained: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, for JSON or a data frame."""
        scores = {name: asdict(row) for name, row in self.scores.items()}
        return {"log_evidence": self.log_evidence, "scores": scores, "untrained": dict(self.untrained)}

    def __str__(self) -> str:
        """The table as text, for a terminal."""
        warnings = (wrapped(text, first="\n") for text in self.untrained.values())
        return "\n".join([grid(_head(), self._rows(), []), self._note(), *warnings])

    def __repr__(self) -> str:
        """The scorecard as a table for a terminal."""
        return str(self)

    def _repr_html_(self) -> str:
        """The table as HTML, for a notebook."""
        table = html_grid(_head(), self._rows(), caption=self._note())
        return table + (bullets(self.untrained.values()) if self.untrained else "")

    def _rows(self) -> list[list[str]]:
        largest = {unit: self._largest(unit) for _, unit in _HEADINGS.values()}
        return [
            [name, *(_number(above_rounding(getattr(row, key), largest[unit])) for key, (_, unit) in _HEADINGS.items())]
            for name, row in self.scores.items()
        ]

    def _largest(self, unit: str) -> float:
        """The largest size of the finite scores with this unit."""
        keys = [key for key, (_, own) in _HEADINGS.items() if own == unit]
        sizes = (abs(getattr(row, key)) for row in self.scores.values() for key in keys)
        return max(filter(math.isfinite, sizes), default=0.0)

    def _note(self) -> str:
        evidence = f"{self.evidence_name} = {_number(self.log_evidence)} nats"
        if self.temperature is None:
            gained = "imagined log-likelihood"
        else:
            gained = "imagined return" if self.temperature == 1 else f"imagined return / {self.temperature:g}"
        return f"{evidence}; ELBO = {gained} − KL of policy − KL of dynamics"


def _head() -> list[list[str]]:
    titles, units = zip(*_HEADINGS.values(), strict=True)
    return [["", *titles], ["", *(f"[{unit}]" for unit in units)]]


@overload
def scorecard(
    model: MarkovModel, guides: Mapping[str, Tabulable], *, num_samples: None = None, seed: None = None
) -> Scorecard: ...


@overload
def scorecard(
    model: GaussianModel, guides: Mapping[str, HasGaussianBlocks], *, num_samples: None = None, seed: None = None
) -> Scorecard: ...


@overload
def scorecard(
    model: Callable[[], Any],
    guides: Mapping[str, Callable[[], Any]],
    *,
    num_samples: int | None = None,
    seed: int | torch.Generator | None = None,
) -> SampledScorecard: ...


def scorecard(
    model: MarkovModel | GaussianModel | Callable[[], Any],
    guides: Mapping[str, Tabulable | HasGaussianBlocks],
    *,
    num_samples: int | None = None,
    seed: int | torch.Generator | None = None,
) -> Scorecard | SampledScorecard:
    r"""Score guides against the exact posterior of their model; by sampling for any other Pyro program.

    A linear-quadratic model is scored in closed form if all guides have affine-Gaussian `blocks()`, and another
    continuous one if all have `terms()`, as their exact posteriors do; by sampling otherwise. With a discount the
    reference is the largest ELBO with clamped survival, in place of log p(O). There is no row "best policy" where no
    action is best at temperature 0, nor for a problem in the plane or on a line. If guides of such a problem are free
    posteriors, log p(O) is that of the one with the smallest stated error.

    Args:
        model: the tabular model, a continuous one, or any Pyro program with `roles` (see `log_weights`).
        guides: the guides by name, each as in `evaluate`. A posterior counts as a guide, so exact and fitted ones
            can be compared. For sampling: Pyro programs, as in `estimate`.
        num_samples: the number of draws of each guide, at least 2. None is exact for a tabular model, and 1000 for
            another program; with a number the scores of a tabular model are estimated too, so that guides which no
            table holds, with a memory or auxiliary variables, can be compared.
        seed: for sampling: an integer, a generator, or None for torch's global generator.

    Returns:
        For a program, or with `num_samples`, a `SampledScorecard`. Otherwise a `Scorecard`; print it, or show it in a
        notebook. Its last row is the "best policy": that of the largest true return among all that see time and state,
        by value iteration at temperature 0 over the actions that the prior allows. It shows what a temperature costs.

    Raises:
        InvalidArgument: if `guides` is empty, one is named "best policy", or the temperature is 0.
        InvalidGuide: if a guide's factors do not fit the model.
        InvalidProblem: if the model is a batch of linear-quadratic problems.
    """
    guides = named("guides", guides)
    if is_gaussian(model):
        one_problem(model, "a scorecard")
    if num_samples is None and all(is_exact_here(model, guide) for guide in guides.values()):
        require_seed(seed)
        return _continuous(model, guides)
    if is_program(model):
        number = require_draws("num_samples", 1000 if num_samples is None else num_samples)
        evidence = reference(model) if is_gaussian(model) and model.problem.discount == 1 else None
        return SampledScorecard(sampled_scores(model, guides, number, seed), number, evidence)
    model = require_model(model, in_nats=True, timed=True)
    if num_samples is not None:
        number = require_draws("num_samples", num_samples)
        scores = sampled_scores(model, guides, number, seed)
        return SampledScorecard(scores, number, infer(model, Optimism(1.0, 1.0, 1.0)).log_evidence)
    require_seed(seed)
    _require_free_name(guides)
    evidence = infer(model, Optimism(1.0, 1.0, 1.0)).log_evidence
    best = infer(hard_model(model), 0.0)
    scores = {name: _score(model, name, guide, evidence) for name, guide in {**guides, BEST: best}.items()}
    with torch.no_grad():
        warnings = {name: untrained(model, name, guide, scores[name].true_return) for name, guide in guides.items()}
    found = {name: text for name, text in warnings.items() if text is not None}
    return Scorecard(
        evidence, scores, temperature_at(model, 0) if is_plain(model) else None, evidence_name(model), found
    )


@torch.no_grad()
def _continuous(model: Any, guides: Mapping[str, Any]) -> Scorecard:
    """The scorecard of a continuous model, without sampling."""
    _require_free_name(guides)
    require_nats(model)
    free = [each for each in guides.values() if isinstance(each, GridPosterior) and each.is_free]
    known = min(free, key=lambda each: each.error.objective, default=None)  # a mesh has been solved already
    evidence = reference(model) if known is None else known.log_evidence
    best = best_policy(model.problem) if is_gaussian(model) else None
    rows = dict(guides) if best is None else {**guides, BEST: best}
    scores = {each: _score(model, each, guide, evidence) for each, guide in rows.items()}
    return Scorecard(evidence, scores, model.temperature, continuous_evidence_name(model), {})


def _require_free_name(guides: Mapping[str, Any]) -> None:
    if BEST in guides:
        raise InvalidArgument(f"`guides` must not name a guide {BEST!r}, the name of the last row. Choose another.")


def _score(model: Any, name: str, guide: Any, evidence: float) -> Score:
    with naming(name):
        found = evaluate(model, guide)
    return Score(
        elbo=found.elbo,
        gap=0.0 if found.elbo == evidence else evidence - found.elbo,  # 0 even if both are −inf
        imagined_return=found.imagined_return,
        policy_kl=found.policy_kl,
        dynamics_kl=found.dynamics_kl,
        true_return=found.true_return,
        delusion=found.delusion,
    )


def _number(value: float) -> str:
    """The value with four decimals, without a minus sign before a rounded zero."""
    text = f"{value:.4f}" if abs(value) < 1e5 else f"{value:.6g}"
    return text.lstrip("-") if float(text) == 0 else text

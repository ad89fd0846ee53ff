"""Comparison of the exact free and clamped optima of a continuous model."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

from ..inference.exact.gaussian.posterior import GaussianPosterior
from ..inference.exact.grid.posterior import GridPosterior
from ..inference.exact.infer import infer
from ..text.as_json import plain, save_as_json
from ..text.html import heading
from ..trajectories.gaussian.model import GaussianModel, is_gaussian
from .continuous.explanation import ContinuousExplanation
from .continuous.grid_explanation import GridExplanation, explain_on_a_mesh
from .continuous.meshes import HasMesh
from .evaluate import evaluate
from .explain import explain
from .scorecard import Scorecard, scorecard
from .scores.record import record_of

_FORMAT = 1


@final
@dataclass(frozen=True, eq=False, repr=False)
class ContinuousComparison:
    """The result of `compare` for a continuous model that is solved exactly: linear-quadratic, in the plane, on a line.

    Printing it prints the scorecard and the explanation.

    Attributes:
        model: the model.
        name: the name of the problem in titles.
        free, clamped: the exact optimum of each guide.
        scorecard: the exact guides side by side.
        explanation: why the two guides differ.
        settings: the settings of the call.
        command: the command that reproduces this result, or None.
    """

    model: GaussianModel | HasMesh
    name: str
    free: GaussianPosterior | GridPosterior
    clamped: GaussianPosterior | GridPosterior
    scorecard: Scorecard
    explanation: ContinuousExplanation | GridExplanation
    settings: Mapping[str, Any]
    command: str | None

    def to_dict(self) -> dict[str, Any]:
        """Return all results except matrices, for JSON. Infinities are the strings "inf" and "-inf"."""
        found = self.explanation
        explanation = {name: getattr(found, name) for name in ("sentences", "headline", "differs", "optimism")}
        explanation |= {"gap": found.gap, "price_of_optimism": found.price_of_optimism}
        explanation |= {"free": asdict(found.free), "clamped": asdict(found.clamped)}
        explanation |= _of_noises(found) if isinstance(found, ContinuousExplanation) else _of_states(found)
        errors = {
            key: asdict(each.error)
            for key, each in (("free", self.free), ("clamped", self.clamped))
            if isinstance(each, GridPosterior)
        }
        return plain(
            {
                **record_of(_FORMAT, self.name, self.model, self.settings, self.command, self.scorecard.to_dict()),
                "explanation": explanation,
                **({"mesh_errors": errors} if errors else {}),
            }
        )

    def save(self, path: str | Path) -> None:
        """Write `to_dict()` as JSON; the file is written completely or not at all.

        Raises:
            InvalidArgument: if the path does not end in .json.
        """
        save_as_json(self.to_dict(), path)

    def __str__(self) -> str:
        """The text of the scorecard and of the explanation."""
        return f"{self.scorecard}\n\n{self.explanation}"

    def __repr__(self) -> str:
        """The headline in one line."""
        return f"ContinuousComparison({self.name}: {self.explanation.headline})"

    def _repr_html_(self) -> str:
        """The scorecard and the explanation as HTML, for a notebook."""
        pages = (each._repr_html_() for each in (self.scorecard, self.explanation))
        return heading(self.name, repr(self.model)) + "".join(pages)


def continuous_comparison(
    model: GaussianModel | HasMesh, name: str, command: str | None, seed: int | None = None
) -> ContinuousComparison:
    """The comparison of the exact optima; arguments and errors are those of `compare`."""
    free: Any = infer(model, 1.0)
    clamped: Any = infer(model, 0.0)
    if is_gaussian(model):
        explanation = explain(model)
    else:
        explanation = explain_on_a_mesh(1.0, free, clamped, evaluate(model, free), evaluate(model, clamped))
    given: Any = model
    problem: Any = given.problem
    settings = {"horizon": problem.horizon, "temperature": model.temperature, "seed": seed}
    return ContinuousComparison(
        model=model,
        name=name,
        free=free,
        clamped=clamped,
        scorecard=scorecard(given, {"free, exact": free, "clamped, exact": clamped}),
        explanation=explanation,
        settings=settings | ({"discount": problem.discount} if is_gaussian(model) else {}),
        command=command,
    )


def _of_noises(found: ContinuousExplanation) -> dict[str, Any]:
    """The beliefs and the breakdown of a linear-quadratic model."""
    start, edges = found.start, found.breakdown
    beliefs = {
        "noises": [each._asdict() for each in found.noises],
        "start": None if start is None else start._asdict(),
        "policy": found.policy._asdict(),
    }
    if edges is None:
        return beliefs
    return beliefs | {"breakdown": {"neurotic": edges.neurotic._asdict(), "euphoric": edges.euphoric._asdict()}}


def _of_states(found: GridExplanation) -> dict[str, Any]:
    """The beliefs on a mesh."""
    return {
        "dynamics_kl": found.dynamics_kl,
        "initial_kl": found.initial_kl,
        "state": None if found.state is None else found.state._asdict(),
    }

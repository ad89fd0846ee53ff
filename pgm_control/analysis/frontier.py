"""The frontier: true returns of the optimal policies for a range of optimism β.

Sources:
    [howard1972] R. A. Howard and J. E. Matheson, Risk-sensitive Markov decision processes. Management Science
        18(7):356–369, 1972. doi:10.1287/mnsc.18.7.356
    [rockafellar2002] R. T. Rockafellar and S. Uryasev, Conditional value-at-risk for general loss distributions.
        Journal of Banking & Finance 26(7):1443–1471, 2002. doi:10.1016/S0378-4266(02)00271-6
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
from jaxtyping import Float
from torch import Tensor

from ..chance.optimism import Optimism, OptimismLike
from ..chance.risk import Risk
from ..errors import InvalidArgument
from ..inference.exact.infer import infer
from ..runtime.arguments import ordered, shown
from ..text.tables import grid, html_grid, save_records
from ..text.wording import amount
from ..trajectories.blocks import MarkovModel, require_model
from .evaluate import evaluate
from .return_distribution import require_share, return_distribution, return_moments

GRID = (-1.0, -0.5, -0.25, -0.1, 0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0)


@final
@dataclass(frozen=True)
class FrontierPoint:
    """The results for one optimism: the return that its policy imagines, and its true returns.

    Attributes:
        optimism: β, a number, a `Risk` or an `Optimism`, as it was passed.
        objective: the optimal $J_β$, in nats; None at temperature 0.
        imagined_return: the imagined return, in reward units.
        true_return, deviation: mean and standard deviation of the true return, in reward units.
        cvar: the CVaR of the true return, in reward units; None if no level was given.
        success: the probability of a true return of at least the target; None if no target was given.
    """

    optimism: float | Risk | Optimism
    objective: float | Any
    imagined_return: float
    true_return: float
    deviation: float
    cvar: float | None
    success: float | None

    @property
    def delusion(self) -> float:
        """Imagined minus true mean return, in reward units; 0 if they are equal, even if both are −inf."""
        return 0.0 if self.imagined_return == self.true_return else self.imagined_return - self.true_return


_HEADINGS = {
    "optimism": ("optimism", ""),
    "objective": ("objective", "[nats]"),
    "imagined_return": ("imagined return", "[reward]"),
    "true_return": ("true mean", "[reward]"),
    "deviation": ("std. dev.", "[reward]"),
    "cvar": ("CVaR", "[reward]"),
    "success": ("success", ""),
}


@final
@dataclass(frozen=True)
class Frontier:
    """The frontier points, in the order given.

    Attributes:
        points: one point for each optimism.
        cvar_level: the share of the worst returns that `cvar` averages; None if CVaR was left out.
        target: the return that counts as success; None if none was given.
    """

    points: tuple[FrontierPoint, ...]
    cvar_level: float | None
    target: float | None

    @property
    def best(self) -> FrontierPoint:
        """The point with the highest true mean; the first of equals."""
        return max(self.points, key=lambda point: point.true_return)

    def __repr__(self) -> str:
        """The number of points and the best point."""
        best = self.best
        return f"Frontier({len(self.points)} points, best true mean {best.true_return:.6g} at optimism {best.optimism})"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; an `Optimism` and infinities become text."""
        return {"cvar_level": self.cvar_level, "target": self.target, "points": [_record(each) for each in self.points]}

    def save(self, path: str | Path) -> None:
        """Write a .json with everything or a .csv with one row per point, completely or not at all.

        Raises:
            InvalidArgument: if the suffix is another one.
        """
        save_records(path, self.to_dict(), [_record(each) for each in self.points])

    def __str__(self) -> str:
        """The table as text, for a terminal."""
        return grid(*self._table())

    def _repr_html_(self) -> str:
        """The table as HTML, for a notebook."""
        return html_grid(*self._table())

    def _table(self) -> tuple[list[list[str]], list[list[str]]]:
        shown = [key for key in _HEADINGS if getattr(self.points[0], key) is not None]
        units = dict(_HEADINGS)
        if self.cvar_level is not None:
            units["cvar"] = (f"CVaR {100 * self.cvar_level:g} %", "[reward]")
        if self.target is not None:
            units["success"] = (f"P(return ≥ {amount(self.target)})", "")
        head = [[units[key][line] for key in shown] for line in (0, 1)]
        return head, [[_written(getattr(point, key)) for key in shown] for point in self.points]


def frontier(
    model: MarkovModel,
    optimism: Sequence[OptimismLike] | Float[Tensor, " batch"] | Float[np.ndarray, " batch"] = GRID,
    *,
    cvar_level: float | None = 0.1,
    target: float | None = None,
    resolution: float | None = None,
) -> Frontier:
    """Evaluate the optimal policy of each β in the true world: exact mean, deviation, CVaR and success rate.

    Args:
        model: the tabular model.
        optimism: the values of β: numbers, `Risk`s or `Optimism`s. At temperature 0 each must be 0 or a `Risk`.
        cvar_level: the share of the worst episodes over which CVaR averages the return; None leaves it out.
        target: a return of at least this many reward units is a success; None leaves it out.
        resolution: as in `return_distribution`, for rewards with too many different possible sums.

    Returns:
        A `Frontier`; print it, or show it in a notebook.

    Raises:
        InvalidArgument: if `optimism` is empty, `cvar_level` is not a share, `target` is not a number, or there are too
            many different returns.

    References:
        [howard1972], [rockafellar2002]
    """
    require_model(model, timed=True)
    dial = optimism.tolist() if isinstance(optimism, Tensor | np.ndarray) else optimism
    if isinstance(dial, str | bytes) or not isinstance(dial, Sequence) or not len(dial):
        raise InvalidArgument(f"`optimism` must hold at least one β, but is {shown(optimism)}. Pass a list of numbers.")
    if cvar_level is not None:
        cvar_level = require_share("cvar_level", cvar_level)
    if target is not None:
        target = ordered("target", target, "return")
    return Frontier(tuple(_point(model, each, cvar_level, target, resolution) for each in dial), cvar_level, target)


def _point(
    model: MarkovModel,
    optimism: OptimismLike,
    cvar_level: float | None,
    target: float | None,
    resolution: float | None,
) -> FrontierPoint:
    exact = infer(model, optimism)
    account, moments = evaluate(model, exact), return_moments(model, exact)
    cvar = success = None
    if cvar_level is not None or target is not None:
        whole = return_distribution(model, exact, resolution=resolution)
        cvar = None if cvar_level is None else whole.cvar(cvar_level)
        success = None if target is None else whole.at_least(target)
    beta = optimism if isinstance(optimism, Risk | Optimism) else Optimism.of(optimism).number("")
    return FrontierPoint(
        beta, exact.objective, account.imagined_return, moments.mean, math.sqrt(moments.variance), cvar, success
    )


def _record(point: FrontierPoint) -> dict[str, Any]:
    values = {**asdict(point), "optimism": point.optimism, "delusion": point.delusion}
    return {key: value if value is None or _is_plain(value) else str(value) for key, value in values.items()}


def _is_plain(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _written(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, float) and value == round(value, 6) else _number(value)


def _number(value: Any) -> str:
    return amount(value) if isinstance(value, int | float) else str(value)

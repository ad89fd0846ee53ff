"""What optimism costs, and buys: the policies of a dial tried in the true world.

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
from ..errors import InvalidArgument
from ..inference.exact.infer import infer
from ..text.tables import grid, html_grid, save_records
from ..text.wording import amount
from ..trajectories.blocks import MarkovModel, require_model
from .evaluate import evaluate
from .return_distribution import require_share, return_distribution, return_moments

GRID = (-1.0, -0.5, -0.25, -0.1, 0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0)


@final
@dataclass(frozen=True)
class FrontierPoint:
    """One optimism: what its policy imagines, and what it earns in the true world.

    Attributes:
        optimism: β, a number or an `Optimism`, as it was given.
        objective: the best $J_β$, in nats.
        imagined_return: in reward units.
        mean, deviation: mean and standard deviation of the true return, in reward units.
        cvar: mean of the worst share of true returns, in reward units; None if it was not asked for.
        success: probability of a true return of at least the target; None without one.
    """

    optimism: float | Optimism
    objective: float
    imagined_return: float
    mean: float
    deviation: float
    cvar: float | None
    success: float | None

    @property
    def delusion(self) -> float:
        """Imagined minus true mean return, in reward units; 0 where they are equal, were it at −inf."""
        return 0.0 if self.imagined_return == self.mean else self.imagined_return - self.mean


_HEADINGS = {
    "optimism": ("optimism", ""),
    "objective": ("objective", "[nats]"),
    "imagined_return": ("imagined return", "[reward]"),
    "mean": ("true mean", "[reward]"),
    "deviation": ("deviation", "[reward]"),
    "cvar": ("CVaR", "[reward]"),
    "success": ("success", ""),
}


@final
@dataclass(frozen=True)
class Frontier:
    """The points of a dial, in the order given.

    Attributes:
        points: one an optimism.
        cvar_level: the share of the worst returns that `cvar` is the mean of; None without it.
        target: the return that counts as success; None without it.
    """

    points: tuple[FrontierPoint, ...]
    cvar_level: float | None
    target: float | None

    @property
    def best(self) -> FrontierPoint:
        """That of the highest true mean; of equals the first."""
        return max(self.points, key=lambda point: point.mean)

    def __repr__(self) -> str:
        """The number of points and the best of them."""
        best = self.best
        return f"Frontier({len(self.points)} points, best true mean {best.mean:.6g} at optimism {best.optimism})"

    def to_dict(self) -> dict[str, Any]:
        """Plain values; an `Optimism` as its text, infinities as text."""
        return {"cvar_level": self.cvar_level, "target": self.target, "points": [_record(each) for each in self.points]}

    def save(self, path: str | Path) -> None:
        """Write a .json of everything or a .csv with a line a point, whole or not at all.

        Raises:
            InvalidArgument: for another suffix.
        """
        save_records(path, self.to_dict(), [_record(each) for each in self.points])

    def __str__(self) -> str:
        """A table for a terminal."""
        return grid(*self._table())

    def _repr_html_(self) -> str:
        """A table for a notebook."""
        return html_grid(*self._table())

    def _table(self) -> tuple[list[list[str]], list[list[str]]]:
        shown = [key for key in _HEADINGS if getattr(self.points[0], key) is not None]
        units = dict(_HEADINGS)
        if self.cvar_level is not None:
            units["cvar"] = (f"worst {100 * self.cvar_level:g} %", "[reward]")
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
    """Turn the dial, and try each policy in the true world: mean, deviation, CVaR and success, exactly.

    Args:
        model: the tabular model.
        optimism: the β to try, numbers or `Optimism`s.
        cvar_level: CVaR is the mean return of so large a share of the worst episodes; None leaves it out.
        target: in reward units; a return of at least that much is a success. None leaves it out.
        resolution: as in `return_distribution`, for rewards of which too many different sums are possible.

    Returns:
        A `Frontier`; print it, or show it in a notebook.

    Raises:
        InvalidArgument: if `optimism` is empty, a level is no share, or there are too many different returns.

    References:
        [howard1972], [rockafellar2002]
    """
    require_model(model, in_nats=True)
    dial = optimism.tolist() if isinstance(optimism, Tensor | np.ndarray) else optimism
    if isinstance(dial, str) or not isinstance(dial, Sequence) or not len(dial):
        raise InvalidArgument(f"`optimism` must hold at least one β, but is {optimism!r}. Pass a list of numbers.")
    if cvar_level is not None:
        require_share("cvar_level", cvar_level)
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
    beta = optimism if isinstance(optimism, Optimism) else exact.optimism.number("")
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

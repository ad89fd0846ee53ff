"""The frontier: true returns of the optimal policies for a range of optimism β.

Sources:
    [howard1972] R. A. Howard and J. E. Matheson, Risk-sensitive Markov decision processes. Management Science
        18(7):356–369, 1972. doi:10.1287/mnsc.18.7.356
    [rockafellar2002] R. T. Rockafellar and S. Uryasev, Conditional value-at-risk for general loss distributions.
        Journal of Banking & Finance 26(7):1443–1471, 2002. doi:10.1016/S0378-4266(02)00271-6
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, final

import numpy as np
from jaxtyping import Float
from torch import Tensor

from ..chance.optimism import Optimism, OptimismLike
from ..chance.risk import Risk
from ..errors import InvalidArgument, OptimismBreakdown
from ..inference.exact.gaussian.many import infer_many, repeated
from ..inference.exact.infer import infer
from ..models.linear_quadratic import LinearQuadraticModel
from ..runtime.arguments import ordered, shown
from ..text.html import bullets
from ..text.tables import grid, html_grid, save_records
from ..text.wording import amount, listed
from ..trajectories.blocks import MarkovModel, require_model
from ..trajectories.gaussian.blocks import GaussianBlocks
from ..trajectories.gaussian.model import GaussianModel, is_gaussian
from ..trajectories.gaussian.objective import true_blocks
from ..trajectories.gaussian.terms import gaussian_trajectory_terms, trajectory_terms
from ..trajectories.program import is_program
from .continuous.moments import return_variance
from .continuous.returns import GaussianReturns, return_law
from .evaluate import evaluate
from .return_distribution import return_distribution, return_moments
from .scores.share import require_share

_CVAR = 0.1  # the default share of the worst episodes
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

    Of a linear-quadratic model deviation, `cvar` and `success` are those of $Σ_t γ^t r_t$. Of another continuous model
    all three are None.
    """

    optimism: float | Risk | Optimism
    objective: float | Any
    imagined_return: float
    true_return: float
    deviation: float | Any
    cvar: float | None
    success: float | None

    @property
    def delusion(self) -> float:
        """Imagined minus true mean return, in reward units; 0 if they are equal, even if both are −inf."""
        return 0.0 if self.imagined_return == self.true_return else self.imagined_return - self.true_return


@final
@dataclass(frozen=True)
class FrontierGap:
    """An optimism at which the objective is unbounded: there is no optimal policy, and no number.

    Attributes:
        optimism: β, as it was passed.
        limit: β* at which the objective becomes unbounded; None if it is not known for this combination.
        message: why, in words.
    """

    optimism: float | Risk | Optimism
    limit: float | None
    message: str


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
        gaps: the values of β beyond the breakdown of a linear-quadratic model, which have no point.
    """

    points: tuple[FrontierPoint, ...]
    cvar_level: float | None
    target: float | None
    gaps: tuple[FrontierGap, ...] = ()

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
        found: dict[str, Any] = {"cvar_level": self.cvar_level, "target": self.target}
        found["points"] = [_record(each) for each in self.points]
        return found | ({"gaps": [_plain(asdict(each), each) for each in self.gaps]} if self.gaps else {})

    def save(self, path: str | Path) -> None:
        """Write a .json with everything or a .csv with one row per point, completely or not at all.

        Raises:
            InvalidArgument: if the suffix is another one.
        """
        save_records(path, self.to_dict(), [_record(each) for each in self.points])

    def __str__(self) -> str:
        """The table as text, for a terminal."""
        return "\n".join([grid(*self._table()), *self._notes()])

    def _repr_html_(self) -> str:
        """The table as HTML, for a notebook."""
        return html_grid(*self._table()) + (bullets(self._notes()) if self.gaps else "")

    def _notes(self) -> list[str]:
        """A sentence for each limit with the values of β beyond it."""
        beyond: dict[float | None, list[str]] = {}
        for each in self.gaps:
            beyond.setdefault(each.limit, []).append(_written(each.optimism))
        return [
            f"No optimum at {listed(betas)}: beyond the breakdown"
            + ("." if limit is None or not math.isfinite(limit) else f", β* = {amount(limit)}.")
            for limit, betas in beyond.items()
        ]

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
    model: MarkovModel | GaussianModel | Any,
    optimism: Sequence[OptimismLike] | Float[Tensor, " batch"] | Float[np.ndarray, " batch"] = GRID,
    *,
    cvar_level: float | None = _CVAR,
    target: float | None = None,
    resolution: float | None = None,
) -> Frontier:
    """Evaluate the optimal policy of each β in the true world: exact mean, deviation, CVaR and success rate.

    A linear-quadratic model is solved for all β at once. Its return has a mean and a deviation in closed form; CVaR and
    success come from its characteristic function (see `return_distribution`). A β beyond its breakdown is a gap with a
    message, and no number. Of another continuous model CVaR is left out.

    Args:
        model: the tabular model, a linear-quadratic one, or another continuous one that `infer` solves.
        optimism: the values of β: numbers, `Risk`s or `Optimism`s. At temperature 0 each must be 0 or a `Risk`.
        cvar_level: the share of the worst episodes over which CVaR averages the return; None leaves it out. Of a
            problem in the plane or on a line it is always left out.
        target: a return of at least this many reward units is a success; None leaves it out.
        resolution: as in `return_distribution`, for rewards with too many different possible sums.

    Returns:
        A `Frontier`; print it, or show it in a notebook.

    Raises:
        InvalidArgument: if `optimism` is empty, `cvar_level` is not a share, `target` is not a number, or there are too
            many different returns; if `resolution` is given for a continuous model, or `target` or another
            `cvar_level` for one that is not linear-quadratic.
        OptimismBreakdown: if every β is beyond the breakdown.

    References:
        [howard1972], [rockafellar2002]
    """
    continuous: Any = model if is_program(model) else None
    if continuous is None:
        model = require_model(model, timed=True)
    dial = optimism.tolist() if isinstance(optimism, Tensor | np.ndarray) else optimism
    if isinstance(dial, str | bytes) or not isinstance(dial, Sequence) or not len(dial):
        raise InvalidArgument(f"`optimism` must hold at least one β, but is {shown(optimism)}. Pass a list of numbers.")
    if cvar_level is not None:
        cvar_level = require_share("cvar_level", cvar_level)
    if target is not None:
        target = ordered("target", target, "return")
    if continuous is not None:
        if is_gaussian(continuous):
            _require_none({"resolution": resolution}, "a linear-quadratic model, whose returns are not rounded")
            return _gaussian(continuous, dial, cvar_level, target)
        other = None if cvar_level == _CVAR else cvar_level
        given = {"cvar_level": other, "target": target, "resolution": resolution}
        _require_none(given, "a model without the distribution of its return")
        return _by_terms(continuous, dial)
    tabular: Any = model
    return Frontier(tuple(_point(tabular, each, cvar_level, target, resolution) for each in dial), cvar_level, target)


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
    return FrontierPoint(
        _as_passed(optimism),
        exact.objective,
        account.imagined_return,
        moments.mean,
        math.sqrt(moments.variance),
        cvar,
        success,
    )


def _as_passed(optimism: OptimismLike) -> float | Risk | Optimism:
    return optimism if isinstance(optimism, Risk | Optimism) else Optimism.of(optimism).number("")


def _require_none(given: Mapping[str, Any], where: str) -> None:
    """Refuse what needs the distribution of the return."""
    if odd := [name for name, value in given.items() if value is not None]:
        raise InvalidArgument(
            f"`{odd[0]}` must be left out for {where}. return_distribution(model, infer(model, 0.0)) has quantiles and "
            "CVaR of one policy."
        )


def _gaussian(
    model: GaussianModel, dial: Sequence[OptimismLike], cvar_level: float | None, target: float | None
) -> Frontier:
    """The frontier of a linear-quadratic model, with a named gap for each β beyond its breakdown."""
    betas = [Optimism.of(each) for each in dial]
    found = infer_many(model, betas)
    bounded = found.is_bounded.tolist()
    gaps = tuple(_gap(model, each) for each, is_bounded in zip(dial, bounded, strict=True) if not is_bounded)
    if not any(bounded):
        infer(model, dial[0])  # raises with the limits
    batch = repeated(model.problem, sum(bounded))
    many = LinearQuadraticModel(batch, model.temperature, model.action_prior)
    terms = gaussian_trajectory_terms(many, found.blocks, batch)
    acts = true_blocks(many, found.blocks)
    spread = return_variance(batch, acts).sqrt()
    laws: list[GaussianReturns | None] = [None] * sum(bounded)
    if cvar_level is not None or target is not None:
        each = [{one.name: getattr(acts, one.name)[i] for one in fields(acts)} for i in range(len(laws))]
        laws = [return_law(model.problem, GaussianBlocks(**blocks)) for blocks in each]
    kept = (each for each, is_bounded in zip(dial, bounded, strict=True) if is_bounded)
    columns = (each.tolist() for each in (found.value, terms.imagined_return, terms.true_return, spread))
    tau = model.temperature
    points = tuple(
        FrontierPoint(
            _as_passed(beta), value / tau if tau > 0 else None, imagined, true, deviation,
            None if law is None or cvar_level is None else law.cvar(cvar_level),
            None if law is None or target is None else law.at_least(target),
        )
        for beta, law, value, imagined, true, deviation in zip(kept, laws, *columns, strict=True)
    )  # fmt: skip
    return Frontier(points, cvar_level, target, gaps)


def _gap(model: GaussianModel, optimism: OptimismLike) -> FrontierGap:
    """The gap at an optimism at which `infer` refuses."""
    try:
        infer(model, optimism)
    except OptimismBreakdown as beyond:
        return FrontierGap(_as_passed(optimism), beyond.limit, str(beyond))
    raise AssertionError("one sweep is bounded and the other is not")


def _by_terms(model: Any, dial: Sequence[OptimismLike]) -> Frontier:
    """The frontier of another continuous model that `infer` solves."""
    points, gaps, beyond = list[FrontierPoint](), list[FrontierGap](), None
    for each in dial:
        try:
            exact: Any = infer(model, each)
        except OptimismBreakdown as refusal:
            beyond = refusal
            gaps.append(FrontierGap(_as_passed(each), refusal.limit, str(refusal)))
            continue
        terms = trajectory_terms(model, exact)
        returns = float(terms.imagined_return), float(terms.true_return)
        points.append(FrontierPoint(_as_passed(each), exact.objective, *returns, None, None, None))
    if beyond is not None and not points:
        raise beyond
    return Frontier(tuple(points), None, None, tuple(gaps))


def _record(point: FrontierPoint) -> dict[str, Any]:
    return _plain({**asdict(point), "delusion": point.delusion}, point)


def _plain(values: dict[str, Any], point: FrontierPoint | FrontierGap) -> dict[str, Any]:
    values = {**values, "optimism": point.optimism}
    return {key: value if value is None or _is_plain(value) else str(value) for key, value in values.items()}


def _is_plain(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _written(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, float) and value == round(value, 6) else _number(value)


def _number(value: Any) -> str:
    return amount(value) if isinstance(value, int | float) else str(value)

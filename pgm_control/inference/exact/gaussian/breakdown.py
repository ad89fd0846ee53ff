r"""The optimism at which the objective of a linear-quadratic model becomes unbounded.

For some β* < 0 the adversary that bends the noise is unbounded: the neurotic breakdown of [whittle1981]. As the horizon
grows $\sqrt{-\tau/\beta^*}$ approaches the smallest $H_\infty$ norm from noise to cost that a controller can reach
[glover1988]. For β > 0 the objective is unbounded only where the reward rises in some direction: the euphoric
breakdown.

Sources:
    [glover1988] K. Glover and J. C. Doyle, State-space formulae for all stabilizing controllers that satisfy an H∞-norm
        bound and relations to risk sensitivity. Systems and Control Letters 11(3):167–172, 1988.
        doi:10.1016/0167-6911(88)90055-2
    [whittle1981] P. Whittle, Risk-sensitive linear/quadratic/Gaussian control. Advances in Applied Probability
        13(4):764–777, 1981. doi:10.2307/1426972
"""

import bisect
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor

from ....chance.optimism import Optimism
from ....errors import InvalidArgument, OptimismBreakdown
from ....problems.continuous.arrays import root
from ....runtime.arguments import flag, shown
from ....text.wording import amount
from ....trajectories.gaussian.model import GaussianModel, is_gaussian, one_problem
from ....trajectories.gaussian.riccati import ACTIONS, DYNAMICS, FINE, Prepared, Swept, prepared
from ....trajectories.gaussian.sweep import beyond_float64, careful_sweep

_DOUBLINGS = 100.0  # the largest and smallest |θ| that is tried, relative to its natural scale, in powers of 2
_MAGNITUDES = 65
_FINE = 1e-13  # the relative width at which the search ends
_SQUARED = 1e150  # the largest number whose square float64 holds, and one over the smallest
_LEAST = 1e-307  # |θ| below which float64 has no digits


class BreakdownEdge(NamedTuple):
    """Where the objective becomes unbounded.

    Attributes:
        optimism: β*, of the last bounded one that was tried; infinite if there is none.
        risk: θ* = β*/τ, in 1/reward.
        time: the step whose noise is unbounded, T − 1 down to 0; −1 for the start; None if there is no edge.
        direction: the unit vector of the noise, or of the start, along which it is unbounded; of the action where no
            action is best.
        block: "dynamics", "start" or "actions": what is unbounded; None if there is no edge.
    """

    optimism: float
    risk: float
    time: int | None
    direction: tuple[float, ...] | None
    block: str | None


@final
@dataclass(frozen=True, repr=False)
class Breakdown:
    """The optima of a linear-quadratic model exist for β between `neurotic.optimism` and `euphoric.optimism`.

    Attributes:
        neurotic: the edge at β* < 0, below which the adversary is unbounded.
        euphoric: the edge at β* > 0, from which log p(O) is infinite; none where the reward rises in no direction.
        initial: whether the start has the same β as the dynamics; else it is clamped.
        h_infinity_norm: $\\sqrt{-1/θ^*}$ of the neurotic edge, in units of √reward per unit of noise: the smallest gain
            from noise to cost over this horizon; 0 if nothing is random. Over T → ∞ it is the H∞ norm of the best
            controller, if the start is clamped.
    """

    neurotic: BreakdownEdge
    euphoric: BreakdownEdge
    initial: bool

    @property
    def h_infinity_norm(self) -> float:
        """The smallest gain from noise to cost that a policy can reach over this horizon."""
        return math.sqrt(-1.0 / self.neurotic.risk) if math.isfinite(self.neurotic.risk) else 0.0

    def __repr__(self) -> str:
        """Both edges, their steps and directions, and the norm."""
        parts = [f"{name} {_edge(edge)}" for name, edge in (("below", self.neurotic), ("above", self.euphoric))]
        start = "start at the same β" if self.initial else "start clamped"
        return f"Breakdown({'; '.join(parts)}; H∞ norm {amount(self.h_infinity_norm)}; {start})"


def breakdown(model: GaussianModel, initial: bool = True) -> Breakdown:
    r"""The optimism at which the objective of a linear-quadratic model becomes unbounded, in both directions.

    The objective is bounded while $I + \theta L'PL$ is positive definite at each step, and $H_{aa}$ too. The set of
    such β is an interval, because P falls as β rises; its ends are found by bisection on the Cholesky factorisation, to
    a relative width of 1e-13. That takes some fifty sweeps an edge.

    Args:
        model: a linear-quadratic model of one problem.
        initial: whether the start has the same β as the dynamics, as in `infer(model, beta)`; otherwise it is clamped.

    Raises:
        InvalidArgument: if the model is not linear-quadratic, no action is best even at β = 0, or float64 cannot hold
            the squares of its numbers.

    References:
        [whittle1981], [glover1988]

    Examples:
        >>> from pgm_control import LinearQuadratic, LinearQuadraticModel, breakdown
        >>> problem = LinearQuadratic.from_cost(0.9, 0.5, 1.0, 0.2, 0.3, horizon=6, initial_mean=1.0)
        >>> round(breakdown(LinearQuadraticModel(problem)).neurotic.optimism, 6)
        -2.023795
    """
    if not is_gaussian(model):
        raise InvalidArgument(
            f"`model` must be a LinearQuadraticModel, but is {shown(model)}. Of a problem on a mesh, infer(model, β) "
            "raises OptimismBreakdown where its integrals are known to diverge."
        )
    one_problem(model, "breakdown")
    initial = flag("initial", initial)
    with torch.no_grad():
        search = _Search.of(model, initial)
        level = search.failure(0.0)
        if level.reason != FINE:
            raise InvalidArgument(_not_convex(search.given, level.time))
        require_float64(search.given, search.neutral)
        return Breakdown(search.edge(-1.0), search.edge(1.0), initial)


_START = 3
_BLOCKS = {1: "dynamics", ACTIONS: "actions", _START: "start"}


class _Failure(NamedTuple):
    """Why the objective is unbounded, and at which step; FINE and −1 where it is bounded."""

    reason: int
    time: int


@final
@dataclass(frozen=True)
class _Search:
    """The search for the edges of one problem.

    Attributes:
        temperature: τ, in reward units per nat.
        discount: γ.
        given: what is swept.
        start_root: a root of the covariance of the start.
        initial: whether the start has the same β as the dynamics.
        neutral: the sweep at β = 0.
    """

    temperature: float
    discount: float
    given: Prepared
    start_root: Float[Tensor, "state rank"]
    initial: bool
    neutral: Swept

    @classmethod
    def of(cls, model: GaussianModel, initial: bool) -> "_Search":
        problem, given = model.problem, prepared(model)
        neutral = careful_sweep(given, torch.zeros((), dtype=torch.float64))
        start_root = root(problem.initial_covariance)
        return cls(model.temperature, problem.discount, given, start_root, initial, neutral)

    def failure(self, theta: float) -> _Failure:
        """One sweep that loses no digits."""
        swept = careful_sweep(self.given, torch.tensor(theta, dtype=torch.float64)) if theta else self.neutral
        reason, time = int(swept.reason), int(swept.at)
        if reason == FINE and self.initial:
            L = self.start_root
            M = torch.eye(L.shape[-1], dtype=L.dtype) + theta * L.mT @ swept.P[0] @ L
            reason = _START if int(torch.linalg.cholesky_ex(M).info) else FINE
        return _Failure(reason, time)

    @cached_property
    def sizes(self) -> list[float]:
        """The magnitudes of θ from which the search starts: powers of two times its natural scale.

        It is one over the largest expected cost of a noise at β = 0; 1 if there is none. With the values of β = 0 it
        does not depend on the units of states and actions.
        """
        L, start = self.given.noise_root, self.start_root
        each_step = L.mT @ (self.given.discount * self.neutral.P[1:]) @ L
        costs = each_step, (start.mT @ self.neutral.P[0] @ start)[None]
        norms = (torch.linalg.matrix_norm(each, 2).max() if bool(each.isfinite().all()) else 0.0 for each in costs)
        most = max(map(float, norms))
        scale = 1.0 / most if 0 < most < math.inf and math.isfinite(1.0 / most) else 1.0
        found = scale * 2.0 ** torch.linspace(-_DOUBLINGS, _DOUBLINGS, _MAGNITUDES, dtype=torch.float64)
        return found[found.isfinite()].tolist()

    def edge(self, sign: float) -> BreakdownEdge:
        """The edge on one side of 0, by bisection: of the magnitudes from the smallest to the largest, then between."""
        sizes, tau = self.sizes, self.temperature

        def bounded(size: float) -> bool:
            return self.failure(sign * size).reason == FINE

        first = bisect.bisect_left(sizes, True, key=lambda size: not bounded(size))
        if first == len(sizes):
            return BreakdownEdge(sign * math.inf, sign * math.inf, None, None, None)
        low, high = sizes[first - 1] if first else 0.0, sizes[first]
        while high - low > _FINE * high and high > _LEAST:
            middle = 0.5 * (low + high)
            low, high = (middle, high) if bounded(middle) else (low, middle)
        if high <= _LEAST:
            raise InvalidArgument(_UNITS.format("its values, at any β other than 0,"))
        reason, time = self.failure(sign * high)
        # P̃ only grows as θ falls: with θ < 0 a failure of the actions is rounding at the edge of the dynamics.
        reason = DYNAMICS if sign < 0 and reason == ACTIONS else reason
        direction, beta = self._direction(sign * low, reason, time), sign * low * tau if tau > 0 else sign * math.nan
        return BreakdownEdge(beta, sign * low, time, direction, _BLOCKS[reason])

    def edge_of_start(self, swept: Swept, sign: float) -> BreakdownEdge:
        """The edge of β of the start, where that of the dynamics is given: 1 + θλ = 0 for an eigenvalue λ of L'PL."""
        L = self.start_root
        values, vectors = torch.linalg.eigh(L.mT @ swept.P[0] @ L)
        at = 0 if sign > 0 else -1
        if not sign * float(values[at]) < 0:
            return BreakdownEdge(sign * math.inf, sign * math.inf, None, None, None)
        risk = -1.0 / float(values[at])
        beta = risk * self.temperature if self.temperature > 0 else sign * math.nan
        return BreakdownEdge(beta, risk, -1, unit_direction(L @ vectors[:, at]), "start")

    def _direction(self, theta: float, reason: int, time: int) -> tuple[float, ...]:
        """The direction along which the objective is unbounded, from the last θ at which it is bounded."""
        swept = careful_sweep(self.given, torch.tensor(theta, dtype=torch.float64))
        if reason == ACTIONS:
            values, vectors = torch.linalg.eigh(swept.policy_covariance[time])
            return unit_direction(vectors[:, int(values.argmax())])
        L = self.start_root if reason == _START else self.given.noise_root[time]
        P = swept.P[0] if reason == _START else self.discount * swept.P[time + 1]
        _, vectors = torch.linalg.eigh(theta * L.mT @ P @ L)
        return unit_direction(L @ vectors[:, 0])


def unit_direction(vector: Float[Tensor, " coordinate"]) -> tuple[float, ...]:
    """The vector of length 1 whose largest component is positive."""
    unit = vector / vector.norm()
    return tuple((unit * unit[unit.abs().argmax()].sign()).tolist())


def _edge(edge: BreakdownEdge) -> str:
    if edge.time is None or edge.direction is None:
        return "never"
    number = f"β = {amount(edge.optimism)}" if math.isfinite(edge.optimism) else f"θ = {amount(edge.risk)}"
    where = "of the start" if edge.time == -1 else f"of the {edge.block} at t = {edge.time}"
    return f"{number} ({where}, along {_vector(edge.direction)})"


def _vector(direction: tuple[float, ...]) -> str:
    return f"({', '.join(f'{each:.3g}' for each in direction)})"


def refuse_breakdown(model: Any, optimism: Optimism, dynamics: float, initial: float, swept: Swept) -> None:
    """Raise the error of an optimism at which the objective is unbounded, or is not a number of float64.

    Raises:
        OptimismBreakdown: if it is.
        InvalidArgument: if only the units of the model are too extreme.
    """
    batch, asked = model.problem.batch_shape, optimism.at(model.temperature).dynamics
    beta = float(asked) if isinstance(asked, float) else math.nan
    if batch and not bool((swept.reason != FINE).any()) and dynamics == initial == 0:
        raise InvalidArgument(_UNITS.format("its start and its values"))
    if batch:
        which = [tuple(int(i) for i in each) for each in (swept.reason != FINE).nonzero()[:1]]
        at = f" of problem {which[0]}" if which else ""
        raise OptimismBreakdown(
            f"`optimism` {optimism} is beyond the breakdown{at} in the batch {batch}: the objective is unbounded. "
            "breakdown(model) of that problem says how far it may go.",
            beta, None, int(swept.at.max()), None,
        )  # fmt: skip
    with torch.no_grad():
        search = _Search.of(model, initial == dynamics)
        clamped = search.neutral
        if int(clamped.reason) != FINE:
            raise OptimismBreakdown(_not_convex(search.given, int(clamped.at)), beta, None, int(clamped.at), None)
        require_float64(search.given, clamped)
        if dynamics == initial == 0:
            raise InvalidArgument(_UNITS.format("its start and its values"))
        of_start = int(swept.reason) == FINE and initial != dynamics
        if of_start:
            beta = initial * model.temperature if model.temperature > 0 else math.nan
        sign = 1.0 if (initial if of_start else dynamics) > 0 else -1.0
        edge = search.edge_of_start(swept, sign) if of_start else search.edge(sign)
    if abs(initial if of_start else dynamics) < abs(edge.risk):
        raise OptimismBreakdown(
            f"`optimism` {optimism} leads to numbers beyond those of float64. Choose a β nearer to 0, or other units.",
            beta, None, -1, None,
        )  # fmt: skip
    kind = "euphoric: log p(O) is infinite" if sign > 0 else "neurotic: the adversary is unbounded"
    limit = f"β* = {amount(edge.optimism)}" if model.temperature > 0 else f"θ* = {amount(edge.risk)}"
    beyond = f" Its limit is {limit}, at {_place(edge)}." if edge.time is not None else ""
    raise OptimismBreakdown(
        f"`optimism` {optimism} is beyond the breakdown of this model ({kind}).{beyond} Choose a β nearer to 0; "
        "breakdown(model) gives both limits.",
        beta, edge.optimism, edge.time if edge.time is not None else -1, edge.direction,
    )  # fmt: skip


_UNITS = (
    "`model` must have numbers of which float64 holds the squares, but those of {} are beyond it. Rescale the model: "
    "measure states, actions and rewards in units in which they are nearer to 1."
)


def require_float64(given: Prepared, swept: Swept) -> None:
    """Require actions in units in which float64 holds the curvature of their cost.

    Raises:
        InvalidArgument: otherwise, with the remedy.
    """
    if bool(beyond_float64(given, swept).any()):
        raise InvalidArgument(_UNITS.format("the cost of its actions"))


def _not_convex(given: Prepared, time: int) -> str:
    B = given.transition[time][:, given.drift.shape[-1] :].abs()
    extreme = bool(((B > 0) & (B < 1.0 / _SQUARED)).any() | (B > _SQUARED).any())
    units = " Or measure the actions in units in which `B` is nearer to 1: float64 cannot hold its square."
    return (
        f"`model` must have a cost that is convex in the actions, but at step {time} no action is best, even with "
        f"clamped dynamics. Raise the cost of the action, or narrow the action prior.{units if extreme else ''}"
    )


def _place(edge: BreakdownEdge) -> str:
    where = "the start" if edge.time == -1 else f"step {edge.time} of the {edge.block}"
    return f"{where}, along {_vector(edge.direction or ())}"

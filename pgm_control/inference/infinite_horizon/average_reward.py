"""The average reward per step in the long run, without a horizon.

Sources:
    [odoni1969] A. R. Odoni, On finding the maximal gain for Markov decision processes. Operations Research
        17(5):857–860, 1969.
    [puterman1994] M. L. Puterman, Markov Decision Processes: Discrete Stochastic Dynamic Programming. Wiley, 1994.
        doi:10.1002/9780470316887
    [schweitzer1971] P. J. Schweitzer, Iterative solution of the functional equations of undiscounted Markov renewal
        programming. Journal of Mathematical Analysis and Applications 34(3):495–501, 1971.
"""

import math
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from ...chance.optimism import OptimismLike
from ...runtime.loop import Loop
from ...runtime.progress import Progress, silent
from ...runtime.status import Status
from ...trajectories.blocks import MarkovModel
from .bellman import Change
from .problem import InfiniteHorizonProblem, limits, optimal_policy

LAZY = 0.75  # share of each update that is taken: below 1, so that periodic problems converge too


class GainStatus(Status):
    """How the iteration for a gain, or for the growth rate of the evidence, ended."""

    converged = "The bounds are no further apart than twice the tolerance."
    out_of_steps = (
        "`max_sweeps` was reached; the bounds are still valid. If they do not approach each other, states differ in "
        "their long-run reward (several classes that do not reach one another), and no single number is the gain."
    )
    interrupted = "Interrupted by Ctrl-C; the bounds are still valid."


@final
@dataclass(frozen=True, eq=False, repr=False)
class AverageReward:
    r"""The gain, which is the average reward per step, with its bounds and the policy that attains it.

    Attributes:
        gain: the midpoint of the bounds, in reward units per step; −inf if every state is a dead end.
        lower, upper: bounds on the gain of every state that is not a dead end, in reward units per step.
        bias: the solution h of T h = h + gain, minus its value at the first state that is not a dead end, in reward
            units; its accuracy is that of the bounds. −inf at dead ends.
        policy: the policy that attains the gain.
        num_sweeps: the number of sweeps.
        status: how the iteration ended; `status.message` explains it.
    """

    gain: float
    lower: float
    upper: float
    bias: Float[Tensor, " state"]
    policy: Float[Tensor, "state action"]
    num_sweeps: int
    status: GainStatus

    def __repr__(self) -> str:
        """A line with the bounds and the message."""
        return f"AverageReward(between {self.lower:.9g} and {self.upper:.9g} per step. {self.status.message})"


def average_reward(
    model: MarkovModel,
    optimism: OptimismLike,
    tolerance: float = 1e-6,
    *,
    num_threads: int | None = None,
    max_sweeps: int = 100_000,
    progress: Progress = silent,
) -> AverageReward:
    r"""The average reward per step in the long run, $g = \lim_n T^n v / n$, by relative value iteration.

    T is the operator of `value_iteration` without a discount. For every h,

    $$\min_s (T h - h)(s) \le g \le \max_s (T h - h)(s),$$

    because T is monotone and T(h + c) = T h + c. Each update takes only a share of the step,
    $h \leftarrow h + \alpha (T h - h)$, so that periodic problems converge too (the aperiodicity transformation). At
    temperature τ the gain is that of the reward minus τ KL(π ‖ ρ); with optimism β it also includes the price of
    changing the dynamics.

    Args:
        model: a tabular model; the horizon, final reward and discount of its problem are ignored. Temperature 0 is the
            hard maximum.
        optimism: β of the dynamics, a number or an `Optimism`; must be 0 at temperature 0.
        tolerance: the iteration stops when half the distance between the bounds is at most this, in reward units per
            step.
        num_threads: as in `value_iteration`.
        max_sweeps: the maximum number of sweeps.
        progress: called after every sweep.

    Returns:
        An `AverageReward`. The bounds converge to one number if all states reach one another under the policy.

    Raises:
        InvalidArgument: if an argument is invalid; the message names it and the remedy.

    References:
        [schweitzer1971], [odoni1969], [puterman1994]
    """
    problem = InfiniteHorizonProblem.of(model, optimism, discount=1.0)
    tolerance, max_sweeps = limits(tolerance, max_sweeps)
    h = problem.value("initial_value", None)
    out, q = torch.empty_like(h), h.new_empty(h.shape[0], problem.num_actions)
    lower, upper = -math.inf, math.inf
    loop = Loop(GainStatus.out_of_steps, limit=max_sweeps, progress=progress)
    with problem.bellman(num_threads) as bellman, loop:
        for _ in loop:
            change = bellman.sweep(h, out)
            lower, upper = _bounds(change, bellman.rounding(h) + bellman.tables.slack * float(h.abs().max()))
            ending = GainStatus.converged if upper == lower or upper - lower <= 2 * tolerance else None
            loop.report({"lower": lower, "upper": upper}, ending=ending)
            if loop.over:
                break
            h.mul_(1 - LAZY).add_(out - change.middle, alpha=LAZY)
            if bellman.tables.dead is not None:
                h[bellman.tables.dead] = 0.0
        bellman.sweep(h, out, q=q)
        alive = torch.ones_like(h, dtype=torch.bool) if bellman.tables.dead is None else ~bellman.tables.dead
    first = h[alive][0] if bool(alive.any()) else 0.0
    bias = torch.where(alive, h - first, -torch.inf)
    policy = optimal_policy(q, problem)
    return AverageReward(0.5 * (lower + upper), lower, upper, bias, policy, loop.steps, loop.status)


def _bounds(change: Change, rounding: float) -> tuple[float, float]:
    """The bounds of the gain; −inf if all states are dead ends."""
    if change.least > change.largest:
        return -math.inf, -math.inf
    return change.least - rounding, change.largest + rounding

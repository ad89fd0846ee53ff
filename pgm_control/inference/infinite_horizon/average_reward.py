"""The average reward per step in the long run, without a horizon.

Sources:
    [howard1972] R. A. Howard and J. E. Matheson, Risk-sensitive Markov decision processes. Management Science
        18(7):356–369, 1972. doi:10.1287/mnsc.18.7.356
    [odoni1969] A. R. Odoni, On finding the maximal gain for Markov decision processes. Operations Research
        17(5):857–860, 1969.
    [puterman1994] M. L. Puterman, Markov Decision Processes: Discrete Stochastic Dynamic Programming. Wiley, 1994.
        doi:10.1002/9780470316887
    [schweitzer1971] P. J. Schweitzer, Iterative solution of the functional equations of undiscounted Markov renewal
        programming. Journal of Mathematical Analysis and Applications 34(3):495–501, 1971.
    [todorov2007] E. Todorov, Linearly-solvable Markov decision problems. Advances in Neural Information Processing
        Systems 19:1369–1376, 2007.
"""

import math
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from ...chance.optimism import Optimism, OptimismLike
from ...runtime.loop import Loop
from ...runtime.progress import Progress, silent
from ...runtime.status import Status
from ...trajectories.blocks import MarkovModel
from .believed import believed_dynamics, believed_start, reward_per_step
from .operators.share import Change
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

    `initial`, `dynamics` and the two rewards per step are computed when they are read.

    Attributes:
        gain: the midpoint of the bounds, in reward units per step; −inf if every state is a dead end.
        lower, upper: bounds on the gain of every state that is not a dead end, in reward units per step.
        bias: the solution h of T h = h + gain, minus its value at the first state that is not a dead end, in reward
            units; its accuracy is that of the bounds. −inf at dead ends.
        policy: the policy that attains the gain, $\pi(a \mid s) \propto \rho \exp(Q/\tau)$. With optimism 1 it is the
            Perron policy: that of the Doob transform of the tilted dynamics, see `average_reward`.
        num_sweeps: the number of sweeps.
        status: how the iteration ended; `status.message` explains it.
        model: the model that was solved.
        optimism: the `Optimism` that was requested.
    """

    gain: float
    lower: float
    upper: float
    bias: Float[Tensor, " state"]
    policy: Float[Tensor, "state action"]
    num_sweeps: int
    status: GainStatus
    model: MarkovModel
    optimism: Optimism

    @property
    def initial(self) -> Float[Tensor, " state"]:
        r"""The believed start, $q(s_0) \propto p(s_0) \exp(\beta_0 h(s_0)/\tau)$ with the bias h."""
        return believed_start(self.model.mdp, self.optimism, self.model.temperature, self.bias)

    @property
    def dynamics(self) -> Float[Tensor, "state action outcome"]:
        r"""The believed dynamics, $q(k \mid s,a) \propto p(k \mid s,a) \exp(\beta (r + h(s'))/\tau)$ with the bias h.

        They are the true ones where β = 0, and where every outcome is forbidden.

        Raises:
            InvalidArgument: if the table does not fit into memory; the message says how large it is.
        """
        return believed_dynamics(self._problem, self.bias)

    @property
    def imagined_return(self) -> float:
        r"""The reward per step of the policy under the believed dynamics, in their stationary distribution.

        In reward units. It is the gain plus what was paid for it per step, $\tau KL(\pi \| \rho)$ and
        $\tfrac\tau\beta KL(q \| p)$. At β = 0 it is the true one.

        Raises:
            InvalidArgument: if a large chain mixes too slowly, or the tables do not fit into memory.
        """
        return reward_per_step(self._problem, self.policy, self.dynamics, self.initial)

    @property
    def true_return(self) -> float:
        """The reward per step of the policy under the true dynamics, in their stationary distribution, in reward units.

        Raises:
            InvalidArgument: as for `imagined_return`.
        """
        return reward_per_step(self._problem, self.policy)

    @property
    def _problem(self) -> InfiniteHorizonProblem:
        return InfiniteHorizonProblem.of(self.model, self.optimism, discount=1.0)

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
    changing the dynamics. At temperature 0 with `Risk(θ)` it is the largest certainty equivalent of the reward per
    step [howard1972]: $\max_\pi \frac1\theta \log$ of the Perron root of $\sum_a \pi\, p\, e^{\theta r}$.

    At optimism 1 and τ > 0 the equation T h = h + g is linear in $z = e^{h/\tau}$, an eigenvalue problem of the tilted
    dynamics $M(s, s') = \sum_a \rho \sum_{k \to s'} p\, e^{r/\tau}$:

    $$M z = e^{g/\tau} z, \qquad
        \pi(a \mid s) = \frac{\rho(a \mid s)}{e^{g/\tau} z(s)} \sum_k p\, e^{r/\tau} z(s'), \qquad
        q(k \mid s,a) \propto p\, e^{r/\tau} z(s').$$

    $e^{g/\tau}$ is the Perron root and z the right eigenvector. The policy is therefore the *Perron policy*: with the
    believed dynamics it makes the Doob transform of M, which is the posterior of an endless trajectory given that every
    step was optimal, far from its end [todorov2007].

    Args:
        model: a tabular model; the horizon, final reward and discount of its problem are ignored. Temperature 0 is the
            hard maximum.
        optimism: β of the dynamics, a `Risk`, or an `Optimism`; must be 0 or a `Risk` at temperature 0.
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
        [schweitzer1971], [odoni1969], [puterman1994], [howard1972], [todorov2007]

    Examples:
        >>> from pgm_control import TabularModel, average_reward
        >>> from pgm_control.models import restaurant
        >>> model = TabularModel(restaurant(), temperature=1.0)
        >>> perron = average_reward(model, optimism=1.0)  # the posterior of an endless trajectory
        >>> policy, dynamics = perron.policy, perron.dynamics
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
    policy = optimal_policy(q, problem.prior, problem.temperature)
    return AverageReward(
        0.5 * (lower + upper), lower, upper, bias, policy, loop.steps, loop.status, model, Optimism.of(optimism)
    )


def _bounds(change: Change, rounding: float) -> tuple[float, float]:
    """The bounds of the gain; −inf if all states are dead ends."""
    if change.least > change.largest:
        return -math.inf, -math.inf
    return change.least - rounding, change.largest + rounding

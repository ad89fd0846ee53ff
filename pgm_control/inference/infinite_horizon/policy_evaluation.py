"""Evaluation of a fixed policy without a horizon: its value and its stationary distribution.

Sources:
    [geist2019] M. Geist, B. Scherrer and O. Pietquin, A theory of regularized Markov decision processes. International
        Conference on Machine Learning, Proceedings of Machine Learning Research 97, pages 2160–2169, 2019.
        arXiv:1901.11275
    [puterman1994] M. L. Puterman, Markov Decision Processes: Discrete Stochastic Dynamic Programming. Wiley, 1994.
        doi:10.1002/9780470316887
"""

import math
from dataclasses import dataclass, replace
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import InvalidArgument
from ...problems.checks import Kind, normalised, table
from ...problems.dense import dense_of_outcomes
from ...problems.from_blocks import OutcomeTables
from ...problems.mdp import TabularMDP
from ...runtime.array_like import ArrayLike
from ...runtime.loop import Loop
from ...runtime.progress import Progress, require_progress, silent
from ...runtime.status import Status
from ...trajectories.blocks import MarkovModel
from .fixed_point import FixedPoint, ValueStatus, fixed_point
from .operators.bellman import Bellman
from .operators.dead_ends import HasOutcomes
from .problem import InfiniteHorizonProblem, limits

_DENSE = 600  # states up to which a dense linear solve is faster than sweeps


@final
@dataclass(frozen=True, eq=False, repr=False)
class PolicyValue:
    r"""The value of a policy from every state.

    Attributes:
        v: $V^\pi(s)$, in reward units; −inf where the policy can reach a forbidden outcome.
        q: $Q^\pi(s, a)$, in reward units.
        error_bound: a bound on the error of every entry of both, in reward units; inf where nothing can be certified.
        num_sweeps: the number of sweeps.
        status: how the evaluation ended; `status.message` explains it.
    """

    v: Float[Tensor, " state"]
    q: Float[Tensor, "state action"]
    error_bound: float
    num_sweeps: int
    status: ValueStatus

    def __repr__(self) -> str:
        """A line with the error bound and the message."""
        return f"PolicyValue({len(self.v)} states, error at most {self.error_bound:.3g}. {self.status.message})"


def policy_evaluation(
    model: MarkovModel,
    policy: ArrayLike,
    tolerance: float = 1e-6,
    *,
    num_threads: int | None = None,
    max_sweeps: int = 100_000,
    progress: Progress = silent,
) -> PolicyValue:
    r"""The value of a policy under the true dynamics, with the entropy term if the temperature is positive.

    $$V^\pi(s) = \sum_a \pi(a \mid s) \bigl(Q^\pi(s, a) - \tau \log \tfrac{\pi(a \mid s)}{\rho(a \mid s)}\bigr), \qquad
        Q^\pi(s, a) = \sum_k p(k)\,(r + \gamma V^\pi(s'))$$

    Small problems are solved as linear equations and large ones by sweeps. One more sweep certifies the result.

    Args:
        model: a tabular model; the horizon and the final reward of its problem are ignored. Temperature 0 omits the
            entropy. With a discount of 1 there is no certificate; `mdp.replace(discount=0.99)` sets another discount.
        policy: π(a|s), one row per state.
        tolerance: the largest error of a value, in reward units.
        num_threads, max_sweeps, progress: as in `value_iteration`.

    Returns:
        A `PolicyValue`.

    Raises:
        InvalidArgument: if an argument is invalid; the message names it and the remedy.

    References:
        [geist2019]
    """
    problem = InfiniteHorizonProblem.of(model, optimism=0.0)
    tolerance, max_sweeps = limits(tolerance, max_sweeps)
    mdp = problem.mdp
    chain = chain_of(problem, _policy("policy", policy, mdp))
    found = chain_values(chain, tolerance, max_sweeps, num_threads, progress)
    everything = torch.full((1, mdp.num_actions), 1.0 / mdp.num_actions, dtype=torch.float64, device=found.v.device)
    with replace(problem, temperature=0.0, prior=everything).bellman(num_threads) as bellman:
        q = action_values(bellman, mdp, found.v)
    return PolicyValue(found.v, q, found.error_bound, found.num_sweeps, found.status)


class DistributionStatus(Status):
    """How the search for a stationary distribution ended."""

    exact = "Solved as a linear problem."
    converged = "One more step changes the distribution by no more than the tolerance."
    out_of_steps = "`max_sweeps` was reached. Raise it, or the tolerance: the chain mixes slowly."
    interrupted = "Interrupted by Ctrl-C; `residual` says how far the distribution still moved."


@final
@dataclass(frozen=True, eq=False, repr=False)
class StationaryDistribution:
    """The stationary distribution, or discounted occupancy, of a policy.

    Attributes:
        probability: the share of time in each state.
        residual: the sum of absolute changes in one step of the chain; for a discount below 1, in one discounted step.
        error_bound: a bound on the sum of absolute differences from the exact distribution. It is inf without a
            discount for large problems, where the residual does not bound how slowly the chain mixes.
        status: how the search ended; `status.message` explains it.
    """

    probability: Float[Tensor, " state"]
    residual: float
    error_bound: float
    status: DistributionStatus

    def __repr__(self) -> str:
        """A line with the residual and the message."""
        size = len(self.probability)
        return f"StationaryDistribution({size} states, residual {self.residual:.2g}. {self.status.message})"


def stationary_distribution(
    model: MarkovModel,
    policy: ArrayLike,
    tolerance: float = 1e-10,
    *,
    max_sweeps: int = 100_000,
    progress: Progress = silent,
) -> StationaryDistribution:
    r"""The share of time that a policy spends in each state, from the start distribution of the problem.

    $$d = \lim_{T \to \infty} \frac1T \sum_{t<T} p(s_0) P_\pi^t, \qquad
        \text{or} \quad d_\gamma = (1 - \gamma) \sum_t \gamma^t p(s_0) P_\pi^t$$

    The result is the first if the discount of the problem is 1, and the second, the discounted occupancy, if it is
    below 1; each sums to 1. For the long run of a discounted problem pass `TabularModel(mdp.replace(discount=1.0))`.

    The mean over time exists for every chain. A periodic chain is averaged over its period; with several recurrent
    classes, each has the probability that the chain ends in it. The mean is computed as the limit of the lazy chain
    (1 + P)/2, which has the same limit and is aperiodic.

    Args:
        model: a tabular model; its rewards, temperature, action prior and horizon are ignored.
        policy: π(a|s), one row per state.
        tolerance: the sum of absolute changes at which to stop, if the problem is too large for a linear solve.
        max_sweeps: the maximum number of steps in that case.
        progress: called after each of those steps with the residual.

    Returns:
        A `StationaryDistribution`.

    Raises:
        InvalidArgument: if an argument is invalid; the message names it and the remedy.

    References:
        [puterman1994]
    """
    require_progress(progress)
    problem = InfiniteHorizonProblem.of(model, optimism=0.0).without_entropy()
    tolerance, max_sweeps = limits(tolerance, max_sweeps)
    return chain_share(chain_of(problem, _policy("policy", policy, problem.mdp)), tolerance, max_sweeps, progress)


def chain_share(
    chain: TabularMDP, tolerance: float, max_sweeps: int = 100_000, progress: Progress = silent
) -> StationaryDistribution:
    """The `stationary_distribution` of an MDP with one action, from its start."""
    gamma, start = chain.discount, chain.initial
    weight, target = chain.probability.reshape(len(start), -1), chain.successor.reshape(-1)

    def stepped(d: Tensor) -> Tensor:
        moved = torch.zeros_like(d).index_add_(0, target, (d[:, None] * weight).flatten())
        return moved if gamma == 1 else (1 - gamma) * start + gamma * moved

    if len(start) <= _DENSE:
        d = _limit(_matrix(chain), start) if gamma == 1 else _occupancy(_matrix(chain), start, gamma)
        residual = float((stepped(d) - d).abs().sum())
        bound = 1e-12 if gamma == 1 else residual / (1 - gamma)
        return StationaryDistribution(d, residual, bound, DistributionStatus.exact)
    d, residual = start, math.inf
    loop = Loop(DistributionStatus.out_of_steps, limit=max_sweeps, progress=progress)
    with loop:
        for _ in loop:
            moved = stepped(d)
            residual = float((moved - d).abs().sum())
            close = (residual if gamma == 1 else residual / (1 - gamma)) <= tolerance
            loop.report({"residual": residual}, ending=DistributionStatus.converged if close else None)
            if not loop.over:
                d = 0.5 * (d + moved) if gamma == 1 else moved
    return StationaryDistribution(d, residual, math.inf if gamma == 1 else residual / (1 - gamma), loop.status)


def chain_values(
    chain: TabularMDP,
    tolerance: float,
    max_sweeps: int = 100_000,
    num_threads: int | None = None,
    progress: Progress = silent,
) -> FixedPoint:
    """The values of an MDP with one action, from a linear solve if it is small, certified by sweeps."""
    gamma = chain.discount
    problem = InfiniteHorizonProblem(chain, 0.0, 0.0, gamma, torch.ones(1, 1, dtype=torch.float64).to(chain.reward))
    begin = None
    if chain.num_states <= _DENSE and gamma < 1 and bool((chain.reward > -torch.inf).all()):
        pay = (chain.probability * chain.reward).sum((-2, -1))
        system = torch.eye(len(pay), dtype=pay.dtype, device=pay.device) - gamma * _matrix(chain)
        begin = torch.linalg.solve(system, pay)
    return fixed_point(
        problem, problem.value("initial_value", begin), tolerance, max_sweeps,
        method="value_iteration" if gamma == 1 else "anderson", num_threads=num_threads, progress=progress,
    )  # fmt: skip


def _limit(matrix: Tensor, start: Tensor) -> Tensor:
    """start · lim ((1 + P)/2)^n, by squaring: after 2^60 steps only rounding error is left."""
    lazy = 0.5 * (matrix + torch.eye(len(start), dtype=matrix.dtype, device=matrix.device))
    for _ in range(60):
        squared = lazy @ lazy
        squared /= squared.sum(-1, keepdim=True)
        if torch.equal(squared, lazy):
            break
        lazy = squared
    return start @ lazy


def _occupancy(matrix: Tensor, start: Tensor, discount: float) -> Tensor:
    system = torch.eye(len(start), dtype=matrix.dtype, device=matrix.device) - discount * matrix.T
    return torch.linalg.solve(system, (1 - discount) * start)


def _matrix(chain: TabularMDP) -> Float[Tensor, "state next_state"]:
    return dense_of_outcomes(chain.probability.flatten(1), chain.successor.flatten(1), chain.num_states)


def chain_of(
    problem: InfiniteHorizonProblem,
    policy: Float[Tensor, "state action"],
    dynamics: Float[Tensor, "state action outcome"] | None = None,
    initial: Float[Tensor, " state"] | None = None,
) -> TabularMDP:
    r"""The MDP whose one action is to follow the policy: outcomes (a, k) with reward $r - \tau \log \pi/\rho$.

    Args:
        problem: the problem; at temperature 0 the reward is r.
        policy: π(a|s).
        dynamics: q(k|s, a); default: those of the problem.
        initial: q(s_0); default: that of the problem.
    """
    mdp = problem.mdp
    p = mdp.probability.double() if dynamics is None else dynamics
    found = chain_tables(
        OutcomeTables(p, mdp.successor, mdp.reward.double()), policy, problem.prior, problem.temperature
    )
    return TabularMDP(mdp.initial.double() if initial is None else initial, *found, 1, problem.discount)


def chain_tables(
    tables: OutcomeTables,
    policy: Float[Tensor, "state action"],
    prior: Float[Tensor, "state_or_one action"],
    temperature: float,
) -> OutcomeTables:
    r"""The tables whose one action is to follow the policy: outcomes (a, k) with reward $r - \tau \log \pi/\rho$."""
    p, successor, reward = tables
    states = len(p)
    if temperature > 0:
        price = torch.where(policy > 0, policy.log() - prior.log(), torch.zeros_like(policy))
        reward = reward - temperature * price[..., None]
    joint = (policy[..., None] * p).reshape(states, 1, -1)
    paid = torch.where(joint > 0, reward.expand_as(p).reshape(states, 1, -1), torch.zeros_like(joint))
    return OutcomeTables(joint / joint.sum(-1, keepdim=True), successor.reshape(states, 1, -1), paid)


def action_values(
    bellman: Bellman, tables: HasOutcomes, v: Float[Tensor, " successor"]
) -> Float[Tensor, "state action"]:
    r"""$Q(s, a) = \sum_k p(k)\,(r + \gamma V(s'))$, −inf where a successor of value −inf is possible.

    Args:
        bellman: the operator at temperature 0 and β = 0 that allows every action.
        tables: its tables.
        v: the values of all successors.
    """
    lost = v == -torch.inf
    q = torch.empty(bellman.num_states, bellman.num_actions, dtype=torch.float64, device=v.device)
    bellman.sweep(torch.where(lost, torch.zeros_like(v), v), torch.empty_like(v), q=q)
    if bool(lost.any()):
        q[((tables.probability > 0) & lost[tables.successor]).any(-1)] = -torch.inf
    return q


def _policy(name: str, value: Any, mdp: TabularMDP) -> Float[Tensor, "state action"]:
    given = table(name, value, 2, Kind(torch.float64, mdp.probability.device), InvalidArgument)
    rows = (mdp.num_states, mdp.num_actions)
    if tuple(given.shape) != rows:
        raise InvalidArgument(
            f"`{name}` must have shape {rows} (one row per state, one probability per action), but has shape "
            f"{tuple(given.shape)}. Check the order of its axes."
        )
    return normalised(name, given, (mdp.state_names, mdp.action_names), InvalidArgument, given=value)

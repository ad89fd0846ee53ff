"""What a stationary solution believes: its start, its dynamics, and its return, beside the return in the true world."""

import torch
from jaxtyping import Float
from torch import Tensor

from ...chance.factors import conditionals, nested, nested_tilt
from ...chance.log_space import weighted
from ...chance.operators import tilt
from ...chance.optimism import Optimism
from ...chance.risk import unit
from ...errors import InvalidArgument
from ...problems.mdp import TabularMDP
from ...runtime.memory import require_room
from ...trajectories.betas import Betas, sizes_of
from .fixed_point import ValueStatus
from .policy_evaluation import DistributionStatus, chain_of, chain_share, chain_values
from .problem import ROWS, InfiniteHorizonProblem

_TOLERANCE = 1e-9  # of a return, in reward units, and of a stationary distribution
_REMEDY = "Read single rows by the equation of `dynamics`, or solve a smaller problem."


def believed_dynamics(
    problem: InfiniteHorizonProblem, v: Float[Tensor, " state"]
) -> Float[Tensor, "state action outcome"]:
    r"""The dynamics that attain all $L_\beta$: $q(k \mid s,a) \propto p \exp(\beta (r + \gamma v(s'))/\tau)$.

    Those of the problem if β = 0, and for events whose outcomes are all forbidden.

    Raises:
        InvalidArgument: if the table does not fit into memory.
    """
    mdp = problem.mdp
    if problem.optimism == 0:
        return mdp.probability.detach().double()
    _require_room(mdp, "the believed dynamics by state, action and outcome", 1)
    table = torch.empty(mdp.probability.shape, dtype=v.dtype, device=v.device)
    for first in range(0, len(v), ROWS):  # whole tables would need memory for every intermediate result
        rows = slice(first, first + ROWS)
        x = mdp.reward[rows].detach().double() + problem.discount * v[mdp.successor[rows]]
        log_p = mdp.probability[rows].detach().double().log()
        table[rows] = tilt(x, log_p, unit(problem.temperature), problem.optimism).exp()
    return table


def believed_start(mdp: TabularMDP, optimism: Optimism, temperature: float, v: Tensor) -> Float[Tensor, " state"]:
    r"""The start distribution that attains $L_{\beta_0}[v]$: $q(s_0) \propto p(s_0) \exp(\beta_0 v(s_0)/\tau)$."""
    beta, tau = Betas.of(mdp, optimism, temperature).initial, unit(temperature)
    start = conditionals(mdp.initial.double().log(), sizes_of(mdp.initial_factors, mdp.num_states, beta))
    return nested_tilt(nested(v, start, tau, beta), start, tau, beta).exp()


def discounted_return(
    problem: InfiniteHorizonProblem,
    policy: Float[Tensor, "state action"],
    dynamics: Float[Tensor, "state action outcome"] | None = None,
    start: Float[Tensor, " state"] | None = None,
) -> float:
    r"""$E[\sum_t \gamma^t r_t]$, in reward units; by default under the dynamics and from the start of the problem.

    Raises:
        InvalidArgument: if the sweeps that evaluate the policy do not converge, as they need not with discount 1, or if
            the tables do not fit into memory.
        KeyboardInterrupt: for Ctrl-C, since no part of the sum is the answer.
    """
    chain = _chain(problem, policy, dynamics, start)
    found = chain_values(chain, _TOLERANCE)
    if found.status is ValueStatus.interrupted:
        raise KeyboardInterrupt
    if found.status in (ValueStatus.out_of_steps, ValueStatus.not_finite):
        raise InvalidArgument(
            f"`model` must have a discount at which the return of the policy converges, but has {problem.discount:g}: "
            f"{found.num_sweeps:,} sweeps did not reach it. Lower the discount, mdp.replace(discount=…), or use "
            "average_reward, which has none."
        )
    return float(weighted(chain.initial, found.v).sum())


def reward_per_step(
    problem: InfiniteHorizonProblem,
    policy: Float[Tensor, "state action"],
    dynamics: Float[Tensor, "state action outcome"] | None = None,
    start: Float[Tensor, " state"] | None = None,
) -> float:
    r"""$\lim_T \frac1T E[\sum_{t<T} r_t]$, in reward units; its defaults are those of `discounted_return`.

    Raises:
        InvalidArgument: if the steps that approach the stationary distribution do not converge, or if the tables do not
            fit into memory.
        KeyboardInterrupt: for Ctrl-C, since the mean so far is not the answer.
    """
    chain = _chain(problem, policy, dynamics, start)
    found = chain_share(chain, _TOLERANCE)
    if found.status is DistributionStatus.interrupted:
        raise KeyboardInterrupt
    if found.status is DistributionStatus.out_of_steps:
        raise InvalidArgument(
            f"`model` must mix for its reward per step, but a step still moves {found.residual:.2g} of the stationary "
            "distribution. stationary_distribution(model, policy, max_sweeps=…) takes more steps."
        )
    return float(weighted(found.probability, (chain.probability * chain.reward).sum((-2, -1))).sum())


def _chain(
    problem: InfiniteHorizonProblem, policy: Tensor, dynamics: Tensor | None, start: Tensor | None
) -> TabularMDP:
    _require_room(problem.mdp, "the transitions of the policy by state, action and outcome", 4)
    return chain_of(problem.without_entropy(), policy, dynamics, start)


def _require_room(mdp: TabularMDP, tables: str, count: int) -> None:
    require_room("model", tables, count * mdp.probability.numel(), 8, _REMEDY)

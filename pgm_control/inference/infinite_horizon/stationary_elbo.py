"""The exact ELBO of a stationary guide without a horizon, as a differentiable number.

Sources:
    [levine2018] S. Levine, Reinforcement learning and control as probabilistic inference: tutorial and review. 2018.
        arXiv:1805.00909
    [puterman1994] M. L. Puterman, Markov Decision Processes: Discrete Stochastic Dynamic Programming. Wiley, 1994.
        doi:10.1002/9780470316887
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...chance.log_space import relative, weighted
from ...errors import InvalidArgument
from ...kernels.backend import sweeps_for
from ...problems.mdp import TabularMDP
from ...runtime.arguments import shown
from ...runtime.memory import require_room
from ...trajectories.blocks import MarkovModel, require_model
from .operators import sweeps as torch_sweeps


def stationary_elbo(
    model: MarkovModel,
    log_policy: Float[Tensor, "state action"],
    log_dynamics: Float[Tensor, "state action outcome"] | None = None,
) -> Float[Tensor, ""]:
    r"""The exact ELBO of a stationary guide in a discounted problem without a horizon, in nats.

    $$W(s) = g(s) + \gamma \sum_a \pi \sum_k q(k)\, W(s'), \qquad
        g(s) = \sum_a \pi(a \mid s) \Bigl[\sum_k q(k \mid s,a) \bigl(\tfrac r\tau - \log\tfrac qp\bigr)
        - \log\tfrac\pi\rho\Bigr]$$

    and the ELBO is $\sum_s p(s_0) W(s_0)$: that of a guide with the start of the model, the policy π and the dynamics
    q at all times, whose survival is clamped. It is one linear solve over the states that the guide reaches, and is
    differentiable in every table, twice too. Over policies its maximum is $E[V(s_0)]/\tau$ of
    `value_iteration(model, 0.0)`, over policies and dynamics that of `value_iteration(model, 1.0)`.

    Args:
        model: a tabular model of positive temperature, with a discount below 1; the horizon and the final reward of its
            problem are ignored. Its tables may require gradients.
        log_policy: log π(a|s), up to a constant for each state: it is normalised here. −inf for an action that is never
            taken, as every action should be that the prior masks: `model.action_prior.log() + logits`.
        log_dynamics: log q(k|s, a), up to a constant for each state and action; default: those of the model, clamped.
            `model.mdp.probability.log() + logits` changes no outcome from impossible to possible.

    Returns:
        The ELBO, in float64. It is −inf, with derivatives of 0, if the guide reaches an outcome of reward −inf, or one
        that is impossible in the model.

    Raises:
        InvalidArgument: if the discount is 1, where the sum diverges; if a table does not fit; or if the linear system
            does not fit into memory.

    References:
        [levine2018], [puterman1994]

    Examples:
        >>> import torch
        >>> from pgm_control import TabularModel, stationary_elbo, value_iteration
        >>> from pgm_control.models import restaurant
        >>> model = TabularModel(restaurant().replace(discount=0.9), temperature=1.0)
        >>> logits = torch.zeros_like(model.action_prior, requires_grad=True)
        >>> stationary_elbo(model, logits).backward()
        >>> best = value_iteration(model, 0.0).policy.log()
        >>> gap = stationary_elbo(model, best) - stationary_elbo(model, logits)
    """
    require_model(model, in_nats=True, graph=True)
    gamma = model.mdp.discount
    if gamma == 1:
        raise InvalidArgument(
            "`model` must have a discount below 1, or its ELBO without a horizon diverges. elbo_rate(model, …) is the "
            "ELBO per step; TabularModel(mdp.replace(discount=0.99), temperature) sets a discount."
        )
    chain = _chain(model, log_policy, log_dynamics)
    identity = torch.eye(len(chain.gain)).to(chain.matrix)
    to_go = torch.linalg.solve(identity - gamma * chain.matrix, chain.gain)
    return torch.where(chain.is_lost, -torch.inf, chain.start @ to_go)


def elbo_rate(
    model: MarkovModel,
    log_policy: Float[Tensor, "state action"],
    log_dynamics: Float[Tensor, "state action outcome"] | None = None,
) -> Float[Tensor, ""]:
    r"""The exact ELBO per step of a stationary guide, without a horizon or a discount, in nats per step.

    $$\lim_T \tfrac1T \text{ELBO}_T = \sum_s d(s)\, g(s)$$

    with g as in `stationary_elbo` and the stationary distribution d of the guide's chain. It is one linear solve and
    differentiable. Over policies its maximum is the gain of `average_reward(model, 0.0)` over τ, over policies and
    dynamics the rate of `growth_rate(model)`, attained by the policy and the dynamics of the results.

    Args:
        model: a tabular model of positive temperature; the horizon, final reward and discount of its problem are
            ignored. Its tables may require gradients.
        log_policy, log_dynamics: as in `stationary_elbo`.

    Returns:
        The ELBO per step, in float64; −inf, with derivatives of 0, as for `stationary_elbo`.

    Raises:
        InvalidArgument: if the chain of the guide has several recurrent classes that it may reach, where the ELBO per
            step depends on the one in which it ends; if a table does not fit; or if the linear system does not fit into
            memory.

    References:
        [levine2018], [puterman1994]

    Examples:
        >>> from pgm_control import TabularModel, elbo_rate, growth_rate
        >>> from pgm_control.models import risky_path
        >>> model = TabularModel(risky_path(), temperature=1.0)
        >>> found = growth_rate(model)
        >>> gap = found.rate - elbo_rate(model, found.policy.log(), found.dynamics.log())  # 0 up to rounding
    """
    require_model(model, in_nats=True, graph=True)
    chain = _chain(model, log_policy, log_dynamics)
    classes = _recurrent_classes(chain.matrix.detach())
    if classes > 1:
        raise InvalidArgument(
            f"`log_policy` must lead to one recurrent class of states from wherever it starts, but may end in any of "
            f"{classes} that do not reach one another, whose ELBO per step may differ. Let the problem start again "
            "after its end, or use stationary_elbo(model, …) with a discount below 1."
        )
    size = len(chain.gain)
    # d (I − P + 1/n) has all entries Σ d/n = 1/n, so that the mean of the solution is d · g
    system = torch.eye(size).to(chain.matrix) - chain.matrix + 1.0 / size
    return torch.where(chain.is_lost, -torch.inf, torch.linalg.solve(system, chain.gain).mean())


class _Chain(NamedTuple):
    """The chain of the guide on the states that it reaches."""

    start: Float[Tensor, " reached"]
    matrix: Float[Tensor, "reached reached"]
    gain: Float[Tensor, " reached"]  # g, in nats; terms of −inf count as 0
    is_lost: Bool[Tensor, ""]  # whether it reaches a term of −inf


def _chain(model: MarkovModel, log_policy: Tensor, log_dynamics: Tensor | None) -> _Chain:
    mdp = model.mdp
    p, start, r, rho = (each.double() for each in (mdp.probability, mdp.initial, mdp.reward, model.action_prior))
    log_pi = _normalised("log_policy", log_policy, model.action_prior)
    log_p = _log(p)
    log_q = log_p if log_dynamics is None else _normalised("log_dynamics", log_dynamics, mdp.probability)
    policy, q = log_pi.exp(), p if log_dynamics is None else log_q.exp()
    joint = policy[..., None] * q
    paid = r / model.temperature - (0.0 if log_dynamics is None else relative(log_q, log_p))
    term = paid - relative(log_pi, _log(rho))[..., None]
    possible = joint.detach() > 0
    forbidden = possible & (term.detach() == -torch.inf)
    gain = weighted(joint, torch.where(forbidden, 0.0, term)).sum((-2, -1))
    reached = _reached(start.detach() > 0, possible, mdp)
    n = int(reached.sum())
    require_room("model", f"the linear equations of the {n:,} states that the guide reaches", 3 * n * n, 8, _REMEDY)
    place = (reached.long().cumsum(0) - 1).clamp(min=0)  # of an outcome that is not possible it does not matter
    edge = (place[:, None, None] * n + place[mdp.successor.long()])[reached].flatten()
    matrix = joint.new_zeros(n * n).index_add(0, edge, joint[reached].flatten()).reshape(n, n)
    return _Chain(start[reached], matrix, gain[reached], forbidden[reached].any())


_REMEDY = "Merge states, or fit a guide with a horizon: its ELBO needs no linear equations."


def _reached(
    reached: Bool[Tensor, " state"], possible: Bool[Tensor, "state action outcome"], mdp: TabularMDP
) -> Tensor:
    """The states that can be visited from those given."""
    while True:
        known = int(reached.sum())
        reached = reached.clone()
        reached[mdp.successor[reached][possible[reached]].long()] = True
        if int(reached.sum()) == known:
            return reached


def _recurrent_classes(matrix: Float[Tensor, "reached reached"]) -> int:
    """The number of communicating classes that no transition leaves."""
    edges: Int[Tensor, "edge end"] = (matrix > 0).nonzero().cpu()
    starts = torch.searchsorted(edges[:, 0].contiguous(), torch.arange(len(matrix) + 1))
    kernels = sweeps_for(torch.empty(0)) or torch_sweeps  # the classes are found on the CPU
    classes = torch.from_numpy(kernels.strong_components(starts.numpy(), edges[:, 1].contiguous().numpy()))
    source, target = classes[edges[:, 0]], classes[edges[:, 1]]
    return len(classes.unique()) - len(source[source != target].unique())


def _log(p: Tensor) -> Tensor:
    """log p, whose derivative is 0 where p is 0."""
    return torch.where(p > 0, torch.where(p > 0, p, 1.0).log(), -torch.inf)


def _normalised(name: str, table: Tensor, own: Tensor) -> Tensor:
    """Log-probabilities over the last axis, in float64."""
    dense = isinstance(table, Tensor) and table.is_floating_point() and table.layout is torch.strided
    if not (dense and table.shape == own.shape):
        shape = tuple(own.shape)
        raise InvalidArgument(
            f"`{name}` must be a floating tensor of shape {shape}, but is {shown(table)}. Check the order of its "
            f"axes; of a stationary guide pass guide.blocks().{name}[0], of a result the log of its probabilities."
        )
    values = table.detach()
    if bool((values >= 0).all() & ((values.sum(-1) - 1).abs() < 1e-6).all()):
        raise InvalidArgument(
            f"`{name}` must hold logarithms of probabilities, but its rows are probabilities. Pass `{name}.log()`."
        )
    if not bool((values < torch.inf).all() & (values > -torch.inf).any(-1).all()):
        raise InvalidArgument(
            f"`{name}` must hold logarithms of probabilities, each below inf and one finite in each row, but has an "
            "entry of nan or +inf, or a row of −inf. Pass logits, or probabilities.log()."
        )
    return torch.log_softmax(table.to(own).double(), -1)

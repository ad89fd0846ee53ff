"""The value of a state and its policy, from the values of all of its discrete actions; soft or hard."""

import torch
from jaxtyping import Float
from torch import Tensor


def value_of_actions(
    q: Float[Tensor, "batch action"], log_prior: Float[Tensor, "batch action"], is_hard: bool = False
) -> Float[Tensor, " batch"]:
    r"""The value $V(s) = \log \sum_a \rho(a|s)\, e^{Q(s, a)}$, or in the hard limit $\max_{a: \rho(a|s) > 0} Q(s, a)$.

    The second is the limit of $\tau \log \sum_a \rho\, e^{Q / \tau}$ as τ → 0: of the prior it needs the support alone.

    Args:
        q: Q, in nats; in the hard limit in reward units.
        log_prior: log ρ, in nats; −inf where an action is not possible.
        is_hard: whether to take the maximum.
    """
    if not is_hard:
        return (log_prior + q).logsumexp(-1)
    return q.masked_fill(log_prior == -torch.inf, -torch.inf).amax(-1)


def log_policy_of_actions(
    q: Float[Tensor, "batch action"], log_prior: Float[Tensor, "batch action"], is_hard: bool = False
) -> Float[Tensor, "batch action"]:
    r"""The log-policy $\log \rho(a|s) + Q(s, a) - V(s)$, or in the hard limit the prior restricted to the best actions.

    Args:
        q: Q, in nats; in the hard limit in reward units.
        log_prior: log ρ, in nats; −inf where an action is not possible.
        is_hard: whether to take the limit.

    Returns:
        The log-probabilities, in nats.
    """
    if not is_hard:
        return torch.log_softmax(log_prior + q, -1)
    best = (q == value_of_actions(q, log_prior, True)[:, None]) & (log_prior > -torch.inf)
    return torch.log_softmax(log_prior.masked_fill(~best, -torch.inf), -1)

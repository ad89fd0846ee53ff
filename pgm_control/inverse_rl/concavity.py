"""Which log-likelihoods are concave in the rewards: a certificate from the counts of the demonstrations."""

import torch
from jaxtyping import Float
from torch import Tensor

from ..trajectories.blocks import MarkovModel
from .demonstrations import Demonstrations
from .demonstrators import ClampedDemonstrator, Demonstrator, DialDemonstrator, FreeDemonstrator
from .rewards import LinearForm

_ROUNDING = 1e-9  # of the number of demonstrations


def is_concave(
    demonstrator: Demonstrator, model: MarkovModel, demonstrations: Demonstrations, linear: LinearForm | None
) -> bool:
    r"""Whether the log-likelihood is certainly concave in the parameters; False means that it may have several optima.

    For a demonstrator that is clamped or free and a linear reward, the log-likelihood is linear in the rewards and the
    values,

    $$\tau \ell = c_r \cdot r + \sum_{t < T, s} c_{t,s} V_t(s) + \text{const},$$

    and every value is convex in the rewards. It is therefore concave if no coefficient $c_{t,s}$ is positive. This
    holds if as many demonstrations are in s at time t as the dynamics predict from the actions before.
    """
    if linear is None:
        return False
    if isinstance(demonstrator, FreeDemonstrator):
        demonstrator = DialDemonstrator(1.0, "believed", demonstrator.infinite_horizon)
    if isinstance(demonstrator, DialDemonstrator):
        if isinstance(demonstrator.optimism, Tensor):
            return False
        if (demonstrator.optimism, demonstrator.dynamics) == (1.0, "believed"):
            seen = demonstrations.moves.successor
            if linear.axes == 3 or bool((seen < 0).any()):  # an outcome that is not known is a sum over outcomes
                return False
            return _none_is_positive(_of_outcomes(demonstrations), demonstrations, demonstrator.infinite_horizon)
        if demonstrator.optimism != 0.0:
            return False
        demonstrator = ClampedDemonstrator(infinite_horizon=demonstrator.infinite_horizon)
    if not isinstance(demonstrator, ClampedDemonstrator):
        return False
    if demonstrator.criterion == "matching":
        net = _matched(model, demonstrations)
    elif demonstrations.is_timed:
        net = _of_actions(model, demonstrations)
    else:
        return False
    return _none_is_positive(net, demonstrations, demonstrator.infinite_horizon)


Coefficients = Float[Tensor, "time_and_last state"]


def _none_is_positive(net: Coefficients, demonstrations: Demonstrations, infinite_horizon: bool) -> bool:
    """Whether no coefficient of a value is positive; V_T is linear in the rewards, and may have any."""
    net = net.sum(0) if infinite_horizon else net[:-1]
    return bool((net <= _ROUNDING * demonstrations.number).all())


def _empty(demonstrations: Demonstrations) -> Coefficients:
    mdp = demonstrations.mdp
    return torch.zeros(mdp.horizon + 1, mdp.num_states).to(mdp.initial)


def _of_outcomes(demonstrations: Demonstrations) -> Coefficients:
    """Return the coefficients of Σ r + γ V(successor) − V(state)."""
    net, (t, s, _, to, weight) = _empty(demonstrations), demonstrations.moves
    net.index_put_((t, s), -weight, accumulate=True)
    return net.index_put_((t + 1, to), demonstrations.mdp.discount * weight, accumulate=True)


def _of_actions(model: MarkovModel, demonstrations: Demonstrations) -> Coefficients:
    """Return the coefficients of Σ r̄ + γ E V(successor) − V(state)."""
    net, (t, s, a, _, weight) = _empty(demonstrations), demonstrations.moves
    net.index_put_((t, s), -weight, accumulate=True)
    return _ahead(net, model, t, s, a, weight)


def _matched(model: MarkovModel, demonstrations: Demonstrations) -> Coefficients:
    """Return the coefficients of the values at the ends minus those at the starts."""
    net, ends, cut = _empty(demonstrations), demonstrations.ends, demonstrations.weights(demonstrations.ends)
    net[0] -= demonstrations.starts
    known = ends.action < 0
    net.index_put_((ends.time[known], ends.state[known]), cut[known], accumulate=True)
    t, s, a = (each[~known] for each in ends[:3])
    return _ahead(net, model, t, s, a, cut[~known])


def _ahead(net: Coefficients, model: MarkovModel, t: Tensor, s: Tensor, a: Tensor, weight: Tensor) -> Coefficients:
    """Add the coefficients of the expected value after each action."""
    mdp = model.mdp
    share = mdp.discount * weight[:, None] * mdp.probability[s, a]
    return net.index_put_(((t + 1)[:, None].expand_as(share), mdp.successor[s, a].long()), share, accumulate=True)

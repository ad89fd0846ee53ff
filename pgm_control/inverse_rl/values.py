"""The values by which a demonstrator plans: with a finite or infinite horizon, soft or hard."""

import torch
from jaxtyping import Float
from torch import Tensor

from ..chance.factors import aligned
from ..chance.log_space import split_mass
from ..chance.operators import certainty_equivalent, tilt
from ..errors import InvalidArgument
from ..inference.exact.soft_values import soft_values
from ..trajectories.blocks import MarkovModel
from ..trajectories.steps import require_plain

_SWEEPS = 1000  # of Newton's method, at most; it usually needs a handful
_SMALL = 1e-13  # relative to the values: the rounding error


def planned_values(
    model: MarkovModel,
    optimism: Tensor | float,
    reward: Tensor,
    last: Tensor,
    temperature: Tensor | float,
    infinite_horizon: bool,
    hard: bool = False,
) -> tuple[Float[Tensor, "*batch time state action"], Float[Tensor, "*batch time_and_last state"]]:
    """Return Q and V at all times, constant in time for an infinite horizon. Leading axes of arguments are settings."""
    require_plain(model)
    steps = model.mdp.horizon
    if infinite_horizon:
        if bool((last != 0).any()) or last.requires_grad:
            raise InvalidArgument(
                "`reward` must not pay for the last state if the demonstrator has an infinite horizon: there is none."
            )
        q, v = stationary_values(model, optimism, reward, temperature, hard)
        return torch.stack([q] * steps, -3), torch.stack([v] * (steps + 1), -2)
    if hard:
        return _hard_values(model, reward, last)
    found = soft_values(model, optimism, reward=reward, final_reward=last, temperature=temperature)
    return found.q, found.v


def _hard_values(model: MarkovModel, reward: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
    """Return the optimal values at temperature 0 with the true dynamics."""
    mdp, possible = model.mdp, model.action_prior > 0
    paid = (mdp.probability * torch.where(mdp.probability > 0, reward, 0.0)).sum(-1)
    qs, vs = [], [last.expand(*paid.shape[:-2], -1)]
    for _ in range(mdp.horizon):
        qs.append(paid + mdp.discount * (mdp.probability * vs[-1][..., mdp.successor]).sum(-1))
        vs.append(torch.where(possible, qs[-1], -torch.inf).amax(-1))
    return torch.stack(qs[::-1], -3), torch.stack(vs[::-1], -2)


def stationary_values(
    model: MarkovModel,
    optimism: Tensor | float,
    reward: Float[Tensor, "*batch state action outcome"],
    temperature: Tensor | float,
    hard: bool = False,
) -> tuple[Float[Tensor, "*batch state action"], Float[Tensor, "*batch state"]]:
    r"""The fixed point of the soft Bellman equations, with derivatives up to the second.

    $$V = F(V), \qquad F(V)(s) = \tau \log \sum_a \rho\, e^{Q(s, a)/\tau}, \qquad Q = L_\beta[r + \gamma V(s')]$$

    It is found by Newton's method, which is soft policy iteration; a sweep of F replaces a step that does not reduce
    the error. Two more Newton steps, $V + (1 - F')^{-1} (F(V) - V)$, carry gradients: at a fixed point the first gives
    the first derivatives of the implicit function, and the second gives the second derivatives.

    Args:
        model: a model with a discount below 1; its horizon and rewards are ignored.
        optimism: β of the dynamics; survival stays clamped.
        reward: of the outcomes, in reward units; leading axes are settings, as are the axes of β and τ.
        temperature: τ > 0, in reward units per nat.
        hard: whether V is the largest Q of the allowed actions instead, as if τ were 0; β must then be 0.

    Returns:
        Q and V, in reward units.

    Raises:
        InvalidArgument: if the discount is 1, or the values are not finite.
    """
    mdp = model.mdp
    if mdp.discount >= 1:
        raise InvalidArgument(
            f"`model` must have a discount below 1 for an infinite horizon, but has {mdp.discount:g}: values may have "
            "no limit. Take mdp.replace(discount=0.9), or a finite horizon."
        )
    (log_prior, log_mass), log_p, states = split_mass(model.action_prior), mdp.probability.log(), mdp.num_states
    where, tau, beta = mdp.successor.long(), aligned(temperature, 2), aligned(optimism, 2)

    def once(v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return Q, F(V) and F'(V)."""
        x = reward + mdp.discount * v[..., where]
        q = certainty_equivalent(x, log_p, tau, beta)
        if hard:
            best = torch.where(log_prior > -torch.inf, q, -torch.inf)
            v, policy = best.amax(-1), torch.nn.functional.one_hot(best.argmax(-1), q.shape[-1]).to(q)
        else:
            v = certainty_equivalent(q, log_prior, aligned(temperature, 1), 1.0) + aligned(temperature, 1) * log_mass
            policy = tilt(q, log_prior, aligned(temperature, 1), 1.0).exp()
        moves = (policy[..., None] * tilt(x, log_p, tau, beta).exp()).flatten(-2)
        slope = torch.zeros_like(v)[..., None].expand(*v.shape, states)
        return q, v, mdp.discount * slope.scatter_add(-1, where.flatten(1).expand_as(moves), moves)

    def newton(v: Tensor, ahead: Tensor, slope: Tensor) -> Tensor:
        return v + torch.linalg.solve(torch.eye(states).to(v) - slope, (ahead - v)[..., None])[..., 0]

    def error(v: Tensor, ahead: Tensor) -> Tensor:
        return (ahead - v).abs().amax(-1, keepdim=True)

    numbers = [each.shape for each in (temperature, optimism) if isinstance(each, Tensor)]
    batch = torch.broadcast_shapes(reward.shape[:-3], *numbers)
    v = torch.zeros_like(mdp.initial).expand(*batch, -1)
    with torch.no_grad():
        for _ in range(_SWEEPS):
            _, ahead, slope = once(v)
            off = error(v, ahead)
            if bool((~off.isfinite() | (off <= _SMALL * ahead.abs().amax(-1, keepdim=True).clamp(min=1.0))).all()):
                break
            better = newton(v, ahead, slope)
            v = torch.where(error(better, once(better)[1]) < off, better, ahead)
    if not bool(v.isfinite().all()):
        raise InvalidArgument("`reward` must give finite values, but gives infinite ones. Give a `prior`.")
    for _ in range(2):
        _, ahead, slope = once(v)
        v = newton(v, ahead, slope)
    return once(v)[0], v

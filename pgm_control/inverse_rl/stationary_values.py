"""Soft values of a problem that goes on for ever, differentiable."""

import torch
from jaxtyping import Float
from torch import Tensor

from .._blocks import MarkovModel
from .._errors import InvalidArgument
from .._operators import certainty_equivalent, tilt

_SWEEPS = 1000  # of Newton's method; it takes a handful
_SMALL = 1e-13  # of the values: what is left to rounding


def stationary_values(
    model: MarkovModel,
    optimism: Tensor | float,
    reward: Float[Tensor, "state action outcome"],
    temperature: Tensor | float,
    hard: bool = False,
) -> tuple[Float[Tensor, "state action"], Float[Tensor, " state"]]:
    r"""The fixed point of the soft Bellman equations, with derivatives up to the second.

    $$V = F(V), \qquad F(V)(s) = \tau \log \sum_a \rho\, e^{Q(s, a)/\tau}, \qquad Q = L_\beta[r + \gamma V(s')]$$

    It is found by Newton's method, which is soft policy iteration, with sweeps of F where a step does not help. Two
    more steps, $V + (1 - F')^{-1} (F(V) - V)$, are made with gradients: at a fixed point the first gives the first
    derivatives of the implicit function, the second the second.

    Args:
        model: with a discount below 1; its horizon and rewards do not count.
        optimism: β of the dice; survival stays clamped.
        reward: of the outcomes, in reward units.
        temperature: τ > 0, in reward units per nat.
        hard: V is the largest Q of the allowed actions instead, as if τ were 0; β is 0 then.

    Returns:
        Q and V, in reward units.

    Raises:
        InvalidArgument: if the discount is 1, or the values are not finite.
    """
    mdp = model.mdp
    if mdp.discount >= 1:
        raise InvalidArgument(
            f"`model` must have a discount below 1 to go on for ever, but has {mdp.discount:g}: values may have no "
            "limit. Give it one, or a horizon."
        )
    log_prior, log_p, states = model.action_prior.log(), mdp.probability.log(), mdp.num_states
    where = mdp.successor.long()

    def once(v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Q, F(V) and F'(V)."""
        x = reward + mdp.discount * v[where]
        q = certainty_equivalent(x, log_p, temperature, optimism)
        if hard:
            best = torch.where(log_prior > -torch.inf, q, -torch.inf)
            v, policy = best.amax(-1), torch.nn.functional.one_hot(best.argmax(-1), q.shape[-1]).to(q)
        else:
            v = certainty_equivalent(q, log_prior, temperature, 1.0)
            policy = tilt(q, log_prior, temperature, 1.0).exp()
        moves = policy[..., None] * tilt(x, log_p, temperature, optimism).exp()
        slope = torch.zeros_like(v)[:, None].expand(-1, states).clone()
        return q, v, mdp.discount * slope.scatter_add(1, where.flatten(1), moves.flatten(1))

    def newton(v: Tensor, ahead: Tensor, slope: Tensor) -> Tensor:
        return v + torch.linalg.solve(torch.eye(states).to(v) - slope, ahead - v)

    v = torch.zeros_like(mdp.initial)
    with torch.no_grad():
        for _ in range(_SWEEPS):
            _, ahead, slope = once(v)
            error = (ahead - v).abs().max()
            if not torch.isfinite(error) or error <= _SMALL * ahead.abs().max().clamp(min=1.0):
                break
            better = newton(v, ahead, slope)
            v = better if (once(better)[1] - better).abs().max() < error else ahead
    if not bool(v.isfinite().all()):
        raise InvalidArgument("`reward` must give finite values, but gives infinite ones. Give a `prior`.")
    for _ in range(2):
        _, ahead, slope = once(v)
        v = newton(v, ahead, slope)
    return once(v)[0], v

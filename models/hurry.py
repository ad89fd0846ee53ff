"""Hurry: a walk on a line whose noise grows with effort."""

import torch
from jaxtyping import Float
from torch import Tensor

from pgm_control.problems.continuous.line import Line

_GOAL = 4.0


def hurry(horizon: int = 8) -> Line:
    r"""Walk to a goal, with a noise that grows with the size of a step: who hurries, errs.

    The free posterior takes large steps and believes that their noise will be kind. With the noise clamped the agent
    goes more slowly and arrives with less error.

    Joint density
        $$\tilde p = \prod_{t=0}^{T-1} N(a_t; 0, U)\, N(s_{t+1}; s_t + a_t, .1^2 + (.6\, a_t)^2)\, \exp(r(s_{t+1})/\tau)
            \cdot \exp(r_T(s_T)/\tau)$$

    States
        Numbers. The start is 0.

    Actions
        A step, added to the number. The prior of the entry of the zoo is N(0, 1).

    Dynamics
        $s' = s + a + w$, $w \sim N(0, .1^2 + (.6\, a)^2)$.

    Rewards
        $-.1\, (s - 4)^2$ at each time from t = 1, and $-2\, (s - 4)^2$ more at the end.

    Horizon
        T = `horizon` actions. Nothing ends the episode earlier.

    Known exactly
        At τ = .5 and with the prior N(0, 1), by `infer_line` at two meshes: free −9.872 nats, imagined return −2.646,
        true return −5.087, and it ends with a deviation of .884 where it believes in .342; clamped −12.629 nats, return
        −3.721, deviation .510. Every β < 0 has broken down.

    Args:
        horizon: T.
    """
    return Line(_cost, horizon, _noise, final_reward=_distance)


def _noise(state: Float[Tensor, "*batch"], action: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    return (0.01 + 0.36 * action**2).sqrt() + torch.zeros_like(state)


def _cost(state: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    return -0.1 * (state - _GOAL) ** 2


def _distance(state: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    return -2.0 * (state - _GOAL) ** 2

"""Hurry: a walk on a line whose noise grows with effort."""

import torch
from jaxtyping import Float
from torch import Tensor

from pgm_control.problems.continuous.line import Line
from pgm_control.runtime.arguments import whole

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
        $-.1\, (s_t - 4)^2$ for t = 0 … T − 1, and $-2\, (s_T - 4)^2$ at the end. That of the start, −1.6, is counted
        with the first step.

    Horizon
        T = `horizon` actions. Nothing ends the episode earlier.

    Known exactly
        At τ = .5 and with the prior N(0, 1), by `infer_line` at two meshes: free −9.872 nats, imagined return −2.646,
        true return −5.093, and it ends with a deviation of .885 where it believes in .342; clamped −12.629 nats, return
        −3.720, deviation .510. Every β < 0 has broken down.

    Args:
        horizon: T.
    """
    steps = whole("horizon", horizon)

    def cost(t: int, state: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        ground = -0.1 * (state - _GOAL) ** 2 if t < steps else torch.zeros_like(state)
        return ground - 0.1 * _GOAL**2 if t == 1 else ground

    return Line(cost, steps, _noise, final_reward=_distance)


def _noise(state: Float[Tensor, "*batch"], action: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    return (0.01 + 0.36 * action**2).sqrt() + torch.zeros_like(state)


def _distance(state: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    return -2.0 * (state - _GOAL) ** 2

"""The gusty ledge: a cliff in the plane, beside the short way to the goal."""

import torch
from jaxtyping import Float
from torch import Tensor

from pgm_control.problems.continuous.planar import Planar
from pgm_control.runtime.arguments import positive

WIND, HAND = 0.16, 0.64  # variances of a gust and of the action prior, along each axis
_DEPTH, _EDGE, _FROM, _TO, _LEVEL = 50.0, 0.1, 2.0, 6.0, -0.3
_GOAL = (8.0, 0.0)


def gusty_ledge(horizon: int = 16, wind: float = WIND) -> Planar:
    r"""Walk to a goal along a ledge in gusts of wind: a pit lies beside the straight way.

    The free posterior walks along the edge: it believes that no gust will push it over. With the wind clamped the agent
    keeps away from it by about a unit, and pays for the height.

    Joint density
        $$\tilde p = \prod_{t=0}^{T-1} N(a_t; 0, U)\, N(s_{t+1}; s_t + a_t, W)\, \exp(r(s_{t+1})/\tau)
            \cdot \exp(r_T(s_T)/\tau)$$

    States
        Points (x, y) of the plane. The start is (0, 0).

    Actions
        A step, added to the point. The prior of the entry of the zoo is N(0, .64 I).

    Dynamics
        $s' = s + a + w$, $w \sim N(0, W)$, W = `wind` · I.

    Rewards
        With σ the logistic function, at each time from t = 1:

        $$r = -50\, \sigma\bigl(\tfrac{x - 2}{.1}\bigr)\, \sigma\bigl(\tfrac{6 - x}{.1}\bigr)\,
            \sigma\bigl(-\tfrac{y + .3}{.1}\bigr) - .1\, y^2, \qquad r_T = -2\, |s - (8, 0)|^2$$

    Horizon
        T = `horizon` actions. Nothing ends the episode earlier.

    Known exactly
        At τ = .5 and with the prior N(0, .64 I), by `infer_planar`, which agrees with a transfer operator that draws
        hand and wind as one and with sequential Monte Carlo:

        | β | objective, nats | imagined return | true return |
        |---|---|---|---|
        | 1 | −13.7133 | −2.0357 | −17.788 |
        | .3 | −16.8998 | −2.8152 | −7.555 |
        | 0 | −20.0791 | −3.9093 | −3.9093 |
        | −.1 | −24.703 | −7.814 | −4.031 |

        log p(O) depends on U + W alone, since free inference cannot tell its hand from the wind: with U, W = .76,
        .04 or .40, .40 it is the same, and so is the imagined return, but the true return is −4.575 or −55.05.

    Args:
        horizon: T; fewer than about 10 steps do not reach the goal.
        wind: the variance of a gust along each axis.
    """
    variance = positive("wind", wind, "variance")

    def cost(state: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch"]:
        return -_DEPTH * in_the_pit(state) - 0.1 * state[..., 1] ** 2

    return Planar(cost, horizon, variance, final_reward=_distance)


def in_the_pit(state: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch"]:
    """How deep a point is in the pit of the gusty ledge: 1 inside, 0 outside, smooth over .1 at the edge."""
    x, y = state[..., 0], state[..., 1]
    along = torch.sigmoid((x - _FROM) / _EDGE) * torch.sigmoid((_TO - x) / _EDGE)
    return along * torch.sigmoid((_LEVEL - y) / _EDGE)


def _distance(state: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch"]:
    return -2.0 * ((state[..., 0] - _GOAL[0]) ** 2 + (state[..., 1] - _GOAL[1]) ** 2)

"""The windy pendulum: hold a pendulum up, in gusts of wind."""

import math
from typing import Any

import pyro.distributions as dist
import torch
from jaxtyping import Float
from torch import Tensor

from pgm_control.problems.continuous.problem import ContinuousProblem
from pgm_control.runtime.arguments import positive, whole

WIND, TORQUE = 0.16, 6.0  # the variance of a gust, and the largest torque
_STEP, _GRAVITY, _SWAY = 0.1, 10.0, 0.05


def windy_pendulum(horizon: int = 20, wind: float = WIND) -> ContinuousProblem:
    r"""Hold a pendulum up, with a torque that is bounded, in gusts of wind.

    The free posterior pushes against a lean with half of the torque that is needed and believes that gusts will do the
    rest: it loses the pendulum. With the wind clamped the agent corrects a lean before the torque cannot lift it again.

    Joint density
        $$\tilde p = \prod_{t=0}^{T-1} U(a_t; -6, 6)\, N(\varphi_{t+1}; \varphi_t + .1\, u_t, .05^2)\,
            N(v_{t+1}; u_t + .1\, a_t, W)\, \exp(r(s_{t+1})/\tau), \qquad u_t = v_t + \sin \varphi_t$$

    States
        s = (φ, v), angle and speed, in rad and rad/s. φ = 0 is upright, and φ is not wrapped: after a full turn it is
        2π. The start is (0, 0).

    Actions
        A torque per moment of inertia, in rad/s². The prior of the entry of the zoo is uniform on (−6, 6).

    Dynamics
        One step is .1 s. Gravity, 10 rad/s², changes the speed to $u = v + .1 \cdot 10 \sin\varphi$, which moves the
        angle; then the torque and a gust change the speed:

        $$\varphi' = \varphi + .1\, u + N(0, .05^2), \qquad v' = u + .1\, a + N(0, W), \qquad W = \mathtt{wind}$$

        The torque balances gravity up to sin φ = .6, an angle of .64 (37°).

    Rewards
        $r = -2\, (1 - \cos \varphi) - .02\, v^2$ of each state from t = 1, at most 0.

    Horizon
        T = `horizon` actions. Nothing ends the episode earlier.

    Known exactly
        Up to the error of a mesh, at τ = .5 and with the prior of the entry, by soft backups on a mesh of angles and
        speeds: the trapezoidal rule over gusts, on the circle of angles and on speeds up to 12, and Gauss–Legendre
        nodes of the torque. Returns are those of the policies, by backups under the true gusts and under those that are
        believed in. Meshes of 96 × 81 and 144 × 161 agree to .0002 in every number:

        | β | objective, nats | imagined return | true return | mean first torque at rest at 15° |
        |---|---|---|---|---|
        | 1 | −5.760 | −.570 | −18.832 | −2.53 |
        | .3 | −10.282 | −.985 | −10.671 | −3.98 |
        | 0 | −22.091 | −4.610 | −4.610 | −5.45 |

        Samples agree: a `FreeNeuralGuide` after 1000 steps has an ELBO of −5.960 ± .006 and gives log p(O) an
        importance-weighted bound of −5.764 ± .010; it imagines −.527 and earns −21.5 ± .2. A `ClampedNeuralGuide` has
        −24.6 ± .2 and earns −4.84 ± .08 (one seed each).

        With gusts of variance .04 or .36 the true return is −7.493 or −25.93 for the free posterior, which imagines
        −.477 or −.697, and −1.216 or −12.29 for the clamped one.

    Args:
        horizon: T.
        wind: W, the variance of a gust, in (rad/s)².
    """
    steps, deviation = whole("horizon", horizon), math.sqrt(positive("wind", wind, "variance"))
    deviations = torch.tensor([_SWAY, deviation], dtype=torch.float64)

    def dynamics(t: int, state: Float[Tensor, "*batch 2"], action: Float[Tensor, "*batch 1"]) -> Any:
        angle, speed = state[..., 0], state[..., 1]
        moving = speed + _STEP * _GRAVITY * angle.sin()
        mean = torch.stack([angle + _STEP * moving, moving + _STEP * action[..., 0]], -1)
        return dist.Normal(mean, deviations.to(mean)).to_event(1)

    start = dist.Delta(torch.zeros(2, dtype=torch.float64)).to_event(1)
    return ContinuousProblem(start, dynamics, _reward, steps, None, num_state_coordinates=2, num_action_coordinates=1)


def torque() -> torch.distributions.Distribution:
    """The action prior of the entry of the zoo, uniform on (−6, 6)."""
    return dist.Uniform(torch.full((1,), -TORQUE, dtype=torch.float64), TORQUE).to_event(1)


def _reward(
    t: int, state: Float[Tensor, "*batch 2"], action: Float[Tensor, "*batch 1"], ahead: Float[Tensor, "*batch 2"]
) -> Float[Tensor, "*batch"]:
    return -2.0 * (1.0 - ahead[..., 0].cos()) - 0.02 * ahead[..., 1] ** 2

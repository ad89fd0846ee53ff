r"""The dynamics of Gymnasium's Pendulum-v1, for planners that know them.

Sources:
    [towers2024] M. Towers et al., Gymnasium: a standard interface for reinforcement learning environments. 2024.
        arXiv:2407.17032
"""

import math

import torch
from torch import Tensor

from ...runtime.arguments import positive
from .simulator import Simulator

_STEP, _FASTEST, _TORQUE = 0.05, 8.0, 2.0
_MASS, _LENGTH = 1.0, 1.0


def pendulum_simulator(horizon: int = 200, temperature: float = 1.0, gravity: float = 10.0) -> Simulator:
    r"""The simulator of Gymnasium's Pendulum-v1 [towers2024], whose planners act in the live environment by `predict`.

    $$v' = \mathrm{clip}\bigl(v + .05\, (\tfrac{3 g}{2} \sin\varphi + 3 a),\, -8, 8\bigr), \qquad
        \varphi' = \varphi + .05\, v', \qquad r = -(\bar\varphi^2 + .1\, v^2 + .001\, a^2)$$

    States are (φ, v), angle and speed in rad and rad/s; φ = 0 is upright, and $\bar\varphi$ is φ in [−π, π). Actions
    are torques within ±2. The observation of the environment is (cos φ, sin φ, v). There is no noise, so that every
    optimism gives the same planner and `num_noise_samples=1` is enough.

        >>> from pgm_control.planners import MPPI, pendulum_simulator
        >>> planner = MPPI(pendulum_simulator(), num_plans=50, num_noise_samples=1, horizon=15, seed=0)
        >>> planner.act([3.0, 0.0]).shape
        torch.Size([1])

    Args:
        horizon: T, the steps of an episode; those of the environment are 200.
        temperature: τ, in reward units per nat.
        gravity: g, in m/s², as the argument `g` of the environment.

    Raises:
        InvalidArgument: if an argument does not fit; the message names it.

    References:
        [towers2024]
    """
    g = positive("gravity", gravity)

    def step(state: Tensor, action: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        angle, speed = state[:, 0], state[:, 1]
        torque = action[:, 0].clamp(-_TORQUE, _TORQUE)
        wrapped = torch.remainder(angle + math.pi, 2 * math.pi) - math.pi
        cost = wrapped.square() + 0.1 * speed.square() + 0.001 * torque.square()
        force = 3 * g / (2 * _LENGTH) * angle.sin() + 3.0 / (_MASS * _LENGTH**2) * torque
        faster = (speed + force * _STEP).clamp(-_FASTEST, _FASTEST)
        return torch.stack((angle + faster * _STEP, faster), -1), -cost

    return Simulator(
        step,
        start=[math.pi, 0.0],
        action_low=[-_TORQUE],
        action_high=[_TORQUE],
        horizon=horizon,
        temperature=temperature,
        observe=lambda state: torch.stack((state[:, 0].cos(), state[:, 0].sin(), state[:, 1]), -1),
        locate=lambda seen: torch.stack((torch.atan2(seen[:, 1], seen[:, 0]), seen[:, 2]), -1),
    )

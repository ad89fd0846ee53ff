r"""The dynamics of Gymnasium's Pendulum-v1, for planners that know them.

Sources:
    [towers2024] M. Towers et al., Gymnasium: a standard interface for reinforcement learning environments. 2024.
        arXiv:2407.17032
"""

import math

import numpy as np
import torch
from torch import Tensor

from ...runtime.arguments import positive
from .simulator import Simulator

_STEP, _FASTEST, _TORQUE = 0.05, 8.0, 2.0
_MASS, _LENGTH = 1.0, 1.0


def pendulum_simulator(
    horizon: int = 200, temperature: float = 1.0, gravity: float = 10.0, largest_command: float = 6.0
) -> Simulator:
    r"""The simulator of Gymnasium's Pendulum-v1 [towers2024], whose planners act in the live environment by `predict`.

    $$v' = \mathrm{clip}\bigl(v + .05\, (\tfrac{3 g}{2} \sin\varphi + 3 a),\, -8, 8\bigr), \qquad
        \varphi' = \varphi + .05\, v', \qquad r = -(\bar\varphi^2 + .1\, v^2 + .001\, a^2)$$

    States are (φ, v), angle and speed in rad and rad/s; φ = 0 is upright, and $\bar\varphi$ is φ in [−π, π). Actions
    are commands, which the pendulum, here and in Gymnasium, clips to torques within ±2. With commands within ±6 two
    thirds of the action prior stand at the bounds, from which swinging up takes its energy; with ±2 it takes a swing
    more. The observation of the environment is (cos φ, sin φ, v). There is no noise, so that every optimism gives the
    same planner and `num_noise_samples=1` is enough.

        >>> from pgm_control.planners import MPPI, pendulum_simulator
        >>> planner = MPPI(pendulum_simulator(), num_plans=50, num_noise_samples=1, horizon=15, seed=0)
        >>> planner.act([3.0, 0.0]).shape
        torch.Size([1])

    Args:
        horizon: T, the steps of an episode; those of the environment are 200.
        temperature: τ, in reward units per nat.
        gravity: g, in m/s², as the argument `g` of the environment.
        largest_command: the bound of actions, in N m.

    Raises:
        InvalidArgument: if an argument does not fit; the message names it.

    References:
        [towers2024]
    """
    g, largest = positive("gravity", gravity), positive("largest_command", largest_command)

    def rollout(state: Tensor, plans: Tensor, generator: torch.Generator) -> tuple[np.ndarray, np.ndarray]:
        torque = np.ascontiguousarray(plans.numpy()[:, :, 0].T)
        torque = np.minimum(np.maximum(torque, -_TORQUE), _TORQUE)
        steps, batch = torque.shape
        angles, turns = np.empty((steps + 1, batch)), np.empty((steps + 1, batch))  # a turn is a speed times a step
        angles[0], turns[0] = state.numpy().T
        turns[0] *= _STEP
        pushed, room = (3.0 / (_MASS * _LENGTH**2) * _STEP**2) * torque, np.empty(batch)
        pull, fastest = 3 * g / (2 * _LENGTH) * _STEP**2, _FASTEST * _STEP
        for t in range(steps):  # numpy starts each of these small operations in a third of the time of torch
            angle, turn = angles[t], turns[t + 1]
            np.sin(angle, out=room)
            room *= pull
            room += pushed[t]
            room += turns[t]
            np.maximum(room, -fastest, out=room)
            np.minimum(room, fastest, out=turn)
            np.add(angle, turn, out=angles[t + 1])
        speeds = turns * (1 / _STEP)
        wrapped = angles[:-1] - 2 * math.pi * np.rint(angles[:-1] * (0.5 / math.pi))
        reward = -0.1 * speeds[:-1] ** 2 - wrapped**2 - 0.001 * torque**2
        return np.stack((angles[-1], speeds[-1]), -1), reward.T

    def step(state: Tensor, action: Tensor, generator: torch.Generator) -> tuple[np.ndarray, np.ndarray]:
        ahead, reward = rollout(state, action[:, None], generator)
        return ahead, reward[:, 0]

    def located(seen: Tensor) -> np.ndarray:
        found = seen.numpy()
        return np.stack((np.arctan2(found[:, 1], found[:, 0]), found[:, 2]), -1)

    return Simulator(
        step,
        start=[math.pi, 0.0],
        rollout=rollout,
        action_low=[-largest],
        action_high=[largest],
        horizon=horizon,
        temperature=temperature,
        observe=lambda state: torch.stack((state[:, 0].cos(), state[:, 0].sin(), state[:, 1]), -1),
        locate=located,
    )

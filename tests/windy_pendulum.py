"""The windy pendulum by quadrature over (angle, speed), in numpy: an oracle that shares no code with the library.

Angles are on a circle, and the mesh of the trapezoidal rule is about as wide as the noise, where its error is about
exp(−2π²σ²/h²); torques are at Gauss–Legendre nodes. Backups are exact on the mesh for any optimism, and so are the
returns of their policies, under the true gusts and under those that are believed in.
"""

from typing import NamedTuple

import numpy as np

STEP, GRAVITY, SWAY, TORQUE, TEMPERATURE = 0.1, 10.0, 0.05, 6.0, 0.5


class Solution(NamedTuple):
    """The objective in nats, returns in reward units, from (0, 0); and the mean first torque at rest at 15°."""

    objective: float
    imagined: float
    true: float
    torque: float


def solve(optimism, horizon=20, wind=0.16, angles=96, speeds=61, torques=10, fastest=9.0):
    """The optimum at an optimism of 0 or more; `angles` is a multiple of 24, and `speeds` is odd."""
    angle, speed = 2 * np.pi * np.arange(angles) / angles, np.linspace(-fastest, fastest, speeds)
    nodes, weights = np.polynomial.legendre.leggauss(torques)
    moving = speed + STEP * GRAVITY * np.sin(angle)[:, None]
    turned = (angle[:, None] + STEP * moving).ravel()
    apart = (turned[:, None] - angle + np.pi) % (2 * np.pi) - np.pi
    to_angle = _normalised(np.exp(-0.5 * (apart / SWAY) ** 2))
    to_speed = [
        _normalised(np.exp(-0.5 * (moving.ravel()[:, None] + STEP * TORQUE * node - speed) ** 2 / wind))
        for node in nodes
    ]

    def expected(values):
        after = to_angle @ values
        return np.stack([np.einsum("sk,sk->s", each, after) for each in to_speed], -1)

    reward = -2 * (1 - np.cos(angle))[:, None] - 0.02 * speed**2
    value = np.zeros((angles, speeds))
    imagined = true = value
    policy = np.zeros(0)
    for _ in range(horizon):
        worth = (reward + value) / TEMPERATURE
        if optimism == 0:
            soft, believed = expected(worth), expected(reward + imagined)
        else:
            tilt = np.exp(optimism * (worth - worth.max()))
            mass = expected(tilt)
            soft, believed = worth.max() + np.log(mass) / optimism, expected(tilt * (reward + imagined)) / mass
        best = soft.max(1, keepdims=True)
        policy = 0.5 * weights * np.exp(soft - best)
        total = policy.sum(1, keepdims=True)
        policy = policy / total
        value = TEMPERATURE * (best + np.log(total)).reshape(value.shape)
        true = (policy * expected(reward + true)).sum(1).reshape(value.shape)
        imagined = (policy * believed).sum(1).reshape(value.shape)
    start, lean = (0, speeds // 2), (angles // 24, speeds // 2)
    first = TORQUE * (policy @ nodes).reshape(value.shape)
    return Solution(float(value[start] / TEMPERATURE), float(imagined[start]), float(true[start]), float(first[lean]))


def _normalised(rows):
    return rows / rows.sum(-1, keepdims=True)

"""A point mass and four goals: a continuous problem with four equally good solutions.

Sources:
    [haarnoja2017] T. Haarnoja et al., Reinforcement learning with deep energy-based policies. International Conference
        on Machine Learning, Proceedings of Machine Learning Research 70, pages 1352–1361, 2017. arXiv:1702.08165
"""

import math
from collections.abc import Mapping
from typing import Any, final

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Box
from jaxtyping import Float, UInt8

from pgm_control.errors import InvalidArgument
from pgm_control.runtime.arguments import number, shown

Color = tuple[int, int, int]

GOALS = np.array([[5.0, 0.0], [-5.0, 0.0], [0.0, 5.0], [0.0, -5.0]])
BOUND = 7.0

_MODES = ("ansi", "rgb_array")
_PIXELS = 281  # of a picture, each way; odd, so that the origin is a pixel
_DARK, _BRIGHT = np.array([68.0, 68.0, 110.0]), np.array([245.0, 245.0, 220.0])  # worst and best positions
_GOAL, _TRAIL, _HERE = (213, 94, 0), (0, 114, 178), (0, 0, 0)


@final
class MultiGoalEnv(gymnasium.Env[Any, Any]):
    r"""A point in the plane moves to any of four goals; all four are equally good.

    This is the multigoal environment of soft Q-learning [haarnoja2017], with the constants of the authors' code
    (github.com/haarnoja/softqlearning, `softqlearning/environments/multigoal.py`): a unimodal policy, or one that
    breaks the tie greedily, reaches one goal; the max-ent policy reaches all four.

    States
        The position x in $[-7, 7]^2$, which is the observation (float32). The start is the origin with normal noise of
        standard deviation `start_noise`.

    Actions
        A step a in $[-1, 1]^2$; actions outside are clipped.

    Dynamics
        $$x_{t+1} = \mathrm{clip}(x_t + a_t + \epsilon_t), \qquad \epsilon_t \sim N(0, \mathtt{step\_noise}^2 I)$$

    Rewards
        $$r_t = -30\, |a_t|^2 - \min_g |x_{t+1} - g|^2 + 10\, [\min_g |x_{t+1} - g| < 1]$$

        with goals g at (±5, 0) and (0, ±5). Within a distance of 1 of a goal the episode is `terminated`.

    Horizon
        Registered as `pgm_control/MultiGoal-v0`, episodes are truncated after 30 steps, as in the authors' example.

    Known exactly
        Without noise: the first step along an axis at speed 1 earns −46, and five of them reach a goal with a return
        of −170; standing still earns −25 a step, −750 in 30.

    `info["goal"]` is the index of the nearest goal, in the order above, and `info["distance"]` the distance to it.

    References:
        [haarnoja2017]
    """

    metadata: dict[str, Any] = {"render_modes": list(_MODES), "render_fps": 4}  # noqa: RUF012  Gymnasium's own form

    def __init__(
        self,
        action_cost: float = 30.0,
        distance_cost: float = 1.0,
        goal_reward: float = 10.0,
        goal_threshold: float = 1.0,
        start_noise: float = 0.1,
        step_noise: float = 0.0,
        render_mode: str | None = None,
    ) -> None:
        """Define the environment.

        Args:
            action_cost: the cost of an action of length 1, in reward units; the cost grows with the square of the
                length.
            distance_cost: the cost of being at a distance of 1 from the nearest goal, in reward units; it grows with
                the square of the distance.
            goal_reward: the reward for reaching a goal.
            goal_threshold: the distance within which a goal counts as reached.
            start_noise, step_noise: standard deviations, in units of distance.
            render_mode: `ansi`, a line of text; `rgb_array`, a picture; or None.

        Raises:
            InvalidArgument: if a number is not finite or has the wrong sign, or if there is no such mode.
        """
        for name, value, least in (
            ("action_cost", action_cost, 0.0),
            ("distance_cost", distance_cost, 0.0),
            ("goal_reward", goal_reward, -math.inf),
            ("goal_threshold", goal_threshold, 0.0),
            ("start_noise", start_noise, 0.0),
            ("step_noise", step_noise, 0.0),
        ):
            if not math.isfinite(number(value)) or number(value) < least:
                sign = "" if least else ", at least 0"
                raise InvalidArgument(f"`{name}` must be a finite number{sign}, but is {shown(value)}.")
        if render_mode is not None and (not isinstance(render_mode, str) or render_mode not in _MODES):
            raise InvalidArgument(f"`render_mode` must be {', '.join(_MODES)} or None, but is {shown(render_mode)}.")
        action_cost, distance_cost, goal_reward, goal_threshold, start_noise, step_noise = map(
            number, (action_cost, distance_cost, goal_reward, goal_threshold, start_noise, step_noise)
        )
        self.action_cost, self.distance_cost, self.goal_reward = action_cost, distance_cost, goal_reward
        self.goal_threshold, self.start_noise, self.step_noise = goal_threshold, start_noise, step_noise
        self.render_mode = render_mode
        self.observation_space = Box(-BOUND, BOUND, (2,), np.float32)
        self.action_space = Box(-1.0, 1.0, (2,), np.float32)
        self._trail: list[Float[np.ndarray, " 2"]] = []
        self._last: tuple[Float[np.ndarray, " 2"], float] | None = None
        self._over = True

    def __repr__(self) -> str:
        """The class and the standard deviations of its noise."""
        return f"MultiGoalEnv(start_noise={self.start_noise:g}, step_noise={self.step_noise:g})"

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Float[np.ndarray, " 2"], dict[str, Any]]:
        """Begin an episode; `seed` seeds the noise, `options` is not used.

        Returns:
            The position, and a dictionary with the nearest goal and its distance.
        """
        super().reset(seed=seed)
        self._trail, self._last = [self._inside(self.start_noise * self.np_random.normal(size=2))], None
        self._over = False
        return self._trail[0].copy(), self._nearest(self._trail[0])

    def step(self, action: Any) -> tuple[Float[np.ndarray, " 2"], float, bool, bool, dict[str, Any]]:
        """Move by the action, clipped to the box.

        Returns:
            Position, reward (reward units), terminated, truncated (always False: only a time limit truncates), and the
            nearest goal with its distance.

        Raises:
            InvalidArgument: if the action is not two numbers.
            ResetNeeded: before the first reset, and after a goal was reached.
        """
        if not self._trail or self._over:
            raise ResetNeeded("There is no episode to step: it has not begun or is over. Call env.reset() first.")
        wanted = np.asarray(action, dtype=np.float64)
        if wanted.shape != (2,) or np.isnan(wanted).any():
            raise InvalidArgument(
                f"`action` must be two numbers, a step in the plane, but is {action!r}. If they are nan, the policy "
                "that chose them has diverged."
            )
        taken = np.clip(wanted, -1.0, 1.0)
        noise = self.step_noise * self.np_random.normal(size=2)
        here = self._inside(self._trail[-1] + taken + noise)
        nearest = self._nearest(here)
        reached = nearest["distance"] < self.goal_threshold
        reward = -self.action_cost * float(taken @ taken) - self.distance_cost * nearest["distance"] ** 2
        reward += self.goal_reward * reached
        self._trail.append(here)
        self._last, self._over = (taken, reward), reached
        return here.copy(), reward, reached, False, nearest

    def render(self) -> Any:
        """A line of text or a picture, according to `render_mode`.

        In the picture a position is brighter the less its distance costs. Goals are orange discs whose radius is the
        threshold, the trajectory so far is blue, and the point itself is black. The first axis points right, the second
        up.
        """
        if self.render_mode is None:
            gymnasium.logger.warn("There is no render mode. Make it with render_mode='ansi' or 'rgb_array'.")
            return None
        if not self._trail:
            raise ResetNeeded("There is nothing to draw before the first episode. Call env.reset() first.")
        if self.render_mode == "rgb_array":
            return self._picture()
        nearest = self._nearest(self._trail[-1])
        goal = "({:g}, {:g})".format(*GOALS[nearest["goal"]])
        line = "t = {}: ({:.2f}, {:.2f})".format(len(self._trail) - 1, *self._trail[-1])
        if self._last is not None:
            line += " (last action: ({:.2f}, {:.2f}), last reward: {:.2f})".format(*self._last[0], self._last[1])
        return f"{line}; nearest goal {goal}, {nearest['distance']:.2f} away"

    def _inside(self, position: np.ndarray) -> Float[np.ndarray, " 2"]:
        """The position clipped to the box and rounded to float32, so that the observation is the whole state."""
        return np.clip(position, -BOUND, BOUND).astype(np.float32)

    def _nearest(self, position: np.ndarray) -> dict[str, Any]:
        distance = np.linalg.norm(GOALS - position.astype(np.float64), axis=1)
        goal = int(distance.argmin())
        return {"goal": goal, "distance": float(distance[goal])}

    def _picture(self) -> UInt8[np.ndarray, "height width rgb"]:
        axis = np.linspace(-BOUND, BOUND, _PIXELS)
        points = np.stack(np.meshgrid(axis, axis[::-1]), axis=-1)  # the first row is the upper edge
        squared = np.square(points[:, :, None] - GOALS).sum(-1).min(-1)
        share = np.sqrt(squared / squared.max())[..., None]
        pixels = (share * _DARK + (1 - share) * _BRIGHT).astype(np.uint8)
        pixels[squared < self.goal_threshold**2] = _GOAL
        for a, b in zip(self._trail[:-1], self._trail[1:], strict=True):
            way = np.linspace(a, b, _PIXELS // 5)
            _dot(pixels, way, 1, _TRAIL)
        _dot(pixels, self._trail[-1][None], 4, _HERE)
        return pixels


def _dot(pixels: UInt8[np.ndarray, "height width rgb"], positions: np.ndarray, radius: int, color: Color) -> None:
    """Draw squares around the positions, cut off at the edges."""
    place = np.rint((positions * [1, -1] + BOUND) / (2 * BOUND) * (_PIXELS - 1)).astype(int)
    for i, j in np.ndindex(2 * radius + 1, 2 * radius + 1):
        column, row = np.clip(np.add(place, (j - radius, i - radius)), 0, _PIXELS - 1).T
        pixels[row, column] = color

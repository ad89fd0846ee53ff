"""A continuous problem as a Gymnasium environment."""

import copy
from typing import Any, final

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Box

from ...errors import InvalidArgument
from ...problems.gymnasium_envs import Maker
from ...runtime.arguments import flag, one_of, shown
from ...runtime.array_like import real_array
from ...text.wording import amount
from .worlds import Vector, World

_MODES = ("ansi",)
_ROUNDING = 1e-6  # relative distance beyond a bound that counts as rounding


@final
class ContinuousEnv(gymnasium.Env[Any, Any]):
    r"""A Gymnasium environment of a continuous problem, with Box spaces of float64; `to_gymnasium` makes it.

    The observation is the state, with `observe_time` followed by the time t. After T steps the episode is `truncated`,
    or with `observe_time` `terminated`, because the observation then says that it is over. The final reward, if the
    problem has one, is paid with the last step, times the discount. A discount γ < 1 is left to the learner.

    Actions have the bounds of the action prior of a program, if these depend neither on the state nor on the time; an
    action beyond them is refused.

    Attributes:
        world: the problem, step by step.
        observe_time: whether the observation contains the time.
        time: t, the number of steps made in the episode.
        state: s_t; None before the first reset.
    """

    metadata: dict[str, Any] = {"render_modes": list(_MODES), "render_fps": 4}  # noqa: RUF012  Gymnasium's own form

    def __init__(self, world: Any, observe_time: bool = False, render_mode: str | None = None) -> None:
        """Prepare the spaces. `world` is what `to_gymnasium` makes of a problem; `render_mode` is `ansi` or None.

        Raises:
            InvalidArgument: if there is no such `render_mode`.
        """
        if render_mode is not None:
            one_of("render_mode", render_mode, _MODES, remedy="None renders nothing.")
        self.world: World = world
        self.observe_time, self.render_mode = flag("observe_time", observe_time), render_mode
        low, high = np.full(world.num_states, -np.inf), np.full(world.num_states, np.inf)
        if self.observe_time:
            low, high = np.append(low, 0.0), np.append(high, float(world.horizon))
        self.observation_space = Box(low, high, dtype=np.float64)
        self.action_space = Box(*world.bounds, dtype=np.float64)
        self.time, self.state = 0, None
        self._history: Any = None
        self._over, self._last = True, None
        settings = {"observe_time": self.observe_time, "render_mode": render_mode}
        self._spec: EnvSpec | None = EnvSpec(
            "pgm_control/Continuous-v0",
            entry_point=Maker(ContinuousEnv, world, self.metadata),
            max_episode_steps=world.horizon,
            kwargs=settings,
        )

    @property
    def spec(self) -> EnvSpec | None:
        """The spec that makes the environment again. `gymnasium.make` sets it; the time limit is filled in."""
        return self._spec

    @spec.setter
    def spec(self, spec: EnvSpec | None) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]  as in Wrapper
        self._spec = copy.copy(spec)
        if self._spec is not None and self._spec.max_episode_steps is None:
            self._spec.max_episode_steps = self.world.horizon

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Vector, dict[str, Any]]:
        """Begin an episode; `seed` seeds everything random. Return the first observation and no information."""
        super().reset(seed=seed)
        self._history, self.state = self.world.start(self.np_random)
        self.time, self._over, self._last = 0, False, None
        return self._observation(), {}

    def step(self, action: Any) -> tuple[Vector, float, bool, bool, dict[str, Any]]:
        """Act, and draw the next state.

        Returns:
            Observation, reward (reward units), terminated, truncated, and no information.

        Raises:
            InvalidArgument: if the action is not a vector of finite numbers of the right size within the bounds.
            ResetNeeded: before the first reset and after the end of an episode.
        """
        if self.state is None or self._over:
            raise ResetNeeded("There is no episode to step: it has not begun or is over. Call env.reset() first.")
        chosen = self._action(action)
        self._history, (self.state, reward) = self.world.move(self._history, chosen, self.np_random)
        self.time += 1
        self._over = self.time == self.world.horizon
        self._last = chosen, reward
        terminated = self._over and self.observe_time
        return self._observation(), reward, terminated, self._over and not terminated, {}

    def render(self) -> Any:
        """A line of text, or None without a render mode."""
        if self.render_mode is None:
            gymnasium.logger.warn("There is no render mode. Make it with render_mode='ansi'.")
            return None
        if self.state is None:
            raise ResetNeeded("There is nothing to draw before the first episode. Call env.reset() first.")
        line = f"t = {self.time} of {self.world.horizon}: state {_numbers(self.state)}"
        if self._last is not None:
            line += f" (last action: {_numbers(self._last[0])}, last reward: {amount(self._last[1])})"
        return line + ("; the episode is over" if self._over else "")

    def __repr__(self) -> str:
        """The sizes, the horizon, and whether the observation contains the time."""
        world = self.world
        sizes = f"{world.num_states} states, {world.num_actions} actions, horizon {world.horizon}"
        return f"ContinuousEnv({sizes}, observe_time={self.observe_time})"

    def _action(self, action: Any) -> Vector:
        chosen = real_array("action", action, InvalidArgument).astype(np.float64)
        if chosen.shape != self.action_space.shape or not np.isfinite(chosen).all():
            raise InvalidArgument(
                f"`action` must be {self.world.num_actions} finite numbers in an array of shape "
                f"{self.action_space.shape}, but is {shown(action)}."
            )
        low, high = self.world.bounds
        if (chosen < low - _ROUNDING * (1 + abs(low))).any() or (chosen > high + _ROUNDING * (1 + abs(high))).any():
            raise InvalidArgument(
                f"`action` must lie within the bounds of the action prior, {_numbers(low)} to {_numbers(high)}, but is "
                f"{shown(action)}. Clip it: numpy.clip(action, env.action_space.low, env.action_space.high)."
            )
        return np.clip(chosen, low, high)

    def _observation(self) -> Vector:
        assert self.state is not None
        return np.append(self.state, float(self.time)) if self.observe_time else np.array(self.state)


def _numbers(vector: Vector) -> str:
    return f"({', '.join(amount(float(each)) for each in vector)})"

"""Environments and vectors of environments whose answers are checked: the one gate for what an environment gives."""

from collections.abc import Mapping, Sequence
from typing import Any, final

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper
from jaxtyping import Bool, Float

from ..errors import EnvironmentFailure, InvalidArgument
from ..problems.gymnasium_envs import name_of
from ..problems.single_values import single_number, single_truth
from .copies import autoreset_mode, split_observations
from .membership import Membership

_HELP = "gymnasium.utils.env_checker.check_env(env) may help to correct it."
_STEP = "(observation, reward, terminated, truncated, info)"


@final
class Checked(gymnasium.Wrapper):
    """An environment that fails in words where its answers are not those of Gymnasium's interface.

    `reset` returns (observation, info) and `step` returns (observation, reward, terminated, truncated, info). The
    observation is in the observation space and finite in float32, the reward is one finite number, and both flags are
    truth values. Arrays of shape (1,) are read as the number that they hold. Errors name the seed and the step that
    reproduce them.
    """

    def __init__(self, env: gymnasium.Env, is_bounded: bool = True) -> None:
        """Wrap an environment. If `is_bounded` is False, finite observations outside the bounds of a box pass.

        Raises:
            InvalidArgument: if `env` is no environment of Gymnasium, or has no spaces.
        """
        require_environment(env)
        super().__init__(env)
        self._is_in_space = Membership(env.observation_space, is_bounded)
        self._seed, self._time = "", 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode.

        Raises:
            EnvironmentFailure: if the environment raises an error, or its answer is not (observation, info).
        """
        self._seed, self._time = f"reset({'' if seed is None else f'seed={seed}'})", 0
        try:
            answer = self.env.reset(seed=seed) if options is None else self.env.reset(seed=seed, options=options)
        except Exception as problem:
            raise EnvironmentFailure(f"{name_of(self.env)} raised an error at {self._seed}: {problem!r}.") from problem
        if not isinstance(answer, tuple) or len(answer) != 2 or not isinstance(answer[1], Mapping):
            raise EnvironmentFailure(
                f"{name_of(self.env)}.reset must return (observation, info), but returned {_shown(answer)}. {_HELP}"
            )
        self._require_in_space(answer[0], f"at {self._seed}")
        return answer  # pyright: ignore[reportReturnType]  checked above

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Take an action.

        Raises:
            EnvironmentFailure: if the environment raises an error, or its answer has another form.
        """
        when = f"at step {self._time} of an episode that began with {self._seed}" if self._seed else "at a step"
        try:
            answer: Any = self.env.step(action)
        except Exception as problem:
            raise EnvironmentFailure(
                f"{name_of(self.env)} raised an error {when}, for the action {action!r}: {problem!r}."
            ) from problem
        if not isinstance(answer, tuple) or len(answer) != 5 or not isinstance(answer[4], Mapping):
            raise EnvironmentFailure(
                f"{name_of(self.env)}.step must return 5 values, {_STEP}, but returned {_shown(answer)}. {_HELP}"
            )
        observation, reward, terminated, truncated, info = answer
        paid, over, cut = single_number(reward), single_truth(terminated), single_truth(truncated)
        if over is None or cut is None:
            name, value = ("terminated", terminated) if over is None else ("truncated", truncated)
            raise EnvironmentFailure(
                f"`{name}` of {name_of(self.env)} must be True or False, but is {value!r} {when}. {_HELP}"
            )
        if paid is None or not np.isfinite(paid):
            raise EnvironmentFailure(
                f"The reward of {name_of(self.env)} must be one finite number, but is {reward!r} {when}. For what must "
                "never happen use a large negative reward."
            )
        self._require_in_space(observation, when)
        self._time += 1
        return observation, paid, over, cut, info

    def _require_in_space(self, observation: Any, when: str) -> None:
        problem = self._is_in_space.problem(observation)
        if problem is not None:
            raise EnvironmentFailure(_outside(name_of(self.env), self.observation_space, problem, when))


@final
class CheckedVector(VectorWrapper):
    """A vector of environments that fails in words where its answers are not those of Gymnasium's interface.

    Rewards and flags come as arrays of N entries. In the mode NEXT_STEP a step in which a copy is only reset counts as
    none: its reward is 0 and its flags are False.

    Attributes:
        mode: when the vector resets a copy whose episode has ended.
        counts: whether each copy took an action in the last step.
    """

    def __init__(self, env: VectorEnv) -> None:
        """Wrap a vector.

        Raises:
            InvalidArgument: if its metadata do not say when it resets its copies.
        """
        super().__init__(env)
        self.mode = autoreset_mode(env)
        self.name = type(env.unwrapped).__name__ if env.spec is None else env.spec.id
        self._is_in_space = Membership(env.single_observation_space)
        self._resets, self.counts = np.zeros(env.num_envs, bool), np.ones(env.num_envs, bool)

    def reset(
        self, *, seed: int | Sequence[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin episodes in all copies, or in those of `options["reset_mask"]`.

        A vector of separate copies takes one seed for each. Any other vector takes one integer: the first.

        Raises:
            EnvironmentFailure: if the vector raises an error, or its answer is not (observations, info).
        """
        if seed is not None and not isinstance(seed, int):
            seed = list(seed) if hasattr(self.env.unwrapped, "env_fns") else seed[0]
        given: dict[str, Any] = {"seed": seed} if options is None else {"seed": seed, "options": options}
        try:
            answer: Any = self.env.reset(**given)
        except Exception as problem:
            raise EnvironmentFailure(f"{self.name} raised an error at reset: {problem!r}.") from problem
        if not isinstance(answer, tuple) or len(answer) != 2 or not isinstance(answer[1], Mapping):
            raise EnvironmentFailure(
                f"{self.name}.reset must return (observations, info), but returned {_shown(answer)}."
            )
        self._require_in_space(answer[0], "at reset")
        mask = None if options is None else options.get("reset_mask")
        self._resets = np.zeros(self.num_envs, bool) if mask is None else self._resets & ~mask
        return answer

    def step(
        self, actions: Any
    ) -> tuple[
        Any, Float[np.ndarray, " batch"], Bool[np.ndarray, " batch"], Bool[np.ndarray, " batch"], dict[str, Any]
    ]:
        """Take an action in each copy.

        Raises:
            EnvironmentFailure: if the vector raises an error, or its answer has another form.
        """
        try:
            answer: Any = self.env.step(actions)
        except Exception as problem:
            raise EnvironmentFailure(f"{self.name} raised an error at a step: {problem!r}.") from problem
        if not isinstance(answer, tuple) or len(answer) != 5 or not isinstance(answer[4], Mapping):
            raise EnvironmentFailure(f"{self.name}.step must return 5 values, {_STEP}, but returned {_shown(answer)}.")
        observations, reward, terminated, truncated, info = answer
        counts = ~self._resets
        over, cut = (counts & self._flags(*each) for each in (("terminated", terminated), ("truncated", truncated)))
        paid = self._row("reward", reward, "biuf", "finite numbers").astype(np.float64)
        paid = np.where(counts, paid, 0.0)
        for i in np.flatnonzero(~np.isfinite(paid)):
            raise EnvironmentFailure(
                f"The reward of {self.name} must be finite, but environment {i} gave {paid[i]}. For what must never "
                "happen use a large negative reward."
            )
        self._require_in_space(observations, "at a step")
        self.counts = counts
        self._resets = over | cut if self.mode is AutoresetMode.NEXT_STEP else np.zeros(self.num_envs, bool)
        return observations, paid, over, cut, dict(info)

    def reached(self, observations: Any, done: Bool[np.ndarray, " batch"], info: Mapping[str, Any]) -> list[Any]:
        """The observation that each action led to; where the vector has already reset, the last of the old episode.

        Args:
            observations, info: those of a step.
            done: whether each episode ended in it.

        Raises:
            EnvironmentFailure: if the vector does not give a last observation that is in its space.
        """
        found = split_observations(self.observation_space, observations)
        last = info.get("final_obs", info.get("final_observation"))
        for i in np.flatnonzero(done) if self.mode is AutoresetMode.SAME_STEP else ():
            try:
                found[i] = _entry(last, int(i))
            except (LookupError, TypeError) as problem:
                raise EnvironmentFailure(
                    f"{self.name} resets in the same step, so info['final_obs'] must hold the last observation of an "
                    f"episode that ended, but for environment {i} it holds none. Return it, or take another mode."
                ) from problem
            wrong = self._is_in_space.problem(found[i])
            if wrong is not None:
                raise EnvironmentFailure(
                    _outside(self.name, self.single_observation_space, wrong, f"in info['final_obs'][{i}]")
                )
        return found

    def _row(self, name: str, value: Any, kinds: str, what: str) -> np.ndarray:
        """An array with one entry for each copy."""
        try:
            found = np.asarray(value)
        except (TypeError, ValueError, RuntimeError):
            found = np.empty(0, object)
        if found.dtype.kind not in kinds or found.shape not in ((self.num_envs,), (self.num_envs, 1)):
            raise EnvironmentFailure(
                f"`{name}` of {self.name}.step must be an array of {self.num_envs} {what}, but is {value!r}."
            )
        return found.reshape(self.num_envs)

    def _flags(self, name: str, value: Any) -> Bool[np.ndarray, " batch"]:
        found = self._row(name, value, "biu", "truth values")
        if not np.isin(found, (0, 1)).all():
            raise EnvironmentFailure(f"`{name}` of {self.name}.step must hold truth values, but is {value!r}.")
        return found.astype(bool)

    def _require_in_space(self, observations: Any, when: str) -> None:
        problem = self._is_in_space.problem(observations, (self.num_envs,))
        if problem is None:
            return
        try:
            each = [self._is_in_space.problem(one) for one in split_observations(self.observation_space, observations)]
        except Exception:  # no batch at all
            each = []
        of = next(((f"environment {i} of {self.name}", one) for i, one in enumerate(each) if one), (self.name, problem))
        raise EnvironmentFailure(_outside(of[0], self.single_observation_space, of[1], when))


def require_environment(env: object) -> None:
    """Require an environment of Gymnasium with both spaces.

    Raises:
        InvalidArgument: if it is something else.
    """
    if not isinstance(env, gymnasium.Env):
        kind = f"the class {env.__name__}" if isinstance(env, type) else f"a {type(env).__name__}"
        raise InvalidArgument(f"`env` must be, or make, a gymnasium.Env, but is {kind}.")
    for name in ("observation_space", "action_space"):
        space = getattr(env, name, None)
        if not isinstance(space, gymnasium.Space):
            raise InvalidArgument(f"`env.{name}` must be a space of Gymnasium, but is {space!r}. {_HELP}")


def _outside(name: str, space: gymnasium.Space, problem: str, when: str) -> str:
    """The message about an observation that is not in its space."""
    return (
        f"The observation of {name} must be finite and in its observation space, {space}, but {problem} {when}. "
        "Correct the environment or the space; a Box may have the bounds −inf and inf."
    )


def _shown(answer: Any) -> str:
    """An answer in a few words."""
    if not isinstance(answer, tuple):
        return f"a {type(answer).__name__}"
    return f"{len(answer)} values, of types {', '.join(type(each).__name__ for each in answer)}"


def _entry(batch: Any, i: int) -> Any:
    """Entry i of a batch of observations; of each part, where these are dictionaries or tuples of batches."""
    if isinstance(batch, Mapping):
        return {name: _entry(part, i) for name, part in batch.items()}
    if isinstance(batch, tuple):
        return tuple(_entry(part, i) for part in batch)
    if batch is None or batch[i] is None:
        raise LookupError(i)
    return batch[i]

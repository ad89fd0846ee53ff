"""Parallel environments, each of which can be restored to the state it was in."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, final

import gymnasium
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from jaxtyping import Bool, Float

from ..errors import EnvironmentFailure, InvalidCheckpoint
from ..runtime.checkpoint_checks import Problem, every, fields, mapping, number, tensor
from .copies import WorldSource, copies_of, name_of, split_observations


class Step(NamedTuple):
    """The results of a batch of actions.

    Attributes:
        reward: the rewards, in reward units.
        observations: the current observation of each copy; if its episode ended, the first of the next one.
        reached: the observation that the action led to; if the episode ended, its last observation.
        terminated: whether the environment terminated the episode: there is no further reward.
        truncated: whether the episode was truncated, for example by a time limit: there would have been further reward.
        counts: False for a step in which a vector environment only resets and takes no action.
    """

    reward: Float[np.ndarray, " batch"]
    observations: list[Any]
    reached: list[Any]
    terminated: Bool[np.ndarray, " batch"]
    truncated: Bool[np.ndarray, " batch"]
    counts: Bool[np.ndarray, " batch"]


@final
class Worlds:
    """Copies of an environment. Every episode is reset with its own seed.

    So an environment whose only randomness is its own generator can be restored in mid-episode from the same seed and
    the same actions: `state` returns these and `restore` repeats them. A vector environment that resets its copies
    itself cannot be seeded for every episode; `is_exact` is False for it, and it is restored to the start of an
    episode.

    Attributes:
        number: the number of copies.
        observation_space, action_space: those of one copy.
        is_exact: whether `restore` restores the exact state.
        returns: the sum of rewards of each copy's current episode so far, in reward units.
        lengths: the number of steps of that episode so far.
    """

    def __init__(self, source: WorldSource, number: int, seed: int) -> None:
        """Make the copies and start their first episodes.

        Args:
            source: the id of an environment, its spec, a function that makes one, an environment (copied from its spec,
                or used itself if it has none), or a vector of environments, which is used as it is.
            number: the number of copies; a vector environment keeps its own number.
            seed: an integer; the seed of an episode is derived from it, the index of the copy and the index of the
                episode.

        Raises:
            InvalidArgument: if `source` is none of these, or `number` does not fit.
            EnvironmentFailure: if an environment cannot be reset.
        """
        self._seed = seed
        self._vector = source if isinstance(source, VectorEnv) else None
        self._envs = [] if isinstance(source, VectorEnv) else copies_of(source, number)
        self.number = len(self._envs) if self._vector is None else self._vector.num_envs
        if self._vector is None:
            self.observation_space, self.action_space = self._envs[0].observation_space, self._envs[0].action_space
        else:
            self.observation_space = self._vector.single_observation_space
            self.action_space = self._vector.single_action_space
        self.is_exact = self._vector is None
        self._episodes = [0] * self.number
        self._actions: list[list[np.ndarray]] = [[] for _ in range(self.number)]
        self.returns, self.lengths = np.zeros(self.number), np.zeros(self.number, np.int64)
        self._resets = np.zeros(self.number, bool)
        self._failed = False
        self.observations = self._first()

    def step(self, actions: np.ndarray) -> Step:
        """Take the actions, one in each copy; after the end of an episode the next one begins.

        Raises:
            EnvironmentFailure: if an environment raises an error, or returns numbers that are not finite. `state` then
                still returns the state before this step, and no further step is possible without `restore`.
        """
        if self._failed:
            raise EnvironmentFailure(
                "An environment failed in an earlier step, and its state is unknown. Save the learner, correct the "
                "environment, and load the learner."
            )
        self._failed = True
        found = self._step_vector(actions) if self._vector is not None else self._step_copies(actions)
        self._failed = False
        done = (found.terminated | found.truncated) & found.counts
        self.returns = np.where(done, 0.0, self.returns + np.where(found.counts, found.reward, 0.0))
        self.lengths = np.where(done, 0, self.lengths + found.counts)
        self.observations = found.observations
        return found

    def state(self) -> dict[str, Any]:
        """The data that `restore` needs: the index of each copy's episode, and its actions so far."""
        actions = {str(i): _stacked(each) for i, each in enumerate(self._actions) if each}
        return {"episodes": list(self._episodes), "actions": actions}

    def check(self, state: Any) -> Problem | None:
        """The problem with a state, or None. `restore` compares the number of copies."""
        shape, dtype = self.action_space.shape, self.action_space.dtype

        def possible(found: Any) -> Problem | None:
            problem = tensor((None, *(shape or ())), torch.from_numpy(np.empty(0, dtype)).dtype)(found)
            if problem is None and not all(each in self.action_space for each in found.numpy()):
                return Problem((), f"must hold actions of {self.action_space}, but holds others")
            return problem

        copies = set(map(str, range(self.number if self.is_exact else 0)))
        problem = fields({"episodes": every(number(0, whole=True)), "actions": mapping(possible)})(state)
        if problem is None and not state["actions"].keys() <= copies:
            return Problem(("actions",), f"must be of the {self.number} copies that are here, but are not")
        return problem

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore the copies to a state that `state` returned.

        Raises:
            InvalidCheckpoint: if the number of copies differs, or an environment does not reproduce its episode.
            EnvironmentFailure: if an environment raises an error.
        """
        if len(state["episodes"]) != self.number:
            raise InvalidCheckpoint(
                f"The checkpoint was made with {len(state['episodes'])} environments side by side, but here are "
                f"{self.number}. Pass as many."
            )
        self._episodes = [int(each) for each in state["episodes"]]
        self._actions = [[] for _ in range(self.number)]
        self.returns, self.lengths = np.zeros(self.number), np.zeros(self.number, np.int64)
        self._failed = False
        if not self.is_exact:
            self._episodes = [each + 1 for each in self._episodes]
            self.observations = self._first()
            return
        self.observations = self._first()
        for i, env in enumerate(self._envs):
            for action in state["actions"].get(str(i), ()):
                taken = action.numpy() if hasattr(action, "numpy") else action
                observation, reward, terminated, truncated, _ = self._step_copy(i, taken)
                if terminated or truncated:
                    raise InvalidCheckpoint(
                        f"{name_of(env)} cannot be restored: with the same seed and actions an episode "
                        "now ends earlier. Either it has changed since, or it is random beyond its own np_random."
                    )
                self._actions[i].append(taken)
                self.observations[i] = observation
                self.returns[i] += float(reward)
                self.lengths[i] += 1

    def close(self) -> None:
        """Close the copies; a vector that was passed in stays open."""
        for env in self._envs:
            env.close()

    def _first(self) -> list[Any]:
        if self._vector is not None:
            self._resets = np.zeros(self.number, bool)
            return self._reset_vector(seed=[self._episode_seed(i, self._episodes[i]) for i in range(self.number)])
        return [self._reset(i, self._episodes[i]) for i in range(self.number)]

    def _reset(self, i: int, episode: int) -> Any:
        try:
            observation = self._envs[i].reset(seed=self._episode_seed(i, episode))[0]
        except Exception as problem:
            raise EnvironmentFailure(f"{name_of(self._envs[i])} raised an error at reset: {problem!r}") from problem
        _require_finite(observation, i, "at reset")
        return observation

    def _reset_vector(self, **how: Any) -> list[Any]:
        env = self._vector
        assert env is not None
        try:
            seen, _ = env.reset(**how)
        except Exception as problem:
            raise EnvironmentFailure(f"{env} raised an error at reset: {problem!r}") from problem
        observations = split_observations(env.observation_space, seen)
        for i, observation in enumerate(observations):
            _require_finite(observation, i, "at reset")
        return observations

    def _episode_seed(self, i: int, episode: int) -> int:
        return int(np.random.SeedSequence((self._seed, i, episode)).generate_state(1)[0] >> 1)  # 31 bits

    def _as_action(self, action: Any) -> Any:
        return int(action) if isinstance(self.action_space, gymnasium.spaces.Discrete) else action

    def _step_copy(self, i: int, action: Any) -> Any:
        env = self._envs[i]
        try:
            return env.step(self._as_action(action))
        except Exception as problem:
            raise EnvironmentFailure(
                f"{name_of(env)} raised an error at step {self.lengths[i]} of an episode, for the action {action!r}: "
                f"{problem!r}. What was learned so far is kept; save it, and correct the environment."
            ) from problem

    def _step_copies(self, actions: np.ndarray) -> Step:
        results = [self._step_copy(i, actions[i]) for i in range(self.number)]
        reached = [each[0] for each in results]
        reward = np.array([float(each[1]) for each in results])
        terminated = np.array([bool(each[2]) for each in results])
        truncated = np.array([bool(each[3]) for each in results])
        self._require_finite(reward, reached)
        ended = np.flatnonzero(terminated | truncated).tolist()
        fresh = {i: self._reset(i, self._episodes[i] + 1) for i in ended}
        for i in range(self.number):  # no error can occur from here on
            if i in fresh:
                self._episodes[i] += 1
                self._actions[i] = []
            else:
                self._actions[i].append(np.array(actions[i]))
        observations = [fresh.get(i, each) for i, each in enumerate(reached)]
        return Step(reward, observations, reached, terminated, truncated, np.ones(self.number, bool))

    def _step_vector(self, actions: np.ndarray) -> Step:
        env = self._vector
        assert env is not None
        mode = env.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP)
        counts = ~self._resets
        try:
            seen, reward, terminated, truncated, info = env.step(actions)
        except Exception as problem:
            raise EnvironmentFailure(f"{env} raised an error: {problem!r}") from problem
        observations = split_observations(env.observation_space, seen)
        reached, done = list(observations), (terminated | truncated) & counts
        reward = np.asarray(reward, dtype=np.float64)
        if mode is AutoresetMode.SAME_STEP:
            for i in np.flatnonzero(done):
                reached[i] = info["final_obs"][i]
        elif mode is AutoresetMode.DISABLED and done.any():
            observations = self._reset_vector(options={"reset_mask": done})
        self._resets = done if mode is AutoresetMode.NEXT_STEP else np.zeros(self.number, bool)
        self._require_finite(np.where(counts, reward, 0.0), reached)
        if mode is AutoresetMode.SAME_STEP:
            for i in np.flatnonzero(done):
                _require_finite(observations[i], int(i), "at reset")
        for i in np.flatnonzero(done):
            self._episodes[i] += 1
        return Step(reward, observations, reached, terminated & counts, truncated & counts, counts)

    def _require_finite(self, reward: np.ndarray, reached: Sequence[Any]) -> None:
        for i in np.flatnonzero(~np.isfinite(reward)):
            raise EnvironmentFailure(
                f"The reward must be finite, but environment {i} gave {reward[i]} at step {self.lengths[i]} of an "
                "episode. What was learned so far is kept. For what must never happen use a large negative reward."
            )
        for i, observation in enumerate(reached):
            _require_finite(observation, i, f"at step {self.lengths[i]} of an episode")


def _require_finite(observation: Any, i: int, when: str) -> None:
    """Require all numbers of an observation, also those in dictionaries and tuples, to be finite."""
    if isinstance(observation, Mapping | tuple):
        for part in observation.values() if isinstance(observation, Mapping) else observation:
            _require_finite(part, i, when)
    elif isinstance(observation, np.ndarray | np.floating | float) and not np.isfinite(observation).all():
        raise EnvironmentFailure(
            f"The observation must be finite, but environment {i} gave {observation} {when}. What was learned so far "
            "is kept; correct the environment."
        )


def _stacked(actions: Sequence[np.ndarray]) -> Any:
    return torch.from_numpy(np.stack(actions))

"""Parallel environments, each of which can be restored to the state it was in."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, final

import gymnasium
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from jaxtyping import Bool, Float
from torch import Tensor

from ..errors import EnvironmentFailure, InvalidCheckpoint
from ..problems.gymnasium_envs import name_of
from ..runtime.checkpoint_checks import Problem, every, fields, mapping, number, tensor
from .checked import Checked, CheckedVector
from .copies import WorldSource, copies_of, split_observations
from .spaces import Observations
from .statistics import check_of_statistics, restore_statistics, statistics_of

_KEPT = "What was learned so far is kept; save it, and correct the environment."


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
    the same actions: `state` returns these and `restore` repeats them, from the running statistics that normalising
    wrappers had at the start of the episode. A vector environment that resets its copies itself cannot be seeded for
    every episode; `is_exact` is False for it, and it is restored to the start of an episode. So is a copy that does not
    repeat its episode, with a warning.

    Attributes:
        number: the number of copies.
        observation_space, action_space: those of one copy.
        is_exact: whether `restore` restores the exact state, as far as is known.
        resets_later: whether an episode that has ended is reset by the next step, in which `Step.counts` is False.
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
        self._vector = CheckedVector(source) if isinstance(source, VectorEnv) else None
        self._envs = [] if isinstance(source, VectorEnv) else [Checked(each) for each in copies_of(source, number)]
        self.number = len(self._envs) if self._vector is None else self._vector.num_envs
        if self._vector is None:
            self.observation_space, self.action_space = self._envs[0].observation_space, self._envs[0].action_space
        else:
            self.observation_space = self._vector.single_observation_space
            self.action_space = self._vector.single_action_space
        self.is_exact = self._vector is None
        self.resets_later = self._vector is not None and self._vector.mode is AutoresetMode.NEXT_STEP
        self._episodes = [0] * self.number
        self._actions: list[list[np.ndarray]] = [[] for _ in range(self.number)]
        self._statistics: list[dict[str, Tensor]] = [{} for _ in self._envs]
        self.returns, self.lengths = np.zeros(self.number), np.zeros(self.number, np.int64)
        self._failed = False
        self.observations = self._first()

    def step(self, actions: np.ndarray) -> Step:
        """Take the actions, one in each copy; after the end of an episode the next one begins.

        Raises:
            EnvironmentFailure: if an environment fails; see `Checked`. `state` then still returns the state before this
                step, and no further step is possible without `restore`.
        """
        if self._failed:
            raise EnvironmentFailure(
                "An environment failed in an earlier step, and its state is unknown. Save the learner, correct the "
                "environment, and load the learner."
            )
        self._failed = True
        try:
            found = self._step_copies(actions) if self._vector is None else self._step_vector(self._vector, actions)
        except EnvironmentFailure as problem:
            raise EnvironmentFailure(f"{problem} {_KEPT}") from (problem.__cause__ or problem)
        self._failed = False
        done = (found.terminated | found.truncated) & found.counts
        self.returns = np.where(done, 0.0, self.returns + np.where(found.counts, found.reward, 0.0))
        self.lengths = np.where(done, 0, self.lengths + found.counts)
        self.observations = found.observations
        return found

    def state(self) -> dict[str, Any]:
        """The data that `restore` needs.

        These are the index of each copy's episode; of copies that can be restored exactly also its actions so far, the
        statistics of normalising wrappers at its start, and what it leads to: the features of the observation, and the
        return.
        """
        actions = {str(i): _stacked(each) for i, each in enumerate(self._actions) if each}
        statistics = {str(i): dict(each) for i, each in enumerate(self._statistics)}
        seen, paid = self._reached() if self._vector is None else (torch.empty(0, 0), torch.empty(0).double())
        return {
            "episodes": list(self._episodes),
            "actions": actions,
            "statistics": statistics,
            "observed": seen,
            "returns": paid,
        }

    def check(self, state: Any) -> Problem | None:
        """The problem with a state, or None. `restore` compares the number of copies."""
        shape, dtype = self.action_space.shape, self.action_space.dtype

        def possible(found: Any) -> Problem | None:
            problem = tensor((None, *(shape or ())), torch.from_numpy(np.empty(0, dtype)).dtype)(found)
            if problem is None and not all(each in self.action_space for each in found.numpy()):
                return Problem((), f"must hold actions of {self.action_space}, but holds others")
            return problem

        copies = set(map(str, range(len(self._envs))))
        normal = check_of_statistics(self._envs[0]) if self._envs else fields({})
        problem = fields(
            {
                "episodes": every(number(0, whole=True)),
                "actions": mapping(possible),
                "statistics": mapping(normal),
                "observed": tensor((None, None), torch.float32),
                "returns": tensor((None,), torch.float64),
            }
        )(state)
        if problem is None and not (state["actions"].keys() | state["statistics"].keys()) <= copies:
            return Problem(("actions",), f"must be of the {self.number} copies that are here, but are not")
        if problem is None and len(state["observed"]) and len(state["statistics"]) != len(state["episodes"]):
            return Problem(("statistics",), "must have an entry for each copy, but has not")
        for name in ("observed", "returns") if problem is None else ():
            if len(state[name]) != (len(state["episodes"]) if len(state["observed"]) else 0):
                return Problem((name,), "must have an entry for each copy, but has not")
        return problem

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore the copies to a state that `state` returned; a copy that does not repeat its episode begins another.

        Raises:
            InvalidCheckpoint: if the number of copies differs.
            EnvironmentFailure: if an environment fails; see `Checked`.
        """
        if len(state["episodes"]) != self.number:
            raise InvalidCheckpoint(
                f"The checkpoint was made with {len(state['episodes'])} environments side by side, but here are "
                f"{self.number}. Pass as many."
            )
        is_exact = self._vector is None and len(state["observed"]) == self.number
        self.begin([int(each) + (not is_exact) for each in state["episodes"]], state["statistics"])
        if not is_exact:
            return
        repeated = [self._repeat(i, state["actions"].get(str(i), ())) for i in range(self.number)]
        there = state["observed"], state["returns"]
        for i, found in enumerate(zip(*self._reached(), *there, strict=True)):
            if not (repeated[i] and _alike(found[0], found[2]) and _alike(found[1], found[3])):
                self._begin_another(i)

    def begin(self, episodes: Sequence[int], statistics: Mapping[str, Mapping[str, Tensor]] | None = None) -> None:
        """Begin the episodes of these indices, one in each copy.

        Args:
            episodes: the index of the episode of each copy.
            statistics: those of normalising wrappers before the episode, by the number of the copy; default: as now.
        """
        for i, env in enumerate(self._envs):
            if str(i) in (statistics or {}):
                restore_statistics(env, (statistics or {})[str(i)])
        self._episodes = list(episodes)
        self._actions = [[] for _ in range(self.number)]
        self.returns, self.lengths = np.zeros(self.number), np.zeros(self.number, np.int64)
        self._failed = False
        self.observations = self._first()

    def _repeat(self, i: int, actions: Tensor | Sequence[Tensor]) -> bool:
        """Repeat the actions of a copy's episode; return False if the episode ends before all were taken."""
        for action in actions:
            taken = action.numpy()
            observation, reward, terminated, truncated, _ = self._envs[i].step(self._as_action(taken))
            if terminated or truncated:
                return False
            self._actions[i].append(taken)
            self.observations[i] = observation
            self.returns[i] += reward
            self.lengths[i] += 1
        return True

    def _begin_another(self, i: int) -> None:
        """Begin a new episode in a copy that did not repeat its own, and say so."""
        warnings.warn(
            f"{name_of(self._envs[i].env)} does not repeat its episode from the same seed and actions: it has changed, "
            "or it is random or has a state beyond its own np_random. Learning continues in a new episode, not exactly "
            "as if it had never stopped; `worlds.is_exact` is False.",
            stacklevel=2,
        )
        self.is_exact = False
        self._episodes[i] += 1
        self._actions[i], self.returns[i], self.lengths[i] = [], 0.0, 0
        self.observations[i], self._statistics[i] = self._reset(i, self._episodes[i])

    def _reached(self) -> tuple[Tensor, Tensor]:
        """The features of the present observation of each copy, and the return of its episode so far."""
        return Observations(self.observation_space)(self.observations), torch.from_numpy(self.returns.copy())

    def has(self, env: object) -> bool:
        """Whether a copy, or the vector of them, is this very environment."""
        if isinstance(env, VectorEnv):
            return self._vector is not None and self._vector.unwrapped is env.unwrapped
        return isinstance(env, gymnasium.Env) and any(each.unwrapped is env.unwrapped for each in self._envs)

    def close(self) -> None:
        """Close the copies; a vector that was passed in stays open."""
        for env in self._envs:
            env.close()

    def _first(self) -> list[Any]:
        if self._vector is not None:
            seeds = [self._episode_seed(i, self._episodes[i]) for i in range(self.number)]
            seen, _ = self._vector.reset(seed=seeds)
            return split_observations(self._vector.observation_space, seen)
        begun = [self._reset(i, self._episodes[i]) for i in range(self.number)]
        self._statistics = [statistics for _, statistics in begun]
        return [observation for observation, _ in begun]

    def _reset(self, i: int, episode: int) -> tuple[Any, dict[str, Tensor]]:
        """Begin an episode in a copy; return its first observation, and the statistics before it."""
        before = statistics_of(self._envs[i])
        return self._envs[i].reset(seed=self._episode_seed(i, episode))[0], before

    def _episode_seed(self, i: int, episode: int) -> int:
        return int(np.random.SeedSequence((self._seed, i, episode)).generate_state(1)[0] >> 1)  # 31 bits

    def _as_action(self, action: Any) -> Any:
        return int(action) if isinstance(self.action_space, gymnasium.spaces.Discrete) else action

    def _step_copies(self, actions: np.ndarray) -> Step:
        results = [env.step(self._as_action(actions[i])) for i, env in enumerate(self._envs)]
        reached = [each[0] for each in results]
        reward, terminated, truncated = (np.array(each) for each in list(zip(*results, strict=True))[1:4])
        ended = np.flatnonzero(terminated | truncated).tolist()
        fresh = {i: self._reset(i, self._episodes[i] + 1) for i in ended}
        observations = list(reached)
        for i in range(self.number):  # no error can occur from here on
            if i in fresh:
                self._episodes[i] += 1
                self._actions[i] = []
                observations[i], self._statistics[i] = fresh[i]
            else:
                self._actions[i].append(np.array(actions[i]))
        return Step(reward, observations, reached, terminated, truncated, np.ones(self.number, bool))

    def _step_vector(self, env: CheckedVector, actions: np.ndarray) -> Step:
        seen, reward, terminated, truncated, info = env.step(actions)
        done = terminated | truncated
        reached = env.reached(seen, done, info)
        counts = env.counts
        if env.mode is AutoresetMode.DISABLED and done.any():
            seen, _ = env.reset(options={"reset_mask": done})
        for i in np.flatnonzero(done):
            self._episodes[i] += 1
        return Step(reward, split_observations(env.observation_space, seen), reached, terminated, truncated, counts)


def _alike(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors agree but for the last digits, which depend on the processor."""
    return one.shape == other.shape and torch.allclose(one, other, rtol=1e-4, atol=1e-5)


def _stacked(actions: Sequence[np.ndarray]) -> Any:
    return torch.from_numpy(np.stack(actions))

"""The base class of learners: the learning loop, callbacks, evaluation, acting, saving and loading."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, final

import gymnasium
import numpy as np
import torch
from gymnasium.vector import VectorEnv
from jaxtyping import Float, Num
from torch import Tensor

from ..environments.action_prior import mask_columns
from ..environments.copies import WorldSource, id_of
from ..environments.rollout import Rollout, rollout
from ..environments.spaces import Actions, Observations
from ..environments.vector_environments import Worlds
from ..errors import InvalidArgument
from ..runtime.arguments import flag, whole, whole_or_none
from ..runtime.checkpoint import require_same, write
from ..runtime.checkpoint_checks import fields, require
from ..runtime.files import path_of
from ..runtime.loop import Loop
from ..runtime.moving import device_of
from ..runtime.progress import Progress, passes, silent
from ..runtime.randomness import integer_of, seeded
from . import saved
from .action_masks import features_of, masked_source, with_masks
from .checks import require_finite, require_finite_actions
from .learning import EvaluationPoint, Journal, Learning, LearningStatus, described, point_of
from .normaliser import normaliser_of
from .randomness import OwnRandomness, check_generators
from .schedule import schedule_of

AnyLearner = TypeVar("AnyLearner", bound="Learner")  # not Self, which the shape checks of the tests refuse


@final
@dataclass(frozen=True)
class LearningStep:
    """The argument of a callback.

    Attributes:
        step, seconds: the number of steps made in the environment, and the time spent learning.
        learner: the learner, to inspect, evaluate or save.
        metrics: the latest row of the log.
    """

    step: int
    seconds: float
    learner: "Learner"
    metrics: Mapping[str, float]


LearningCallback = Callable[[LearningStep], bool | None]


class Learner(ABC):
    """The base class of a policy that is learned in an environment.

    A subclass makes its networks within `with self.randomness():`, and implements `advance`, `act` and `parts`. All
    random numbers come from torch's generators in the learner's own state, which `learn` sets and takes out again. So
    learning depends only on the seed, and does not change the generators for other code.

    Attributes:
        journal: the log, the evaluations and the latest episodes.
        config: the arguments of the constructor, except the environment.
        env_id: the id of the environment, or None.
        observations, actions: the spaces, with their conversion to tensors.
        worlds: the environments in which it learns.
        device: the device of its networks.
        normaliser: the normaliser of observations, or None.
        masks: the features that are action masks, or None.
        total_steps, seconds: the number of steps made in the environment, and the time spent learning, so far.
    """

    def __init__(
        self, env: WorldSource, num_envs: int, seed: int | torch.Generator | None, device: str, config: dict[str, Any]
    ) -> None:
        """Make the environments.

        Args:
            env: the environment to learn in; see `Worlds`.
            num_envs: the number of parallel copies.
            seed: an integer, a generator, or None for torch's global generator. The integer used is `config["seed"]`.
            device: "cpu", "cuda" or another torch device.
            config: the arguments of the subclass by name, with values that JSON can represent.
        """
        num_envs, number = whole("num_envs", num_envs), integer_of(seed)
        self.config: dict[str, Any] = {**config, "seed": number}
        self.device = device_of(device)
        self.worlds = Worlds(self.masked(env, num_envs), num_envs, number)
        self.env_id, self._source = id_of(env), env
        self.observations = Observations(self.worlds.observation_space)
        self.actions = Actions(self.worlds.action_space)
        self.masks = mask_columns(self.observations.space, self.actions)
        self.normaliser = normaliser_of(self.config, self.observations.space, self.masks, self.device)
        self.total_steps, self.seconds = 0, 0.0
        self.journal = Journal()
        self._randomness = OwnRandomness(number, self.device)

    __repr__ = described

    @abstractmethod
    def advance(self) -> Mapping[str, Tensor | float]:
        """Make steps in the environment with `self.act_in_world`, and learn from them.

        Returns:
            Numbers for the log, by name.
        """

    @abstractmethod
    def act(self, features: Float[Tensor, "batch feature"], deterministic: bool) -> Num[Tensor, "batch ..."]:
        """The actions for a batch of features, not yet normalised: indices, or points of [−1, 1]^d."""

    @abstractmethod
    def parts(self) -> dict[str, Any]:
        """All that is saved, by name: modules, optimisers, and other objects with `state()` and `restore(…)`."""

    @final
    def own_parts(self) -> dict[str, Any]:
        """What every learner has to save: the normaliser of observations, if there is one."""
        return {} if self.normaliser is None else {"normaliser": self.normaliser}

    @final
    def masked(self, env: WorldSource, num_envs: int = 1) -> Any:
        """The source of environments as the learner observes them: with their action masks, if it keeps to these."""
        return masked_source(env, num_envs) if flag("action_masks", self.config.get("action_masks", False)) else env

    @final
    def normalised(self, features: Float[Tensor, "batch feature"]) -> Float[Tensor, "batch feature"]:
        """The features as its networks get them: normalised, if the learner does that."""
        return features if self.normaliser is None else self.normaliser(features)

    @property
    def log(self) -> tuple[Mapping[str, float], ...]:
        """The rows of the log so far."""
        return tuple(self.journal.log)

    @property
    def evaluations(self) -> tuple[EvaluationPoint, ...]:
        """The evaluations so far, as in `Learning`."""
        return tuple(self.journal.evaluations)

    @final
    def randomness(self) -> AbstractContextManager[None]:
        """A context in which torch's generators have the learner's own state; afterwards their former state returns."""
        return self._randomness.drawing()

    @final
    def learn(
        self,
        total_steps: int,
        *,
        progress: Progress = silent,
        callbacks: Sequence[LearningCallback] = (),
        log_every: int = 1000,
        evaluate_every: int | None = None,
        num_evaluation_episodes: int = 10,
        checkpoint: str | Path | None = None,
        checkpoint_every: int = 10_000,
    ) -> Learning:
        """Learn until `total_steps` steps of the environment were made, those of earlier calls included.

        Args:
            total_steps: the number of steps of all copies together.
            progress: called with the number of steps and the latest row of the log.
            callbacks: called with a `LearningStep` every `log_every` steps, or at times of their own; see
                `EvaluateEvery`. One that returns True stops. Their time does not count as time spent learning.
            log_every: the number of steps between rows of the log.
            evaluate_every: the number of steps between evaluations; default: none. They do not affect learning.
            num_evaluation_episodes: the number of episodes of each evaluation.
            checkpoint: a file that is written atomically every `checkpoint_every` steps and at the end. `load` and then
                `learn` continue as if learning had never stopped.
            checkpoint_every: the number of steps between checkpoints.

        Returns:
            A `Learning`. Ctrl-C ends learning after the current step.

        Raises:
            InvalidArgument: if an argument does not fit; the message names it.
            EnvironmentFailure: if the environment fails. The learner is as it was before that step and can be saved.
            UsedByAnotherThread: if another thread of this process learns or fits.
            LearningDiverged: if a network no longer gives finite numbers. The last checkpoint is kept.
        """
        total_steps, log_every = whole("total_steps", total_steps), whole("log_every", log_every)
        num_evaluation_episodes = whole("num_evaluation_episodes", num_evaluation_episodes)
        checkpoint_every = whole("checkpoint_every", checkpoint_every)
        if (evaluate_every := whole_or_none("evaluate_every", evaluate_every)) is not None:
            self._another()  # fail now if there is no environment to evaluate in
        newest = dict(self.log[-1]) if self.log else {}
        schedule = schedule_of(callbacks, log_every, self.total_steps, evaluate_every is not None)
        save = None if checkpoint is None else partial(self._keep, path_of(checkpoint, "checkpoint"))
        loop = Loop(
            LearningStatus.complete, limit=total_steps, begin=self.total_steps, seconds=self.seconds,
            progress=progress, callbacks=schedule.callbacks, save=save, save_every=checkpoint_every,
        )  # fmt: skip
        with loop, self._randomness.drawing("learn"):
            for _ in loop:
                before = self.total_steps
                try:
                    metrics = self.advance()
                except (RuntimeError, ValueError):  # torch raises these for probabilities that are nan
                    require_finite(self.parts(), self.total_steps)
                    raise
                self.seconds = loop.seconds
                due, last = passes(before, self.total_steps, log_every), self.total_steps >= total_steps
                if due or last:
                    newest = self.journal.row(self.total_steps, self.seconds, metrics)
                if evaluate_every is not None and (passes(before, self.total_steps, evaluate_every) or last):
                    found = self.evaluate(num_evaluation_episodes, seed=self.config["seed"] + 1)
                    self.journal.evaluations.append(point_of(self.total_steps, self.seconds, found))
                    newest = {**newest, "evaluation": self.evaluations[-1].mean}
                is_called = schedule.is_due(before, self.total_steps)
                seen = LearningStep(self.total_steps, self.seconds, self, newest) if is_called else None
                loop.report(newest, seen, steps=self.total_steps)
                loop.seconds = self.seconds  # the time of evaluations and callbacks does not count
        if checkpoint is not None:
            self._keep(checkpoint)
        return Learning(loop.status, self.total_steps, self.seconds, self.log, self.evaluations)

    @final
    def predict(
        self,
        observation: Any,
        state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
        action_masks: Any = None,
    ) -> tuple[Any, tuple[np.ndarray, ...] | None]:
        """The actions for an observation or a batch, in the form of Stable-Baselines3's `predict`.

        Args:
            observation: an observation in the environment's space, or a batch as vector environments return it.
            state, episode_start: not used, because these policies have no memory; the state is returned unchanged. Only
                an action mask may be empty where an episode starts.
            deterministic: take the most probable action (in a box the median) instead of a random sample.
            action_masks: which actions are allowed, (A,) or (batch, A), for a learner with masks.

        Raises:
            InvalidArgument: if `observation` has another form, or is not finite; the bounds of boxes do not matter.
        """
        features, single = features_of(self.observations, self.masks, observation, action_masks, episode_start)
        with torch.no_grad():
            actions = self.act(features.to(self.device), flag("deterministic", deterministic))
        found = self.actions.to_environment(actions)
        return (found[0] if single else found), state

    @final
    def evaluate(
        self,
        num_episodes: int = 10,
        seed: int | torch.Generator | None = None,
        deterministic: bool = True,
        env: str | gymnasium.Env | VectorEnv | None = None,
    ) -> Rollout:
        """Run whole episodes of the current policy in new copies of the environment.

        Args:
            num_episodes: the number of episodes.
            seed: an integer, a generator, or None for torch's global generator; it seeds environments and policy.
            deterministic: as in `predict`.
            env: another environment; default: the one in which the learner learns.
        """
        where, number = self._another() if env is None else env, integer_of(seed)
        with with_masks(where, self.config.get("action_masks", False)) as masked, seeded(number, self.device):
            return rollout(masked, self, num_episodes, seed=number, deterministic=deterministic)

    @final
    def save(self, path: str | Path) -> None:
        """Write everything that the next step depends on, as tensors and JSON. The file is written atomically."""
        write(path, type(self).__name__, self._state(), self._facts())

    def __reduce__(self) -> tuple[Any, ...]:
        """What `pickle` and `copy` need to make the learner again; see `pickled`."""
        return saved.pickled(self, self._source if self.env_id is None else self.env_id)

    @classmethod
    @final
    def load(
        cls: type[AnyLearner], path: str | Path, env: WorldSource | None = None, device: str | None = None, **given: Any
    ) -> AnyLearner:
        """Load a learner from a file. `learn` then continues as if it had never stopped; on a CPU, bit for bit.

        Args:
            path: the path of a file written by `save` or `learn(checkpoint=…)`.
            env: the environment to learn in; default: the environment of the same id.
            device: a torch device; default: the same as before.
            given: arguments that JSON cannot represent, such as a function as `action_prior`.

        Raises:
            InvalidCheckpoint: if the file cannot be read, or belongs to another learner or environment.
        """
        own = {**given} if device is None else {**given, "device": device}
        tensors, facts = saved.read_learner(cls, path, Journal.checks(), own, env_is_given=env is not None)
        config = saved.arguments({**facts["config"], **own})
        learner = saved.made_again(cls, path, facts["env"], config, ours=not own) if env is None else cls(env, **config)
        learner._restore(tensors, facts, path)
        return learner

    @final
    def act_in_world(self, actions: Num[Tensor, "batch ..."]) -> Any:
        """Take the actions in the environments, and record the returns of episodes that end.

        Raises:
            LearningDiverged: if an action is not finite.
        """
        require_finite_actions(actions, self.total_steps)
        returns, lengths = self.worlds.returns, self.worlds.lengths
        found = self.worlds.step(self.actions.to_environment(actions))
        for i in np.flatnonzero((found.terminated | found.truncated) & found.counts):
            self.journal.ended(float(returns[i] + found.reward[i]), int(lengths[i] + 1))
        self.total_steps += int(found.counts.sum())
        return found

    def _keep(self, path: str | Path) -> None:
        """Save, unless a parameter is not finite."""
        require_finite(self.parts(), self.total_steps)
        self.save(path)

    def _another(self) -> Any:
        if self.env_id is None:
            raise InvalidArgument("`env` must be given to evaluate in: the environment of the learner has no id.")
        return self.env_id

    def _state(self) -> dict[str, Any]:
        parts = {name: saved.state_of(part) for name, part in self.parts().items()}
        return {"parts": parts, "random": self._randomness.state(), "worlds": self.worlds.state()}

    def _facts(self) -> dict[str, Any]:
        return saved.facts_of(self)

    def _restore(self, tensors: Mapping[str, Any], facts: Mapping[str, Any], path: object) -> None:
        remedy = "Pass the environment that it was made in."
        require_same(path, facts["description"], saved.description_of(self.observations, self.actions), remedy)
        checks = {"random": check_generators(self.device), "worlds": self.worlds.check}
        parts = fields({name: saved.check_of(part) for name, part in self.parts().items()})
        require(path, "this learner", tensors, fields({**checks, "parts": parts}), saved.REMEDY)
        self.worlds.restore(tensors["worlds"])
        saved.restore_parts(self.parts(), tensors["parts"], path)
        self._randomness.restore(tensors["random"])
        self.total_steps, self.seconds = facts["total_steps"], facts["seconds"]
        self.journal.restore(facts)

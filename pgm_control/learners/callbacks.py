"""Callbacks for `Learner.learn`: evaluate, keep the best, stop at a return, write checkpoints.

They are called in the order in which they are passed, so an evaluation stands before what uses it:

    evaluate = EvaluateEvery(5000, num_episodes=20)
    learner.learn(100_000, callbacks=[evaluate, KeepBest("best.pt"), StopAtReturn(475.0, times=2)])

They keep nothing that a resumed run would miss: evaluations are part of the learner and its files. No callback changes
the random numbers of learning. `KeepBest` and `StopAtReturn` compare all evaluations of a learner with one another,
those of `learn(evaluate_every=…)` and of every `EvaluateEvery`: let only one of them evaluate, in one environment.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, final

import gymnasium
from gymnasium.vector import VectorEnv

from ..errors import InvalidArgument
from ..runtime.arguments import finite, flag, one_of, whole, whole_or_none
from ..runtime.files import folder_of, path_of
from .checks import require_finite
from .learner import LearningStep
from .learning import point_of

_EPISODES = 100  # the number of episodes in the mean return of the log


@final
class EvaluateEvery:
    """A callback that evaluates the policy in environments of its own, every so many steps.

    The same seed is used each time, so all evaluations begin in the same states. Each is an `EvaluationPoint` in
    `learner.evaluations`, as those of `learn(evaluate_every=…)` are. Its time does not count as time spent learning.

    Attributes:
        every: the number of steps between evaluations.
    """

    evaluations: Literal["adds", "uses", "none"] = "adds"

    def __init__(
        self,
        every: int,
        num_episodes: int = 10,
        *,
        env: str | gymnasium.Env | VectorEnv | Callable[[], gymnasium.Env] | None = None,
        seed: int | None = None,
        deterministic: bool = True,
    ) -> None:
        """Set the times and the episodes.

        Args:
            every: the number of steps between evaluations.
            num_episodes: the number of episodes of an evaluation.
            env: the environment: an id, an environment, a vector, or a function that makes an environment; default: new
                copies of that of the learner. A variant of it shows what the policy earns in another world.
            seed: the seed of environments and policy; default: one more than that of the learner.
            deterministic: take the most probable actions.

        Raises:
            InvalidArgument: if an argument does not fit; the message names it.
        """
        self.every, self._number = whole("every", every), whole("num_episodes", num_episodes)
        self._seed = whole_or_none("seed", seed, 0)
        is_made = callable(env) and not isinstance(env, gymnasium.Env | VectorEnv)
        self._make: Callable[[], gymnasium.Env] | None = env if is_made else None  # pyright: ignore[reportAttributeAccessIssue]
        self._env: Any = None if is_made else env
        self._deterministic = flag("deterministic", deterministic)

    def __repr__(self) -> str:
        """The times and the number of episodes."""
        return f"EvaluateEvery({self.every}, num_episodes={self._number})"

    def __call__(self, step: LearningStep) -> None:
        """Evaluate the learner.

        Raises:
            InvalidArgument: if `env` is not given and that of the learner has no id, or it is no environment, or the
                one in which the learner learns.
        """
        learner, made = step.learner, None if self._make is None else self._make()
        seed = learner.config["seed"] + 1 if self._seed is None else self._seed
        where = self._env if made is None else made
        if step.learner.worlds.has(where):
            raise InvalidArgument(
                "`env` must not be the environment in which the learner learns, because an evaluation would end its "
                "episode. Pass another one, or a function that makes one."
            )
        try:
            found = learner.evaluate(self._number, seed, self._deterministic, where)
        finally:
            if isinstance(made, gymnasium.Env | VectorEnv):
                made.close()
        learner.journal.evaluations.append(point_of(step.step, step.seconds, found))


@final
class KeepBest:
    """A callback that saves the learner whenever its newest evaluation is better than all before.

    It looks at `learner.evaluations`, which are part of the learner's files, so that a resumed run does not replace a
    better learner by a worse one; except one that is resumed from an older file than the best and does not repeat its
    steps exactly, because it has lost that evaluation. Of equal evaluations it keeps the first. The best of many noisy
    means is too high on average: evaluate the saved learner again with another seed to report it.

    Attributes:
        path: the path of the file, for `load`.
    """

    every = 1  # so that no evaluation is missed
    evaluations: Literal["adds", "uses", "none"] = "uses"

    def __init__(self, path: str | Path) -> None:
        """Set the path of the file, which is written atomically."""
        self.path = path_of(path, "path")

    def __repr__(self) -> str:
        """The path of the file."""
        return f"KeepBest({str(self.path)!r})"

    def __call__(self, step: LearningStep) -> None:
        """Save the learner if its newest evaluation is the best so far and belongs to this step."""
        points = step.learner.journal.evaluations
        if points and points[-1].step == step.step and all(points[-1].mean > each.mean for each in points[:-1]):
            require_finite(step.learner.parts(), step.step)
            step.learner.save(self.path)


@final
class StopAtReturn:
    """A callback that stops learning when the policy earns enough.

    Attributes:
        least: the mean return that is enough, in reward units.
    """

    every = 1  # so that no evaluation is missed

    def __init__(self, least: float, *, of: Literal["evaluation", "training"] = "evaluation", times: int = 1) -> None:
        """Set the return.

        Args:
            least: the mean return, in reward units.
            of: "evaluation": the mean of an evaluation; "training": that of the latest 100 episodes of learning, whose
                actions also explore, once there are 100.
            times: how many means in a row must be enough, of evaluations or of rows of the log.

        Raises:
            InvalidArgument: if an argument does not fit; the message names it.
        """
        self.least = finite("least", least, "return")
        one_of("of", of, ("evaluation", "training"))
        self._of, self._times = of, whole("times", times)
        self.evaluations: Literal["adds", "uses", "none"] = "uses" if of == "evaluation" else "none"

    def __repr__(self) -> str:
        """The return, of what, and how many times."""
        return f"StopAtReturn({self.least:g}, of={self._of!r}, times={self._times})"

    def __call__(self, step: LearningStep) -> bool:
        """Whether there is a new mean, and the latest are enough."""
        journal = step.learner.journal
        if self._of == "evaluation":
            latest = [(each.step, each.mean) for each in journal.evaluations[-self._times :]]
        else:
            rows = [each for each in journal.log[-self._times :] if each["episodes"] >= _EPISODES]
            latest = [(each["step"], each["return"]) for each in rows]
        is_new = len(latest) == self._times and latest[-1][0] == step.step
        return is_new and min(mean for _, mean in latest) >= self.least


@final
class CheckpointEvery:
    """A callback that writes numbered checkpoints of the whole learner, every so many steps.

    `learn(checkpoint=…)` replaces one file, to resume from. These files remain, to compare a learner at several ages.

    Attributes:
        every: the number of steps between files.
        folder: the folder of the files `step_000010000.pt` and so on.
    """

    evaluations: Literal["adds", "uses", "none"] = "none"

    def __init__(self, every: int, folder: str | Path, *, newest: int | None = None) -> None:
        """Set the times and the folder, which is made if it does not exist.

        Args:
            every: the number of steps between files.
            folder: the folder.
            newest: how many of the files that it has written to keep; default: all.

        Raises:
            InvalidArgument: if an argument does not fit; the message names it.
        """
        self.every, self.folder = whole("every", every), folder_of(folder, "folder")
        self._newest = whole_or_none("newest", newest)
        self._written: list[Path] = []

    def __repr__(self) -> str:
        """The times and the folder."""
        return f"CheckpointEvery({self.every}, {str(self.folder)!r})"

    def __call__(self, step: LearningStep) -> None:
        """Write a file, and remove the oldest if there are too many."""
        require_finite(step.learner.parts(), step.step)
        path = self.folder / f"step_{step.step:09d}.pt"
        step.learner.save(path)
        self._written = [each for each in self._written if each != path] + [path]
        while self._newest is not None and len(self._written) > self._newest:
            self._written.pop(0).unlink(missing_ok=True)

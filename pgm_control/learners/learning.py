"""The results of learning: how it ended, the log, and the evaluations of the policy."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from torch import Tensor

from ..environments.rollout import Rollout
from ..errors import LearningDiverged
from ..runtime.checkpoint_checks import Check, Problem, every, fields, mapping, number, row
from ..runtime.status import Status

_RECENT = 100  # the number of episodes in the mean return of the log

EVALUATION: dict[str, Check] = {
    "step": number(0, whole=True),
    "seconds": number(0),
    "mean": number(),
    "standard_error": number(0, infinite=True),
    "length": number(0),
}
"""The checks of the fields of an evaluation."""


class LearningStatus(Status):
    """How a call of `learn` ended."""

    complete = "All steps were made."
    stopped = "A callback asked to stop."
    interrupted = "Interrupted by Ctrl-C. Nothing is lost: call learn(…) again, or load the checkpoint and continue."


@final
@dataclass(frozen=True)
class EvaluationPoint:
    """The evaluation of the policy in the environment after a number of steps.

    Attributes:
        step: the number of steps made in the environment.
        seconds: the time spent learning until then.
        mean, standard_error: those of the undiscounted returns of whole episodes, in reward units; the error of one
            episode is infinite.
        length: the mean number of steps of an episode.
    """

    step: int
    seconds: float
    mean: float
    standard_error: float
    length: float

    @property
    def earned(self) -> str:
        """The mean return, and its standard error if there is one, in words."""
        return f"{self.mean:.6g}" + (f" ± {self.standard_error:.2g}" if self.standard_error < math.inf else "")


def point_of(step: int, seconds: float, found: Rollout) -> EvaluationPoint:
    """The evaluation after a number of steps and seconds, from its episodes."""
    return EvaluationPoint(step, seconds, found.mean, found.standard_error, float(found.lengths.mean()))


@final
@dataclass(frozen=True, repr=False)
class Learning:
    """The result of `learn`.

    Attributes:
        status: how it ended; `status.message` explains it.
        total_steps: the number of steps made in the environment, in all calls together.
        seconds: the time spent learning, in all calls together.
        log: a row of numbers for every `log_every` steps.
        evaluations: the evaluations of the policy during learning.
    """

    status: LearningStatus
    total_steps: int
    seconds: float
    log: tuple[Mapping[str, float], ...]
    evaluations: tuple[EvaluationPoint, ...]

    def __repr__(self) -> str:
        """The last evaluation, the number of steps, the time and the message."""
        last = self.evaluations[-1] if self.evaluations else None
        earned = "" if last is None else f"return {last.earned}, "
        return f"Learning({earned}{self.total_steps} steps, {self.seconds:.1f} s. {self.status.message})"


@final
class Journal:
    """The record of a learner: the episodes that ended, the rows of the log, and the evaluations.

    Attributes:
        episodes: the number of episodes that ended.
        log: the rows of the log.
        evaluations: the evaluations of the policy during learning.
    """

    def __init__(self) -> None:
        """Start with an empty record."""
        self.episodes = 0
        self.log: list[dict[str, float]] = []
        self.evaluations: list[EvaluationPoint] = []
        self._recent: list[tuple[float, int]] = []

    def ended(self, total: float, length: int) -> None:
        """Record an episode that ended: its return `total`, in reward units, and its number of steps `length`."""
        self._recent.append((total, length))
        del self._recent[:-_RECENT]
        self.episodes += 1

    def row(self, steps: int, seconds: float, metrics: Mapping[str, Tensor | float]) -> dict[str, float]:
        """Add a row to the log and return it: means over the latest episodes, and the metrics.

        Raises:
            LearningDiverged: if a number is not finite.
        """
        row = {"step": float(steps), "seconds": seconds, "episodes": float(self.episodes)}
        if self._recent:
            row["return"] = float(np.mean([each for each, _ in self._recent]))
            row["length"] = float(np.mean([each for _, each in self._recent]))
        row |= {name: float(value) for name, value in metrics.items()}
        for name, value in row.items():
            if not np.isfinite(value):
                raise LearningDiverged(
                    f"`{name}` is {value} after {steps} steps. Lower the learning rate, or scale the rewards, and "
                    "continue from the last checkpoint."
                )
        self.log.append(row)
        return row

    def facts(self) -> dict[str, Any]:
        """The record in a form that JSON can represent."""
        return {
            "episodes": self.episodes,
            "recent": self._recent,
            "log": self.log,
            "evaluations": [vars(each) for each in self.evaluations],
        }

    @staticmethod
    def checks() -> dict[str, Check]:
        """The checks of the entries of `facts`."""
        return {
            "episodes": number(0, whole=True),
            "recent": every(row([number(), number(0, whole=True)])),
            "log": every(_check_row),
            "evaluations": every(fields(EVALUATION)),
        }

    def restore(self, facts: Mapping[str, Any]) -> None:
        """Restore a record that `facts` returned."""
        self.episodes = facts["episodes"]
        self._recent = [(float(total), int(length)) for total, length in facts["recent"]]
        self.log = list(facts["log"])
        self.evaluations = [EvaluationPoint(**each) for each in facts["evaluations"]]


def _check_row(found: Any) -> Problem | None:
    """Check a row of the log: numbers by name, including those that every row has."""
    problem = fields({name: number(0) for name in ("step", "seconds", "episodes")}, others=True)(found)
    return problem if problem is not None else mapping(number())(found)


def described(self: Any) -> str:
    """A learner in one line: its class, its environment and the number of steps made."""
    return f"{type(self).__name__}({self.env_id or 'an environment'}, {self.total_steps} steps)"

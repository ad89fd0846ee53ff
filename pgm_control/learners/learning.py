"""What comes of learning: how it ended, what was logged, and what the policy earned on the way."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from ..runtime.status import Status

if TYPE_CHECKING:
    from .learner import Learner


class LearningStatus(Status):
    """How a call of `learn` ended."""

    complete = "All steps were made."
    stopped = "A callback asked to stop."
    interrupted = "Interrupted by Ctrl-C. Nothing is lost: call learn(…) again, or load the checkpoint and go on."


@final
@dataclass(frozen=True)
class EvaluationPoint:
    """The policy as it was after so many steps, in the true world.

    Attributes:
        step: of the environment.
        seconds: spent learning until then.
        mean, standard_error: of the undiscounted returns of whole episodes, in reward units.
        length: mean number of steps of an episode.
    """

    step: int
    seconds: float
    mean: float
    standard_error: float
    length: float


@final
@dataclass(frozen=True)
class LearningStep:
    """What a callback sees.

    Attributes:
        step: how many steps of the environment were made.
        seconds: spent learning.
        learner: to look at, evaluate or save.
        metrics: the newest numbers of the log.
    """

    step: int
    seconds: float
    learner: "Learner"
    metrics: Mapping[str, float]


LearningCallback = Callable[[LearningStep], bool | None]


@final
@dataclass(frozen=True, repr=False)
class Learning:
    """What `learn` did.

    Attributes:
        status: how it ended; `status.message` explains it.
        steps: of the environment, all together.
        seconds: spent learning, all together.
        log: a row of numbers for every `log_every` steps.
        evaluations: of the policy, on the way.
    """

    status: LearningStatus
    steps: int
    seconds: float
    log: tuple[Mapping[str, float], ...]
    evaluations: tuple[EvaluationPoint, ...]

    def __repr__(self) -> str:
        """The last evaluation and the message."""
        last = self.evaluations[-1] if self.evaluations else None
        earned = "" if last is None else f"return {last.mean:.6g} ± {last.standard_error:.2g}, "
        return f"Learning({earned}{self.steps} steps, {self.seconds:.1f} s. {self.status.message})"

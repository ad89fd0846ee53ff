"""The errors of this library, one class for each kind. Each is also a builtin, so `except ValueError` still works."""


class PGMControlError(Exception):
    """The base class of every error that this library raises on purpose."""


class InvalidProblem(PGMControlError, ValueError):
    """An MDP or a model is not a valid probability model: the message names the entry, its value and the remedy."""


class InvalidGuide(PGMControlError, ValueError):
    """A guide is not a trajectory distribution over the model's sites."""


class InvalidArgument(PGMControlError, ValueError):
    """An argument of a function is outside what the function can do."""


class InvalidCheckpoint(PGMControlError, ValueError):
    """A checkpoint cannot be read, or belongs to another fit."""


class UnsupportedEnvironment(PGMControlError, TypeError):
    """A Gymnasium environment has no transition table, or does not behave as its table says."""


class EnvironmentFailure(PGMControlError, RuntimeError):
    """A live environment raised an error, or gave a reward or an observation that is not finite."""


class LearningDiverged(PGMControlError, ArithmeticError):
    """A learner's networks no longer give finite numbers."""


class UsedByAnotherThread(PGMControlError, RuntimeError):
    """Another thread of this process runs Pyro programs, or has seeded torch's random numbers."""


class LawBroken(PGMControlError, AssertionError):
    """`pgm_control.testing` found a model or guide that breaks a law."""


class MissingExtra(PGMControlError, ImportError):
    """An optional dependency is not installed; the message holds the command that installs it."""


class OptimismBreakdown(InvalidArgument, ArithmeticError):
    """The objective of a continuous problem is unbounded at this optimism: there is no best policy, and no number.

    Attributes:
        optimism: the β that was asked for.
        limit: β* at which it becomes unbounded, by bisection; None if it was not computed.
        time: the step at which the backward sweep ends, −1 for the start.
        direction: the direction of the noise, or of the action, along which it is unbounded.
    """

    def __init__(
        self,
        message: str,
        optimism: float,
        limit: float | None = None,
        time: int = -1,
        direction: tuple[float, ...] | None = None,
    ) -> None:
        """Keep the message and the numbers."""
        super().__init__(message)
        self.optimism, self.limit, self.time, self.direction = optimism, limit, time, direction


class WorkersLost(PGMControlError, RuntimeError):
    """Processes on which a computation runs, or in which its result lies, are gone."""

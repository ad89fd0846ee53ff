"""The times at which callbacks are called: every `log_every` steps, or every so many steps of their own."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from ..errors import InvalidArgument
from ..runtime.arguments import functions, whole
from ..runtime.progress import passes

_REMEDY = "It is an attribute of one of `callbacks`, the number of steps between its calls."


@runtime_checkable
class Timed(Protocol):
    """The protocol of callbacks that are called every so many steps of their own.

    Attributes:
        every: the number of steps between calls.
    """

    every: int

    def __call__(self, step: Any) -> bool | None:
        """Look at the learner; return True to stop."""
        ...


@runtime_checkable
class OfEvaluations(Protocol):
    """The protocol of callbacks whose part in evaluations is known.

    Attributes:
        evaluations: "adds", if it evaluates the learner; "uses", if it does nothing without evaluations; or "none".
    """

    evaluations: Literal["adds", "uses", "none"]


class Schedule(NamedTuple):
    """The result of `schedule_of`."""

    periods: tuple[int, ...]
    """The periods, in steps, of all callbacks."""
    callbacks: tuple[Callable[[Any], bool | None], ...]
    """The callbacks, each of which does nothing if it is called between its times."""

    def is_due(self, before: int, after: int) -> bool:
        """Whether a callback is called, when the number of steps grows from `before` to `after`."""
        return any(passes(before, after, period) for period in self.periods)


def schedule_of(
    callbacks: Sequence[Callable[[Any], bool | None]], log_every: int, begin: int, evaluates: bool
) -> Schedule:
    """The times of callbacks.

    Args:
        callbacks: the callbacks, `Timed` or not.
        log_every: the number of steps between rows of the log, the period of those that are not.
        begin: the number of steps made already.
        evaluates: whether there are evaluations before all callbacks, those of `learn` itself.

    Raises:
        InvalidArgument: if one of them is not a function, its `every` is no period, or it would never see an evaluation
            in time.
    """
    found = [(each, _period_of(each, log_every)) for each in functions("callbacks", callbacks)]
    _require_order([each for each, _ in found], evaluates)
    periods = tuple(dict.fromkeys(period for _, period in found))
    if len(periods) < 2:
        return Schedule(periods, tuple(each for each, _ in found))
    return Schedule(periods, tuple(_at_its_times(each, period, begin) for each, period in found))


def _require_order(callbacks: Sequence[object], evaluates: bool) -> None:
    """Refuse a callback that would do nothing, as far as that is known: others may evaluate too."""
    parts = [each.evaluations if isinstance(each, OfEvaluations) else "unknown" for each in callbacks]
    for each, part, before, after in ((callbacks[i], parts[i], parts[:i], parts[i + 1 :]) for i in range(len(parts))):
        if part != "uses" or evaluates or {"adds", "unknown"} & set(before):
            continue
        if "adds" in after:
            raise InvalidArgument(
                f"`callbacks` must have the evaluation before {each!r}, which uses it, but has it after."
            )
        if "unknown" not in after:
            raise InvalidArgument(
                f"`callbacks` must have an evaluation before {each!r}, which uses it, but has none. Put "
                "EvaluateEvery(…) before it, or pass `evaluate_every`."
            )


def _period_of(callback: object, log_every: int) -> int:
    """The number of steps between calls."""
    return whole("every", callback.every, remedy=_REMEDY) if isinstance(callback, Timed) else log_every


def _at_its_times(callback: Callable[[Any], bool | None], period: int, begin: int) -> Callable[[Any], bool | None]:
    """The callback, for calls at more times than its own."""
    before = begin

    def call(step: Any) -> bool | None:
        nonlocal before
        is_due, before = passes(before, step.step, period), step.step
        return callback(step) if is_due else None

    return call

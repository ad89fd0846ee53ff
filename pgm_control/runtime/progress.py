"""Progress of long computations: a function of the step and its metrics. Default: silent."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TextIO, final, runtime_checkable

from ..errors import InvalidArgument
from .arguments import called, shown, takes_two, whole


@runtime_checkable
class Progress(Protocol):
    """A function that is called after every step with the metrics of the step. It cannot change the run."""

    def __call__(self, step: int, metrics: Mapping[str, float]) -> None:
        """Show the metrics after `step` steps."""
        ...


def require_progress(progress: object) -> None:
    """Require a function of the step and its metrics.

    Raises:
        InvalidArgument: if it is anything else, such as True, None or a class.
    """
    if progress is silent:
        return
    if isinstance(progress, type) or not callable(progress) or not takes_two(progress):
        raise InvalidArgument(
            f"`progress` must be a function of the step and its metrics, such as PrintEvery(100), but is "
            f"{shown(progress)}. Leave it out to show nothing."
        )


@final
class Silent:
    """Progress that shows nothing; `silent` is the one instance."""

    def __call__(self, step: int, metrics: Mapping[str, float]) -> None:
        """Ignore the metrics: nothing is shown."""

    def __repr__(self) -> str:
        """The public name, as signatures show it."""
        return "silent"


silent = Silent()


@final
@dataclass
class PrintEvery:
    """Progress that prints a line whenever the number of steps has passed a multiple of `every`.

    Several steps may be made at once, as by a learner with several copies of its environment.

    Attributes:
        every: the number of steps between lines.
        file: the file to print to; default: standard output.

    Raises:
        InvalidArgument: if `every` is not a positive whole number.
    """

    every: int = 100
    file: TextIO | None = None
    _before: int | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check the number of steps."""
        self.every = whole("every", self.every)

    def __call__(self, step: int, metrics: Mapping[str, float]) -> None:
        """Print the metrics."""
        before = self._before
        if before is None or before >= step:  # a run begins, perhaps after a resume
            before = step - 1
        self._before = step
        if passes(before, step, self.every):
            numbers = "  ".join(f"{name} {value:.6g}" for name, value in metrics.items())
            print(f"{step:>7}  {numbers}", file=self.file)


_COUNTED = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]"
_ESTIMATED = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}, at most {remaining} left{postfix}]"
_KNOWN = 0.02  # the share of the steps after which the rest can be estimated


@final
class ProgressBar:
    """A progress bar for terminals and notebooks, by tqdm (which comes with Pyro). Use it in a `with` statement.

    The time that is left is estimated after some steps only. The first step does not count: it may compile loops, or
    report the steps of an earlier run.
    """

    def __init__(self, total: int, label: str = "") -> None:
        """Start an empty bar over at most `total` steps.

        Raises:
            InvalidArgument: if `total` is not a whole number, at least 0, or `label` is not a string.
        """
        total, label = whole("total", total, 0), called("label", label)
        from tqdm.auto import tqdm

        self._bar: Any = tqdm(total=total, desc=label, leave=True, bar_format=_COUNTED)

    def __call__(self, step: int, metrics: Mapping[str, float]) -> None:
        """Move to `step`."""
        bar = self._bar
        if bar.n == 0:
            bar.n = bar.initial = step
            bar.unpause()
        if step - bar.initial > _KNOWN * bar.total:
            bar.bar_format = _ESTIMATED
        bar.set_postfix({name: f"{value:.4f}" for name, value in metrics.items()}, refresh=False)
        bar.update(step - bar.n)

    def __repr__(self) -> str:
        """The position of the bar."""
        return f"ProgressBar({self._bar.n} of {self._bar.total})"

    def __enter__(self) -> "ProgressBar":
        """Return the bar."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the bar, and leave it visible."""
        self._bar.close()

    def finish(self) -> None:
        """Fill the bar: the computation has come to its end, in fewer steps than it might have taken."""
        self._bar.bar_format, self._bar.total = _COUNTED, self._bar.n
        self._bar.refresh()


def passes(before: int, now: int, every: int) -> bool:
    """Whether a multiple of `every` lies above `before` and not above `now`."""
    return before // every < now // every

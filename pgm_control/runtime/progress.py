"""Progress of long computations: a function of the step and its metrics. Default: silent."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TextIO, final, runtime_checkable

from ..errors import InvalidArgument
from .arguments import called, shown, whole


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
    if isinstance(progress, type) or not callable(progress) or not _takes_two(progress):
        raise InvalidArgument(
            f"`progress` must be a function of the step and its metrics, such as PrintEvery(100), but is "
            f"{shown(progress)}. Leave it out to show nothing."
        )


def _takes_two(function: Callable[..., Any]) -> bool:
    try:
        inspect.signature(getattr(function, "forward", function)).bind(0, {})  # of a torch module it says more
    except TypeError:
        return False
    except ValueError:  # a function without a signature
        return True
    return True


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
@dataclass(frozen=True)
class PrintEvery:
    """Progress that prints one line every `every` steps.

    Attributes:
        every: the number of steps between lines.
        file: the file to print to; default: standard output.
    """

    every: int = 100
    file: TextIO | None = None

    def __post_init__(self) -> None:
        """Check the interval.

        Raises:
            InvalidArgument: if `every` is not a whole number, at least 1.
        """
        object.__setattr__(self, "every", whole("every", self.every))

    def __call__(self, step: int, metrics: Mapping[str, float]) -> None:
        """Print the metrics."""
        if step % self.every == 0:
            numbers = "  ".join(f"{name} {value:.6g}" for name, value in metrics.items())
            print(f"{step:>7}  {numbers}", file=self.file)


@final
class ProgressBar:
    """A progress bar for terminals and notebooks, by tqdm (which comes with Pyro). Use it in a `with` statement."""

    def __init__(self, total: int, label: str = "") -> None:
        """Start an empty bar over `total` steps.

        Raises:
            InvalidArgument: if `total` is not a whole number, at least 0, or `label` is not a string.
        """
        total, label = whole("total", total, 0), called("label", label)
        from tqdm.auto import tqdm

        self._bar: Any = tqdm(total=total, desc=label, leave=True)

    def __call__(self, step: int, metrics: Mapping[str, float]) -> None:
        """Move to `step`."""
        self._bar.update(step - self._bar.n)
        self._bar.set_postfix({name: f"{value:.4f}" for name, value in metrics.items()}, refresh=False)

    def __repr__(self) -> str:
        """The position of the bar."""
        return f"ProgressBar({self._bar.n} of {self._bar.total})"

    def __enter__(self) -> "ProgressBar":
        """Return the bar."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the bar, and leave it visible."""
        self._bar.close()

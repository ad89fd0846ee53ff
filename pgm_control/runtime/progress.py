"""Watching long work: a function of the step and its numbers. Silent unless asked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TextIO, final, runtime_checkable


@runtime_checkable
class Progress(Protocol):
    """Called after every step with what can be measured there. It looks; it cannot change the run."""

    def __call__(self, step: int, metrics: Mapping[str, float]) -> None:
        """Show the state of things after `step` steps."""
        ...


@final
class Silent:
    """Progress that shows nothing; `silent` is the one instance."""

    def __call__(self, step: int, metrics: Mapping[str, float]) -> None:
        """Show nothing."""

    def __repr__(self) -> str:
        """The public name, which stands in signatures as a default."""
        return "silent"


silent = Silent()


@final
@dataclass(frozen=True)
class PrintEvery:
    """A line every so many steps.

    Attributes:
        every: how many steps from one line to the next.
        file: where to; standard output unless given.
    """

    every: int = 100
    file: TextIO | None = None

    def __call__(self, step: int, metrics: Mapping[str, float]) -> None:
        """Print the metrics."""
        if step % self.every == 0:
            numbers = "  ".join(f"{name} {value:.6g}" for name, value in metrics.items())
            print(f"{step:>7}  {numbers}", file=self.file)


@final
class ProgressBar:
    """A bar for terminals and notebooks, by tqdm (which comes with Pyro). Use it in a `with` statement."""

    def __init__(self, total: int, label: str = "") -> None:
        """Start an empty bar over `total` steps."""
        from tqdm.auto import tqdm

        self._bar: Any = tqdm(total=total, desc=label, leave=True)

    def __call__(self, step: int, metrics: Mapping[str, float]) -> None:
        """Move to `step`."""
        self._bar.update(step - self._bar.n)
        self._bar.set_postfix({name: f"{value:.4f}" for name, value in metrics.items()}, refresh=False)

    def __repr__(self) -> str:
        """Where the bar stands."""
        return f"ProgressBar({self._bar.n} of {self._bar.total})"

    def __enter__(self) -> "ProgressBar":
        """Nothing to prepare."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the bar as it stands."""
        self._bar.close()

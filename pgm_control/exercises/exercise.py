"""An exercise: a question with named answers, the right values, and the wrong ones whose cause is known."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, final

import numpy as np
from jaxtyping import Float
from torch import Tensor

from ..text.terminal import wrapped

Number = Float[np.ndarray, "..."]


@final
class Mark(Enum):
    """The mark of one answer; its value is the word that is printed."""

    RIGHT = "right"
    WRONG = "wrong"
    MISSING = "missing"


@final
@dataclass(frozen=True)
class Verdict:
    """The mark of one answer, with the reason where it is not right.

    Attributes:
        name: the name of the answer.
        mark: whether it is right, wrong or missing.
        reason: what is wrong, without the right value; empty where it is right.
    """

    name: str
    mark: Mark
    reason: str = ""

    def __str__(self) -> str:
        """The name, the mark and the reason, wrapped to the width of the terminal."""
        reason = f". {self.reason}" if self.reason else ""
        return wrapped(f"{self.mark.value}{reason}", indent=4, first=f"  {self.name}: ")


@final
@dataclass(frozen=True)
class Asked:
    """One answer that an exercise asks for.

    Attributes:
        name: the name of the variable in the script of the reader.
        what: what it should hold, with its unit.
        value: a function that returns the right value: a number or a table.
        tolerance: the largest error of an entry that is accepted, in the unit of the value.
        hint: what to look at, for a value that is wrong in an unknown way.
        mistakes: values that arise from a known mistake, each with the sentence that names it.
    """

    name: str
    what: str
    value: Callable[[], Any]
    tolerance: float
    hint: str
    mistakes: tuple[tuple[Callable[[], Any], str], ...] = ()

    def verdict(self, answers: Mapping[str, Any]) -> Verdict:
        """Return the mark of this answer, among the variables of a script."""
        if self.name not in answers:
            return Verdict(self.name, Mark.MISSING, f"The script must set `{self.name}`: {self.what}.")
        right = number_of(self.value())
        given = number_of(answers[self.name])
        if given is None or right is None:
            kind = type(answers[self.name]).__name__
            return Verdict(self.name, Mark.WRONG, f"It must be a number or a table of numbers, but is of type {kind}.")
        if given.shape != right.shape:
            shapes = f"It must have the shape {right.shape}, but has {given.shape}"
            single = "; () is a single number" if () in (given.shape, right.shape) else ""
            return Verdict(self.name, Mark.WRONG, f"{shapes}{single}.")
        if not np.isfinite(given).all():
            return Verdict(self.name, Mark.WRONG, "It must be finite.")
        if np.abs(given - right).max() <= self.tolerance:
            return Verdict(self.name, Mark.RIGHT)
        for wrong, reason in self.mistakes:
            mistaken = number_of(wrong())
            if mistaken is not None and np.abs(given - mistaken).max() <= self.tolerance:
                return Verdict(self.name, Mark.WRONG, reason)
        return Verdict(self.name, Mark.WRONG, self.hint)


@final
@dataclass(frozen=True)
class Exercise:
    """One exercise, that of a chapter of the course.

    Attributes:
        chapter: the number of the chapter.
        title: its subject.
        task: what to do, in full sentences.
        asked: the answers, in order.
    """

    chapter: int
    title: str
    task: str
    asked: tuple[Asked, ...]

    def check(self, answers: Mapping[str, Any]) -> list[Verdict]:
        """Return the mark of every answer.

        Args:
            answers: the variables of the reader's script, by name.
        """
        return [each.verdict(answers) for each in self.asked]

    def __str__(self) -> str:
        """The task and the names of the answers, wrapped to the width of the terminal."""
        names = (
            wrapped(f"{each.what}; within {each.tolerance:g}", indent=4, first=f"  {each.name}: ")
            for each in self.asked
        )
        parts = (f"Exercise {self.chapter}. {self.title}", wrapped(self.task), "\n".join(("The script sets", *names)))
        return "\n\n".join(parts)


def number_of(value: Any) -> Number | None:
    """A number or table as an array of floats; None if it is neither."""
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    try:
        found = np.asarray(value)
    except ValueError:  # rows of different lengths
        return None
    return found.astype(float) if found.dtype.kind in "biuf" else None

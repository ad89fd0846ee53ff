"""The exercises by chapter."""

from ..errors import InvalidArgument
from .behaviour import BEHAVIOUR
from .dial import DIAL
from .exercise import Exercise
from .max_entropy import MAX_ENTROPY
from .messages import MESSAGES
from .optimism import OPTIMISM
from .samples import SAMPLES

EXERCISES = (MESSAGES, OPTIMISM, MAX_ENTROPY, DIAL, SAMPLES, BEHAVIOUR)
"""One exercise for each chapter, in order."""


def exercise_of(chapter: int) -> Exercise:
    """Return the exercise of a chapter.

    Raises:
        InvalidArgument: if there is no such chapter.
    """
    if not 1 <= chapter <= len(EXERCISES):
        raise InvalidArgument(f"`chapter` must be a chapter of the course, 1 to {len(EXERCISES)}, but is {chapter}.")
    return EXERCISES[chapter - 1]

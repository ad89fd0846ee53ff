"""What the files of comparisons have in common."""

from collections.abc import Mapping
from typing import Any, Protocol

from ...runtime.versions import versions


class HasNumbers(Protocol):
    """A result with numbers for JSON."""

    def to_dict(self) -> dict[str, Any]:
        """The numbers."""
        ...


def record_of(
    form: int, name: str, model: object, settings: Mapping[str, Any], command: str | None, scorecard: HasNumbers
) -> dict[str, Any]:
    """The head of the record of a comparison: what was compared and how, with which versions, and the scores.

    Args:
        form: the number of the format of the record.
        name: the name of the problem.
        model: the model.
        settings: the settings of the call.
        command: the command that reproduces it, or None.
        scorecard: the scores.
    """
    return {
        "format": form,
        "name": name,
        "model": repr(model),
        "settings": dict(settings),
        "command": command,
        "versions": versions(),
        **scorecard.to_dict(),
    }

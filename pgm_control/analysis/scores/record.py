"""What the files of comparisons have in common."""

from collections.abc import Mapping
from typing import Any

from ...runtime.versions import versions


def record_of(
    form: int, name: str, model: object, settings: Mapping[str, Any], command: str | None, scores: Mapping[str, Any]
) -> dict[str, Any]:
    """The head of the record of a comparison: what was compared and how, with which versions, and the scores.

    Args:
        form: the number of the format of the record.
        name: the name of the problem.
        model: the model.
        settings: the settings of the call.
        command: the command that reproduces it, or None.
        scores: the numbers of the scorecard.
    """
    return {
        "format": form,
        "name": name,
        "model": repr(model),
        "settings": dict(settings),
        "command": command,
        "versions": versions(),
        **scores,
    }

"""The learners of the command line, by name, and how one is made."""

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium

from ...errors import InvalidArgument, InvalidCheckpoint, PGMControlError
from ...learners import SAC, Learner, MaxEntPolicyGradient, OriginalSAC, SoftQLearning
from ..options import require_algorithm
from ..run_folder import RunFolder

ALGORITHMS: dict[str, type[Learner]] = {
    "sac": SAC,
    "original_sac": OriginalSAC,
    "soft_q": SoftQLearning,
    "policy_gradient": MaxEntPolicyGradient,
}
"""The learners by their names on the command line."""


def class_of(algorithm: str) -> type[Learner]:
    """Return the class of a learner, by its name.

    Raises:
        InvalidArgument: if there is none of this name.
    """
    require_algorithm(algorithm)
    return ALGORITHMS[algorithm]


def class_in(folder: RunFolder, facts: Mapping[str, Any]) -> type[Learner]:
    """Return the class of the learner of a run."""
    try:
        return class_of(facts["algorithm"])
    except InvalidArgument as problem:
        raise InvalidCheckpoint(f"{folder.path / 'run.json'} does not fit this version: {problem}") from problem


def made(make: Callable[[], Any], env: str) -> Any:
    """Return the result of `make`; an error becomes a message of one line."""
    try:
        return make()
    except PGMControlError:
        raise
    except (gymnasium.error.Error, ImportError) as problem:
        raise InvalidArgument(f"Gymnasium cannot make {env!r}: {problem}") from problem
    except (TypeError, ValueError, RuntimeError) as problem:  # torch raises RuntimeError for a device
        raise InvalidArgument(f"The options do not fit {env}: {problem}") from problem

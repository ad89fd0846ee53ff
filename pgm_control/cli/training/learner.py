"""The learners of the command line, by name, and how one is made."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium

from ...errors import InvalidArgument, InvalidCheckpoint, PGMControlError
from ...learners import SAC, Learner, MaxEntPolicyGradient, OriginalSAC, SoftQLearning

ALGORITHMS: dict[str, type[Learner]] = {
    "sac": SAC,
    "original_sac": OriginalSAC,
    "soft_q": SoftQLearning,
    "policy_gradient": MaxEntPolicyGradient,
}
"""The learners by their names on the command line."""


def learner_in(path: Path, algorithm: str) -> type[Learner]:
    """Return the class of the learner of a run.

    Args:
        path: the path of its `run.json`, for the message.
        algorithm: its name there.

    Raises:
        InvalidCheckpoint: if there is no such learner.
    """
    if algorithm not in ALGORITHMS:
        raise InvalidCheckpoint(
            f"{path} does not fit this version: There is no algorithm {algorithm!r}. There are: "
            f"{', '.join(ALGORITHMS)}."
        )
    return ALGORITHMS[algorithm]


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

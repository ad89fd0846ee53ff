"""A check that tables fit in memory, before they are allocated."""

import math
import os
from contextlib import suppress
from pathlib import Path

from ..errors import InvalidArgument

_GROUP = Path("/sys/fs/cgroup/memory.max")  # of a container


def require_memory(name: str, value: object, numbers: int, remedy: str) -> None:
    """Require that tables of float64 fit in the memory that this process may have.

    Args:
        name, value: the argument that determines the size, and its value.
        numbers: how many numbers the tables hold.
        remedy: a sentence for the end of the message.

    Raises:
        InvalidArgument: if the tables are larger; the message has both sizes.
    """
    limit = _limit()
    if 8 * numbers > limit:
        sizes = f"{8 * numbers / 2**30:,.1f} GiB, and this process may have {limit / 2**30:,.1f} GiB"
        raise InvalidArgument(f"`{name}` must make tables that fit in memory, but {value} makes {sizes}. {remedy}")


def _limit() -> float:
    """The smallest known limit of the memory of this process, in bytes: of the machine, the container, the shell."""
    limits = [math.inf]
    with suppress(AttributeError, ValueError, OSError):  # not on every system
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    with suppress(OSError, ValueError):  # no container, or "max"
        limits.append(int(_GROUP.read_text()))
    with suppress(ImportError):  # not on every system
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_AS)
        limits += [soft] if soft != resource.RLIM_INFINITY else []
    return min(limits)

"""The size of large tables, in words, before they are allocated."""

import math
import os
from pathlib import Path

from ..errors import InvalidArgument

_SMALL = 1 << 26  # bytes that are never refused
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def has_room(entries: int, itemsize: int) -> bool:
    """Whether tables with so many entries, of so many bytes each, fit into the free memory."""
    size = float(entries * itemsize)
    return size <= _SMALL or size <= free_memory()


def require_room(name: str, tables: str, entries: int, itemsize: int, remedy: str) -> None:
    """Refuse tables that do not fit into the free memory.

    Args:
        name: the argument that decides their size, for the message.
        tables: what they hold, for the message, such as "the believed dynamics by time, state, action and outcome".
        entries: the number of their entries.
        itemsize: the number of bytes of an entry.
        remedy: a sentence for the end of the message.

    Raises:
        InvalidArgument: if they need more than is free; the message says how much they need.
    """
    if not has_room(entries, itemsize):
        raise InvalidArgument(
            f"`{name}` must fit into memory, but {tables} need {in_words(float(entries * itemsize))}, and "
            f"{in_words(free_memory())} are free. {remedy}"
        )


def in_words(size: float) -> str:
    """A number of bytes in the largest unit of which there is at least one: "3.2 GiB"."""
    power = min(int(math.log(max(size, 1), 1024)), len(_UNITS) - 1)
    return f"{size / 1024**power:.3g} {_UNITS[power]}"


def free_memory() -> float:
    """The bytes that this process may still allocate, as far as the system tells; otherwise infinity."""
    return max(0.0, min(_of_the_machine(), _of_the_container(), _of_the_process()))


def _of_the_machine() -> float:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(1024.0 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        try:
            return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
        except (AttributeError, OSError, ValueError):
            return math.inf


def _of_the_container() -> float:
    """What the control group of Linux (version 2) allows, minus the memory that it cannot take back."""
    try:
        group = Path("/sys/fs/cgroup")
        most = int((group / "memory.max").read_text())
        used = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        return float(most - int(used["anon"]))
    except (OSError, ValueError, KeyError):  # no group, or "max"
        return math.inf


def _of_the_process() -> float:
    """The limit of `ulimit -v`, minus the address space in use."""
    try:
        import resource  # Unix only

        most = resource.getrlimit(resource.RLIMIT_AS)[0]
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        return math.inf if most == resource.RLIM_INFINITY else float(most - used)
    except (ImportError, OSError, ValueError):
        return math.inf

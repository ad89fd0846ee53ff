"""A setting of glibc's allocator for a process of the command line: it keeps the memory that it frees."""

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # the parameters of `mallopt`, from malloc.h
_KEPT, _LARGEST = 1 << 26, 1 << 25  # bytes kept at the end of the heap, and of the largest block on it


def keep_freed_memory() -> None:
    """Let this process keep the memory that it frees, up to 64 MiB; no effect without glibc.

    By default glibc returns free memory beyond about a megabyte to the system. A learner then requests it again in
    each update, with up to 600 page faults, which take up to a tenth of its time.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, _KEPT)
        mallopt(_MMAP_THRESHOLD, _LARGEST)

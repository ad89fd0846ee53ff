"""Tables of zeros that take memory only where they are written to."""

import math
import mmap
from collections.abc import Sequence

import torch
from torch import Tensor

_SMALL = 1 << 22  # bytes below which the table is made in the usual way


def zeros(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """A table of zeros on the CPU. On Linux and macOS a large one takes memory page by page, as it is written to.

    Pages of 4 KiB are requested; with large pages a single number would take 2 MiB.
    """
    entries = math.prod(shape)
    size = entries * torch.empty(0, dtype=dtype).element_size()
    private = getattr(mmap, "MAP_PRIVATE", None)
    if size < _SMALL or private is None:
        return torch.zeros(*shape, dtype=dtype)
    pages = mmap.mmap(-1, size, flags=private | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        pages.madvise(mmap.MADV_NOHUGEPAGE)
    return torch.frombuffer(pages, dtype=dtype, count=entries).view(*shape)

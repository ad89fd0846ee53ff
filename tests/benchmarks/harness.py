"""Contestants side by side in one process: interleaved rounds, medians, and ratios taken round by round."""

import importlib
import os
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from pgm_control import TabularModel
from pgm_control.models import frozen_lake

SIZES = {"4x4": 20, "8x8": 100}  # FrozenLake: the map and its horizon


def race(
    contestants: Mapping[str, Callable[[], object]], rounds: int = 7, seconds: float = 0.15, again: bool = False
) -> dict[str, float]:
    """Print the median time of a call and the median ratio to the first contestant; give the medians, in seconds.

    Every round runs each contestant for about `seconds`, so that a slow hour of a shared machine slows them all alike.
    With `again` each first has a call that is not timed, so that none pays for memory that the one before gave back.
    """
    torch.set_num_threads(1)
    calls = {}
    for name, call in contestants.items():
        call()  # compiles, allocates
        start = time.perf_counter()
        call()
        calls[name] = max(1, int(seconds / max(time.perf_counter() - start, 1e-7)))
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, call in contestants.items():
            if again:
                call()
            start = time.perf_counter()
            for _ in range(calls[name]):
                call()
            times[name].append((time.perf_counter() - start) / calls[name])
    first = next(iter(times.values()))
    for name, each in times.items():
        ratio = statistics.median(mine / reference for mine, reference in zip(each, first, strict=True))
        print(f"  {name:<52} {readable(statistics.median(each)):>10} {ratio:>10.3g} x")
    return {name: statistics.median(each) for name, each in times.items()}


def readable(seconds: float) -> str:
    """With three digits and a unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} us"


def lake(size: str, temperature: float) -> TabularModel:
    """FrozenLake of that size, in float64."""
    return TabularModel(frozen_lake(size, SIZES[size]), temperature)


@contextmanager
def backend(name: str) -> Any:
    """Our loops compiled ("auto") or in torch ("torch"), within the block."""
    before = os.environ.get("PGM_CONTROL_BACKEND")
    os.environ["PGM_CONTROL_BACKEND"] = name
    try:
        yield
    finally:
        if before is None:
            del os.environ["PGM_CONTROL_BACKEND"]
        else:
            os.environ["PGM_CONTROL_BACKEND"] = before


def on(name: str, call: Callable[[], object]) -> Callable[[], object]:
    """The call with that back end."""

    def wrapped() -> object:
        with backend(name):
            return call()

    return wrapped


def optional(name: str, extra: str = "bench") -> Any:
    """The module, or None with a line that says how to get it."""
    try:
        return importlib.import_module(name)
    except ImportError:
        print(f'  ({name} is not installed and is left out: pip install -e ".[{extra}]")')
        return None


def jax_in_float64() -> Any:
    """JAX on one thread and in float64, or None."""
    os.environ.setdefault("NPROC", "1")  # XLA's threads
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
    jax = optional("jax")
    if jax is not None:
        jax.config.update("jax_platforms", "cpu")
        jax.config.update("jax_enable_x64", True)
    return jax


def require_close(what: str, found: Any, expected: Any, tolerance: float = 1e-6) -> None:
    """Refuse to time a contestant that computes something else."""
    off = np.abs(np.asarray(found, dtype=np.float64) - np.asarray(expected, dtype=np.float64)).max()
    if not off <= tolerance:
        raise AssertionError(f"{what} is off by {off:.3g}.")


def versions(names: Iterable[str]) -> str:
    """The installed versions of these distributions."""
    from importlib.metadata import PackageNotFoundError, version

    found = []
    for name in names:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)

"""Timing of several contestants in one process: interleaved rounds, medians, and ratios taken round by round."""

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

SIZES = {"4x4": 20, "8x8": 100}  # the maps of FrozenLake and their horizons


def race(
    contestants: Mapping[str, Callable[[], object]], rounds: int = 7, seconds: float = 0.15, again: bool = False
) -> dict[str, float]:
    """Print the median time of a call and the median ratio to the first contestant; return the medians, in seconds.

    Every round runs each contestant for about `seconds`, so that other load on the machine slows all of them equally.
    With `again`, each turn starts with a call that is not timed, so that memory released by the previous contestant
    does not count.
    """
    torch.set_num_threads(1)
    calls = {}
    for name, call in contestants.items():
        call()  # compiles and allocates
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
    """The time with three digits and a unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} us"


def lake(size: str, temperature: float) -> TabularModel:
    """The model of FrozenLake of this size, in float64."""
    return TabularModel(frozen_lake(size, SIZES[size]), temperature)


@contextmanager
def backend(name: str) -> Any:
    """Select the library's back end within the block: compiled loops ("auto") or torch ("torch")."""
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
    """The call with this back end selected."""

    def wrapped() -> object:
        with backend(name):
            return call()

    return wrapped


def optional(name: str, extra: str = "bench") -> Any:
    """The module, or None after printing how to install it."""
    try:
        return importlib.import_module(name)
    except ImportError:
        print(f'  ({name} is not installed and is left out: pip install -e ".[{extra}]")')
        return None


def jax_in_float64() -> Any:
    """The module JAX, set to one thread and float64, or None if it is missing."""
    os.environ.setdefault("NPROC", "1")  # the threads of XLA
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
    jax = optional("jax")
    if jax is not None:
        jax.config.update("jax_platforms", "cpu")
        jax.config.update("jax_enable_x64", True)
    return jax


def require_close(what: str, found: Any, expected: Any, tolerance: float = 1e-6) -> None:
    """Raise AssertionError if a contestant computes a different answer."""
    off = np.abs(np.asarray(found, dtype=np.float64) - np.asarray(expected, dtype=np.float64)).max()
    if not off <= tolerance:
        raise AssertionError(f"{what} is off by {off:.3g}.")


def versions(names: Iterable[str]) -> str:
    """The installed versions of these distributions, as text."""
    from importlib.metadata import PackageNotFoundError, version

    found = []
    for name in names:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)

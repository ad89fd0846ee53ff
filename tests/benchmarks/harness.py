"""Contestants side by side in one process: interleaved rounds, medians, and ratios taken round by round."""

import statistics
import time
from collections.abc import Callable, Mapping

import torch


def race(contestants: Mapping[str, Callable[[], object]], rounds: int = 7, seconds: float = 0.15) -> dict[str, float]:
    """Print the median time of a call and the median ratio to the first contestant; give the medians, in seconds.

    Every round runs each contestant for about `seconds`, so that a slow hour of a shared machine slows them all alike.
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
            start = time.perf_counter()
            for _ in range(calls[name]):
                call()
            times[name].append((time.perf_counter() - start) / calls[name])
    first = next(iter(times.values()))
    for name, each in times.items():
        ratio = statistics.median(mine / reference for mine, reference in zip(each, first, strict=True))
        print(f"  {name:<48} {1e6 * statistics.median(each):>12.0f} us {ratio:>10.2f} x")
    return {name: statistics.median(each) for name, each in times.items()}

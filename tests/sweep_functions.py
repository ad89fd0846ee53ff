"""Functions for the tests of sweeps, in a module that workers can import."""

import math
import os
import signal
import time
from pathlib import Path


def measure(x, seed=0):
    """Values of every kind that JSON has, nan and infinities included."""
    return {
        "value": math.sin(x) / 3 + seed,
        "count": int(x) + seed,
        "word": f"é{x}",
        "is_large": x > 2,
        "nothing": None,
        "odd": [math.nan, math.inf, -math.inf, -0.0, 5e-324],
        "nested": {"x": [x, {"seed": seed}]},
    }


def failing(x):
    """A job that fails for one setting."""
    if x == 3:
        raise RuntimeError("no result\nfor 3")
    return {"value": x}


def noted(x, folder, delay=0.0):
    """A job that leaves a line for each of its calls, with the process that made it."""
    with (Path(folder) / f"calls-{x}").open("a") as file:
        file.write(f"{os.getpid()}\n")
    time.sleep(delay)
    return {"value": 2 * x}


def lost(x, folder, times=1, lethal=3):
    """A job whose process is killed, as often as `times` says, for one setting."""
    noted(x, folder)
    if x == lethal and len(calls(folder, x)) <= times:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"value": 2 * x}


def calls(folder, x):
    """The processes of the calls of `noted` and `lost` with this x."""
    path = Path(folder) / f"calls-{x}"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def meeting(x, folder):
    """A job that waits until the other of two has begun."""
    noted(x, folder)
    end = time.monotonic() + 60
    while not calls(folder, 1 - x):
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.01)
    return {}


def alone(x, folder):
    """A job that fails while another one runs."""
    lock = os.path.join(folder, "lock")
    os.close(os.open(lock, os.O_CREAT | os.O_EXCL))
    time.sleep(0.05)
    os.unlink(lock)
    return {}

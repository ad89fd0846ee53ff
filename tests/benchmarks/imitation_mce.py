"""Time to an occupancy error of 1e-3, imitation's own stopping rule: `inverse` beside imitation's MCE-IRL.

Each on its own Gymnasium: imitation answers from the environment that `--python` names (see `imitation_numbers.py`).
The same visits are to be met, by a reward that is linear in the same observations. Ours starts at 0, imitation at the
weights that its own test draws. Seconds are those of the processor, on one thread each: others are at work on the
machine. Whether an answer is right is judged by a recursion in numpy, outside of the clock, in imitation's own measure,
which counts the state after the last action too.
"""

import json
import multiprocessing
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro

from pgm_control import TabularMDP, TabularModel, infer
from pgm_control.inverse_rl import ClampedDemonstrator, Demonstrations, Inverse, LinearReward, inverse

from .harness import readable

SEED = 715298  # of imitation's test
ERROR = 1e-3
CALLS = 20  # of ours in a round: one alone would mostly measure a cold cache


@dataclass
class Options:
    """What to run."""

    python: Path
    """of the environment with imitation 1.0.1"""
    rounds: int = 7
    problems: tuple[str, ...] = ("test fixture", "ReasonablePOMDP", "seals/Random-v0")
    tolerance: float = 1e-3
    """of ours: the largest derivative, of a reward of states the largest difference of visits"""


class Theirs:
    """A process that fits when asked."""

    def __init__(self, python: Path, problem: str) -> None:
        server = str(Path(__file__).parent / "imitation_server.py")
        alone = os.environ | {"OMP_NUM_THREADS": "1"}
        command = [str(python), "-W", "ignore", server, problem]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=alone)
        self.problem = self.answer()

    def answer(self) -> dict:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def fit(self) -> dict:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{SEED}\n")
        self.process.stdin.flush()
        return self.answer()


def visits(dynamics: np.ndarray, reward: np.ndarray, start: np.ndarray, horizon: int) -> np.ndarray:
    """Of T + 1 states, by the max-ent policy of a reward of states."""
    v, policies = np.zeros(len(reward)), []
    for _ in range(horizon):
        q = reward[:, None] + dynamics @ v
        v = np.log(np.exp(q - q.max()).sum(-1)) + q.max()
        policies.append(np.exp(q - v[:, None]))
    mass, total = start, start.copy()
    for policy in reversed(policies):
        mass = np.einsum("s,sa,sak->k", mass, policy, dynamics)
        total += mass
    return total


def fits(
    mdp: TabularMDP, occupancies: np.ndarray, seen: np.ndarray, tolerance: float
) -> dict[str, Callable[[], Inverse]]:
    """Ours, by name."""
    model, demonstrator = TabularModel(mdp), ClampedDemonstrator("matching")

    def features() -> Inverse:
        demonstrations = Demonstrations.from_occupancies(mdp, occupancies)
        # a derivative by the weight of a feature is visits times the feature, and differences may cancel in the sum
        largest = 0.5 * tolerance * float(np.abs(seen).max())
        return inverse(model, demonstrations, LinearReward(mdp, seen), demonstrator, tolerance=largest)

    def states() -> Inverse:
        demonstrations = Demonstrations.from_occupancies(mdp, occupancies)
        return inverse(model, demonstrations, "state", demonstrator, tolerance=tolerance)

    return {"pgm-control, the same features": features, "pgm-control, a number a state": states}


def first(dynamics: np.ndarray, start: np.ndarray, horizon: int, *given: Any) -> tuple[float, float]:
    """Seconds on the wall, and of the processor, of the first fit in this process; imports are over."""
    mdp = TabularMDP.from_dense(start, dynamics, np.zeros(dynamics.shape[:2]), horizon)
    call = next(iter(fits(mdp, *given).values()))
    wall, processor = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - processor


def print_first_calls(*arguments: Any) -> None:
    """In two processes of their own: with nothing compiled yet, and with what the first left in numba's cache."""
    with tempfile.TemporaryDirectory() as cache:
        os.environ["NUMBA_CACHE_DIR"] = cache
        for state in ("with nothing compiled yet", "compiled by an earlier process"):
            with multiprocessing.get_context("spawn").Pool(1) as fresh:
                wall, processor = fresh.apply(first, arguments)
            print(f"  our first call, {state}: {readable(wall)}, of which the processor works {readable(processor)}")
        del os.environ["NUMBA_CACHE_DIR"]


def race(options: Options, name: str) -> None:
    """Print a table of one problem."""
    theirs = Theirs(options.python, name)
    horizon = theirs.problem.pop("horizon")
    dynamics, seen, reward, start = (np.array(each, dtype=np.float64) for each in theirs.problem.values())
    dynamics, start = dynamics / dynamics.sum(-1, keepdims=True), start / start.sum()  # theirs were in float32
    mdp = TabularMDP.from_dense(start, dynamics, np.repeat(reward[:, None], dynamics.shape[1], 1), horizon)
    occupancies = infer(TabularModel(mdp), 0.0).marginals().state_action.numpy()
    ours = fits(mdp, occupancies, seen, options.tolerance)
    goal, times = visits(dynamics, reward, start, horizon), {each: [] for each in ("imitation", *ours)}
    errors = {}
    for round_ in range(options.rounds + 1):  # the first is not counted
        answer = theirs.fit()
        errors["imitation"] = answer["error"]
        times["imitation"].append(answer["seconds"])
        for each, call in ours.items():
            found = call()
            begun = time.process_time()
            for _ in range(CALLS):
                found = call()
            times[each].append((time.process_time() - begun) / CALLS)
            if round_ == 0:
                learned = found.table.amax(-1)[:, 0].numpy()
                errors[each] = float(np.abs(visits(dynamics, learned, start, horizon) - goal).max())
    theirs.process.terminate()
    states_, actions, _ = dynamics.shape
    print(f"{name}: S = {states_}, A = {actions}, T = {horizon}")
    for each, seconds in times.items():
        ratio = statistics.median(a / b for a, b in zip(times["imitation"][1:], seconds[1:], strict=True))
        median = statistics.median(seconds[1:])
        reached = "" if errors[each] <= ERROR else "  NOT MET"
        print(f"  {each:<34} {readable(median):>9} {ratio:>7.0f} x  error {errors[each]:.1e}{reached}")
    if name == options.problems[0]:
        print_first_calls(dynamics, start, horizon, occupancies, seen, options.tolerance)


if __name__ == "__main__":
    torch.set_num_threads(1)
    options_ = tyro.cli(Options)
    for problem in options_.problems:
        race(options_, problem)

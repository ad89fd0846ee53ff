"""Time to an occupancy error of 1e-3, the stopping rule of imitation: `inverse` beside MCE-IRL of imitation.

The two need different versions of Gymnasium, so imitation runs in the environment that `--python` names (see
`imitation_numbers.py`). Both match the same occupancies, by a reward that is linear in the same observations. Ours
starts at 0, imitation at the weights that its own test draws. Seconds are CPU time of one thread each, since the
machine is shared. A recursion in numpy, which is not timed, checks each answer by the measure of imitation, which also
counts the state after the last action.
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

SEED = 715298  # the seed of imitation's test
ERROR = 1e-3
CALLS = 20  # our calls per round: a single call would mostly measure a cold cache


@dataclass
class Options:
    """Options of the benchmark."""

    python: Path
    """the interpreter of the environment with imitation 1.0.1"""
    rounds: int = 7
    problems: tuple[str, ...] = ("test fixture", "ReasonablePOMDP", "seals/Random-v0")
    tolerance: float = 1e-3
    """tolerance of `inverse`: the largest derivative; for a reward of states, the largest difference of visits"""


class Theirs:
    """A process that runs fits of imitation on request."""

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
    """Expected visits of states at T + 1 times, under the max-ent policy of a reward of states."""
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
    """Our contestants, by name."""
    model, demonstrator = TabularModel(mdp), ClampedDemonstrator("matching")

    def features() -> Inverse:
        demonstrations = Demonstrations.from_occupancies(mdp, occupancies)
        # a derivative by the weight of a feature is a sum of visits times the feature, in which differences may cancel
        largest = 0.5 * tolerance * float(np.abs(seen).max())
        return inverse(model, demonstrations, LinearReward(mdp, seen), demonstrator, tolerance=largest)

    def states() -> Inverse:
        demonstrations = Demonstrations.from_occupancies(mdp, occupancies)
        return inverse(model, demonstrations, "state", demonstrator, tolerance=tolerance)

    return {"pgm-control, the same features": features, "pgm-control, a number a state": states}


def first(dynamics: np.ndarray, start: np.ndarray, horizon: int, *given: Any) -> tuple[float, float]:
    """Wall time and CPU time, in seconds, of the first fit in this process, after all imports."""
    mdp = TabularMDP.from_dense(start, dynamics, np.zeros(dynamics.shape[:2]), horizon)
    call = next(iter(fits(mdp, *given).values()))
    wall, processor = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - processor


def print_first_calls(*arguments: Any) -> None:
    """Print the times of first fits in two new processes: with an empty cache of numba, and with a filled one."""
    with tempfile.TemporaryDirectory() as cache:
        os.environ["NUMBA_CACHE_DIR"] = cache
        for state in ("with an empty cache", "with a filled cache"):
            with multiprocessing.get_context("spawn").Pool(1) as fresh:
                wall, processor = fresh.apply(first, arguments)
            print(f"  our first call, {state}: {readable(wall)}, CPU time {readable(processor)}")
        del os.environ["NUMBA_CACHE_DIR"]


def race(options: Options, name: str) -> None:
    """Print the table of one problem."""
    theirs = Theirs(options.python, name)
    horizon = theirs.problem.pop("horizon")
    dynamics, seen, reward, start = (np.array(each, dtype=np.float64) for each in theirs.problem.values())
    dynamics, start = dynamics / dynamics.sum(-1, keepdims=True), start / start.sum()  # imitation stores float32
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
        reached = "" if errors[each] <= ERROR else "  ERROR TOO LARGE"
        print(f"  {each:<34} {readable(median):>9} {ratio:>7.0f} x  error {errors[each]:.1e}{reached}")
    if name == options.problems[0]:
        print_first_calls(dynamics, start, horizon, occupancies, seen, options.tolerance)


if __name__ == "__main__":
    torch.set_num_threads(1)
    options_ = tyro.cli(Options)
    for problem in options_.problems:
        race(options_, problem)

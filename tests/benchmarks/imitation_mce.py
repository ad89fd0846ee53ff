"""Time to an occupancy error of 1e-3, imitation's own stopping rule: `inverse` beside imitation's MCE-IRL.

Each on its own Gymnasium: imitation answers from the environment that `--python` names (see `imitation_numbers.py`).
The same visits are to be met, by a reward that is linear in the same observations. Ours starts at 0, imitation at the
weights that its own test draws. Whether an answer is right is judged by a recursion in numpy, outside of the clock, in
imitation's own measure, which counts the state after the last action too.
"""

import json
import os
import statistics
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

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


def visits(dice: np.ndarray, reward: np.ndarray, start: np.ndarray, horizon: int) -> np.ndarray:
    """Of T + 1 states, by the max-ent policy of a reward of states."""
    v, policies = np.zeros(len(reward)), []
    for _ in range(horizon):
        q = reward[:, None] + dice @ v
        v = np.log(np.exp(q - q.max()).sum(-1)) + q.max()
        policies.append(np.exp(q - v[:, None]))
    mass, total = start, start.copy()
    for policy in reversed(policies):
        mass = np.einsum("s,sa,sak->k", mass, policy, dice)
        total += mass
    return total


def race(options: Options, name: str) -> None:
    """Print a table of one problem."""
    theirs = Theirs(options.python, name)
    horizon = theirs.problem.pop("horizon")
    dice, seen, reward, start = (np.array(each, dtype=np.float64) for each in theirs.problem.values())
    dice, start = dice / dice.sum(-1, keepdims=True), start / start.sum()  # theirs were in float32
    mdp = TabularMDP.from_dense(start, dice, np.repeat(reward[:, None], dice.shape[1], 1), horizon)
    model = TabularModel(mdp)
    occupancies = infer(model, 0.0).state_action_marginals()
    who = ClampedDemonstrator("matching")

    def features() -> Inverse:
        demonstrations = Demonstrations.from_occupancies(mdp, occupancies)
        # a derivative by the weight of a feature is visits times the feature, and differences may cancel in the sum
        tolerance = 0.5 * options.tolerance * float(np.abs(seen).max())
        return inverse(model, demonstrations, LinearReward(mdp, seen), who, tolerance=tolerance)

    def states() -> Inverse:
        demonstrations = Demonstrations.from_occupancies(mdp, occupancies)
        return inverse(model, demonstrations, "state", who, tolerance=options.tolerance)

    ours = {"pgm-control, the same features": features, "pgm-control, a number a state": states}
    goal, times = visits(dice, reward, start, horizon), {each: [] for each in ("imitation", *ours)}
    begun = time.perf_counter()
    features()
    first, errors = time.perf_counter() - begun, {}
    for round_ in range(options.rounds + 1):  # the first is not counted
        answer = theirs.fit()
        errors["imitation"] = answer["error"]
        times["imitation"].append(answer["seconds"])
        for each, call in ours.items():
            found = call()
            begun = time.perf_counter()
            for _ in range(CALLS):
                found = call()
            times[each].append((time.perf_counter() - begun) / CALLS)
            if round_ == 0:
                learned = found.table.amax(-1)[:, 0].numpy()
                errors[each] = float(np.abs(visits(dice, learned, start, horizon) - goal).max())
    theirs.process.terminate()
    states_, actions, _ = dice.shape
    print(f"{name}: S = {states_}, A = {actions}, T = {horizon}; our first call, with compiling: {readable(first)}")
    for each, seconds in times.items():
        ratio = statistics.median(a / b for a, b in zip(times["imitation"][1:], seconds[1:], strict=True))
        median = statistics.median(seconds[1:])
        met = "" if errors[each] <= ERROR else "  NOT MET"
        print(f"  {each:<34} {readable(median):>9} {ratio:>7.0f} x  error {errors[each]:.1e}{met}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    options_ = tyro.cli(Options)
    for problem in options_.problems:
        race(options_, problem)

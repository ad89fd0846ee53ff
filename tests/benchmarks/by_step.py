"""A posterior whose whole tables do not fit into memory: a grid of 400 × 400 cells and 1000 steps in 6 GB.

(ulimit -v 6000000; python -m tests.benchmarks.by_step [--side 400] [--horizon 1000] [--optimism 1.0] [--forward])
"""

import argparse
import resource
import time

import numpy as np
import torch

from pgm_control import InvalidArgument, TabularMDP, TabularModel, infer

MOVES = (0, -1), (1, 0), (0, 1), (-1, 0)
SLIP = 0.2


def grid(side: int, horizon: int) -> TabularMDP:
    """Slippery moves to a goal in the opposite corner, at a cost of 1 per step; the goal absorbs."""
    row, column = np.divmod(np.arange(side * side), side)
    ends = [np.clip(row + i, 0, side - 1) * side + np.clip(column + j, 0, side - 1) for i, j in MOVES]
    turned = [[ends[(a + turn) % 4] for turn in (0, 1, -1)] for a in range(4)]
    successor = np.stack([np.stack(each, -1) for each in turned], 1).astype(np.int32)
    successor[-1] = side * side - 1
    probability = np.broadcast_to([1 - SLIP, SLIP / 2, SLIP / 2], successor.shape)
    reward = np.full(successor.shape, -1.0)
    reward[-1] = 0.0
    return TabularMDP(np.eye(1, side * side)[0], probability, successor, reward, horizon)


def peak() -> float:
    """The largest resident memory so far, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=400)
    parser.add_argument("--horizon", type=int, default=1000)
    parser.add_argument("--optimism", type=float, default=1.0)
    parser.add_argument("--forward", action="store_true", help="the visits and the imagined return too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model, begin = TabularModel(grid(options.side, options.horizon), temperature=0.2), time.perf_counter()
    found = infer(model, options.optimism)
    print(f"infer: {time.perf_counter() - begin:.1f} s, peak {peak():.2f} GB, objective {found.objective:.9g} nats")
    begin = time.perf_counter()
    step = found.at(options.horizon // 2)
    print(f"one step: {time.perf_counter() - begin:.2f} s, P(right) at the start {float(step.blocks.policy[0, 2]):.9f}")
    if options.forward:
        begin = time.perf_counter()
        visits = found.visits()
        at_goal = float(visits.state[-1, -1])
        print(f"visits: {time.perf_counter() - begin:.1f} s, peak {peak():.2f} GB, return {visits.imagined_return:.9g}")
        print(f"believed to be at the goal in the end: {at_goal:.9f}")
    try:
        print(f"whole tables: {tuple(found.dynamics.shape)}, {float(found.policy[options.horizon // 2, 0, 2]):.9f}")
    except InvalidArgument as refusal:
        print(f"whole tables: {refusal}")


if __name__ == "__main__":
    main()

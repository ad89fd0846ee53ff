"""A server for MCE-IRL of imitation, for a separate environment: it reads seeds, and writes the CPU time of each fit.

`imitation_mce.py` starts this process and sends the seeds.
"""

import json
import sys
import time
from importlib import import_module

import numpy as np
from torch import manual_seed, set_num_threads

PROBLEMS = import_module("imitation_numbers").PROBLEMS
mce_irl, reward_nets, logger = (
    import_module(f"imitation.{name}") for name in ("algorithms.mce_irl", "rewards.reward_nets", "util.logger")
)
MOST = 10_000  # iterations; from some starts it does not converge


def net(env):
    """The linear reward from imitation's own test."""
    return reward_nets.BasicRewardNet(
        env.observation_space, env.action_space, use_action=False, use_next_state=False, use_done=False, hid_sizes=[]
    )


def main() -> None:
    """Write the problem, then one line for each fit."""
    set_num_threads(1)
    env = PROBLEMS[sys.argv[1]]()
    _, _, policy = mce_irl.mce_partition_fh(env)
    _, visits = mce_irl.mce_occupancy_measures(env, pi=policy)
    names = ("transition_matrix", "observation_matrix", "reward_matrix", "initial_state_dist")
    print(json.dumps({name: getattr(env, name).tolist() for name in names} | {"horizon": env.horizon}), flush=True)
    quiet = logger.configure(format_strs=[])
    for line in sys.stdin:
        manual_seed(int(line))
        start = time.process_time()
        fit = mce_irl.MCEIRL(
            visits, env, net(env), np.random.default_rng(0), linf_eps=1e-3, log_interval=None, custom_logger=quiet
        )
        found = fit.train(max_iter=MOST)
        seconds = time.process_time() - start
        print(json.dumps({"seconds": seconds, "error": float(np.abs(found - visits).max())}), flush=True)


if __name__ == "__main__":
    main()

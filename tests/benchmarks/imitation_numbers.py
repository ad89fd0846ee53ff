"""Reference values from imitation: maximum causal entropy on its own fixtures, which our tests compare with.

imitation pins an old version of Gymnasium, so it needs a separate environment, in which only this file and
`imitation_server.py` run:

    python3 -m venv THERE && THERE/bin/pip install imitation==1.0.1
    THERE/bin/python tests/benchmarks/imitation_numbers.py
"""

import json
from importlib import import_module

import numpy as np


def reasonable():
    """The `ReasonablePOMDP` of imitation's tests/algorithms/test_mce_irl.py, which its package does not include."""
    transition = np.zeros((5, 3, 5))
    transition[0, 0, [1, 2]] = 0.9, 0.1
    transition[0, 2, [1, 2]] = 0.1, 0.9
    transition[1:3, 0, [3]], transition[1:3, 0, [4]] = 0.05, 0.95
    transition[:3, 1, 3] = transition[1:3, 2, 4] = 1.0
    transition[3, :, 4] = transition[4, :, 0] = 1.0
    seen = [
        [3, -5, -1, -1, -4, 5, 3, 0],
        [4, -4, 2, 2, -4, -1, -2, -2],
        [3, -1, 5, -1, 0, 2, -5, 2],
        [-5, -1, 4, 1, 4, 1, 5, 3],
        [2, -5, 1, -5, 1, 4, 4, -3],
    ]
    return import_module("seals.base_envs").TabularModelPOMDP(
        transition_matrix=transition,
        observation_matrix=np.array(seen),
        reward_matrix=np.array([1, 2, 2, -20, 3]),
        horizon=20,
        initial_state_dist=np.array([0.5, 0, 0, 0, 0.5]),
    )


def small():
    """The fixture `random_mdp` of the same file."""
    return import_module("seals.diagnostics.random_trans").RandomTransitionEnv(
        n_states=5, n_actions=3, branch_factor=2, horizon=10, random_obs=False, obs_dim=None, generator_seed=42
    )


def random():
    """`seals/Random-v0`."""
    import_module("seals")
    return import_module("gymnasium").make("seals/Random-v0").unwrapped


PROBLEMS = {"test fixture": small, "ReasonablePOMDP": reasonable, "seals/Random-v0": random}


def main() -> None:
    """Print values, visits and policy, with the discount and without."""
    mce = import_module("imitation.algorithms.mce_irl")
    env = reasonable()
    for discount in (1.0, 0.9):
        v, _, policy = mce.mce_partition_fh(env, discount=discount)
        by_time, visits = mce.mce_occupancy_measures(env, pi=policy, discount=discount)
        numbers = {"V_0": v[0], "visits": visits, "policy_0": policy[0], "where at the end": by_time[-1]}
        print(json.dumps({"discount": discount, **{name: each.round(9).tolist() for name, each in numbers.items()}}))


if __name__ == "__main__":
    main()

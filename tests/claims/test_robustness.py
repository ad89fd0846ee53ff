"""Max-ent and a wrong model: the adversary of rewards, and lives in other worlds, by dynamic programming in numpy."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from scipy.optimize import minimize

from pgm_control import TabularMDP, TabularModel, evaluate, infer

COLD = 1e-3


def lake(success):
    slips = {"is_slippery": False} if success == 1 else {"is_slippery": True, "success_rate": success}
    world: Any = gymnasium.make("FrozenLake-v1", **slips).unwrapped
    return world.P


def arrives(table, policy):
    """The probability of reaching the goal of the lake within 100 steps, policy[t, s, a]."""
    value = np.zeros(16)
    for t in reversed(range(100)):
        q = [[sum(p * (r + (not end) * value[to]) for p, to, r, end in table[s][a]) for a in range(4)] for s in table]
        value = (policy[t, :16] * np.array(q)).sum(1)
    return value[0]


def hard_policies(table, discount):
    value, rows = np.zeros(16), {"first": [], "last": [], "shared": []}
    for _ in range(100):
        q = np.array(
            [
                [sum(p * (r + discount * (not end) * value[to]) for p, to, r, end in table[s][a]) for a in range(4)]
                for s in table
            ]
        )
        value = q.max(1)
        best = q >= value[:, None] - 1e-12
        rows["first"].append(np.eye(4)[best.argmax(1)])
        rows["last"].append(np.eye(4)[3 - best[:, ::-1].argmax(1)])
        rows["shared"].append(best / best.sum(1, keepdims=True))
    return {name: np.array(each[::-1]) for name, each in rows.items()}


@pytest.mark.parametrize(
    ("discount", "known"),
    [
        (1.0, {"first": 0.061, "last": 0.312, "shared": 0.139, "max-ent": 0.503}),
        (0.99, {"first": 0.734, "last": 0.602, "shared": 0.643, "max-ent": 0.652}),
    ],
)
def test_the_lake_planned_without_slips_and_lived_with_success_08(discount, known):
    policies = hard_policies(lake(1.0), discount)
    mdp = TabularMDP.from_gymnasium(gymnasium.make("FrozenLake-v1", is_slippery=False), 100).replace(discount=discount)
    policies["max-ent"] = infer(TabularModel(mdp, COLD), 0.0).policy.numpy()
    for name, policy in policies.items():
        assert arrives(lake(1.0), policy) == pytest.approx(1.0, abs=1e-6)
        assert arrives(lake(0.8), policy) == pytest.approx(known[name], abs=6e-4), name


@pytest.mark.parametrize("seed", range(4))
def test_the_worst_rewards_of_the_set_are_those_of_the_claim(seed):
    """One decision, any policy: an optimiser over rewards finds r - τ log π/ρ; the objective is what they earn.

    The flat minimum is found to 1e-3, its value to 1e-6.
    """
    rng = np.random.default_rng(seed)
    reward, prior, policy, tau = rng.normal(size=3), rng.dirichlet(np.ones(3)), rng.dirichlet(np.ones(3)), 0.7
    found = minimize(
        lambda worse: policy @ worse,
        reward - 0.1,
        method="SLSQP",
        constraints={"type": "ineq", "fun": lambda worse: -tau * np.log(prior @ np.exp((reward - worse) / tau))},
        options={"ftol": 1e-14, "maxiter": 500},
    )
    np.testing.assert_allclose(found.x, reward - tau * np.log(policy / prior), atol=1e-3)
    mdp = TabularMDP([1.0], np.ones((1, 3, 1)), np.zeros((1, 3, 1), int), reward[None, :, None], horizon=1)
    model = TabularModel(mdp, tau, prior[None])
    assert tau * evaluate(model, policy[None, None]).elbo == pytest.approx(found.fun, abs=1e-6)
    assert infer(model, 0.0).value >= found.fun

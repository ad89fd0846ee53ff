"""The clamped objective of a policy as what it earns under the worst of a set of rewards (arXiv:2103.06257)."""

import numpy as np
import pytest
import torch
from problems import random_mdp
from scipy.optimize import minimize

from pgm_control import TabularModel, infer


@pytest.mark.parametrize("seed", range(4))
def test_soft_values_are_the_best_of_the_worst_cases(seed):
    """A general solver finds no worse rewards than r − τ log π/ρ, and these attain V_soft."""
    model = TabularModel(random_mdp(seed=seed, states=2, actions=2, outcomes=2, horizon=2), 0.7)
    found, tau = infer(model, 0.0), model.temperature
    visits, policy = found.marginals().state[:-1].numpy(), found.policy.numpy()
    reward = (model.mdp.probability * model.mdp.reward).sum(-1).numpy()
    prior = np.broadcast_to(model.action_prior.numpy() if model.action_prior is not None else 0.5, policy.shape)

    def earned(raised):
        return float((visits[..., None] * policy * (reward - raised.reshape(policy.shape))).sum())

    def spent(raised):
        return float((visits * tau * np.log((prior * np.exp(raised.reshape(policy.shape) / tau)).sum(-1))).sum())

    known = tau * np.log(policy / prior)
    assert abs(spent(known)) < 1e-12
    assert earned(known) == pytest.approx(found.value, abs=1e-12)
    rng = np.random.default_rng(seed)
    limit = {"type": "ineq", "fun": lambda raised: -spent(raised)}
    worst = minimize(earned, rng.normal(size=policy.size), constraints=limit, method="SLSQP", options={"ftol": 1e-13})
    assert worst.fun == pytest.approx(found.value, abs=1e-6)


def test_another_policy_has_a_worse_worst_case():
    model = TabularModel(random_mdp(seed=5, states=2, actions=2, outcomes=2, horizon=2), 0.7)
    uniform = torch.full_like(infer(model, 0.0).policy, 0.5)
    plain = (model.mdp.probability * model.mdp.reward).sum(-1)
    value = torch.zeros(2, dtype=torch.float64)
    for _ in range(2):  # its worst rewards are the true ones: log π/ρ = 0
        value = (uniform[0] * (plain + (model.mdp.probability * value[model.mdp.successor]).sum(-1))).sum(-1)
    assert float(model.mdp.initial @ value) < infer(model, 0.0).value

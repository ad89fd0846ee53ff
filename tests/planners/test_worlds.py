"""Models as simulators: one step against its formula, and free values against exact ones."""

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from linear_quadratics import scalar

from pgm_control import (
    ContinuousModel,
    GaussianPrior,
    LinearQuadratic,
    LinearQuadraticModel,
    TabularMDP,
    TabularModel,
    infer,
)
from pgm_control.planners import MPPI
from pgm_control.planners.worlds.by_kind import world_of
from pgm_control.planners.worlds.categorical_proposal import CategoricalProposal

FEW = {"num_plans": 16, "num_noise_samples": 2, "seed": 0}


def test_a_step_of_a_linear_quadratic_model_is_its_formula():
    """Without noise, with every term, and with tables by time."""
    random = np.random.default_rng(0)
    T, n, m = 3, 2, 2
    A, B, d = random.normal(size=(T, n, n)), random.normal(size=(T, n, m)), random.normal(size=(T, n))
    root = random.normal(size=(T, n + m, n + m))
    C, c, k = root @ root.transpose(0, 2, 1), random.normal(size=(T, n + m)), random.normal(size=T)
    P, p, v = np.diag([2.0, 1.0]), random.normal(size=n), 0.7
    problem = LinearQuadratic(
        A, B, np.zeros((n, n)), C, horizon=T, initial_mean=np.zeros(n), c=c, k=k, d=d, final_cost=(P, p, v)
    )
    gain, offset, U = random.normal(size=(m, n)), random.normal(size=m), np.array([[2.0, 0.3], [0.3, 1.0]])
    world = world_of(LinearQuadraticModel(problem, 0.5, GaussianPrior(gain, offset, U)))
    s, a = random.normal(size=n), random.normal(size=m)
    state, action = (torch.from_numpy(each)[None, None, None] for each in (s, a))
    for t in range(T):
        z, ahead = np.concatenate((s, a)), A[t] @ s + B[t] @ a + d[t]
        reward = -(0.5 * z @ C[t] @ z + c[t] @ z + k[t])
        if t == T - 1:
            reward -= 0.5 * ahead @ P @ ahead + p @ ahead + v
        moved = world.move(t, state, action)
        assert moved.state[0, 0, 0].numpy() == pytest.approx(ahead, rel=1e-12)
        assert float(moved.reward) == pytest.approx(reward, rel=1e-12)
        off = a - gain @ s - offset
        density = -0.5 * off @ np.linalg.inv(U) @ off - 0.5 * np.linalg.slogdet(2 * np.pi * U)[1]
        assert float(world.log_prior(t, state, action)) == pytest.approx(density, rel=1e-12)


def test_plans_of_a_table_are_drawn_with_the_density_that_is_said():
    found = torch.tensor([[[0.0, 0.9, 0.1], [1.0, 0.0, 0.0]]], dtype=torch.float64)
    proposal = CategoricalProposal(found, torch.full_like(found, 1 / 3))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        drawn = proposal.draw(40_000)
    every = torch.arange(3)[None, :, None].expand(1, 3, 2)
    density = proposal.log_density(every)[0].exp()
    assert density.sum(0).tolist() == pytest.approx([1.0, 1.0], rel=1e-12)
    for step in range(2):
        often = drawn[0, :, step].bincount(minlength=3) / 40_000
        assert often.tolist() == pytest.approx(density[:, step].tolist(), abs=0.01)


@pytest.mark.parametrize("sweeps", [1, 3])
def test_a_table_by_time_with_a_prior_and_a_final_reward_has_its_free_value(sweeps):
    generator = torch.Generator().manual_seed(0)
    T, S, A = 3, 4, 3

    def table(*shape):
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    p, prior = table(T, S, A, 2), table(T, S, A)
    prior[:, 2, 0] = 0.0
    successor = torch.randint(S, (S, A, 2), generator=generator)
    reward = table(T, S, A, 2)
    reward[1, 1, 1, 0] = -torch.inf
    mdp = TabularMDP([1.0, 0.0, 0.0, 0.0], p / p.sum(-1, keepdim=True), successor, reward, T, final_reward=2 * table(S))
    model = TabularModel(mdp, 0.5, prior / prior.sum(-1, keepdim=True))
    planner = MPPI(model, optimism=1.0, num_plans=40_000, num_noise_samples=1, num_sweeps=sweeps, seed=0)
    value = infer(model, 1.0).v
    for t in (0, 1, 2):
        assert planner.plan([0, 1, 2, 3], t).value.tolist() == pytest.approx(value[t].tolist(), abs=0.03)


def test_a_model_over_vectors_has_its_free_value_in_reward_units():
    zero = torch.zeros(1, dtype=torch.float64)
    model = ContinuousModel(
        dist.Delta(zero + 1.0).to_event(1), lambda t, s, a: dist.Normal(0.9 * s + 0.5 * a, 0.3**0.5).to_event(1),
        lambda t, s, a, ahead: (-0.5 * s**2 - 0.1 * a**2 - 0.1 * t * a).sum(-1), 3, 0.5,
        dist.Normal(zero, 2.0).to_event(1), lambda last: -(last**2).sum(-1),
    )  # fmt: skip
    linear = np.zeros((3, 2))
    linear[:, 1] = 0.1 * np.arange(3)
    problem = scalar().replace(horizon=3).replace(c=linear, final_cost=2.0)
    exact = infer(LinearQuadraticModel(problem, 0.5, 4.0), 1.0)
    planner = MPPI(model, optimism=1.0, num_plans=20_000, num_noise_samples=4, num_sweeps=2, seed=0)
    for t in (0, 2):
        value = float(exact.v(t, torch.ones(1, 1, dtype=torch.float64))[0])
        assert float(planner.plan([1.0], t).value[0]) == pytest.approx(value, abs=0.03)

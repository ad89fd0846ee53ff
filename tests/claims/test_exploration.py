"""Exploration: the learners of the example against exact values and the law of the random walk."""

import numpy as np
import pytest
import torch
from gallery_examples import example

from pgm_control import TabularModel, infer


@pytest.fixture(scope="module")
def shown():
    return example("38_exploration")


def test_the_worlds_are_those_of_the_page(shown):
    """Shortest ways of 2 and 15 steps in the rooms; in the sea one sequence of actions of 1,024 ends at the 1."""
    rooms, sea = shown.rooms(), shown.sea()
    to, pays = rooms.successor[..., 0].numpy(), rooms.reward[..., 0].numpy()
    first, reached, steps = {}, {int(rooms.initial.argmax())}, 0
    while len(first) < 2:
        steps += 1
        for reward in (0.2, 1.0):
            if any((pays[s] == reward).any() for s in reached):
                first.setdefault(reward, steps)
        reached = {int(each) for s in reached for each in to[s]}
    assert first == {0.2: 2, 1.0: 15}
    walk = torch.full((sea.horizon, sea.num_states, 2), 0.5, dtype=torch.float64)
    here, arrives = sea.initial.clone(), 0.0
    for t in range(sea.horizon):
        arrives += float((here[:, None] * walk[t] * (sea.reward[..., 0] > 0.5)).sum())
        here = torch.zeros_like(here).index_add_(
            0, sea.successor.flatten(), (here[:, None, None] * walk[t][..., None]).flatten()
        )
    assert arrives == pytest.approx(2**-10)


@pytest.mark.slow
def test_the_random_walk_finds_the_treasure_as_often_as_chance_says(shown):
    """1 − (1 − 2⁻¹⁰)¹⁰⁰⁰ = .624 of 400 runs of 1,000 episodes, within four standard errors."""
    *_, found, _ = shown.learn(shown.sea(), shown.Args(runs=400), boltzmann=np.inf)
    expected = 1 - (1 - 2**-10) ** 1000
    assert found.mean() == pytest.approx(expected, abs=4 * (expected * (1 - expected) / 400) ** 0.5)


def test_a_soft_learner_converges_to_the_exact_values(shown):
    """In a sea of 3 rows, whose 6 states are visited at one time each."""
    sea = shown.sea(3)
    q = shown.learn(sea, shown.Args(runs=4, steps=4000), tau=0.3)[2]
    exact, times = infer(TabularModel(sea, 0.3), 0.0).q.numpy(), [0, 1, 1, 2, 2, 2]
    expected = np.stack([exact[t, s] for s, t in enumerate(times)])
    np.testing.assert_allclose(q[:, :6], np.broadcast_to(expected, (4, 6, 2)), atol=1e-6)


def test_an_optimistic_learner_converges_to_the_hard_values_on_its_way(shown):
    sea = shown.sea(3)
    q = shown.learn(sea, shown.Args(runs=4, steps=4000), first=1.0)[2]
    exact = infer(TabularModel(sea, 0.0), 0.0).q
    for t, s in enumerate((0, 2, 5)):
        np.testing.assert_allclose(q[:, s, 1], float(exact[t, s, 1]), atol=1e-6)


@pytest.mark.slow
def test_coverage_rises_with_the_temperature_and_optimism_covers_all(shown):
    covered = {}
    for name in ("soft, τ = .01", "soft, τ = .05", "soft, τ = .2", "hard, ε = .1", "hard, Q = 1 at first"):
        found = shown.learn(shown.rooms(), shown.Args(runs=40, steps=8000), **shown.LEARNERS[name])
        covered[name] = found[0][-1].mean()
    assert found[4].all()  # the last learner reaches the 1
    assert covered["soft, τ = .01"] + 0.05 < covered["soft, τ = .05"] < covered["soft, τ = .2"] - 0.05
    assert covered["soft, τ = .01"] + 0.05 < covered["hard, ε = .1"] < covered["soft, τ = .05"] - 0.1
    assert covered["hard, Q = 1 at first"] == 1

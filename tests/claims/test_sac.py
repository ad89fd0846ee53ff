"""SAC in both forms: the quadrature of the example against its environment and an integral, and what is learned."""

import math

import numpy as np
import pytest
from gallery_examples import example
from scipy.integrate import quad

from pgm_control.learners import SAC, OriginalSAC


@pytest.fixture(scope="module")
def shown():
    return example("39_sac_in_both_forms")


def test_the_environment_pays_what_the_quadrature_says(shown):
    """The return of the prior over 4,000 episodes, within five standard errors."""
    uniform = np.full((len(shown.X), len(shown.A)), 1 / len(shown.A))
    expected = shown.backwards(0.3, lambda t, q: uniform)[1][shown.MID]
    world, rng, returns = shown.Walk(), np.random.default_rng(0), []
    world.reset(seed=0)
    for _ in range(4000):
        world.reset()
        total, ends = 0.0, False
        for t in range(shown.HORIZON):
            _, reward, ends, _, _ = world.step(rng.uniform(-1, 1, 1))
            total += 0.99**t * reward
        assert ends
        returns.append(total)
    assert np.mean(returns) == pytest.approx(expected, abs=5 * np.std(returns) / math.sqrt(4000))


def test_the_last_step_of_the_optimum_is_an_integral(shown, monkeypatch):
    monkeypatch.setattr(shown, "HORIZON", 1)
    policy, v = shown.optimum(0.3)
    for x in (-1.0, 0.0, 0.7, 1.5):
        whole = quad(lambda a, x=x: 0.5 * math.exp(-((x + a - 1.5) ** 2 + shown.WIND**2) / 0.3), -1, 1)[0]
        n = int(np.abs(shown.X - x).argmin())
        assert v[n] == pytest.approx(0.3 * math.log(whole), abs=1e-3)
        assert policy[0][n].sum() == pytest.approx(1)


def test_the_best_gaussian_lies_between_other_gaussians_and_the_optimum(shown):
    top, best = shown.optimum(0.3)[1], shown.best_gaussian(0.3)[1]
    assert (best <= top + 1e-9).all()
    rng = np.random.default_rng(0)
    for _ in range(10):
        mean, scale = rng.uniform(-3, 3, (len(shown.X), 1)), rng.choice([0.2, 0.5, 1.0])
        z = (np.arctanh(shown.A) - mean) / scale
        p = np.exp(-0.5 * z**2) / (1 - shown.A**2)
        p /= p.sum(1, keepdims=True)
        assert shown.backwards(0.3, lambda t, q, p=p: p)[1][shown.MID] < best[shown.MID] + 0.01
    assert 0.05 < (top - best)[shown.MID] / 0.3 < 0.3


@pytest.mark.slow
@pytest.mark.parametrize("kind", [OriginalSAC, SAC])
def test_both_forms_come_near_to_the_optimum(shown, kind):
    learner = kind(
        shown.Walk, temperature=0.3, discount=0.99, hidden=(32, 32), learning_rate=5e-3, batch_size=64, num_envs=8,
        learning_starts=1000, target_rate=0.05, seed=3,
    )  # fmt: skip
    learner.learn(5000)
    _, v, _ = shown.read(learner, 0.3)
    assert 0 < (shown.optimum(0.3)[1] - v)[shown.MID] / 0.3 < 0.6

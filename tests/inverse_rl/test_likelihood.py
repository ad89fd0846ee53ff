"""Likelihoods of batches of rewards, compared with a recursion in plain Python and with finite differences."""

import math

import numpy as np
import pytest
import torch
from problems import random_mdp
from torch.autograd import gradcheck, gradgradcheck

from pgm_control import TabularModel
from pgm_control.inverse_rl import Demonstrations
from pgm_control.inverse_rl.likelihood import soft_log_likelihood


def observed(seed, discount=0.9):
    """Return a model with an action prior and three possible recordings of different lengths, one without its end."""
    mdp = random_mdp(seed, horizon=4, discount=discount)
    rng = np.random.default_rng(seed)
    states, actions = [], []
    for length in (4, 3, 2):
        s, seen, done = int(rng.integers(3)), [], []
        for _ in range(length):
            a = int(rng.integers(2))
            k = rng.choice(3, p=mdp.probability[s, a].numpy())
            seen.append(s)
            done.append(a)
            s = int(mdp.successor[s, a, k])
        states.append([*seen, s] if length < 4 else seen)
        actions.append(done)
    model = TabularModel(mdp, 0.7, rng.dirichlet(np.ones(2), 3))
    return model, Demonstrations.from_trajectories(mdp, states, actions), states, actions


def by_hand(model, states, actions, reward, last, tau, beta, believed):
    """Return the log-likelihood, by loops over times, states, actions and outcomes."""
    mdp, prior = model.mdp, model.action_prior.numpy()
    p, successor = mdp.probability.numpy(), mdp.successor.numpy()

    def soft(x, weights, scale):
        if scale == 0:
            return sum(w * each for w, each in zip(weights, x, strict=True) if w > 0)
        return math.log(sum(w * math.exp(scale * each) for w, each in zip(weights, x, strict=True) if w > 0)) / scale

    v, qs, vs = list(last), [], [list(last)]
    for _ in range(mdp.horizon):
        x = [[[reward[s][a][k] + mdp.discount * v[successor[s, a, k]] for k in range(3)] for a in range(2)]
             for s in range(3)]  # fmt: skip
        q = [[soft(x[s][a], p[s, a], beta / tau) for a in range(2)] for s in range(3)]
        v = [soft(q[s], prior[s], 1 / tau) for s in range(3)]
        qs, vs = [q, *qs], [v, *vs]
    total = 0.0
    for seen, done in zip(states, actions, strict=True):
        for t, (s, a) in enumerate(zip(seen, done, strict=False)):
            total += math.log(prior[s, a]) + (qs[t][s][a] - vs[t][s]) / tau
            if believed and t + 1 < len(seen):
                total += math.log(sum(
                    p[s, a, k] * math.exp(
                        beta / tau * (reward[s][a][k] + mdp.discount * vs[t + 1][seen[t + 1]] - qs[t][s][a])
                    )
                    for k in range(3) if successor[s, a, k] == seen[t + 1]
                ))  # fmt: skip
    return total


@pytest.mark.parametrize("believed", [False, True])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_each_reward_of_a_batch_has_the_likelihood_of_a_recursion_by_hand(seed, believed):
    """Forty rewards, more than are solved side by side, with optimism 0, near 0, positive and negative in no order."""
    model, demonstrations, states, actions = observed(seed)
    rng = np.random.default_rng(10 + seed)
    reward, last = torch.from_numpy(rng.normal(size=(40, 3, 2, 3))), torch.from_numpy(rng.normal(size=(40, 3)))
    tau, beta = torch.from_numpy(0.4 + rng.random(40)), torch.from_numpy(rng.choice([-0.8, 0.0, 0.03, 0.5, 1.0], 40))
    found = soft_log_likelihood(model, demonstrations, reward, last, tau, beta, believed=believed)
    rows = zip(*(each.tolist() for each in (reward, last, tau, beta)), strict=True)
    expected = [by_hand(model, states, actions, *row, believed=believed) for row in rows]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("optimism", [0.0, 0.3])
def test_one_reward_with_plain_numbers_has_the_likelihood_of_a_recursion_by_hand(optimism):
    """In double precision, whatever torch's default dtype is."""
    model, demonstrations, states, actions = observed(0)
    last = torch.zeros(3).double()
    found = soft_log_likelihood(model, demonstrations, model.mdp.reward, last, 0.7, optimism, believed=True)
    expected = by_hand(model, states, actions, model.mdp.reward.tolist(), last.tolist(), 0.7, optimism, True)
    assert float(found) == pytest.approx(expected, abs=1e-11)


@pytest.mark.parametrize("believed", [False, True])
def test_first_and_second_derivatives_agree_with_finite_differences(believed):
    """Each of the four inputs; the last case has a β that depends on τ, and rewards that settings share."""
    model, demonstrations, *_ = observed(1)
    generator = torch.Generator().manual_seed(0)
    inputs = [
        (torch.randn(shape, generator=generator).double() * scale + shift).requires_grad_()
        for shape, scale, shift in (((2, 3, 2, 3), 1, 0), ((2, 3), 1, 0), ((2,), 0.1, 0.8), ((2,), 0.3, 0.6))
    ]

    def all_inputs(*given):
        return soft_log_likelihood(model, demonstrations, *given, believed=believed)

    def by_risk(reward, tau, theta):
        return soft_log_likelihood(
            model, demonstrations, reward, torch.zeros(3).double(), tau, theta * tau, believed=believed
        )

    assert gradcheck(all_inputs, inputs)
    assert gradgradcheck(all_inputs, inputs, fast_mode=True)
    shared = [inputs[0].detach()[0].requires_grad_(), inputs[2], inputs[3]]
    assert gradcheck(by_risk, shared)
    assert gradgradcheck(by_risk, shared, fast_mode=True)


def test_forbidden_outcomes_leave_finite_derivatives():
    """A reward of −inf, for an action that was not taken and for an outcome that was not observed, under the free
    demonstrator: the likelihood is that of the recursion by hand, and the derivatives by τ and β are finite."""
    model, demonstrations, states, actions = observed(2)
    mdp, seen = model.mdp, set(zip(*(each.tolist() for each in demonstrations.moves[1:4]), strict=True))
    taken = {(s, a) for s, a, _ in seen}
    reward = mdp.reward.clone()
    places = [(s, a, k) for s in range(3) for a in range(2) for k in range(3) if mdp.probability[s, a, k] > 0]
    unseen = [(s, a, k) for s, a, k in places if (s, a, int(mdp.successor[s, a, k])) not in seen]
    reward[next(each for each in unseen if each[:2] in taken)] = -torch.inf
    reward[next(each for each in unseen if each[:2] not in taken)] = -torch.inf
    tau, beta = (torch.tensor(each, dtype=torch.float64, requires_grad=True) for each in (0.7, 1.0))
    last = torch.zeros(3).double()
    found = soft_log_likelihood(model, demonstrations, reward, last, tau, beta, believed=True)
    expected = by_hand(model, states, actions, reward.tolist(), last.tolist(), 0.7, 1.0, True)
    assert float(found.detach()) == pytest.approx(expected, abs=1e-11)
    assert all(each.isfinite() for each in torch.autograd.grad(found, (tau, beta)))

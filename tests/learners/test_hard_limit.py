"""Temperature 0: Q-learning, the hard actor-critic and REINFORCE, against hard value iteration in plain numpy."""

import math
from typing import Any

import gymnasium
import learned
import numpy as np
import pytest
import torch
from small_environments import Noisy, equal, whole

from pgm_control import InvalidArgument, Risk, TabularMDP, TabularModel, infer, to_gymnasium
from pgm_control.guides import SimulatedGuide
from pgm_control.inference.variational.to_go_elbo import ToGoELBO
from pgm_control.learners import SAC, MaxEntPolicyGradient, OriginalSAC, SoftQLearning
from pgm_control.learners.losses.action_values import log_policy_of_actions, value_of_actions
from pgm_control.models import SimulatorModel

P = np.array(
    [
        [[0.3, 0.7], [1.0, 0.0], [0.5, 0.5]],
        [[0.5, 0.5], [0.8, 0.2], [0.9, 0.1]],
        [[0.2, 0.8], [0.6, 0.4], [0.4, 0.6]],
    ]
)
TO = np.array([[[1, 2], [0, 0], [1, 0]], [[0, 2], [1, 0], [2, 1]], [[1, 0], [2, 2], [0, 1]]])
PAY = np.array(
    [
        [[1.2, -0.8], [0.5, 0.0], [-0.2, 0.1]],
        [[1.0, -1.2], [-1.0, -0.5], [0.4, 0.5]],
        [[1.0, -0.5], [0.8, 0.7], [0.0, -0.3]],
    ]
)
INITIAL = np.array([0.5, 0.5, 0.0])
TINY = {"hidden": (4,), "batch_size": 4, "capacity": 200, "learning_starts": 5, "seed": 0}


def mdp():
    """Three states, three actions, three steps; the values at τ = 1 are far from the hard ones."""
    return TabularMDP(INITIAL, P, TO, PAY, horizon=3)


def hard(theta=0.0, allowed=None):
    """V (T + 1, S) and Q (T, S, A) of hard value iteration, of the certainty equivalent of θ."""
    v, q = np.zeros((4, 3)), np.zeros((3, 3, 3))
    for t in (2, 1, 0):
        x = PAY + v[t + 1][TO]
        q[t] = (P * x).sum(-1) if theta == 0 else np.log((P * np.exp(theta * x)).sum(-1)) / theta
        v[t] = np.where(np.ones((3, 3), bool) if allowed is None else allowed, q[t], -np.inf).max(-1)
    return v, q


def features():
    return torch.eye(4 * 3)[: 3 * 3]


def reached():
    """The times and states that are reached when every action is tried: all but state 2 at the start."""
    found = np.ones((3, 3), bool)
    found[0, 2] = False
    return found


def trained(kind, steps=8_000, rate=0.05, **given):
    settings = {"temperature": 0.0, "exploration": 0.3, "discount": 1.0, "seed": 0, **learned.TABLE, **given}
    learner = kind(lambda: to_gymnasium(mdp(), observe_time=True), **settings)
    return learned.learn(learner, steps, rate, rate / 10)


# The maximum


def test_the_soft_value_and_policy_become_the_hard_ones():
    q = torch.tensor([[1.0, 2.0, 2.0, 5.0], [0.3, -4.0, 0.1, -2.0]], dtype=torch.float64)
    log_prior = torch.tensor([0.1, 0.6, 0.3, 0.0], dtype=torch.float64).log().expand(2, -1)
    value, policy = value_of_actions(q, log_prior, True), log_policy_of_actions(q, log_prior, True).exp()
    assert value.tolist() == [2.0, 0.3]
    torch.testing.assert_close(policy, torch.tensor([[0, 2 / 3, 1 / 3, 0], [1, 0, 0, 0]], dtype=torch.float64))
    for temperature in (1e-2, 1e-4):
        soft = temperature * value_of_actions(q / temperature, log_prior)
        assert (soft - value).abs().max() <= temperature * -math.log(0.1) + 1e-12
        found = log_policy_of_actions(q / temperature, log_prior).exp()
        torch.testing.assert_close(found, policy, atol=1e-8, rtol=0)


# Tables


@pytest.mark.slow
@pytest.mark.parametrize("theta", [0.0, -1.0, 2.0])
@pytest.mark.parametrize("kind", [SoftQLearning, SAC])
def test_a_hard_learner_finds_the_hard_optimum(kind, theta):
    """Over three seeds values were off by at most .02, with θ = 2 by at most .13; at τ = 1 they differ by 1.1 or more.

    Policies are compared by what their actions lose, because with θ = 2 some are almost as good as the best.
    """
    v, q = hard(theta)
    learner = trained(kind, optimism=Risk(theta) if theta else 0.0)
    best = q.argmax(-1)
    chosen = learned.log_policy(learner, mdp()).exp().numpy()
    lost = (chosen * (v[:3, :, None] - q)).sum(-1)
    assert lost[reached()].max() < (0.03 if theta <= 0 else 0.2)
    error = learned.soft_value(learner, mdp(), 0.0).numpy() - v[:3]
    assert np.abs(error[reached()]).max() < (0.06 if theta <= 0 else 0.3)
    soft = infer(TabularModel(mdp(), 1.0), 0.0).v[0].numpy()
    assert np.abs(soft - v[0]).max() > 0.5
    assert (best == hard()[1].argmax(-1)).all() == (theta <= 0)


@pytest.mark.slow
def test_a_small_temperature_is_near_the_hard_limit():
    """V falls short of the hard one by at most τ log 3 for each step that is left: here by .16."""
    learner = trained(SoftQLearning, temperature=0.05, rate=1.0)
    found, (v, _) = learned.soft_value(learner, mdp(), 0.05).numpy(), hard()
    exact = infer(TabularModel(mdp(), 0.05), 0.0).v.numpy()[:3]
    assert (v[:3] - exact <= 0.05 * math.log(3) * np.array([[3], [2], [1]]) + 1e-12).all()
    assert np.abs((found - exact)[reached()]).max() < 0.2


@pytest.mark.slow
def test_actions_that_the_prior_masks_are_not_in_the_maximum():
    allowed = np.array([True, False, True])
    v, _ = hard(allowed=allowed)
    learner = trained(SoftQLearning, action_prior=[0.5, 0.0, 0.5])
    assert np.abs((learned.soft_value(learner, mdp(), 0.0).numpy() - v[:3])[reached()]).max() < 0.2
    assert (learner._experience.replay.sample(2000).action != 1).all()
    assert np.abs(v[0] - hard()[0][0]).max() > 0.3


def by_hand(learner, batches, rate, follows, discount):
    """Q-learning with a target network, on a table, in plain torch, from the same batches."""
    table = learner.critic.weights[0][0].mT.clone().requires_grad_()
    bias = learner.critic.biases[0][0, :, 0].clone().requires_grad_()
    target = [table.detach().clone(), bias.detach().clone()]
    descent = torch.optim.Adam([table, bias], lr=rate)
    for batch in batches:
        ahead = (batch.next_observation @ target[0] + target[1]).max(-1).values
        y = batch.reward + discount * batch.goes_on * ahead
        q = (batch.observation @ table + bias).gather(-1, batch.action[:, None])[:, 0]
        descent.zero_grad()
        (0.5 * (y - q).square().mean()).backward()
        descent.step()
        target = [t + follows * (s.detach() - t) for t, s in zip(target, (table, bias), strict=True)]
    return table.detach(), bias.detach()


def test_soft_q_learning_at_temperature_zero_is_q_learning(monkeypatch):
    given = {"learning_rate": 0.03, "temperature": 0.0, "discount": 0.9, "learning_starts": 160, "seed": 3}
    learner, start = (SoftQLearning(lambda: to_gymnasium(mdp()), **{**learned.TABLE, **given}) for _ in range(2))
    batches, original = [], type(learner._experience).batch
    monkeypatch.setattr(type(learner._experience), "batch", lambda self: batches.append(original(self)) or batches[-1])
    learner.learn(160 + 16 * 50)
    table, bias = by_hand(start, batches, 0.03, 0.05, 0.9)
    assert len(batches) == 51
    torch.testing.assert_close(learner.critic.weights[0][0].mT, table, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(learner.critic.biases[0][0, :, 0], bias, atol=1e-5, rtol=1e-5)


def test_an_action_explores_with_its_probability_and_only_in_learning():
    """The greedy action of a set table is 1; the prior takes 0 with probability 3/4. 4000 draws, five errors."""
    learner = SoftQLearning(
        lambda: to_gymnasium(mdp()), temperature=0.0, exploration=0.2, action_prior=[0.75, 0.05, 0.2],
        learning_starts=0, learning_rate=1e-9, seed=0, **learned.TABLE,
    )  # fmt: skip
    learner.critic.biases[0][0, 1] = 1.0
    learner.learn(4000)
    taken = learner._experience.replay._rows[:4000, 2 * 3]
    for action, share in ((0, 0.15), (1, 0.81), (2, 0.04)):
        assert float((taken == action).double().mean()) == pytest.approx(share, abs=5 * math.sqrt(share / 4000))
    assert (learner.act(torch.eye(3), False) == 1).all()
    usual = SoftQLearning(lambda: to_gymnasium(mdp()), temperature=1e-6, learning_rate=1e-9, **TINY)
    assert usual._experience._exploration == 0
    assert SAC(lambda: to_gymnasium(mdp()), temperature=0.0, **TINY)._experience._exploration == 0.1


# A box


class Hill(gymnasium.Env):
    """One step in a box of one dimension, with the reward −(a − .4)²; the observation does not matter."""

    observation_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        return np.zeros(1, np.float32), -float((action[0] - 0.4) ** 2), True, False, {}


@pytest.mark.slow
def test_the_hard_actor_climbs_and_narrows():
    """At τ = .05 the density is a normal of variance τ/2, of scale .16; at τ = 0 it narrows to the best action."""
    given = {"hidden": (32,), "learning_rate": 3e-3, "batch_size": 64, "learning_starts": 200, "num_envs": 4, "seed": 0}
    scales = {}
    for temperature in (0.05, 0.0):
        learner = SAC(Hill, temperature=temperature, **given)
        learner.learn(4000)
        with torch.no_grad():
            actions = learner.act(torch.zeros(2000, 1), False)
        scales[temperature] = float(actions.std())
        assert float(actions.mean()) == pytest.approx(0.4, abs=0.06)
    assert scales[0.05] == pytest.approx(0.158, abs=0.04)
    assert scales[0.0] < 0.03
    assert learner.temperature == 0


def test_a_prior_with_a_small_support_does_no_harm_in_a_box():
    """log ρ = −∞ outside of it, times a temperature of 0."""

    def narrow(features):
        return torch.distributions.Independent(
            torch.distributions.Uniform(-0.5 * torch.ones(len(features), 1), 0.5, validate_args=False), 1
        )

    learner = SAC(Noisy, temperature=0.0, action_prior=narrow, **TINY)
    learner.learn(60)
    assert all(np.isfinite(list(row.values())).all() for row in learner.log)


# REINFORCE


def expected_return(logits):
    """The expected return of a policy (T, S, A), differentiable."""
    p, to, pay = torch.as_tensor(P), torch.as_tensor(TO), torch.as_tensor(PAY)
    v = torch.zeros(3, dtype=torch.float64)
    for t in (2, 1, 0):
        v = (logits[t].softmax(-1) * (p * (pay + v[to])).sum(-1)).sum(-1)
    return (torch.as_tensor(INITIAL) * v).sum()


def test_the_gradient_at_temperature_zero_is_that_of_the_expected_return():
    """The mean of 120 runs of 64 episodes, within five standard errors, against the exact gradient."""
    env = to_gymnasium(mdp(), observe_time=True)
    model = SimulatorModel(env, num_envs=64, horizon=3, seed=0)
    guide = SimulatedGuide(model, hidden=())
    network: Any = guide.policy.network
    logits = torch.randn(4, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    network.weights[0][0].copy_(logits.reshape(12, 3).mT)
    exact = logits.clone().requires_grad_()
    total = expected_return(exact)
    (slope,) = torch.autograd.grad(total, exact)
    total = total.detach()
    torch.manual_seed(0)
    found, values, loss = [], [], ToGoELBO(is_hard=True)
    for _ in range(120):
        network.flat.grad = None
        values.append(-loss.loss_and_grads(model, guide))
        assert values[-1] == pytest.approx(model.returns.mean(), abs=1e-5)
        assert network.flat.grad is not None
        found.append(-network.flat.grad[: 3 * 12].double().reshape(3, 12).mT.reshape(4, 3, 3))
    stack = torch.stack(found)
    error = stack.std(0) / math.sqrt(120)
    assert ((stack.mean(0) - slope).abs() <= 5 * error + 1e-6).all()
    assert np.mean(values) == pytest.approx(float(total), abs=5 * np.std(values) / math.sqrt(120))
    assert (slope.abs() > 5 * error).sum() >= 6
    with_entropy = ToGoELBO()
    torch.manual_seed(0)
    assert abs(with_entropy.loss(model, guide) + model.returns.mean()) > 0.1
    assert loss.loss(model, guide) == pytest.approx(-model.returns.mean(), abs=1e-5)


@pytest.mark.slow
def test_policy_gradient_at_temperature_zero_finds_the_hard_optimum():
    learner = MaxEntPolicyGradient(
        lambda: to_gymnasium(mdp(), observe_time=True), temperature=0.0, discount=1.0, hidden=(), num_envs=64,
        learning_rate=0.1, seed=0,
    )  # fmt: skip
    log = learner.learn(64 * 3 * 150).log
    v, _ = hard()
    with torch.no_grad():
        network: Any = learner.guide.policy.network
        logits = network(features())[0].double().reshape(3, 3, 3)
    assert float(expected_return(logits)) == pytest.approx(float(INITIAL @ v[0]), abs=0.05)
    assert "discounted_return" in log[-1]
    assert "elbo" not in log[-1]


# Files, and what is refused


@pytest.mark.parametrize("kind", [SoftQLearning, SAC, MaxEntPolicyGradient])
def test_a_loaded_hard_learner_continues_bit_for_bit(kind, tmp_path):
    given = {"hidden": (4,), "seed": 0, "num_envs": 2} if kind is MaxEntPolicyGradient else {**TINY, "num_envs": 2}

    def made():
        return to_gymnasium(mdp(), observe_time=True)

    once = kind(made, temperature=0.0, **given)
    once.learn(120)
    half = kind(made, temperature=0.0, **given)
    half.learn(60, checkpoint=tmp_path / "half")
    again = kind.load(tmp_path / "half", env=made)
    again.learn(120)
    assert equal(whole(once, tmp_path / "a")[0], whole(again, tmp_path / "b")[0])
    assert again.config["temperature"] == 0


def test_what_has_no_hard_limit_is_refused_by_name():
    for kind in (SoftQLearning, SAC):
        with pytest.raises(InvalidArgument, match=r"`optimism` must be 0 or a Risk at temperature 0.*Risk\(theta\)"):
            kind("CartPole-v1", temperature=0.0, optimism=1.0, **TINY)
        for exploration in (-0.1, 1.5, math.nan, "all"):
            with pytest.raises(InvalidArgument, match="`exploration` must be a probability"):
                kind("CartPole-v1", exploration=exploration, **TINY)
    with pytest.raises(InvalidArgument, match=r"`temperature` must be positive in a box.*SAC"):
        SoftQLearning("Pendulum-v1", temperature=0.0, **TINY)
    with pytest.raises(InvalidArgument, match=r"`target_entropy` is for"):
        SAC("CartPole-v1", temperature=0.0, target_entropy=0.1, **TINY)
    with pytest.raises(InvalidArgument, match=r"`temperature` must be a positive number.*SAC also takes 0"):
        OriginalSAC("CartPole-v1", temperature=0.0, **TINY)
    for kind in (SoftQLearning, SAC, MaxEntPolicyGradient):
        with pytest.raises(InvalidArgument, match=r"or 0 for the hard limit.*but is -1"):
            kind("CartPole-v1", temperature=-1.0, hidden=(4,))

"""Soft Q-learning: the clamped optimum on tabular twins, the optimum of any β, and all goals of a point mass."""

import gymnasium
import numpy as np
import pytest
import torch

from pgm_control import InvalidArgument, Optimism, TabularMDP, TabularModel, infer, to_gymnasium
from pgm_control.learners import LearningStatus, SoftQLearning
from pgm_control.models import lottery, risky_path

pytestmark = pytest.mark.slow

TABLE = {"hidden": (), "num_envs": 16, "target_rate": 0.05, "capacity": 40_000}


def gamble():
    """Three states, two actions, three steps; the first action is a gamble in each state."""
    p = [[[0.3, 0.7], [1.0, 0.0]], [[0.5, 0.5], [0.8, 0.2]], [[0.2, 0.8], [0.6, 0.4]]]
    to = [[[1, 2], [0, 0]], [[0, 2], [1, 0]], [[1, 0], [2, 2]]]
    pay = [[[3.0, -1.5], [0.4, 0.0]], [[2.0, -2.0], [0.5, -0.5]], [[2.5, -0.5], [0.3, 0.6]]]
    p, to, pay = (np.asarray(each) for each in (p, to, pay))
    return TabularMDP(np.array([0.5, 0.5, 0.0]), p, to, pay, horizon=3)


def learned(mdp, steps, rate=0.1, **given):
    """A learner with a table, trained first at a large rate and then at smaller ones, so that the noise vanishes."""
    learner = SoftQLearning(
        lambda: to_gymnasium(mdp, observe_time=True), **{"discount": mdp.discount, "seed": 0, **TABLE, **given}
    )
    for share, factor in ((0.5, 1.0), (0.75, 0.3), (1.0, 0.06)):
        learner.parts()["critic_descent"].rate = rate * factor
        learner.learn(int(share * steps))
    return learner


def tables(learner, mdp):
    """The log-policy (T, S, A) and the value (T, S) of all observations before the end."""
    rows, shape = torch.eye((mdp.horizon + 1) * mdp.num_states)[: mdp.horizon * mdp.num_states], (mdp.horizon, -1)
    log_policy, v = learner.log_policy(rows), learner.soft_value(rows)
    return log_policy.double().reshape(*shape, mdp.num_actions)[:, : mdp.num_states], v.double().reshape(shape)


def exact(mdp, optimism, temperature=1.0, prior=None):
    """The exact optimum for β of the dynamics, with the true initial distribution."""
    model = TabularModel(mdp, temperature, None if prior is None else torch.as_tensor(prior))
    return infer(model, Optimism(dynamics=optimism, initial=0.0))


def divergence(log_policy, posterior, mdp):
    """Σ_t E[KL(π_t ‖ π*_t)] along the policy's own trajectories, in nats."""
    here, total = mdp.initial, 0.0
    for t in range(mdp.horizon):
        pi = log_policy[t].exp()
        gap = torch.where(pi > 0, pi * (log_policy[t] - posterior.policy[t].log()), 0.0).sum(-1)
        total += float(here @ gap)
        moves = here[:, None, None] * pi[..., None] * mdp.probability
        here = torch.zeros_like(here).index_add_(0, mdp.successor.flatten(), moves.flatten())
    return total


# Tables


@pytest.mark.parametrize("optimism", [0.0, 1.0, -1.0])
def test_it_finds_the_optimum_of_its_optimism(optimism):
    """β is that of the dynamics: 0 is clamped, 1 is free.

    Over five seeds the divergence was at most .0072 nats and the error of the value at the start at most .14, as 4000
    episodes allow; the other two optima were .17 nats and .76 away, or more.
    """
    mdp = gamble()
    learner = learned(mdp, 12_000, optimism=optimism)
    log_policy, v = tables(learner, mdp)
    for other in (0.0, 1.0, -1.0):
        posterior = exact(mdp, other)
        apart, error = divergence(log_policy, posterior, mdp), float(mdp.initial @ (v[0] - posterior.v[0]))
        if other == optimism:
            assert apart < 0.02
            assert abs(error) < 0.3
        else:
            assert apart > 0.1
            assert abs(error) > 0.5


def test_the_clamped_optimum_of_the_risky_path_and_not_the_free_one():
    """A fall of −100 is 5 nats at τ = 20. Five seeds were off by at most .0046 nats and .15; free, .35 and 8.3."""
    mdp = risky_path(horizon=3)
    log_policy, v = tables(learned(mdp, 16_000, temperature=20.0), mdp)
    clamped, free = exact(mdp, 0.0, 20.0), exact(mdp, 1.0, 20.0)
    assert divergence(log_policy, clamped, mdp) < 0.02
    assert divergence(log_policy, free, mdp) > 0.1
    assert float(mdp.initial @ (v[0] - clamped.v[0])) == pytest.approx(0.0, abs=0.6)


def test_a_prior_that_masks_and_is_not_uniform():
    """The states of the lottery have two actions; the prior prefers the ticket by four to one."""
    mdp = lottery()
    prior = [0.8, 0.2]
    learner = learned(mdp, 6_000, action_prior=prior, temperature=5.0)
    log_policy, v = tables(learner, mdp)
    posterior = exact(mdp, 0.0, 5.0, np.tile(prior, (mdp.num_states, 1)))
    assert divergence(log_policy, posterior, mdp) < 0.004
    assert float(mdp.initial @ (v[0] - posterior.v[0])) == pytest.approx(0.0, abs=0.6)
    assert divergence(log_policy, exact(mdp, 0.0, 5.0), mdp) > 0.05
    sure = SoftQLearning(lambda: to_gymnasium(mdp), action_prior=[0.0, 1.0], learning_starts=20, seed=0, **TABLE)
    sure.learn(200)
    assert (sure.log_policy(torch.eye(mdp.num_states)).exp() == torch.tensor([0.0, 1.0])).all()
    assert (sure._experience.replay.sample(100).action == 1).all()


def test_truncation_is_not_the_end():
    """A reward of 1 in every step, truncated after 5 steps: V = 1 / (1 − γ) = 5, not the return of 5 steps."""
    mdp = TabularMDP(
        torch.ones(1), torch.ones(1, 1, 1), torch.zeros(1, 1, 1, dtype=torch.int64), torch.ones(1, 1, 1), 5
    )
    learner = SoftQLearning(
        lambda: to_gymnasium(mdp), discount=0.8, learning_rate=0.03, learning_starts=16, seed=0, **TABLE
    )
    learner.learn(16 * 800)
    assert float(learner.soft_value(torch.ones(1, 1))) == pytest.approx(5.0, abs=0.05)


# What β = 0 is


def by_hand(learner, batches, rate, follows, discount, temperature):
    """Soft Q-learning as published, on a table, in plain torch, from the same batches."""
    table = learner.critic.weights[0][0].mT.clone().requires_grad_()
    bias = learner.critic.biases[0][0, :, 0].clone().requires_grad_()
    target = [table.detach().clone(), bias.detach().clone()]
    descent = torch.optim.Adam([table, bias], lr=rate)
    for batch in batches:
        ahead = temperature * torch.logsumexp((batch.next_observation @ target[0] + target[1]) - np.log(2), -1)
        y = batch.reward + discount * batch.goes_on * ahead
        q = (batch.observation @ table + bias).gather(-1, batch.action[:, None])[:, 0]
        descent.zero_grad()
        (0.5 * (y / temperature - q).square().mean()).backward()
        descent.step()
        target = [t + follows * (s.detach() - t) for t, s in zip(target, (table, bias), strict=True)]
    return table.detach(), bias.detach()


def test_zero_optimism_is_soft_q_learning_as_published(monkeypatch):
    mdp = gamble()
    learner = SoftQLearning(
        lambda: to_gymnasium(mdp),
        learning_rate=0.03,
        temperature=2.0,
        discount=0.9,
        learning_starts=160,
        seed=3,
        **TABLE,
    )
    batches, original = [], type(learner._experience).batch
    monkeypatch.setattr(type(learner._experience), "batch", lambda self: batches.append(original(self)) or batches[-1])
    start = SoftQLearning(lambda: to_gymnasium(mdp), seed=3, **TABLE)
    learner.learn(160 + 16 * 50)
    table, bias = by_hand(start, batches, 0.03, 0.05, 0.9, 2.0)
    assert len(batches) == 51
    torch.testing.assert_close(learner.critic.weights[0][0].mT, table, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(learner.critic.biases[0][0, :, 0], bias, atol=1e-5, rtol=1e-5)


def test_the_unit_of_rewards_does_not_matter():
    """Sixteen times the rewards and the temperature give the same policy and sixteen times V."""
    mdp = gamble()
    small, large = (
        learned(mdp.replace(reward=scale * mdp.reward), 2_000, temperature=scale, optimism=0.5) for scale in (1.0, 16.0)
    )
    (policy, v), (same, more) = tables(small, mdp), tables(large, mdp)
    torch.testing.assert_close(policy, same, atol=1e-5, rtol=0)
    torch.testing.assert_close(16 * v, more, atol=1e-4, rtol=1e-5)


# A box


@pytest.mark.parametrize("sampler", ["svgd", "langevin"])
def test_the_point_mass_visits_all_four_goals(sampler):
    """The short form: 1000 updates of one seed. `benchmarks/multi_goal.py` is the long one: 20000, three seeds."""
    learner = SoftQLearning(
        "pgm_control/MultiGoal-v0",
        temperature=10.0,
        hidden=(64, 64),
        learning_rate=1e-3,
        batch_size=128,
        target_rate=0.01,
        learning_starts=2000,
        num_envs=4,
        seed=2,
        sampler=sampler,
    )
    log = learner.learn(6000).log
    assert 1 < log[-1]["effective"] < 16
    torch.manual_seed(0)
    envs = [gymnasium.make("pgm_control/MultiGoal-v0") for _ in range(60)]
    position = np.stack([env.reset(seed=i)[0] for i, env in enumerate(envs)])
    reached, running = np.zeros(4, int), set(range(60))
    for _ in range(30):
        action, _ = learner.predict(position)
        for i in list(running):
            position[i], _, terminated, truncated, info = envs[i].step(action[i])
            reached[info["goal"]] += terminated
            if terminated or truncated:
                running.remove(i)
    assert (reached >= 3).all()
    assert reached.sum() >= 50


def bandit(centres=(-0.5, 0.6)):
    """A problem of one step with two maxima of the reward in a box of one dimension."""

    class Hills(gymnasium.Env):
        observation_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
        action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return np.zeros(1, np.float32), {}

        def step(self, action):
            return np.zeros(1, np.float32), height(float(action[0])), True, False, {}

    def height(a):
        return 3.0 * max(np.exp(-12 * (a - centre) ** 2) for centre in centres)

    return Hills, height


@pytest.mark.parametrize("sampler", ["svgd", "langevin"])
def test_in_a_box_value_and_policy_agree_with_quadrature(sampler):
    """Chains are held against the density of the critic too, which they sample without a network."""
    make, height = bandit()
    learner = SoftQLearning(
        make,
        hidden=(64, 64),
        learning_rate=3e-3,
        batch_size=128,
        num_particles=32,
        learning_starts=500,
        num_envs=4,
        seed=0,
        sampler=sampler,
    )
    learner.learn(3000)
    a = np.linspace(-1, 1, 2001)
    weight = np.exp([height(each) for each in a])
    value = float(np.log(weight.mean()))
    torch.manual_seed(0)
    found = learner.soft_value(torch.zeros(500, 1)).mean()
    with torch.no_grad():
        actions = learner.act(torch.zeros(4000, 1), False)[:, 0].numpy()
    assert float(found) == pytest.approx(value, abs=0.1)
    edges = np.linspace(-1, 1, 9)
    share = np.histogram(a, edges, weights=weight)[0] / weight.sum()
    found_share = np.histogram(actions, edges)[0] / 4000
    assert np.abs(found_share - share).max() < 0.13
    if sampler == "langevin":
        line = torch.linspace(-1, 1, 4001)[None, :, None]
        with torch.no_grad():
            own = learner._log_density(torch.zeros(1, 1), line)[0].softmax(0).numpy()
        exact = np.histogram(line[0, :, 0].numpy(), edges, weights=own)[0]
        assert np.abs(found_share - exact).max() < 0.04  # five standard errors of .5/√4000
    best = float(learner.predict(np.zeros(1, np.float32), deterministic=True)[0][0])
    assert height(best) > 2.8
    assert best == float(learner.predict(np.zeros(1, np.float32), deterministic=True)[0][0])


# As a learner


@pytest.mark.parametrize("box", ["", "svgd", "langevin"])
def test_a_loaded_learner_continues_bit_for_bit(box, tmp_path):
    """With β ≠ 0, so that the normaliser of the loss is part of it."""
    make = bandit()[0] if box else lambda: to_gymnasium(gamble(), observe_time=True)
    given = {"optimism": -0.5, "learning_starts": 20, "batch_size": 16, "seed": 4, "num_envs": 2}
    given |= {"hidden": (8,), "num_particles": 4, "sampler": box} if box else {"hidden": ()}
    whole = SoftQLearning(make, **given)
    whole.learn(120)
    half = SoftQLearning(make, **given)
    half.learn(70, checkpoint=tmp_path / "half")
    again = SoftQLearning.load(tmp_path / "half", env=make)
    assert again.learn(120).status is LearningStatus.complete
    for name, part in whole.parts().items():
        if isinstance(part, torch.nn.Module):
            for key, value in part.state_dict().items():
                assert torch.equal(value, again.parts()[name].state_dict()[key]), (name, key)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"temperature": -1.0}, "`temperature` must be a positive number.*SAC can"),
        ({"temperature": float("inf")}, "`temperature` must be a positive number.*but is inf"),
        ({"discount": 1.5}, "`discount` must be a probability"),
        ({"num_updates": 0}, "`num_updates` must be a whole number, at least 1"),
        ({"num_particles": 1}, "`num_particles` must be a whole number, at least 2"),
        ({"learning_rate": 0.0}, "`learning_rate` must be a number above 0"),
        ({"optimism": float("nan")}, "`optimism` must be a finite number"),
    ],
)
def test_errors_name_the_argument(arguments, words):
    with pytest.raises(InvalidArgument, match=words):
        SoftQLearning(lambda: to_gymnasium(gamble()), **arguments)


def test_samplers_are_refused_by_name():
    with pytest.raises(InvalidArgument, match="`sampler` must be one of svgd, langevin, but is 'nuts'"):
        SoftQLearning(bandit()[0], sampler="nuts")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidArgument, match="`sampler` must be left out for discrete actions"):
        SoftQLearning("CartPole-v1", sampler="langevin")
    with pytest.raises(InvalidArgument, match="`num_langevin_steps` must be a whole number, at least 1"):
        SoftQLearning(bandit()[0], sampler="langevin", num_langevin_steps=0)


def test_a_table_is_refused_in_a_box():
    with pytest.raises(InvalidArgument, match=r"`hidden` must have at least one layer in a box.*discrete actions"):
        SoftQLearning(bandit()[0], hidden=())

"""Agents with `predict` as tables of action probabilities."""

import gymnasium
import numpy as np
import pytest
import torch
from problems import random_mdp

from pgm_control import (
    InvalidArgument,
    TabularMDP,
    TabularModel,
    TabularPolicy,
    evaluate,
    infer,
    ledger,
    scorecard,
    to_gymnasium,
)
from pgm_control.exchange import policy_from_predict

MDP = random_mdp(seed=1, horizon=3)
MODEL = TabularModel(MDP, 0.7)


class Agent:
    """Stable-Baselines3's `predict`, by a table of action probabilities and torch's global generator."""

    def __init__(self, table, memory=None, start=0):
        self.table, self.memory, self.start = torch.as_tensor(table), memory, start

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        rows = self.table[torch.as_tensor(observation)]
        found = rows.argmax(-1) if deterministic else torch.multinomial(rows, 1)[:, 0]
        return found.numpy() + self.start, self.memory


class ActorCritic(Agent):
    """An agent whose policy gives its distribution, as the actor-critic agents of Stable-Baselines3 do."""

    class Distribution:
        def __init__(self, probs):
            self.distribution = torch.distributions.Categorical(probs=probs)

    @property
    def policy(self):
        return self

    def obs_to_tensor(self, observation):
        return torch.as_tensor(observation), True

    def get_distribution(self, observation):
        return self.Distribution(self.table[observation].float())


TABLE = np.array([[0.2, 0.8], [1.0, 0.0], [0.6, 0.4]])


def test_probabilities_that_the_agent_gives_are_exact():
    found = policy_from_predict(ActorCritic(TABLE), to_gymnasium(MDP))
    np.testing.assert_allclose(found.probability, TABLE, atol=1e-7)
    exact = TabularPolicy(TABLE)
    assert evaluate(MODEL, found).true_return == pytest.approx(evaluate(MODEL, exact).true_return, abs=1e-6)
    assert scorecard(MODEL, {"agent": found}).scores["agent"].delusion == pytest.approx(0.0, abs=1e-12)
    assert float(ledger(MODEL, found).gap) == pytest.approx(float(ledger(MODEL, exact).gap), abs=1e-6)


def test_the_most_probable_action():
    found = policy_from_predict(ActorCritic(TABLE), to_gymnasium(MDP), deterministic=True)
    np.testing.assert_array_equal(found.probability, [[0, 1], [1, 0], [1, 0]])


@pytest.mark.statistical
def test_samples_of_an_agent_without_probabilities_are_frequencies():
    """Within five standard errors; a seed repeats them and leaves torch's generator alone."""
    before = torch.get_rng_state()
    found, again = (policy_from_predict(Agent(TABLE), to_gymnasium(MDP), num_samples=2000, seed=3) for _ in range(2))
    bound = 5 * np.sqrt(TABLE * (1 - TABLE) / 2000) + 1e-9
    assert (np.abs(found.probability.numpy() - TABLE) <= bound).all()
    assert torch.equal(found.probability, again.probability)
    one = policy_from_predict(Agent(TABLE), to_gymnasium(MDP), deterministic=True, seed=3)
    assert float(one.probability.sum()) == 3.0
    assert torch.equal(before, torch.get_rng_state())


def test_time_in_the_observation_is_time_in_the_table():
    table = np.random.default_rng(0).dirichlet(np.ones(2), 4 * 3)
    found = policy_from_predict(ActorCritic(table), to_gymnasium(MDP, observe_time=True))
    np.testing.assert_allclose(found.probability, table[:9].reshape(3, 3, 2), atol=1e-7)
    optimum = infer(MODEL, 0.0)
    padded = np.concatenate((optimum.policy.reshape(9, 2), np.full((3, 2), 0.5)))
    best = policy_from_predict(ActorCritic(padded), to_gymnasium(MDP, observe_time=True))
    assert evaluate(MODEL, best).elbo == pytest.approx(optimum.objective, abs=1e-6)


@pytest.mark.parametrize("env", ["FrozenLake-v1", gymnasium.make("FrozenLake-v1")], ids=["id", "environment"])
def test_the_added_state_of_a_gymnasium_table_has_uniform_actions(env):
    model = TabularModel(TabularMDP.from_gymnasium("FrozenLake-v1"), 0.1)
    table = np.random.default_rng(0).dirichlet(np.ones(4), 16)
    found = policy_from_predict(ActorCritic(table), env)
    assert found.num_states == model.mdp.num_states == 17
    np.testing.assert_allclose(found.probability[:16], table, atol=1e-7)
    assert evaluate(model, found).policy_kl > 0
    np.testing.assert_array_equal(found.probability[16], 0.25)


def test_observations_of_each_state_and_other_numbers_of_actions():
    class Box(gymnasium.Env):
        observation_space = gymnasium.spaces.Box(-1.0, 1.0, (2,))
        action_space = gymnasium.spaces.Discrete(2, start=5)

    class Looks(Agent):
        def predict(self, observation, state=None, episode_start=None, deterministic=False):
            return super().predict(observation.sum(-1).astype(int), state, episode_start, deterministic)

    points = [[0.0, 0.0], [0.5, 0.5], [1.0, 1.0]]
    found = policy_from_predict(Looks(TABLE, start=5), Box(), points, deterministic=True)
    np.testing.assert_array_equal(found.probability, [[0, 1], [1, 0], [1, 0]])
    with pytest.raises(InvalidArgument, match=r"`env` must have Discrete observations.*Pass `observations`"):
        policy_from_predict(Looks(TABLE), Box())


@pytest.mark.wrong_types
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: policy_from_predict(None, "FrozenLake-v1"), "`agent.predict` must be a function"),
        (lambda: policy_from_predict(Agent(TABLE), MDP), "`env` must be a Gymnasium environment"),
        (lambda: policy_from_predict(Agent(TABLE), "Pendulum-v1"), "`env` must have Discrete actions.*rollout"),
        (lambda: policy_from_predict(Agent(TABLE, memory=(1,)), to_gymnasium(MDP)), "`agent` must have no memory"),
        (lambda: policy_from_predict(Agent(TABLE, start=1), to_gymnasium(MDP)), "must return one action, 0 to 1, for"),
        (lambda: policy_from_predict(Agent(TABLE), to_gymnasium(MDP), num_samples=0), "`num_samples` must be a whole"),
        (lambda: policy_from_predict(Agent(TABLE), to_gymnasium(MDP), 3), "`observations` must hold an observation"),
        (lambda: policy_from_predict(TabularPolicy(TABLE), to_gymnasium(MDP)), "`agent` must have no memory"),
    ],
)
def test_errors_name_the_argument(call, message):
    with pytest.raises(InvalidArgument, match=message):
        call()

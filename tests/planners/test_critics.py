"""Critics of learners as terminal values of planners."""

import gymnasium
import numpy as np
import pytest
import torch

from pgm_control import (
    InvalidArgument,
    LinearQuadratic,
    LinearQuadraticModel,
    TabularMDP,
    TabularModel,
    infer,
    models,
    to_gymnasium,
)
from pgm_control.learners import SAC, OriginalSAC, SoftQLearning
from pgm_control.planners import CEM, MPPI, SMCPlanner, pendulum_simulator

BRIDGE = models.windy_bridge()
FEW = {"num_plans": 64, "num_noise_samples": 4, "seed": 0}


def bridge():
    return to_gymnasium(BRIDGE)


def written(network, table):
    """Write a table (state, action) into a linear network of one-hot states, for each copy."""
    network.weights[0].copy_(table.T.float().expand_as(network.weights[0]))
    network.biases[0].zero_()


@pytest.fixture(scope="module")
def q():
    return torch.randn(BRIDGE.num_states, BRIDGE.num_actions, generator=torch.Generator().manual_seed(0)).double()


def test_the_value_of_soft_q_learning_is_that_of_its_table(q):
    learner = SoftQLearning(bridge, temperature=0.7, hidden=(), seed=0)
    written(learner.critic, q / 0.7)
    found = learner.state_value(torch.arange(BRIDGE.num_states))
    expected = 0.7 * np.log(np.exp(q.numpy() / 0.7).mean(1))
    assert found.numpy() == pytest.approx(expected, abs=1e-5)


def test_the_value_of_soft_actor_critic_is_that_of_its_policy(q):
    learner = SAC(bridge, temperature=0.7, hidden=(), seed=0)
    written(learner.critics, q)
    with torch.no_grad():
        log_policy = learner.actor(torch.eye(BRIDGE.num_states)).double().numpy()
    expected = (np.exp(log_policy) * (q.numpy() - 0.7 * (log_policy + np.log(BRIDGE.num_actions)))).sum(1)
    assert learner.state_value(torch.arange(BRIDGE.num_states)).numpy() == pytest.approx(expected, abs=1e-5)


def test_in_a_box_it_is_the_mean_over_actions_of_the_policy():
    learner = SAC("Pendulum-v1", hidden=(8,), seed=0, temperature=0.5)
    seen = torch.tensor([[1.0, 0.0, 0.5], [0.0, 1.0, -2.0]], dtype=torch.float64)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        few = torch.stack([learner.state_value(seen) for _ in range(500)])
        action, log_prob = learner.actor(seen.float().repeat(40_000, 1)).rsample_with_log_prob()
        both = learner.critics(torch.cat((seen.float().repeat(40_000, 1), action), -1)).amin(0)[:, 0]
        expected = (both - 0.5 * (log_prob + np.log(2.0))).view(-1, 2).double().mean(0)
    error = few.std(0) / 500**0.5
    assert bool((error < 0.01).all())
    assert bool(((few.mean(0) - expected).abs() < 5 * error + 0.005).all())


def test_a_plan_with_a_critic_is_one_with_its_values(q):
    model = TabularModel(BRIDGE, 1.0)
    learner = SoftQLearning(bridge, hidden=(), seed=0)
    written(learner.critic, q)
    values = learner.state_value(torch.arange(BRIDGE.num_states))
    values = torch.where(_ended(BRIDGE), 0.0, values)
    table = values.expand(BRIDGE.horizon + 1, -1)
    for kind, given in ((MPPI, {"horizon": 2}), (CEM, {"horizon": 2}), (SMCPlanner, {})):
        one = kind(model, terminal_value=learner, **given, **FEW).plan([0, 1])
        other = kind(model, terminal_value=table, **given, **FEW).plan([0, 1])
        assert torch.equal(one.plans, other.plans)
        assert torch.allclose(one.log_weights, other.log_weights, atol=1e-12)


def _ended(mdp):
    stays = mdp.successor == torch.arange(mdp.num_states)[:, None, None]
    idle = (stays & (mdp.reward == 0)) | (mdp.probability == 0)
    return idle.flatten(1).all(1)


def test_the_exact_value_written_into_a_critic_gives_the_plans_of_the_exact_value():
    """The stationary optimum of a long horizon: the critic holds one value for all times."""
    model = TabularModel(BRIDGE.replace(horizon=200), 1.0)
    exact = infer(model, 0.0)
    learner = SoftQLearning(bridge, hidden=(), seed=0)
    written(learner.critic, exact.q[0])
    played = [
        MPPI(model, num_plans=2000, num_noise_samples=64, horizon=1, terminal_value=value, seed=0).plan(0)
        for value in (learner, exact)
    ]
    one, other = (float(each.centre[0, 0, int(exact.policy[0, 0].argmax())]) for each in played)
    assert one == pytest.approx(other, abs=1e-3)
    assert one == pytest.approx(float(exact.policy[0, 0].amax()), abs=0.05)


@pytest.mark.slow
def test_a_trained_critic_is_worth_about_what_the_exact_value_is():
    """Over all states from which an episode goes on, after 3000 steps with γ = .99, and in the value of plans."""
    model = TabularModel(BRIDGE, 1.0)
    learner = SoftQLearning(bridge, temperature=1.0, hidden=(), learning_rate=3e-2, seed=0)
    learner.learn(3000)
    exact, goes_on = infer(model, 0.0), ~_ended(BRIDGE)
    found = learner.state_value(torch.arange(BRIDGE.num_states))
    assert float((found - exact.v[0])[goes_on].abs().mean()) < 2.0
    given = {"num_plans": 500, "num_noise_samples": 64, "horizon": 1, "seed": 0}
    values = [float(MPPI(model, terminal_value=value, **given).plan(0).value[0]) for value in (learner, exact.v, None)]
    assert abs(values[0] - values[1]) < 2.5 < abs(values[2] - values[1])


def test_a_simulator_shows_a_critic_its_observations():
    learner, simulator = OriginalSAC("Pendulum-v1", hidden=(8,), seed=0), pendulum_simulator(horizon=50)
    given = {"num_plans": 32, "num_noise_samples": 1, "horizon": 5, "seed": 0}

    def value(t, state):
        seen = torch.stack((state[:, 0].cos(), state[:, 0].sin(), state[:, 1]), -1)
        with torch.no_grad():
            return learner.soft_value(seen.float())[0, :, 0].double()

    one = MPPI(simulator, terminal_value=learner, **given).plan([3.0, 0.5])
    other = MPPI(simulator, terminal_value=value, **given).plan([3.0, 0.5])
    without = MPPI(simulator, **given).plan([3.0, 0.5])
    assert torch.allclose(one.log_weights, other.log_weights, atol=1e-10)
    assert not torch.allclose(one.log_weights, without.log_weights, atol=1e-3)


def test_a_learner_of_gymnasium_serves_its_table():
    """The table has one more state than the environment, in which episodes have ended."""
    env = gymnasium.make("FrozenLake-v1")
    learner = SoftQLearning("FrozenLake-v1", hidden=(), seed=0)
    mdp = TabularMDP.from_gymnasium(env, 100)
    assert mdp.num_states == 17
    assert MPPI(TabularModel(mdp, 0.1), horizon=3, terminal_value=learner, **FEW).act(0) in range(4)


def test_a_critic_that_draws_leaves_the_random_numbers_of_others_alone():
    learner = SAC("Pendulum-v1", hidden=(8,), seed=0)
    given = {"num_plans": 8, "num_noise_samples": 1, "horizon": 2, "terminal_value": learner, "seed": 0}
    before = torch.random.get_rng_state()
    planner = MPPI(pendulum_simulator(), **given)
    first = planner.plan([3.0, 0.0])
    assert torch.equal(before, torch.random.get_rng_state())
    torch.manual_seed(1)
    assert torch.equal(first.log_weights, MPPI(pendulum_simulator(), **given).plan([3.0, 0.0]).log_weights)


@pytest.mark.wrong_types
def test_a_critic_of_other_observations_is_refused():
    learner = SAC("Pendulum-v1", hidden=(8,), seed=0)
    problem = LinearQuadratic.from_cost(0.9, 0.5, 1.0, 0.2, 0.3, horizon=6, initial_mean=1.0)
    with pytest.raises(InvalidArgument, match="`terminal_value` must be a critic of the observations of this model"):
        MPPI(LinearQuadraticModel(problem), horizon=2, terminal_value=learner, **FEW)
    with pytest.raises(InvalidArgument, match="`terminal_value` must be a critic"):
        MPPI(TabularModel(BRIDGE), horizon=2, terminal_value=learner, **FEW)
    with pytest.raises(InvalidArgument, match="`observation` must be a tensor"):
        learner.state_value(torch.zeros(2, 2))
    with pytest.raises(InvalidArgument, match="num_samples"):
        learner.state_value(torch.zeros(2, 3), num_samples=0)

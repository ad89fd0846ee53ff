"""Live environments of continuous problems: Gymnasium accepts them, and policies earn there what is computed."""

import pickle
import warnings
from typing import Any

import gymnasium
import numpy as np
import pyro.distributions as dist
import pytest
import torch
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from linear_quadratics import double_integrator, scalar

from pgm_control import (
    ContinuousModel,
    InvalidArgument,
    InvalidProblem,
    LinearQuadraticModel,
    estimate,
    evaluate,
    fit,
    infer,
    rollout,
    to_gymnasium,
)
from pgm_control.environments.continuous.continuous_env import ContinuousEnv
from pgm_control.environments.continuous.worlds import ProgramWorld
from pgm_control.guides import ClampedGaussianGuide, ClampedNeuralGuide
from pgm_control.inference.local.ilqg import ilqg
from pgm_control.models.continuous_zoo import continuous_zoo


def short():
    return LinearQuadraticModel(scalar(horizon=3, initial_covariance=0.5, final_cost=[[2.0]]), 1.0, 1.0)


@pytest.mark.parametrize("observe_time", [False, True])
@pytest.mark.parametrize("program", [False, True])
def test_gymnasium_accepts_it(observe_time, program):
    env = ContinuousEnv(ProgramWorld(short()), observe_time) if program else to_gymnasium(short(), observe_time)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*Box")  # its spaces have no bounds
        check_env(env)
    assert env.spec is not None
    assert env.spec.max_episode_steps == 3
    assert "Continuous" in repr(env)


def test_the_return_is_the_closed_form():
    model = LinearQuadraticModel(scalar(initial_covariance=0.5), 1.0, 1.0)
    env = to_gymnasium(model)
    for beta in (1.0, 0.0):
        played = rollout(env, infer(model, beta), 1500, seed=0)
        exact = evaluate(model, infer(model, beta))
        assert abs(played.mean - exact.true_return) < 4.0 * played.standard_error
        assert set(played.lengths) == {6}
        assert not played.terminated.any()
    apart = abs(evaluate(model, infer(model, 1.0)).true_return - exact.true_return)
    assert apart > 4.0 * played.standard_error


def test_a_program_is_the_same_world_as_the_matrices():
    model = short()
    env = ContinuousEnv(ProgramWorld(model), observe_time=True)
    played = rollout(env, infer(model, 1.0), 300, seed=1)
    assert abs(played.mean - evaluate(model, infer(model, 1.0)).true_return) < 4.0 * played.standard_error
    assert played.terminated.all()


@pytest.mark.parametrize("program", [False, True])
def test_rewards_are_those_of_the_problem(program):
    model, problem = short(), short().problem
    env = ContinuousEnv(ProgramWorld(model)) if program else to_gymnasium(problem)
    state, _ = env.reset(seed=0)
    for t, action in enumerate((0.5, -1.0, 2.0)):
        after, reward, terminated, truncated, _ = env.step(np.array([action]))
        expected = problem.reward(t, torch.tensor(state), torch.tensor([action], dtype=torch.float64))
        expected += problem.final_reward(torch.tensor(after)) if t == 2 else 0.0
        assert reward == pytest.approx(float(expected), abs=1e-12)
        assert (terminated, truncated) == (False, t == 2)
        state = after
    with pytest.raises(ResetNeeded):
        env.step(np.zeros(1))


def test_equal_seeds_give_equal_episodes_and_copies():
    model = short()
    one, other = (rollout(to_gymnasium(model), infer(model, 0.5), 20, seed=3) for _ in range(2))
    assert (one.returns == other.returns).all()
    assert (rollout(to_gymnasium(model), infer(model, 0.5), 20, seed=4).returns != one.returns).all()
    sure = scalar(horizon=3).replace(W=[[0.0]])
    policy = infer(LinearQuadraticModel(sure), 0.0)
    played = rollout(to_gymnasium(sure), policy, 3, seed=0, deterministic=True)
    path = policy.mode()
    total = sum(float(sure.reward(t, path.states[0, t], path.actions[0, t])) for t in range(3))
    assert played.returns == pytest.approx([total] * 3, abs=1e-12)
    again = pickle.loads(pickle.dumps(gymnasium.make(to_gymnasium(model).spec).unwrapped.world))  # pyright: ignore[reportAttributeAccessIssue]
    assert again.horizon == 3


def test_a_discounted_final_reward_is_paid_once():
    problem = scalar(horizon=1, final_cost=[[2.0]]).replace(discount=0.5, W=[[0.0]])
    env = to_gymnasium(problem)
    env.reset(seed=0)
    after, reward, *_ = env.step(np.zeros(1))
    assert reward == pytest.approx(-0.5 - 0.5 * 0.5 * 2.0 * after[0] ** 2)


def test_it_says_what_does_not_fit():
    model = short()
    env = to_gymnasium(model, render_mode="ansi")
    env.reset(seed=0)
    for wrong in (np.zeros(2), np.array([np.nan]), "left"):
        with pytest.raises(InvalidArgument, match="`action`"):
            env.step(wrong)
    env.step(np.ones(1))
    assert "t = 1 of 3: state (" in env.render()
    double = infer(LinearQuadraticModel(double_integrator()), 0.0)
    with pytest.raises(InvalidArgument, match="`policy` has states of 2 numbers"):
        rollout(env, double, 2, seed=0)
    with pytest.raises(InvalidArgument, match="episode is longer"):
        rollout(to_gymnasium(scalar(horizon=5)), infer(model, 0.0), 2, seed=0)
    cut = rollout(to_gymnasium(scalar(horizon=5)), infer(model, 0.0), 2, seed=0, max_episode_steps=3)
    assert set(cut.lengths) == {3}
    with pytest.raises(InvalidProblem, match="`mdp` must be one problem"):
        to_gymnasium(scalar(initial_mean=[[1.0], [2.0]]))
    with pytest.raises(InvalidProblem, match="`mdp` must draw a state before its first action"):
        to_gymnasium(lambda: None)


class Stepwise:
    """A posterior whose policy is a distribution at each step, as that of the plane."""

    def __init__(self, posterior):
        self.blocks_of, self.horizon = posterior.blocks(), posterior.blocks().horizon

    def initial(self):
        return dist.Normal(self.blocks_of.initial_mean, 1.0).to_event(1)

    def policy(self, t, state):
        q = self.blocks_of
        return dist.Normal(-state @ q.gain[t].mT - q.offset[t], q.policy_covariance[t].diagonal().sqrt()).to_event(1)


@pytest.mark.wrong_types
def test_a_policy_by_step_acts_too():
    model = short()
    posterior = infer(model, 1.0)
    for observe_time in (False, True):
        played = rollout(to_gymnasium(model, observe_time), Stepwise(posterior), 500, seed=0)
        assert abs(played.mean - evaluate(model, posterior).true_return) < 4.0 * played.standard_error
    again = rollout(to_gymnasium(model, True), Stepwise(posterior), 500, seed=0)
    assert (again.returns == played.returns).all()
    with pytest.raises(InvalidArgument, match="`deterministic` must be False"):
        rollout(to_gymnasium(model), Stepwise(posterior), 2, seed=0, deterministic=True)


def swinging(prior, dtype=torch.float64):
    """Curved dynamics in one dimension."""
    one = torch.ones(1, dtype=dtype)
    return ContinuousModel(
        dist.Normal(one, 0.5).to_event(1),
        lambda t, s, a: dist.Normal(s + 0.3 * s.sin() + 0.5 * a, 0.3).to_event(1),
        lambda t, s, a, ahead: -(ahead**2).sum(-1),
        3,
        action_prior=prior,
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("family", [ClampedNeuralGuide, ClampedGaussianGuide])
def test_a_guide_of_a_model_over_vectors_acts(family, dtype):
    model = swinging(dist.Normal(torch.zeros(1, dtype=dtype), 1.0).to_event(1), dtype)
    guide = family(model, seed=0) if family is ClampedNeuralGuide else family(model)
    if family is ClampedGaussianGuide:
        fit(model, guide, method="natural_gradient")
    sampled = estimate(model, guide, 500, seed=0).true_return
    for observe_time in (False, True):
        played = rollout(to_gymnasium(model, observe_time), guide, 200, seed=0)
        assert abs(played.mean - sampled.mean) < 4.0 * (played.standard_error + sampled.standard_error)


@pytest.mark.wrong_types
def test_a_result_is_not_a_policy_but_has_one():
    model = swinging(dist.Normal(torch.zeros(1).double(), 1.0).to_event(1))
    found = ilqg(model, num_steps=2)
    with pytest.raises(InvalidArgument, match=r"`policy` must be a policy, but is a result, ILQG.*`\.guide`"):
        rollout(to_gymnasium(model), found, 2, seed=0)  # pyright: ignore[reportArgumentType]
    assert rollout(to_gymnasium(model), found.guide, 2, seed=0).lengths.tolist() == [3, 3]


def test_actions_have_the_bounds_of_their_prior():
    env = to_gymnasium(continuous_zoo()["windy_pendulum"].model(4))
    assert env.action_space == gymnasium.spaces.Box(-6.0, 6.0, (1,), dtype=np.float64)
    env.reset(seed=0)
    with pytest.raises(InvalidArgument, match=r"`action` must lie within the bounds .* \(-6\) to \(6\)"):
        env.step(np.array([6.1]))
    env.step(np.array([6.0 + 1e-7]))
    env.step(env.action_space.sample())


def test_bounds_that_depend_on_the_state_are_left_out():
    def prior(t, state):
        return dist.Uniform(-torch.ones_like(state), 1.0 + state.exp()).to_event(1)

    space: Any = to_gymnasium(swinging(prior)).action_space
    assert space.low.tolist() == [-1.0]
    assert space.high.tolist() == [np.inf]
    positive = dist.LogNormal(torch.zeros(1).double(), 1.0).to_event(1)
    space: Any = to_gymnasium(swinging(positive)).action_space
    assert space.low.tolist() == [0.0]
    assert space.high.tolist() == [np.inf]

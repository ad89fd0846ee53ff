"""Tests of the likelihood of choices: against exact inference, finite differences and the named demonstrators."""

import pytest
import torch
from problems import random_mdp

from pgm_control import InvalidArgument, Risk, TabularMDP, TabularModel, infer
from pgm_control.behaviour import Choices, behaviour_log_likelihood, simulate_people
from pgm_control.inverse_rl import BoltzmannDemonstrator, ClampedDemonstrator, DialDemonstrator

BETA = torch.tensor([0.0, 1.0, -0.7, 0.3], dtype=torch.float64)
TAU = torch.tensor([1.0, 0.5, 2.0, 0.8], dtype=torch.float64)


def problems():
    """Eight problems of different sizes and horizons, one with a forbidden action, one discounted."""
    found = {}
    for i in range(8):
        mdp = random_mdp(
            seed=i,
            states=3 + i % 3,
            actions=2 + i % 2,
            outcomes=2 + i % 2,
            horizon=1 + i % 4,
            discount=0.8 if i == 6 else 1.0,
        )
        prior = torch.ones(mdp.num_states, mdp.num_actions, dtype=torch.float64) / mdp.num_actions
        if i == 3:
            prior = torch.tensor([[0.0, 0.3, 0.7]] * mdp.num_states, dtype=torch.float64)
        found[f"p{i}"] = TabularModel(mdp, 1.0, prior)
    return found


@pytest.fixture(scope="module")
def played():
    models = problems()
    return models, simulate_people(models, BETA, TAU, num_people=4, num_repeats=2, seed=0)


def steps(models, data):
    """Person, problem, time, state and action of each row, as indices, counted independently of the library."""
    seen, found = {}, []
    for person, trial, problem, state, action in zip(*data.columns.values(), strict=True):
        time = seen[person, trial] = seen.get((person, trial), -1) + 1
        found.append((int(person) - 1, problem, time, int(state), int(action)))
    return found


def test_choices_have_the_probabilities_of_exact_inference(played):
    models, data = played
    solved = {}
    for person, problem, time, state, action in (rows := steps(models, data)):
        model = models[problem]
        at = TabularModel(model.mdp, float(TAU[person]), model.action_prior)
        policy = solved.setdefault((person, problem), infer(at, float(BETA[person])).policy)
        solved[person, problem, time, state, action] = policy[time, state, action].log()
    expected = torch.stack([solved[row] for row in rows])
    found = behaviour_log_likelihood(models, data, BETA, TAU)
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)
    torch.testing.assert_close(
        behaviour_log_likelihood(models, data, Risk(BETA / TAU), TAU), expected, atol=1e-12, rtol=0
    )


@pytest.mark.parametrize(
    ("demonstrator", "beta", "hard"),
    [
        (ClampedDemonstrator(), 0.0, False),
        (DialDemonstrator(1.0), 1.0, False),
        (DialDemonstrator(-0.4), -0.4, False),
        (BoltzmannDemonstrator(), 0.0, True),
    ],
)
def test_the_models_are_those_of_inverse_rl(played, demonstrator, beta, hard):
    models, data = played
    found = behaviour_log_likelihood(models, data, beta, 0.7, hard=hard)
    expected = []
    for _, problem, time, state, action in steps(models, data):
        mdp = models[problem].mdp
        policy = demonstrator.behaviour(models[problem], mdp.reward, torch.zeros_like(mdp.initial), 0.7).log_policy
        expected.append(policy[time, state, action])
    torch.testing.assert_close(found, torch.stack(expected), atol=1e-12, rtol=0)


def test_derivatives_are_finite_differences_also_at_zero(played):
    models, data = played
    given = [BETA, TAU, torch.tensor([0.0, 0.1, 0.3, 0.0], dtype=torch.float64)]

    def total(beta, tau, lapse):
        return behaviour_log_likelihood(models, data, beta, tau, lapse).sum()

    slopes = torch.autograd.grad(total(*(leaves := [each.clone().requires_grad_() for each in given])), leaves)
    for i, slope in enumerate(slopes):
        for person in range(4):
            low, high = ([each.clone() for each in given] for _ in range(2))
            low[i][person] = max(float(low[i][person]) - 1e-5, -1.0 if i == 0 else 0.0)
            high[i][person] += 1e-5
            difference = (total(*high) - total(*low)) / (high[i][person] - low[i][person])
            assert float(slope[person]) == pytest.approx(float(difference), rel=2e-3 if i == 2 else 1e-6, abs=1e-7)
    inside = [given[0], given[1], given[2].clamp_min(0.01)]
    assert torch.autograd.gradgradcheck(total, [each.clone().requires_grad_() for each in inside])


def test_a_batch_of_parameters_is_each_of_them(played):
    models, data = played
    beta = torch.stack([BETA, BETA + 0.3, -BETA])
    found = behaviour_log_likelihood(models, data, beta[:, None], TAU * torch.tensor([[1.0], [2.0]]), 0.1)
    assert found.shape == (3, 2, len(data))
    torch.testing.assert_close(found[2, 1], behaviour_log_likelihood(models, data, -BETA, 2 * TAU, 0.1))


def test_a_lapse_is_an_action_of_the_prior(played):
    models, data = played
    policy = behaviour_log_likelihood(models, data, BETA, TAU).exp()
    prior = torch.stack([models[row[1]].action_prior[row[3], row[4]] for row in steps(models, data)])
    found = behaviour_log_likelihood(models, data, BETA, TAU, 0.2)
    torch.testing.assert_close(found, (0.8 * policy + 0.2 * prior).log(), atol=1e-12, rtol=0)
    torch.testing.assert_close(behaviour_log_likelihood(models, data, 0.0, 1.0, 1.0), prior.log(), atol=1e-12, rtol=0)


def test_reward_weights_add_their_features(played):
    models, data = played
    tables = {name: torch.randn(model.mdp.reward.shape).double() for name, model in models.items()}
    features = {"a": tables, "b": {"p0": [[[1.0]], [[0.0]], [[-1.0]]]}}
    paid = {name: model.mdp.reward + 0.4 * tables[name] for name, model in models.items()}
    paid["p0"] = paid["p0"] - 1.5 * torch.tensor([[[1.0]], [[0.0]], [[-1.0]]])
    other = {name: TabularModel(m.mdp.replace(reward=paid[name]), 1.0, m.action_prior) for name, m in models.items()}
    found = behaviour_log_likelihood(models, data, BETA, TAU, features=features, weights=[0.4, -1.5])
    torch.testing.assert_close(found, behaviour_log_likelihood(other, data, BETA, TAU), atol=1e-12, rtol=0)
    of_person = torch.tensor([[0.4, -1.5]] * 4, dtype=torch.float64)
    again = behaviour_log_likelihood(models, data, BETA, TAU, features=features, weights=of_person)
    torch.testing.assert_close(found, again)


def test_a_forbidden_action_of_rewards_is_one_of_the_prior():
    mdp = TabularMDP([1.0], [[[1.0]] * 3], [[[0]] * 3], [[[1.0], [2.0], [-torch.inf]]], 2)
    data = Choices.from_table(
        {"person": [1, 1], "trial": [1, 1], "problem": ["x"] * 2, "state": [0, 0], "action": [1, 0]}
    )
    model = TabularModel(mdp, 1.0, [[0.25, 0.25, 0.5]])
    found = behaviour_log_likelihood({"x": model}, data, 1.0, 1.0, 0.5)
    e = torch.tensor([2.0, 1.0], dtype=torch.float64).exp()
    torch.testing.assert_close(found, (0.5 * e / e.sum() + 0.25).log())
    forbidden = Choices.from_table({**data.columns, "action": ["0", "2"]})
    with pytest.raises(InvalidArgument, match=r"column 'action' has '2' in row 2.*by a reward of −inf"):
        behaviour_log_likelihood({"x": model}, forbidden, 1.0, 1.0, 0.5)


def test_simulated_choices_have_the_simulated_probabilities():
    mdp = random_mdp(seed=5, states=3, actions=2, outcomes=2, horizon=2)
    models, number = {"x": TabularModel(mdp)}, 20_000
    data = simulate_people(models, 0.5, 0.6, 0.2, num_people=2, num_repeats=number, seed=1)
    assert simulate_people(models, 0.5, 0.6, 0.2, num_people=2, num_repeats=3, seed=1).columns != data.columns
    rows = torch.tensor([row[2:] for row in steps(models, data)])
    policy = infer(TabularModel(mdp, 0.6), 0.5).policy * 0.8 + 0.1
    for time in range(2):
        for state in range(3):
            here = rows[(rows[:, 0] == time) & (rows[:, 1] == state)]
            if len(here) > 500:
                error = float(policy[time, state].prod() / len(here)) ** 0.5
                assert float((here[:, 2] == 0).double().mean()) == pytest.approx(
                    float(policy[time, state, 0]), abs=5 * error
                )

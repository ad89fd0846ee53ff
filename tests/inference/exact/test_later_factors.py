"""Policy and dynamics of a posterior are made when they are asked for, and are those of the problem that was solved."""

import copy
import pickle

import numpy as np
import pytest
import torch
from problems import random_mdp

from pgm_control import InvalidArgument, TabularModel, infer

pytest.importorskip("numba", reason="needs the extra `fast`")

from pgm_control.kernels import finite_horizon

either = pytest.mark.parametrize("optimism", [0.0, 1.0])


@pytest.fixture(autouse=True)
def compiled_loops(monkeypatch):
    monkeypatch.delenv("PGM_CONTROL_BACKEND", raising=False)


def tables(posterior):
    blocks = posterior.distribution
    return blocks.log_initial, blocks.log_policy, blocks.log_dynamics


@either
def test_they_are_made_once_and_only_if_asked_for(optimism, monkeypatch):
    calls, loop = [], finite_horizon.factors_of_one
    monkeypatch.setattr(finite_horizon, "factors_of_one", lambda *args: (calls.append(1), loop(*args)))
    posterior = infer(TabularModel(random_mdp(0, horizon=4), 0.5), optimism)
    assert posterior.q.shape == (4, *posterior.model.mdp.successor.shape[:2])
    assert not calls
    assert posterior.policy is not None
    assert posterior.dynamics is not None
    assert len(calls) == 1


@either
@pytest.mark.parametrize("table", ["reward", "probability", "initial"])
def test_a_problem_that_was_changed_in_place_is_refused(optimism, table):
    model = TabularModel(random_mdp(1, horizon=4), 0.5)
    posterior = infer(model, optimism)
    with torch.no_grad():
        getattr(model.mdp, table).copy_(getattr(model.mdp, table).roll(1, 0))
    with pytest.raises(InvalidArgument, match="changed in place"):
        _ = posterior.policy
    assert torch.isfinite(infer(model, optimism).distribution.log_policy).all()


@either
@pytest.mark.parametrize("name", ["q", "v"])
def test_values_that_were_changed_in_place_are_refused(optimism, name):
    posterior = infer(TabularModel(random_mdp(1, horizon=4), 0.5), optimism)
    getattr(posterior, name).mul_(2.0)
    with pytest.raises(InvalidArgument, match="changed in place"):
        _ = posterior.dynamics


@either
def test_another_model_of_the_same_problem_does_not_matter(optimism):
    mdp = random_mdp(2, horizon=4)
    prior = np.random.default_rng(0).dirichlet(np.ones(mdp.num_actions), mdp.num_states)
    expected = tables(infer(TabularModel(mdp, 0.5), optimism))
    posterior = infer(TabularModel(mdp, 0.5), optimism)
    assert infer(TabularModel(mdp, 2.0, prior), optimism).policy is not None
    for one, other in zip(tables(posterior), expected, strict=True):
        assert torch.equal(one, other)


@either
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))])
def test_a_copy_before_they_were_made_has_them(optimism, copied):
    model = TabularModel(random_mdp(3, horizon=4), 0.5)
    for one, other in zip(tables(copied(infer(model, optimism))), tables(infer(model, optimism)), strict=True):
        assert torch.equal(one, other)


@either
def test_they_can_be_differentiated_by_later_wherever_they_were_made(optimism):
    posterior = infer(TabularModel(random_mdp(3, horizon=4), 0.5), optimism)
    with torch.inference_mode():
        _ = posterior.distribution
    weight = torch.ones((), dtype=torch.float64, requires_grad=True)
    for table in tables(posterior):
        (table.exp() * weight).sum().backward()
    assert weight.grad == pytest.approx(sum(float(each.exp().sum()) for each in tables(posterior)))


def test_a_problem_of_inference_mode_is_solved_too():
    with torch.inference_mode():
        model = TabularModel(random_mdp(4, horizon=4), 0.5)
        posterior = infer(model, 1.0)
        assert torch.allclose(posterior.policy.sum(-1), torch.ones((), dtype=torch.float64))

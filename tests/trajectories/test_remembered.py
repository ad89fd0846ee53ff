"""Tests of results that are kept for a model: once while it stays the same, again when it changes, gone with it."""

import gc
import weakref

import pytest
import torch
from problems import random_mdp

from pgm_control import FreeGuide, TabularModel
from pgm_control.inference.variational.elbo import elbo
from pgm_control.trajectories.remembered import prior_of, remembered


def new_model():
    return TabularModel(random_mdp(seed=3, horizon=4), 0.7)


def name_of(model, suffix=""):
    return f"{type(model).__name__}{suffix}", object()


def test_a_result_is_kept_for_each_argument():
    model = new_model()
    assert remembered(model, name_of) is remembered(model, name_of)
    assert remembered(model, name_of, "!")[0] == "TabularModel!"
    assert remembered(model, name_of) is not remembered(new_model(), name_of)


def change_reward(model):
    model.mdp.reward.add_(1.0)


def change_temperature(model):
    model.temperature = 0.3


def change_prior(model):
    model.action_prior = torch.nn.functional.one_hot(torch.zeros(model.mdp.num_states).long(), 2).double()


def change_problem(model):
    model.mdp = model.mdp.replace(probability=model.mdp.probability.flip(-1))


@pytest.mark.parametrize("change", [change_reward, change_temperature, change_prior, change_problem])
@pytest.mark.parametrize("backend", ["auto", "torch"])
def test_a_changed_model_is_computed_anew(change, backend, monkeypatch):
    monkeypatch.setenv("PGM_CONTROL_BACKEND", backend)
    model = new_model()
    before, kept, blocks = elbo(model, FreeGuide(model).blocks()), prior_of(model), FreeGuide(model).blocks()
    change(model)
    fresh = TabularModel(model.mdp, model.temperature, model.action_prior)
    assert prior_of(model) is not kept
    assert elbo(model, blocks).item() == elbo(fresh, blocks).item() != before.item()


def test_nothing_keeps_a_model_alive():
    model = new_model()
    elbo(model, FreeGuide(model).blocks())
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


def test_few_results_are_kept_and_none_under_inference_mode():
    model = new_model()
    first = remembered(model, name_of, 0)
    for i in range(1, 20):
        remembered(model, name_of, i)
    assert remembered(model, name_of, 0) is not first
    with torch.inference_mode():
        inside = new_model()
        assert remembered(inside, name_of) is not remembered(inside, name_of)

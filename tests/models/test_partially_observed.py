"""The model of a POMDP, and the attribute `problem` of every model."""

import numpy as np
import pytest
import torch

from pgm_control import (
    InvalidArgument,
    InvalidProblem,
    PartiallyObservedModel,
    TabularModel,
    history_optimum,
    models,
    remember,
)
from pgm_control.guides import FreeWindowGuide, WindowGuide
from pgm_control.models import SimulatorModel, risky_path, tiger


def test_every_model_has_a_problem():
    mdp, pomdp = risky_path(), tiger()
    model = TabularModel(mdp)
    assert model.problem is model.mdp is mdp
    assert PartiallyObservedModel(pomdp).problem is pomdp
    simulator = SimulatorModel("CartPole-v1")
    assert simulator.problem == "CartPole-v1"
    simulator.close()
    assert models.PartiallyObservedModel is PartiallyObservedModel


def test_the_attributes_of_the_model():
    pomdp = tiger()
    model = PartiallyObservedModel(pomdp, np.float32(5.0))
    assert (model.temperature, model.action_prior.tolist()) == (5.0, [1 / 3] * 3)
    assert repr(model) == f"PartiallyObservedModel({pomdp!r}, temperature 5)"
    prior = PartiallyObservedModel(pomdp, 0.0, np.array([0.5, 0.5, 0.0])).action_prior
    assert prior.tolist() == [0.5, 0.5, 0.0]
    assert prior.dtype == pomdp.mdp.probability.dtype


def test_with_a_memory_it_is_a_tabular_model():
    model = PartiallyObservedModel(tiger(3), 5.0, np.array([0.8, 0.1, 0.1]))
    remembered = remember(model.problem, 2)
    by_hand = TabularModel(remembered.mdp, model.temperature, remembered.action_prior(model.action_prior))
    for kind in (WindowGuide, FreeWindowGuide):
        found = kind(model, 2).model
        assert found.temperature == 5.0
        for name in ("initial", "probability", "successor", "reward"):
            assert torch.equal(getattr(found.mdp, name), getattr(by_hand.mdp, name))
        assert torch.equal(found.action_prior, by_hand.action_prior)
    best = history_optimum(model)
    assert best.model.temperature == 5.0
    assert torch.equal(
        best.model.action_prior,
        TabularModel(best.remembered.mdp, 5.0, best.remembered.action_prior(model.action_prior)).action_prior,
    )


@pytest.mark.wrong_types
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"temperature": -1.0},
            "`temperature` must be a number of reward units per nat, 0 or more and at most 1.3e[+]154 .* but is -1.0",
        ),
        ({"temperature": float("nan")}, "`temperature` must be a number of reward units per nat"),
        ({"temperature": True}, "`temperature` must be a number of reward units per nat"),
        ({"action_prior": np.ones(2) / 2}, r"`action_prior` must have shape \(3,\) \(one probability for each action"),
        ({"action_prior": np.array([0.5, 0.4, 0.0])}, "`action_prior` must sum to 1"),
    ],
)
def test_arguments_are_checked(arguments, message):
    with pytest.raises(InvalidProblem, match=message):
        PartiallyObservedModel(tiger(), **arguments)


@pytest.mark.slow  # the shapes of arguments are checked elsewhere
def test_other_models_are_refused():
    with pytest.raises(InvalidProblem, match="`problem` must be a PartiallyObservedMDP, but is a TabularMDP"):
        PartiallyObservedModel(risky_path())  # pyright: ignore[reportArgumentType]
    for function in (history_optimum, WindowGuide, FreeWindowGuide):
        for other in (tiger(), TabularModel(risky_path())):
            with pytest.raises(InvalidArgument, match="`model` must be a PartiallyObservedModel, but is a"):
                function(other)  # pyright: ignore[reportArgumentType]


def test_the_discount_belongs_to_the_problem():
    """A discount replaced in the underlying MDP also applies to the histories."""
    pomdp = tiger(3)
    behind = type(pomdp)(pomdp.mdp.replace(discount=0.5), pomdp.observation)
    found = history_optimum(PartiallyObservedModel(behind, 0.0))
    assert found.model.mdp.discount == 0.5
    assert found.value == pytest.approx(-1 - 0.5 + 0.25 * (2.72 + 2), abs=1e-12)

"""A posterior as the prior of the next layer: clamped, layers add; free, only if the dynamics are handed up too."""

import pytest
import torch
from problems import random_mdp
from timed_models import timed_model

from pgm_control import FreeGuide, InvalidArgument, InvalidGuide, Optimism, TabularModel, infer

NEAR = {"rtol": 1e-12, "atol": 1e-12}


def layers(mdp, temperature, prior=None):
    """Two models of parts of the reward, and one of their sum."""
    generator = torch.Generator().manual_seed(0)
    second = torch.randn(mdp.reward.shape, generator=generator, dtype=torch.float64)
    second = torch.where(mdp.probability > 0, second, 0.0)
    parts = mdp, mdp.replace(reward=second, final_reward=None), mdp.replace(reward=mdp.reward + second)
    return [TabularModel(each, temperature, prior) for each in parts]


@pytest.mark.parametrize("temperature", [0.7, [0.5, 1.0, 2.0, 0.3]])
@pytest.mark.parametrize("discount", [1.0, 0.8])
def test_clamped_layers_add(temperature, discount):
    for seed in range(3):
        first, second, both = layers(random_mdp(seed, states=6, horizon=4, discount=discount), temperature)
        below = infer(first, 0.0)
        above, whole = infer(second.with_prior(below), 0.0), infer(both, 0.0)
        torch.testing.assert_close(above.policy, whole.policy, **NEAR)
        assert below.objective + above.objective == pytest.approx(whole.objective, abs=1e-12)


def test_free_layers_add_only_with_the_dynamics_and_the_start():
    for seed in range(3):
        first, second, both = layers(random_mdp(seed, states=6, horizon=4), 0.7)
        below, whole = infer(first, 1.0), infer(both, 1.0)
        above = infer(second.with_prior(below, dynamics=True, initial=True), 1.0)
        torch.testing.assert_close(above.policy, whole.policy, **NEAR)
        torch.testing.assert_close(above.dynamics, whole.dynamics, **NEAR)
        torch.testing.assert_close(above.initial, whole.initial, **NEAR)
        assert below.log_evidence + above.log_evidence == pytest.approx(whole.log_evidence, abs=1e-12)
        alone = infer(second.with_prior(below), 1.0)
        assert float((alone.policy - whole.policy).abs().max()) > 1e-3


def test_layers_keep_what_else_the_model_has():
    model = timed_model("all")
    made = model.with_prior(infer(model, 0.0))
    assert made.observed is model.observed
    assert made.optimality is model.optimality
    assert made.mdp is model.mdp
    torch.testing.assert_close(made.action_prior, infer(model, 0.0).policy, **NEAR)


def test_a_guide_with_parameters_is_handed_up_as_numbers():
    model = TabularModel(random_mdp(0), 1.0)
    made = model.with_prior(FreeGuide(model), dynamics=True)
    assert not made.mdp.probability.requires_grad
    assert infer(made, 1.0).log_evidence <= infer(model, 1.0).log_evidence + 20


@pytest.mark.wrong_types
def test_what_cannot_be_handed_up_is_refused():
    model = TabularModel(random_mdp(0, discount=0.9), 1.0)
    with pytest.raises(InvalidArgument, match="`guide` must have the survival"):
        model.with_prior(infer(model, Optimism(1.0, 1.0, 1.0)), dynamics=True)
    other = TabularModel(random_mdp(0, states=5), 1.0)
    with pytest.raises(InvalidGuide, match="must have shape"):
        model.with_prior(infer(other, 0.0))
    with pytest.raises(InvalidArgument, match="`dynamics`"):
        model.with_prior(infer(model, 0.0), dynamics="yes")

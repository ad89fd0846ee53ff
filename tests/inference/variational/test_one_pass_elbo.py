"""The ELBO from one run of a changed program: the numbers and gradients of Pyro's losses, and of an enumeration."""

import pytest
import torch
from pyro.infer import Trace_ELBO

from pgm_control import fit
from pgm_control.chance.optimism import Optimism
from pgm_control.errors import InvalidArgument, InvalidGuide
from pgm_control.guides.continuous_neural import ClampedNeuralGuide, FlowGuide, FreeNeuralGuide
from pgm_control.inference.variational.one_pass_elbo import OnePassELBO
from pgm_control.inference.variational.optimism_scaling import with_optimism
from pgm_control.networks.learned_dynamics import learn_dynamics

from ... import linear_gaussian as scalar
from ...ledge import ledge
from ...linear_gaussian_vectors import Optimal, model


def moved(guide, scale=0.02):
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for each in guide.parameters():
            each.add_(scale * torch.randn(each.shape, generator=draw, dtype=each.dtype))
    return guide


def gradients(loss, of, guide, by):
    torch.manual_seed(3)
    for each in by.parameters():
        each.grad = None
    value = loss.loss_and_grads(of, guide)
    return value, [each.grad.clone() for each in by.parameters()]


def pyro_elbo():
    return Trace_ELBO(num_particles=6, vectorize_particles=True, max_plate_nesting=1)


GUIDES = {
    "clamped": lambda of: ClampedNeuralGuide(of, hidden=(6,), seed=0),
    "mixture": lambda of: FreeNeuralGuide(of, "mixture", hidden=(6,), seed=0),
    "free": lambda of: FreeNeuralGuide(of, hidden=(6,), seed=0),
    "flow": lambda of: FlowGuide(of, True, hidden=(6,), seed=0),
}


@pytest.mark.parametrize("of", [model(), ledge(horizon=3)], ids=["line", "ledge"])
@pytest.mark.parametrize("name", GUIDES)
def test_it_is_the_loss_of_pyro(name, of):
    guide = moved(GUIDES[name](of))
    one, other = gradients(OnePassELBO(6), of, guide, guide), gradients(pyro_elbo(), of, guide, guide)
    assert one[0] == pytest.approx(other[0], rel=1e-12)
    for found, due in zip(one[1], other[1], strict=True):
        assert torch.allclose(found, due, rtol=1e-9, atol=1e-9 * (1 + float(due.abs().max())))
    torch.manual_seed(3)
    assert OnePassELBO(6).loss(of, guide) == pytest.approx(one[0], rel=1e-12)


@pytest.mark.parametrize("optimism", [0.3, 2.0, Optimism(dynamics=0.5, initial=0.2)])
def test_with_optimism_it_is_the_scaled_loss_of_pyro(optimism):
    of = model()
    guide = moved(FreeNeuralGuide(of, hidden=(6,), seed=0))
    one = gradients(OnePassELBO(6, optimism), of, guide, guide)
    scaled = with_optimism(of, of, optimism), with_optimism(guide, of, optimism)
    other = gradients(pyro_elbo(), *scaled, guide)
    assert one[0] == pytest.approx(other[0], rel=1e-12)
    for found, due in zip(one[1], other[1], strict=True):
        assert torch.allclose(found, due, rtol=1e-9, atol=1e-9 * (1 + float(due.abs().max())))


@pytest.mark.parametrize("beta", [1.0, 0.5])
def test_at_the_optimum_it_is_the_known_objective(beta):
    of = model()
    found = [-OnePassELBO(4000, beta).loss(of, Optimal(of, beta)) for _ in range(3)]
    assert sum(found) / 3 == pytest.approx(scalar.objective(beta), abs=1e-9 if beta == 1 else 0.05)
    assert OnePassELBO(4, beta).objective_name == ("ELBO" if beta == 1 else "objective J_β")


def test_the_score_of_the_member_is_unbiased():
    """The gradient of the member's logits: w_k (J_k − Σ w J), with J_k the ELBO given that member, less log w."""
    draw = torch.Generator().manual_seed(0)
    s, a, w = (torch.randn(60, 1, generator=draw).double() for _ in range(3))
    learned = learn_dynamics(s, a, 0.9 * s + 0.5 * a + 0.5 * w, ensemble_size=3, hidden=(4,), num_epochs=2, seed=0)
    of = model(dynamics=learned)
    guide = ClampedNeuralGuide(of, hidden=(4,), free_member=True, seed=0)
    with torch.no_grad():
        guide.member_logits.copy_(torch.tensor([0.5, 0.0, -1.0]))
    weight = guide.member_logits.detach().softmax(-1)
    values = []
    for k in range(3):
        one = model(dynamics=learned.given(torch.tensor(k)))
        values.append(-OnePassELBO(40_000).loss(one, ClampedNeuralGuide(one, hidden=(4,), seed=0)))
    inner = torch.tensor(values) - weight.log() - torch.log(torch.tensor(3.0))
    due = weight * (inner - (weight * inner).sum())
    OnePassELBO(40_000).loss_and_grads(of, guide)
    assert torch.allclose(-guide.member_logits.grad, due, atol=0.03)


def test_fit_takes_it_by_default_and_says_what_it_fitted():
    of = model()
    guide = FreeNeuralGuide(of, hidden=(), seed=0)
    found = fit(of, guide, num_steps=3, seed=0)
    assert found.objective_name == "ELBO"
    assert "OnePassELBO" in str(found.checkpoint.description)
    again = fit(of, FreeNeuralGuide(of, hidden=(), seed=0), num_steps=3, seed=0)
    assert torch.equal(found.elbo_history, again.elbo_history)


def test_it_is_for_guides_that_change_their_model():
    of = model()
    with pytest.raises(InvalidGuide, match="OnePassELBO"):
        OnePassELBO(4).loss(of, ClampedNeuralGuide(model(), seed=0))
    with pytest.raises(InvalidGuide, match="Trace_ELBO"):
        OnePassELBO(4).loss(of, lambda: None)
    with pytest.raises(InvalidArgument, match="`optimism` must be 0 or more for the start"):
        OnePassELBO(4, -0.1)
    with pytest.raises(InvalidArgument, match="`num_particles`"):
        OnePassELBO(0)

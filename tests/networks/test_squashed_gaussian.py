"""The squashed Gaussian: its density agrees with integrals and differences, also at ±1, and it works in Pyro."""

import math

import hypothesis.strategies as st
import pyro
import pytest
import torch
from hypothesis import given
from pyro import poutine
from strategies import laws

from pgm_control.networks.squashed_gaussian import SquashedGaussian, log_jacobian

means = st.sampled_from([-20.0, -8.0, -3.0, -0.3, 0.0, 0.5, 2.0, 8.0, 20.0])
scales = st.sampled_from([0.01, 0.1, 0.5, 1.0, 2.0, 5.0])


def gaussian(mean, scale, dtype=torch.float64):
    return SquashedGaussian(torch.tensor([mean], dtype=dtype), torch.tensor([math.log(scale)], dtype=dtype))


def mass_below(distribution, a):
    """P(action ≤ a), from the distribution function of the Gaussian, without density and Jacobian."""
    return torch.special.ndtr((torch.atanh(a) - distribution.loc) / distribution.scale)


@laws
@given(means, scales)
def test_the_density_integrates_to_one(mean, scale):
    """Inside by quadrature in the action, dense towards ±1; the last cells by their width."""
    d = gaussian(mean, scale)
    u = torch.linspace(-18.4, 18.4, 200001, dtype=torch.float64)
    near = 2 * torch.sigmoid(-2 * u.abs())  # the distance to the nearer of ±1
    a = (1 - near).copysign(u)
    a, near = a[a.abs() < 1 - 1e-13], near[a.abs() < 1 - 1e-13]
    density = d.log_prob(a[:, None]).exp()
    step = torch.where(a[1:] * a[:-1] > 0, (near[1:] - near[:-1]).abs(), a[1:] - a[:-1])
    inside = float((0.5 * (density[1:] + density[:-1]) * step).sum())
    outside = float(mass_below(d, a[:1]) + 1 - mass_below(d, a[-1:]))
    assert inside + outside == pytest.approx(1.0, abs=1e-3 if scale < 0.1 else 1e-5)


@laws
@given(means, scales, st.floats(-2.0, 2.0))
def test_the_density_is_the_derivative_of_the_distribution_function(mean, scale, away):
    u = mean + scale * away
    if abs(u) > 9:
        return  # there the spacing of floats is too large for a difference
    d = gaussian(mean, scale)
    a = torch.tensor([math.tanh(u)], dtype=torch.float64)
    step = 1e-4 * scale * (1 - a.square())
    slope = (mass_below(d, a + step) - mass_below(d, a - step)) / (2 * step)
    assert float(d.log_prob(a)) == pytest.approx(float(slope.log()), abs=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("wall", [-1.0, 1.0])
def test_values_rounded_to_the_last_float_have_the_mass_of_the_tail(dtype, wall):
    """The rounding by brute force: the last cell begins halfway between the last two floats before ±1."""
    eps = torch.finfo(dtype).eps
    width = 0.75 * eps
    d = gaussian(wall * 20.0, 2.0, dtype)
    edge = 0.5 * math.log(2 / width)
    mass = torch.special.ndtr(torch.tensor((20.0 - edge) / 2.0, dtype=torch.float64))
    last = torch.tensor([wall * (1 - eps / 2)], dtype=dtype)
    assert float(last.abs()) < 1
    assert float(d.log_prob(last)) == pytest.approx(float(mass.log()) - math.log(width), rel=1e-6)
    assert float(d.log_prob(torch.tensor([wall], dtype=dtype))) == float(d.log_prob(last))
    before = torch.tensor([wall * (1 - eps)], dtype=dtype)
    assert float(d.log_prob(before)) != pytest.approx(float(d.log_prob(last)), rel=1e-3)


@pytest.mark.statistical
def test_the_score_of_rounded_actions_has_mean_zero():
    """At a mean of 8 in float32 a seventh of the samples is rounded to the last float. False alarm: 6e-7."""
    loc = torch.full((1,), 8.0, requires_grad=True)
    d = SquashedGaussian(loc.expand(200000, 1), torch.zeros(200000, 1))
    (score,) = torch.autograd.grad(d.log_prob(d.sample()).sum(), d.loc, retain_graph=True)
    assert abs(float(score.mean())) < 5 * float(score.std()) / math.sqrt(200000) + 0.01  # 0.01: rounded inside, too


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@laws
@given(means, st.sampled_from([1e-3, 0.1, 1.0, 7.4]))
def test_everything_is_finite_everywhere(dtype, mean, scale):
    loc = torch.full((64, 2), mean, dtype=dtype, requires_grad=True)
    width = torch.full((64, 2), math.log(scale), dtype=dtype, requires_grad=True)
    action, density = SquashedGaussian(loc, width).rsample_with_log_prob()
    assert (action.abs() < 1).all()
    own = SquashedGaussian(loc, width).log_prob(action.detach())
    walls = SquashedGaussian(loc, width).log_prob(torch.ones(64, 2, dtype=dtype).copysign(loc.detach()))
    (action.sum() + density.sum() + own.sum() + walls.sum()).backward()
    for value in (density, own, walls, loc.grad, width.grad):
        assert value is not None
        assert torch.isfinite(value).all()


@laws
@given(st.floats(-4.0, 4.0), scales)
def test_the_returned_density_of_a_sample_is_its_log_prob(mean, scale):
    d = SquashedGaussian(*(torch.full((500, 3), x, dtype=torch.float64) for x in (mean, math.log(min(scale, 1.0)))))
    action, density = d.rsample_with_log_prob()
    inside = action.abs().amax(-1) < 1 - 1e-9  # beyond it the action no longer determines u
    torch.testing.assert_close(d.log_prob(action)[inside], density[inside], atol=1e-4, rtol=1e-6)


def test_gradients_of_samples_agree_with_the_formula():
    loc, scale = torch.tensor([0.3], requires_grad=True), torch.tensor([0.7], requires_grad=True)
    torch.manual_seed(3)
    action, density = SquashedGaussian(loc, scale.log()).rsample_with_log_prob()
    torch.manual_seed(3)
    noise = torch.randn(1)
    by_action = torch.autograd.grad(action.sum(), (loc, scale), retain_graph=True)
    slope = 1 - action.detach() ** 2
    torch.testing.assert_close(by_action, (slope, slope * noise))
    by_density = torch.autograd.grad(density, (loc, scale))
    pull = 2 * action.detach()  # d/du of −log(1 − tanh² u)
    torch.testing.assert_close(by_density, (pull, pull * noise - 1 / 0.7))


@laws
@given(means, st.sampled_from([0.01, 0.3, 1.0, 3.0, 7.4, 10.0]))
def test_the_entropy_is_the_integral(mean, scale):
    u = torch.linspace(mean - 12 * scale, mean + 12 * scale, 400001, dtype=torch.float64)
    normal = -0.5 * ((u - mean) / scale) ** 2 - math.log(scale * math.sqrt(2 * math.pi))
    near = 2 * torch.sigmoid(-2 * u.abs())  # 1 − |tanh u|
    integrand = -normal.exp() * (normal - (near * (2 - near)).log())
    assert float(gaussian(mean, scale).entropy()) == pytest.approx(float(torch.trapezoid(integrand, u)), abs=1e-6)


def test_the_entropy_stays_below_that_of_the_uniform_distribution():
    """The uniform distribution on [−1, 1] has the largest entropy, log 2; σ = .8746 comes closest."""
    scale = torch.linspace(0.5, 1.5, 101, dtype=torch.float64)[:, None]
    entropy = SquashedGaussian(torch.zeros_like(scale), scale.log()).entropy()
    assert float(entropy.max()) < math.log(2)
    assert float(entropy.max()) == pytest.approx(math.log(2), abs=0.02)


def test_the_entropies_of_coordinates_are_added():
    loc, log_scale = torch.randn(4, 3, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64)
    apart = sum(SquashedGaussian(loc[:, [i]], log_scale[:, [i]]).entropy() for i in range(3))
    torch.testing.assert_close(SquashedGaussian(loc, log_scale).entropy(), apart)


@pytest.mark.statistical
def test_the_entropy_is_the_mean_of_the_samples():
    """False alarm: 6e-7."""
    d = SquashedGaussian(torch.tensor([1.5, -0.2]), torch.tensor([1.0, 0.4]).log())
    _, density = d.rsample_with_log_prob((100000,))
    assert abs(float(-density.mean() - d.entropy())) < 5 * float(density.std()) / math.sqrt(100000)


@pytest.mark.parametrize("u", [0.0, 1e-4, 0.7, 5.0, 12.0, 300.0])
def test_the_log_jacobian_is_even_and_stable(u):
    both = log_jacobian(torch.tensor([u, -u]))
    exact = math.log(1 - math.tanh(u) ** 2) if u < 9 else 2 * (math.log(2) - u)
    torch.testing.assert_close(both, torch.tensor([exact, exact]), atol=1e-6, rtol=1e-5)


# In Pyro


def test_a_pyro_program_samples_and_scores_it():
    def program():
        with pyro.plate("copies", 5):
            return pyro.sample("action", SquashedGaussian(torch.zeros(2), torch.zeros(2)))

    trace = poutine.trace(program).get_trace()
    trace.compute_log_prob()
    site = trace.nodes["action"]
    assert site["value"].shape == (5, 2)
    assert site["log_prob"].shape == (5,)
    assert (site["value"].abs() < 1).all()


def test_without_rsample_a_sample_has_no_gradient():
    d = SquashedGaussian(torch.zeros(2, requires_grad=True), torch.zeros(2))
    assert d().requires_grad
    d.has_rsample_(False)
    assert not d().requires_grad
    assert not d.expand(torch.Size([3])).has_rsample
    assert d.log_prob(d()).requires_grad


def test_shapes():
    d = SquashedGaussian(torch.zeros(4, 1, 2), torch.zeros(4, 1, 2))
    assert (d.batch_shape, d.event_shape, d.event_dim) == ((4, 1), (2,), 1)
    wide = d.expand(torch.Size([4, 3]))
    assert wide.sample((7,)).shape == (7, 4, 3, 2)
    assert wide.log_prob(wide.sample()).shape == (4, 3)
    assert wide.entropy().shape == (4, 3)
    assert d.to_event(1).log_prob(d.sample()).shape == (4,)


def test_median_and_mode_are_the_squashed_mean():
    d = gaussian(0.8, 0.5)
    assert float(d.median) == float(d.mode) == pytest.approx(math.tanh(0.8))
    assert float(mass_below(d, d.median)) == pytest.approx(0.5)

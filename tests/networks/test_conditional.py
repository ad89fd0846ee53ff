"""Families given time and features: where they start, that they are normalised, and the gradients of their draws."""

import pyro.distributions as dist
import pytest
import torch
from torch.distributions.transforms import TanhTransform

from pgm_control.errors import InvalidArgument
from pgm_control.networks.conditional import TriangularMap, family_of
from pgm_control.networks.mixture_of_gaussians import MixtureOfGaussians
from pgm_control.networks.spline import NUM_PARAMETERS, SplineMap, spline
from pgm_control.networks.time_network import TimeNetwork

LIKE = torch.zeros((), dtype=torch.float64)
FAMILIES = "gaussian", "mixture", "flow"


def normal(size):
    return dist.Normal(torch.full((size,), 0.5, dtype=torch.float64), 2.0).to_event(1)


GIVEN = {
    "normal": normal,
    "correlated": lambda size: dist.MultivariateNormal(
        torch.ones(size, dtype=torch.float64), torch.eye(size, dtype=torch.float64) + 0.5
    ),
    "uniform": lambda size: dist.Uniform(torch.full((size,), -1.0, dtype=torch.float64), 3.0).to_event(1),
    "beta": lambda size: dist.Beta(torch.full((size,), 2.0, dtype=torch.float64), 3.0).to_event(1),
    "tanh": lambda size: dist.TransformedDistribution(normal(size), [TanhTransform(cache_size=1)]),
}


def moved(family, size, scale=0.15):
    """A family with random parameters."""
    made = family_of(family, 3, 2, size, (8, 8), 0, LIKE)
    with torch.no_grad():
        for each in made.parameters():
            each.add_(scale * torch.randn(each.shape, dtype=each.dtype))
    return made


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("family", ["gaussian", "flow"])
def test_a_family_starts_at_the_given_distribution(family, given):
    own = GIVEN[given](2)
    found = family_of(family, 3, 2, 2, (8,), 0, LIKE)(1, torch.ones(2, dtype=torch.float64), own)
    x = own.sample((50,))
    assert torch.allclose(found.log_prob(x), own.log_prob(x), atol=1e-9)


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_density_of_one_coordinate_integrates_to_one(family, given):
    own = GIVEN[given](1)
    found = moved(family, 1)(2, torch.tensor([0.3, -0.4], dtype=torch.float64), own)
    ends = {"uniform": (-1.0, 3.0), "beta": (0.0, 1.0), "tanh": (-1.0, 1.0)}.get(given, (-60.0, 60.0))
    count = 200_000
    x = ends[0] + (ends[1] - ends[0]) * (torch.arange(count, dtype=torch.float64) + 0.5) / count
    mass = found.log_prob(x[:, None]).detach().exp().mean() * (ends[1] - ends[0])
    assert float(mass) == pytest.approx(1.0, abs=2e-3)


@pytest.mark.parametrize("family", FAMILIES)
def test_draws_follow_the_density(family):
    """E_q[p/q] = 1 for any density p within the support, here one narrower than q."""
    torch.manual_seed(0)
    found = moved(family, 2)(0, torch.zeros(2, dtype=torch.float64), normal(2))
    x = found.sample((100_000,))
    narrow = dist.Normal(x.mean(0), 0.7 * x.std(0)).to_event(1)
    weight = (narrow.log_prob(x) - found.log_prob(x)).exp()
    assert float(weight.detach().mean()) == pytest.approx(1.0, abs=5 * float(weight.detach().std()) / len(x) ** 0.5)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_density_of_a_value_is_the_same_drawn_or_given(family):
    found = moved(family, 3)(0, torch.zeros(5, 2, dtype=torch.float64), normal(3).expand((5,)))
    x = found.rsample()
    assert torch.allclose(found.log_prob(x), found.log_prob(x.clone()), atol=1e-9)


@pytest.mark.parametrize("given", ["normal", "uniform"])
@pytest.mark.parametrize("family", FAMILIES)
def test_draws_have_the_gradient_of_the_mean(family, given):
    """d/dθ E[f(x)] by reparameterised draws is that of the score within the noise of both."""
    torch.manual_seed(1)
    made = moved(family, 2, 0.05)  # far from the bounds, where the score needs more digits than a draw has
    found = made(1, torch.ones(2, dtype=torch.float64), GIVEN[given](2))
    x = found.rsample((20_000,))
    value = (0.5 * x[:, 0] * x[:, 1]).tanh() + 0.2 * x[:, 1]
    parameters = [made.get_parameter(name) for name, _ in made.named_parameters() if "offset" in name]
    by_draws = torch.autograd.grad(value.mean(), parameters, retain_graph=True)
    fixed = value.detach() - value.detach().mean()
    score = found.log_prob(x.detach().clone())
    by_score = torch.autograd.grad((fixed * score).mean(), parameters, retain_graph=True)
    for one, other, parameter in zip(by_draws, by_score, parameters, strict=True):
        parts = torch.stack(
            [torch.autograd.grad(part.mean(), parameter, retain_graph=True)[0] for part in (fixed * score).split(1000)]
        )
        error = parts.std(0) / len(parts) ** 0.5
        assert bool(((one - other).abs() <= 5 * error + 0.01).all())


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_runs_under_vmap(family):
    made = moved(family, 2)
    features = torch.randn(6, 2, dtype=torch.float64)
    x = torch.randn(6, 2, dtype=torch.float64)
    together = made(1, features, normal(2).expand((6,))).log_prob(x)
    each = torch.func.vmap(lambda one, value: made(1, one, normal(2)).log_prob(value))(features, x)
    assert torch.allclose(together, each)


def test_a_mixture_of_one_gaussian_is_that_gaussian():
    loc, scale = torch.randn(4, 1, 3, dtype=torch.float64), torch.rand(4, 1, 3, dtype=torch.float64) + 0.5
    found = MixtureOfGaussians(loc.requires_grad_(), scale.log(), torch.zeros(4, 1, dtype=torch.float64))
    own = dist.Normal(loc[:, 0], scale[:, 0]).to_event(1)
    x = found.rsample()
    assert torch.allclose(found.log_prob(x), own.log_prob(x))
    assert torch.allclose(found.mean, own.mean)
    assert torch.allclose(found.variance, own.variance)
    (grad,) = torch.autograd.grad(x.sum(), loc)
    assert torch.allclose(grad, torch.ones_like(grad))
    assert found.expand((2, 4)).log_prob(x.expand(2, 4, 3)).shape == (2, 4)


def test_a_spline_is_increasing_and_has_an_inverse():
    torch.manual_seed(0)
    parameters = torch.randn(NUM_PARAMETERS, dtype=torch.float64).expand(2001, NUM_PARAMETERS)
    x = torch.linspace(-6, 6, 2001, dtype=torch.float64).requires_grad_()
    y, log_slope = spline(x, parameters)
    assert bool((y.diff() > 0).all())
    (slope,) = torch.autograd.grad(y.sum(), x)
    assert torch.allclose(slope.log(), log_slope, atol=1e-9)
    back, back_slope = spline(y, parameters, inverse=True)
    assert torch.allclose(back, x, atol=1e-9)
    assert torch.allclose(back_slope, -log_slope, atol=1e-7)


def test_without_parameters_a_spline_is_the_identity():
    x = torch.linspace(-5, 5, 101, dtype=torch.float64)
    y, log_slope = spline(x, torch.zeros(101, NUM_PARAMETERS, dtype=torch.float64))
    assert torch.allclose(y, x)
    assert float(log_slope.abs().max()) < 1e-12


def test_maps_of_vectors_have_inverses_and_jacobians():
    torch.manual_seed(0)
    weights = torch.randn(3, NUM_PARAMETERS, dtype=torch.float64)
    maps = (
        SplineMap(lambda i, before: weights[i] + before.sum(-1, keepdim=True)),
        TriangularMap(*(torch.randn(3, dtype=torch.float64) for _ in range(4))),
    )
    for each in maps:
        x = torch.randn(3, dtype=torch.float64)
        y = each(x)
        jacobian = torch.func.jacrev(each._call)(x)
        assert float(each.log_abs_det_jacobian(x, y)) == pytest.approx(float(jacobian.slogdet()[1]), abs=1e-9)
        assert torch.allclose(each._inverse(y.clone()), x, atol=1e-8)


def test_a_network_starts_at_zero_and_is_affine_without_hidden_layers():
    x = torch.randn(4, 2, dtype=torch.float64)
    for hidden in ((), (5,), (5, 6)):
        assert float(TimeNetwork(3, 2, 4, hidden, 0)(1, x).detach().abs().max()) == 0
    one, two = (TimeNetwork(3, 2, 4, (5,), seed) for seed in (0, 0))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    affine = TimeNetwork(3, 2, 4, ())
    with torch.no_grad():
        for each in affine.parameters():
            each.normal_()
    assert torch.allclose(affine(2, x) + affine(2, -x), 2 * affine.offset[2].expand(4, 4))


@pytest.mark.wrong_types
def test_there_is_no_other_family():
    with pytest.raises(InvalidArgument, match="`family` must be one of gaussian, mixture, flow"):
        family_of("student", 3, 2, 2, (8,), 0, LIKE)
    with pytest.raises(InvalidArgument, match="`hidden"):
        family_of("gaussian", 3, 2, 2, (0,), 0, LIKE)

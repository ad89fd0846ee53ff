"""The line: known answers of `hurry`, a quadrature in numpy that shares no code, and quadratic rewards."""

import math

import numpy as np
import pyro.distributions as dist
import pytest
import torch

from pgm_control import InvalidArgument, LinearQuadratic, LinearQuadraticModel, estimate_elbo, evaluate, infer
from pgm_control.errors import OptimismBreakdown
from pgm_control.inference.exact.grid.infer_line import infer_line
from pgm_control.models.hurry import hurry
from pgm_control.models.line import LineModel
from pgm_control.problems.continuous.line import Line
from pgm_control.testing import check_guide, check_model

TAU = 0.5


@pytest.fixture(scope="module")
def free():
    return infer_line(LineModel(hurry(), TAU, 1.0), 1.0)


@pytest.fixture(scope="module")
def clamped():
    return infer_line(LineModel(hurry(), TAU, 1.0), 0.0)


def _noise_of(earned):
    return 4.5 * float(earned.std()) / len(earned) ** 0.5 + 0.03


def last_deviation(found, densities):
    x = found.mesh.nodes(0)
    mass = (densities.states[-1] + found.mesh.log_cell).exp()
    return float((mass * (x - (mass * x).sum()) ** 2).sum().sqrt())


def by_quadrature(beta, steps=8):
    """The objective and the true return of `hurry`, in numpy, over its own nodes."""
    s, a = np.linspace(-7.04, 12.96, 251), np.linspace(-5, 5, 91)
    law = np.exp(-((s - s[:, None, None] - a[:, None]) ** 2) / (2 * (0.01 + 0.36 * a[:, None] ** 2)))
    law = law / law.sum(-1, keepdims=True)
    prior = np.exp(-(a**2) / 2) * (a[1] - a[0]) / math.sqrt(2 * math.pi)
    v, policies = -2 * (s - 4) ** 2, []
    for _ in range(steps):
        if beta == 0:
            q = law @ v
        else:
            q = TAU / beta * np.log(np.maximum(law @ np.exp(np.maximum(beta * v / TAU, -650)), 1e-290))
        top = q.max(1, keepdims=True)
        weight = prior * np.exp((q - top) / TAU)
        policies.insert(0, weight / weight.sum(1, keepdims=True))
        v = TAU * np.log(weight.sum(1)) + top[:, 0] - 0.1 * (s - 4) ** 2
    start = int(np.argmin(np.abs(s)))
    place, earned = np.eye(len(s))[start], 0.0
    for policy in policies:
        earned += place @ (-0.1 * (s - 4) ** 2)
        place = np.einsum("s,sa,saj->j", place, policy, law)
    assert abs(s[start]) < 0.05
    return float(np.interp(0.0, s, v)) / TAU, float(earned + place @ (-2 * (s - 4) ** 2)), start


def test_hurry_has_its_known_answers(free, clamped):
    """The published figure, −9.8722, cuts off actions beyond 4, whose prior mass of 8 · 6.3e-5 is the difference."""
    assert free.log_evidence == pytest.approx(-9.8722, abs=1e-3)
    assert free.log_evidence == pytest.approx(-9.871649, abs=1e-5)
    assert free.imagined_return == pytest.approx(-2.6464, abs=1e-3)
    assert free.true_return == pytest.approx(-5.087, abs=1e-2)
    assert last_deviation(free, free.believed) == pytest.approx(0.342, abs=5e-4)
    assert last_deviation(free, free.true) == pytest.approx(0.884, abs=2e-3)
    assert clamped.objective == pytest.approx(-12.6291, abs=2e-4)
    assert clamped.true_return == pytest.approx(-3.7212, abs=1e-3)
    assert last_deviation(clamped, clamped.true) == pytest.approx(0.510, abs=5e-4)
    for found in (free, clamped):
        assert found.error.objective < 1e-4
        assert found.error.true_return < 1e-4
        assert found.error.edge_mass < 1e-6


def test_a_quadrature_in_numpy_agrees(free, clamped):
    for found, beta in ((free, 1.0), (clamped, 0.0)):
        objective, earned, _ = by_quadrature(beta)
        assert found.objective == pytest.approx(objective, abs=2e-3)
        assert found.true_return == pytest.approx(earned, abs=2e-2)


def test_the_objective_is_the_account(free, clamped):
    assert free.elbo == pytest.approx(free.objective, abs=1e-9)
    assert clamped.clamped_elbo == pytest.approx(clamped.objective, abs=1e-9)
    for log_density in (*free.believed.states, *free.true.states):
        assert float((log_density + free.mesh.log_cell).exp().sum()) == pytest.approx(1.0, abs=1e-9)


def test_rollouts_earn_the_true_return(free, clamped):
    for found in (free, clamped):
        earned = found.model.problem.returns(found.play(4000, seed=1).states)
        assert float(earned.mean()) == pytest.approx(
            found.true_return, abs=4.5 * float(earned.std()) / 4000**0.5 + 0.03
        )


def test_it_is_a_guide(free, clamped):
    check_model(free.model)
    assert check_guide(free.model, free).free == ("dynamics",)
    assert check_guide(clamped.model, clamped).free == ()
    assert estimate_elbo(free.model, free, 500, seed=0).mean == pytest.approx(free.log_evidence, abs=0.1)


def test_the_mean_of_a_policy_is_that_of_its_draws(free, clamped):
    state = torch.tensor([0.0, 2.5], dtype=torch.float64)
    for found in (free, clamped):
        law = found.policy(2, state)
        draws = law.sample((20_000,))
        assert torch.allclose(law.mean, draws.mean(0), atol=5 * float(draws.std()) / 20_000**0.5)


@pytest.mark.parametrize("beta", [-0.1, -1e-4])
def test_any_adversary_of_hurry_has_broken_down(beta):
    with pytest.raises(OptimismBreakdown, match=r"`optimism` .* has broken down"):
        infer_line(LineModel(hurry(), TAU, 1.0), beta)


@pytest.mark.parametrize("beta", [1.0, 0.0, -0.3])
@pytest.mark.parametrize("spread", [0.0, 0.4])
def test_quadratic_rewards_agree_with_the_recursion(beta, spread):
    """s' = s + a + w, w ~ N(0, .2), a ~ N(0, .8), rewards −½ s² of each state reached, τ = .7."""
    tau, wind, hand, steps = 0.7, 0.2, 0.8, 3
    p, v = 0.0, 0.0
    for _ in range(steps):
        p = p + 1.0
        v += tau / (2 * beta) * math.log(1 + beta / tau * wind * p) if beta else 0.5 * wind * p
        p = p / (1 + beta / tau * wind * p)
        v += tau / 2 * math.log(hand * (p + tau / hand) / tau)
        p = p - p * p / (p + tau / hand)
    if spread:
        v += tau / (2 * beta) * math.log(1 + beta / tau * spread**2 * p) if beta else 0.5 * spread**2 * p
        p = p / (1 + beta / tau * spread**2 * p)
    due = -(0.5 * p * 1.2**2 + v) / tau
    found = infer_line(LineModel(Line(lambda s: -0.5 * s**2, steps, wind**0.5, 1.2, spread), tau, hand), beta)
    assert found.objective == pytest.approx(due, abs=2e-6)
    assert found.elbo <= found.objective + 1e-9 or beta < 0


def test_breakdown_of_one_step_is_found():
    """1 + θ P W = 0 at β = −τ/(P W) = −.7."""
    model = LineModel(Line(lambda s: -0.5 * s**2, 1, 1.0), 0.7, 1.0)
    with pytest.raises(OptimismBreakdown):
        infer_line(model, -0.71)
    with pytest.raises(OptimismBreakdown, match="an action is worth"):
        infer_line(LineModel(Line(lambda s: s**2, 1, 1.0), 0.7, 1.0), 0.0)
    with pytest.raises(OptimismBreakdown, match="luck is worth"):
        infer_line(LineModel(Line(lambda s: 0.5 * s**2, 1, 1.0), 0.7, 0.1), 1.0)


def test_a_noise_of_another_kind():
    """A mixture of calm and a squall, against Monte Carlo of the prior: log E exp(R/τ)."""

    def noise(s, a):
        share = torch.tensor([0.8, 0.2], dtype=s.dtype).expand(*s.shape, 2)
        size = torch.tensor([0.2, 1.5], dtype=s.dtype).expand(*s.shape, 2)
        return dist.MixtureSameFamily(dist.Categorical(share), dist.Normal(torch.zeros_like(size), size))

    problem = Line(lambda s: -torch.relu(s - 1.0) - 0.3 * (s - 1.0) ** 2, 3, noise)
    model = LineModel(problem, 1.0, 0.5)
    found = infer_line(model, 1.0, spacing=(0.1, 0.1), box=(-9.0, 9.0))
    generator = torch.Generator().manual_seed(0)
    state, total = torch.zeros(400_000, dtype=torch.float64), torch.zeros(400_000, dtype=torch.float64)
    for _ in range(3):
        size = torch.where(torch.rand(state.shape, generator=generator) < 0.8, 0.2, 1.5)
        step = 0.5**0.5 * torch.randn(state.shape, generator=generator, dtype=torch.float64)
        state = state + step + size * torch.randn(state.shape, generator=generator, dtype=torch.float64)
        total = total - torch.relu(state - 1) - 0.3 * (state - 1) ** 2
    assert found.log_evidence == pytest.approx(float(total.exp().mean().log()), abs=0.006)
    assert estimate_elbo(model, found, 300, seed=0).mean == pytest.approx(found.log_evidence, abs=0.05)


def test_errors_name_the_argument():
    model = LineModel(hurry(), TAU, 1.0)
    with pytest.raises(InvalidArgument, match="`box`"):
        infer_line(model, 1.0, box=(1.0, 2.0))
    with pytest.raises(InvalidArgument, match="`spacing`"):
        infer_line(model, 1.0, spacing=-1.0)


@pytest.mark.parametrize("spread", [0.0, 0.5])
@pytest.mark.parametrize("unit", [1e-20, 1.0, 1e6, 1e20])
def test_a_square_reward_is_that_of_the_riccati_recursion_in_any_unit(unit, spread):
    """The densities of numbers that torch takes for float32 have seven digits, and overflow at 1e19."""
    line = Line(lambda s: -0.5 * (s / unit) ** 2, 3, math.sqrt(0.3) * unit, unit, spread * unit)
    cost = torch.zeros(3, 2, 2, dtype=torch.float64)
    cost[1:, 0, 0] = 1.0 / unit**2
    same = LinearQuadratic(
        [[1.0]], [[1.0]], [[0.3 * unit**2]], cost, horizon=3, initial_mean=[unit],
        initial_covariance=[[(spread * unit) ** 2]], final_cost=[[1.0 / unit**2]],
    )  # fmt: skip
    for beta in (1.0, 0.0, -0.2):
        found = infer(LineModel(line, 1.0, 0.5 * unit**2), beta)
        exact = infer(LinearQuadraticModel(same, 1.0, [[0.5 * unit**2]]), beta)
        assert found.objective == pytest.approx(exact.objective, abs=1e-7)
        assert found.true_return == pytest.approx(evaluate(exact.model, exact).true_return, abs=1e-6)


def test_a_wall_of_rewards_of_minus_infinity_is_avoided_by_luck():
    """log p(O) = log P(s > −1) with s ~ N(0, .5 + .09); the policy in the true world meets the wall."""
    wall = Line(lambda s: torch.where(s < -1.0, -torch.inf, 0.0 * s), 1, 0.3)
    found = infer(LineModel(wall, 1.0, 0.5), 1.0)
    exact = math.log(0.5 * math.erfc(-1.0 / math.sqrt(2.0 * 0.59)))
    assert found.objective == pytest.approx(exact, abs=found.error.objective)
    assert found.error.objective < 0.06
    assert (found.true_return, found.error.true_return) == (-math.inf, 0.0)
    with pytest.raises(InvalidArgument, match="rewards of −inf that the noise can reach"):
        infer(LineModel(wall, 1.0, 0.5), 0.0)


@pytest.mark.parametrize("beta", [0.0, 1.0, -0.5])
def test_a_noise_of_bounded_support(beta):
    """One step of uniform noise: L_β of −s² by quadrature in numpy."""
    half = 0.3

    def noise(s, a):
        return dist.Uniform(torch.full_like(s, -half), torch.full_like(s, half), validate_args=False)

    found = infer(LineModel(Line(lambda s: -(s**2), 1, noise), 1.0, 0.5), beta)
    a, w = np.linspace(-6.0, 6.0, 4001)[:, None], half * (np.arange(400) + 0.5) / 200.0 - half
    reward = -((a + w) ** 2)
    worth = reward.mean(1) if beta == 0 else np.log(np.exp(beta * reward).mean(1)) / beta
    prior = np.exp(-(a[:, 0] ** 2)) / math.sqrt(math.pi)
    exact = math.log(float((prior * np.exp(worth)).sum() * 0.003))
    assert found.objective == pytest.approx(exact, abs=3.0 * found.error.objective)
    assert found.error.objective < 0.02

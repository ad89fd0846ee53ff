"""The plane: known answers, and oracles that share no code: linear-quadratic recursion, a transfer operator, SMC."""

import math

import numpy as np
import pytest
import torch

from pgm_control import InvalidArgument, Optimism, Risk, estimate, estimate_elbo, scorecard, smc
from pgm_control.errors import OptimismBreakdown
from pgm_control.inference.exact.grid.infer_planar import infer_planar
from pgm_control.models.gusty_ledge import gusty_ledge
from pgm_control.models.planar import PlanarModel
from pgm_control.problems.continuous.planar import Planar
from pgm_control.testing import check_guide, check_model

TAU = 0.5
LEDGE = {1.0: (-13.7133, -2.0357, -17.788), 0.3: (-16.8998, -2.8152, -7.555), 0.0: (-20.0792, -3.9093, -3.9093)}
LAW = {(0.76, 0.04): (-4.575, -15.2932, -2.493), (0.64, 0.16): (-17.788, -20.0795, -3.908)}
LAW[(0.40, 0.40)] = (-55.046, -32.2056, -7.100)


def ledge(hand=0.64, wind=0.16):
    return PlanarModel(gusty_ledge(wind=wind), TAU, hand)


@pytest.fixture(scope="module")
def free():
    return infer_planar(ledge(), 1.0)


@pytest.fixture(scope="module")
def clamped():
    return infer_planar(ledge(), 0.0)


@pytest.fixture(scope="module")
def short():
    """Free and clamped on a ledge of three steps, for what the length does not matter to."""
    model = PlanarModel(gusty_ledge(horizon=3), TAU, 0.64)
    return {beta: infer_planar(model, beta) for beta in (1.0, 0.0)}


# Oracles


def linear_quadratic(beta, tau, hand, wind, q, end, steps, start, covariance, beta_of_start):
    """The objective in nats of s' = s + a + w with rewards −½ s'q s of each state reached and −½ s'end s at the end.

    The linear-quadratic recursion in numpy, for a = N(0, hand), w = N(0, wind), start N(start, covariance).
    """
    p, v, eye = np.zeros((2, 2)), 0.0, np.eye(2)
    for t in range(steps):
        p = p + q + (end if t == 0 else 0.0)
        p, v = equivalent(p, v, beta / tau, wind, eye)
        price = tau * np.linalg.inv(hand)
        haa = p + price
        v += tau / 2 * (np.linalg.slogdet(haa)[1] + np.linalg.slogdet(hand)[1] - 2 * math.log(tau))
        p = p - p @ np.linalg.solve(haa, p)
    p, v = equivalent(p, v, beta_of_start / tau, covariance, eye)
    return -(0.5 * start @ p @ start + v) / tau


def equivalent(p, v, theta, covariance, eye):
    if theta == 0:
        return p, v + 0.5 * np.trace(covariance @ p)
    inner = eye + theta * covariance @ p
    return p @ np.linalg.inv(inner), v + np.linalg.slogdet(inner)[1] / (2 * theta)


def by_one_step(variance, spacing, low, high, steps, reward, end):
    """log p(O) of the ledge by the transfer operator of the sum of hand and wind, in numpy; float exponentials."""
    x, y = (np.arange(a, b + spacing / 2, spacing) for a, b in zip(low, high, strict=True))
    kernel = [
        spacing * np.exp(-((z[:, None] - z) ** 2) / (2 * variance)) / math.sqrt(2 * math.pi * variance) for z in (x, y)
    ]
    points = torch.tensor(np.stack(np.meshgrid(x, y, indexing="ij"), -1))
    weight = np.exp(reward(points).numpy() / TAU)
    first = np.exp(-(x[:, None] ** 2 + y**2) / (2 * variance)) * spacing**2 / (2 * math.pi * variance)
    mass, scale = first * weight, 0.0
    for _ in range(steps - 1):
        mass = kernel[0] @ mass @ kernel[1] * weight
        scale, mass = scale + math.log(mass.max()), mass / mass.max()
    return scale + math.log((mass * np.exp(end(points).numpy() / TAU)).sum())


def by_bridge(problem, variance, particles, seed):
    """log p(O) of the ledge by SMC whose proposal is the exact posterior of the final reward alone, a Gaussian bridge.

    With the final factor exp(−4 |s − g|²), precision 8, its evidence is a Gaussian integral, and the weight of a step
    is the factor of the ground.
    """
    rng, goal, steps = np.random.default_rng(seed), np.array([8.0, 0.0]), problem.horizon
    precision, total = 4.0 / TAU, steps * variance
    log_z = -math.log1p(precision * total) - 0.5 * precision / (1 + precision * total) * goal @ goal
    state, log_weight = np.zeros((particles, 2)), np.zeros(particles)
    for t in range(steps):
        left = (steps - t - 1) * variance + 1 / precision  # the variance of the goal given the next state
        gain = variance / (variance + left)
        mean = state + gain * (goal - state)
        state = mean + math.sqrt(variance * left / (variance + left)) * rng.standard_normal(state.shape)
        log_weight = log_weight + problem.reward_at(t + 1, torch.tensor(state)).numpy() / TAU
        weight = np.exp(log_weight - log_weight.max())
        if weight.sum() ** 2 / (weight**2).sum() < particles / 2 or t == steps - 1:
            log_z += math.log(weight.mean()) + log_weight.max()
            at = (rng.uniform() + np.arange(particles)) / particles
            state = state[np.searchsorted(np.cumsum(weight) / weight.sum(), at).clip(0, particles - 1)]
            log_weight = np.zeros(particles)
    return log_z


# The ledge


@pytest.mark.parametrize("beta", [1.0, 0.0, pytest.param(0.3, marks=pytest.mark.slow)])
def test_the_ledge_has_its_known_answers(beta, request):
    name = {1.0: "free", 0.0: "clamped"}.get(beta)
    found = infer_planar(ledge(), beta) if name is None else request.getfixturevalue(name)
    objective, imagined, true = LEDGE[beta]
    assert found.objective == pytest.approx(objective, abs=2e-4)
    assert found.imagined_return == pytest.approx(imagined, abs=2e-4)
    assert found.true_return == pytest.approx(true, abs=2e-3)
    assert found.error.objective < 1e-3
    assert found.error.edge_mass < 1e-9


@pytest.mark.slow
def test_two_meshes_agree_to_three_digits():
    for beta in (1.0, -0.1):
        coarse, fine = (infer_planar(ledge(), beta, spacing=h, box=((-6, 14), (-6, 8))) for h in (0.1, 0.07))
        assert fine.objective == pytest.approx(coarse.objective, abs=2e-5)
        assert fine.imagined_return == pytest.approx(coarse.imagined_return, abs=2e-4)
        assert fine.true_return == pytest.approx(coarse.true_return, abs=2e-4)
        assert abs(fine.objective - coarse.objective) < coarse.error.objective


def test_an_adversary_raises_the_path():
    found = infer_planar(ledge(), -0.1, box=((-10, 18), (-10, 12)))
    assert found.objective == pytest.approx(-24.7033, abs=2e-4)
    assert found.imagined_return == pytest.approx(-7.814, abs=2e-3)
    assert found.true_return == pytest.approx(-4.031, abs=1e-3)


def test_mean_heights(free, clamped):
    for found, due in ((free, 0.74), (clamped, 1.08)):
        mass = (found.true.states[7] + found.mesh.log_cell).exp()
        assert float((mass * found.mesh.points()[..., 1]).sum()) == pytest.approx(due, abs=5e-3)


def test_a_transfer_operator_of_one_step_agrees(free):
    problem = gusty_ledge()
    due = by_one_step(0.8, 0.08, (-8, -8), (14, 8), 16, lambda s: problem.reward_at(1, s), problem.final_reward_at)
    assert free.log_evidence == pytest.approx(due, abs=1e-4)


def test_smc_with_a_gaussian_bridge_agrees(free):
    runs = np.array([by_bridge(gusty_ledge(), 0.8, 20_000, seed) for seed in range(10)])
    error = runs.std(ddof=1) / math.sqrt(len(runs))
    assert error < 0.05
    assert free.log_evidence == pytest.approx(runs.mean(), abs=4 * error + runs.std() ** 2 / 2)


@pytest.mark.parametrize("pair", [pytest.param((0.76, 0.04), marks=pytest.mark.slow), (0.64, 0.16), (0.40, 0.40)])
def test_free_inference_cannot_tell_the_hand_from_the_wind(pair):
    """The evidence and what is imagined depend on U + W alone; what is earned does not."""
    hand, wind = pair
    earned, clamped_nats, clamped_return = LAW[pair]
    spacing = 0.1 if wind > 0.1 else 0.06
    free, clamped = (infer_planar(ledge(hand, wind), b, spacing=spacing, box=((-6, 14), (-6, 8))) for b in (1.0, 0.0))
    assert free.log_evidence == pytest.approx(-13.7133, abs=3e-4)
    assert free.imagined_return == pytest.approx(-2.0357, abs=3e-4)
    assert free.true_return == pytest.approx(earned, rel=3e-4)  # the known ones are of a smaller box
    assert clamped.objective == pytest.approx(clamped_nats, rel=5e-5)
    assert clamped.true_return == pytest.approx(clamped_return, rel=1e-3)


def test_rollouts_earn_the_true_return(free, clamped):
    for found in (free, clamped):
        for paths, due in (
            (found.play(4000, seed=1), found.true_return),
            (found.sample(4000, seed=2), found.imagined_return),
        ):
            earned = found.model.problem.returns(paths.states)
            assert float(earned.mean()) == pytest.approx(due, abs=4.5 * float(earned.std()) / 4000**0.5 + 0.03)


def test_marginals_are_normalised(free):
    for log_density in (*free.believed.states, *free.believed.places, *free.true.states):
        assert float((log_density + free.mesh.log_cell).exp().sum()) == pytest.approx(1.0, abs=1e-9)


def test_the_objective_is_the_account(free, clamped):
    assert free.elbo == pytest.approx(free.objective, abs=1e-9)
    assert clamped.elbo == pytest.approx(clamped.objective, abs=1e-9)
    assert clamped.clamped_elbo == pytest.approx(clamped.objective, abs=1e-9)
    assert float(clamped.account.dynamics_kl.sum()) == 0.0
    tilted = infer_planar(PlanarModel(gusty_ledge(horizon=6), TAU, 0.64), 0.3)
    each = tilted.account
    objective = tilted.imagined_return / TAU - float(each.policy_kl.sum() + each.dynamics_kl.sum() / 0.3)
    assert tilted.objective == pytest.approx(objective, abs=1e-9)


# As a guide of a program


def test_the_free_posterior_has_nearly_constant_weight(free):
    found = estimate_elbo(free.model, free, 500, seed=0)
    assert found.mean == pytest.approx(free.log_evidence, abs=0.03)
    assert found.standard_error * 500**0.5 < 0.25
    assert smc(free.model, free, 300, threshold=1e-6, seed=0).log_evidence == pytest.approx(free.objective, abs=0.05)


def test_the_laws_of_models_and_guides_hold(short):
    check_model(short[1.0].model)
    assert check_guide(short[1.0].model, short[1.0]).free == ("dynamics",)
    assert check_guide(short[0.0].model, short[0.0]).free == ()


def test_the_scorecard_takes_it(short):
    clamped = short[0.0]
    found = estimate(clamped.model, clamped, 300, seed=0)
    assert found.delusion.mean == pytest.approx(0.0, abs=4 * found.delusion.standard_error)
    assert "clamped" in str(scorecard(clamped.model, {"clamped": clamped}, num_samples=50, seed=0))


def test_densities_off_the_mesh_are_normalised(free):
    at = torch.tensor([0.513, 0.117], dtype=torch.float64)
    step = 0.08
    z = torch.arange(-4.0, 4.0, step, dtype=torch.float64)
    grid = torch.stack(torch.meshgrid(z, z, indexing="ij"), -1).reshape(-1, 2)
    action = torch.tensor([0.4, 0.2], dtype=torch.float64)
    for density in (free.policy(3, at), free.dynamics(3, at, action)):
        total = density.log_prob(grid).exp().sum() * step**2
        assert float(total) == pytest.approx(1.0, abs=2e-3)
        mean = density.expand((2000,)).sample().mean(0)
        weight = density.log_prob(grid).exp()[:, None] * step**2
        assert torch.allclose(density.mean, (weight * grid).sum(0), atol=5e-3)
        assert torch.equal(density.expand((2,)).mean, density.mean.expand(2, 2))
        assert torch.allclose(mean, (weight * grid).sum(0), atol=0.09)


# Quadratic rewards


W = np.array([[0.3, 0.1], [0.1, 0.2]])
U = np.array([[0.5, -0.1], [-0.1, 0.9]])
S = np.array([[0.4, 0.1], [0.1, 0.3]])
Q = np.array([[1.0, 0.3], [0.3, 0.5]])
END = np.diag([2.0, 1.0])


def form(matrix):
    matrix = torch.tensor(matrix)
    return lambda s: -0.5 * torch.einsum("...i,ij,...j->...", s, matrix, s)


@pytest.mark.parametrize("beta", [1.0, 0.4, 0.0, -0.15])
@pytest.mark.parametrize("known", [True, False])
def test_quadratic_rewards_agree_with_the_riccati_recursion(beta, known):
    """Correlated hand and wind, whose mesh is sheared."""
    start, spread = np.array([1.0, -0.5]), np.zeros((2, 2)) if known else S
    problem = Planar(form(Q), 4, W, start, 0.0 if known else S, final_reward=form(END))
    found = infer_planar(PlanarModel(problem, 0.7, U), Optimism(beta, 0.5 * beta))
    due = linear_quadratic(beta, 0.7, U, W, Q, END, 4, start, spread, 0.5 * beta)
    assert found.objective == pytest.approx(due, abs=1e-7)


def test_a_freed_start_is_drawn_from_its_posterior():
    problem = Planar(form(Q), 2, 0.3, (1.0, 0.0), 0.4)
    found = infer_planar(PlanarModel(problem, 1.0, 0.5), 1.0)
    assert found.account.initial_kl > 0.01
    elbo = estimate_elbo(found.model, found, 400, seed=0)
    assert elbo.mean == pytest.approx(found.log_evidence, abs=0.02)
    assert found.elbo == pytest.approx(found.objective, abs=1e-9)


def test_a_risk_is_an_optimism_times_the_temperature():
    problem = Planar(form(Q), 2, 0.3)
    model = PlanarModel(problem, 0.5, 0.5)
    assert infer_planar(model, Risk(-0.2)).objective == infer_planar(model, -0.1).objective


# Breakdown


def test_breakdown_is_where_the_recursion_has_it():
    """With one step it is −τ/(P W): 1 + θ P W = 0."""
    problem = Planar(lambda s: -1.5 * (s**2).sum(-1), 1, 0.25)
    with pytest.raises(OptimismBreakdown, match="t = 1"):
        infer_planar(PlanarModel(problem, 0.5, 1.0), -0.5 / 0.75 - 1e-4)
    problem = Planar(lambda s: -(s[..., 0] ** 2) - 0.5 * s[..., 1] ** 2 + 3 * torch.sin(s[..., 0]), 2, W)
    q, price = np.diag([2.0, 1.0]), 0.7 * np.linalg.inv(U)

    def least(theta):
        p, worst = q, []
        for _ in range(2):
            inner = np.eye(2) + theta * W @ p
            worst.append(np.linalg.eigvals(inner).real.min())
            tilde = p @ np.linalg.inv(inner)
            p = q + tilde - tilde @ np.linalg.solve(tilde + price, tilde)
        return min(worst)

    grid = np.linspace(-0.05, -4, 4000)
    critical = 0.7 * grid[np.argmax([least(theta) <= 0 for theta in grid])]
    model = PlanarModel(problem, 0.7, U)
    with pytest.raises(OptimismBreakdown, match="has broken down"):
        infer_planar(model, critical * 1.01)
    assert infer_planar(model, 0.4 * critical).objective < 0


@pytest.mark.parametrize(
    ("reward", "beta", "message"),
    [
        (lambda s: -((s**2).sum(-1) ** 2), -1e-3, "has broken down"),
        (lambda s: 0.6 * (s**2).sum(-1), 0.0, "an action is worth"),
        (lambda s: 0.3 * (s**2).sum(-1), 4.0, "luck is worth"),
    ],
)
def test_unbounded_problems_are_named(reward, beta, message):
    with pytest.raises(OptimismBreakdown, match=message):
        infer_planar(PlanarModel(Planar(reward, 2, 0.5), 1.0, 1.0), beta)


def test_a_reward_that_is_bounded_far_away_does_not_break_down():
    found = infer_planar(PlanarModel(Planar(lambda s: -5 * torch.tanh((s**2).sum(-1)), 2, 0.3), 1.0, 0.5), -3.0)
    assert -60 < found.objective < 0


def test_a_box_that_cuts_off_probability_is_refused():
    with pytest.raises(InvalidArgument, match="at the edge"):
        infer_planar(ledge(), 0.0, box=((-2, 6), (-2, 2)))


def test_too_many_nodes_are_refused():
    with pytest.raises(InvalidArgument, match="spacing"):
        infer_planar(ledge(), 0.0, spacing=0.001)


def test_walls_of_forbidden_places():
    """A reward of −inf beyond a wall: free avoids it; clamped noise reaches it, so that nothing has a finite value."""

    def reward(s):
        return torch.where(s[..., 0] > 1.5, -torch.inf, -(s**2).sum(-1))

    model = PlanarModel(Planar(reward, 3, 0.3), 1.0, 0.5)
    assert infer_planar(model, 1.0).log_evidence < 0
    with pytest.raises(InvalidArgument, match="`model`"):
        infer_planar(model, 0.0)

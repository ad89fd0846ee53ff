"""Posteriors over rewards, optimism and temperature, and evidence of demonstrators, compared with quadrature."""

import functools
import math
from dataclasses import replace

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from demonstrated import problem, seen
from problems import random_mdp
from pyro import poutine
from watched_demonstrators import DEMONSTRATORS, FEATURE, MILD, drawn, watched, with_reward

from pgm_control import TabularMDP, TabularModel
from pgm_control.inverse_rl import (
    BoltzmannDemonstrator,
    ClampedDemonstrator,
    Demonstrations,
    DialDemonstrator,
    FreeDemonstrator,
    LinearReward,
    TabularReward,
    compare_demonstrators,
    reward_posterior,
)
from pgm_control.inverse_rl.bayesian.coordinates import Coordinates
from pgm_control.inverse_rl.bayesian.tempering import drawn_from_prior, effective_draws, evaluated, moved, tempered
from pgm_control.inverse_rl.objective import RewardFunction

pytestmark = pytest.mark.slow


def known(mdp):
    """Return the reward of the problem as a reward model without learnable parameters."""
    reward = TabularReward(mdp, "outcome").requires_grad_(False)
    reward.weight.copy_(mdp.reward)
    return reward


def log_joint(model, demonstrations, psi, beta, tau, prior):
    """Return log p(demonstrations, ψ, β, τ) for one weight of `FEATURE`; β ~ N(.2, .6) and log τ ~ N(−.3, .2)."""
    reward = (FEATURE @ psi.reshape(1))[:, None, None].expand_as(model.mdp.reward)
    total = DialDemonstrator(beta).log_likelihood(model, demonstrations, reward, torch.zeros(3).double(), tau)
    total = total + float(torch.distributions.Normal(0.0, prior).log_prob(psi))
    if beta != 0.25:
        total = total + float(torch.distributions.Normal(0.2, 0.6).log_prob(torch.tensor(beta)))
    if tau != model.temperature:
        total = total + float(torch.distributions.LogNormal(-0.3, 0.2).log_prob(torch.tensor(tau)))
    return float(total)


def log_world(demonstrations):
    """Return the log-probability of the outcomes in the true dynamics."""
    mdp, total = demonstrations.mdp, 0.0
    for s, a, to, weight in zip(*(each.tolist() for each in demonstrations.moves[1:]), strict=True):
        total += weight * math.log(float(mdp.probability[s, a][mdp.successor[s, a] == to].sum()))
    return total


def by_quadrature(axes, density):
    """Return log-evidence, means and standard deviations by sums over a fine grid."""
    grid = np.meshgrid(*axes, indexing="ij")
    height = np.array([density(*point) for point in zip(*(each.ravel() for each in grid), strict=True)])
    cell = np.prod([axis[1] - axis[0] for axis in axes])
    weight = np.exp(height - height.max())
    mean = [float((weight * each.ravel()).sum() / weight.sum()) for each in grid]
    deviation = [
        math.sqrt(float((weight * (each.ravel() - m) ** 2).sum() / weight.sum()))
        for each, m in zip(grid, mean, strict=True)
    ]
    return height.max() + math.log(weight.sum() * cell), np.array(mean), np.array(deviation)


CASES = {
    "ψ": ({}, [np.linspace(0.0, 3.0, 30)], lambda psi: (psi, 0.25, 0.7)),
    "ψ, β": (
        {"optimism": dist.Normal(0.2, 0.6)},
        [np.linspace(0.0, 3.0, 16), np.linspace(-2.5, 2.8, 22)],
        lambda psi, beta: (psi, beta, 0.7),
    ),
    "ψ, τ": (
        {"temperature": dist.LogNormal(-0.3, 0.2)},
        [np.linspace(0.0, 3.5, 25), np.linspace(0.25, 1.7, 25)],
        lambda psi, tau: (psi, 0.25, tau),
    ),
}


@functools.cache
def exact(case):
    """Return log-evidence, means and standard deviations of a case by quadrature."""
    _, axes, at = CASES[case]
    model, demonstrations = watched()

    def density(*point):
        psi, beta, tau = at(*point)
        return log_joint(model, demonstrations, torch.tensor(psi), float(beta), float(tau), 2.0)

    log_evidence, mean, deviation = by_quadrature(axes, density)
    return log_evidence + log_world(demonstrations), mean, deviation


@pytest.mark.parametrize("case", CASES)
def test_laplace_and_its_evidence_agree_with_quadrature(case):
    unknown, (model, demonstrations) = CASES[case][0], watched()
    log_evidence, mean, deviation = exact(case)
    found = reward_posterior(
        model,
        demonstrations,
        LinearReward(model.mdp, FEATURE),
        MILD,
        prior=2.0,
        method="laplace",
        num_samples=200,
        **unknown,
    )
    assert found.log_evidence == pytest.approx(log_evidence, abs=0.08)
    assert (np.abs(found.mean.numpy() - mean) < 0.35 * deviation).all()
    np.testing.assert_allclose(found.deviation, deviation, rtol=0.25)
    assert (found.effective_draws > 130).all()


@pytest.mark.statistical
@pytest.mark.parametrize("case", CASES)
def test_tempering_agrees_with_quadrature(case):
    """Evidence, means and deviations agree within five standard errors, for one seed each. With 400 draws the standard
    error of the log-evidence is 0.1 (measured over twenty seeds)."""
    unknown, (model, demonstrations) = CASES[case][0], watched()
    log_evidence, mean, deviation = exact(case)
    accepted = []
    found = reward_posterior(
        *(model, demonstrations, LinearReward(model.mdp, FEATURE), MILD),
        **{"prior": 2.0, "num_samples": 400, "method": "tempering", **unknown},
        progress=lambda step, metrics: accepted.append(metrics["acceptance"]),
    )
    error = deviation / found.effective_draws.sqrt().numpy()
    assert found.log_evidence == pytest.approx(log_evidence, abs=0.5)
    assert (found.effective_draws > 200).all()
    assert (np.abs(found.mean.numpy() - mean) < 5 * error).all()
    assert (np.abs(found.deviation.numpy() - deviation) < 5 * error).all()
    assert min(accepted) > 0.6


def wager():
    """Return a bet that wins or loses ψ with probability ½, or waiting. An optimistic demonstrator gives ψ and −ψ
    the same likelihood, so that the posterior has two equal peaks."""
    probability = np.array([[[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]]])
    mdp = TabularMDP(np.ones(1), probability, np.zeros((1, 2, 3), int), np.zeros((1, 2, 3)), 1)
    win = torch.tensor([[[0.0], [0.0], [0.0]], [[0.0], [1.0], [-1.0]]], dtype=torch.float64)[None]
    demonstrations = Demonstrations.from_trajectories(mdp, [[0, 0]] * 40, [[1]] * 34 + [[0]] * 6)
    return TabularModel(mdp, 1.0), demonstrations, LinearReward(mdp, win)


@pytest.mark.statistical
def test_tempering_finds_both_of_two_peaks():
    """Each peak has probability one half within five standard errors, and the evidence is complete; Laplace finds half
    of it. One seed.

    Q(bet) − Q(wait) = log cosh ψ, by the definition of L_1."""
    model, demonstrations, reward = wager()
    psi = np.linspace(-12.0, 12.0, 2401)
    bet = 1 / (1 + 1 / np.cosh(psi))
    height = 34 * np.log(bet) + 6 * np.log1p(-bet) - psi**2 / 18 - 0.5 * math.log(18 * math.pi)
    log_evidence = math.log(np.exp(height).sum() * 0.01)  # all outcomes lead to the only state
    found = reward_posterior(
        model, demonstrations, reward, DialDemonstrator(1.0), prior=3.0, method="tempering", seed=0
    )
    assert found.log_evidence == pytest.approx(log_evidence, abs=0.3)
    share = found.probability(lambda x: x.psi[:, 0] > 0)
    assert found.effective_draws[0] > 100
    assert abs(share - 0.5) < 5 * 0.5 / float(found.effective_draws[0]) ** 0.5
    start = torch.tensor([2.0]).double()
    with torch.no_grad():
        reward.weight.copy_(start)
    one = reward_posterior(model, demonstrations, reward, DialDemonstrator(1.0), prior=3.0, method="laplace", seed=0)
    assert one.log_evidence == pytest.approx(log_evidence - math.log(2), abs=0.1)
    assert one.probability(lambda x: x.psi[:, 0] > 0) == 1.0


@pytest.mark.statistical
def test_tempering_handles_values_with_kinks():
    """The values of the Boltzmann demonstrator have kinks; the draws agree with quadrature."""
    model, demonstrations = watched(40)
    world, zero = log_world(demonstrations), torch.zeros(3).double()

    def density(psi):
        reward = (FEATURE[:, 0] * psi)[:, None, None].expand_as(model.mdp.reward)
        found = BoltzmannDemonstrator().log_likelihood(model, demonstrations, reward, zero, 0.7)
        return float(found) - psi**2 / 8 - 0.5 * math.log(8 * math.pi)

    log_evidence, mean, deviation = by_quadrature([np.linspace(-3.0, 4.0, 400)], density)
    found = reward_posterior(
        *(model, demonstrations, LinearReward(model.mdp, FEATURE), "boltzmann"),
        prior=2.0,
        num_samples=400,
        method="tempering",
        seed=0,
    )
    error = deviation / found.effective_draws.sqrt().numpy()
    assert found.log_evidence == pytest.approx(log_evidence + world, abs=0.5)
    assert (np.abs(found.mean.numpy() - mean) < 5 * error).all()
    assert (np.abs(found.deviation.numpy() - deviation) < 5 * error).all()


@pytest.mark.statistical
def test_hamiltonian_paths_leave_the_prior_invariant():
    """Draws of N(0, 4) keep this distribution for any step length: second and fourth moments agree within five standard
    errors after six paths with steps so long that a third is rejected."""
    model, demonstrations = watched(5)
    found = reward_posterior(
        model,
        demonstrations,
        LinearReward(model.mdp, FEATURE),
        MILD,
        prior=2.0,
        method="laplace",
        num_samples=8,
        seed=0,
    )
    coordinates, number = Coordinates(found.program), 20_000
    u = coordinates.drawn_from_prior(number)
    state, accepted = evaluated(coordinates, u), 1.0
    for _ in range(6):
        u, state, accepted = moved(coordinates, u, state, torch.full((1, 1), 3.0).double(), 0.9, 0.0)
    assert accepted < 0.9
    second, fourth = (u / 2).square().mean(), (u / 2).pow(4).mean()
    assert abs(float(second) - 1) < 5 * (2 / number) ** 0.5
    assert abs(float(fourth) - 3) < 5 * (96 / number) ** 0.5


def test_draws_of_one_family_count_as_one():
    """Ten copies of each of fifty draws are worth fifty; draws of a single family are worth one."""
    rows = torch.randn(50, 2, generator=torch.Generator().manual_seed(0)).double()
    family = torch.arange(50)
    copies = effective_draws(rows.repeat(10, 1), family.repeat(10))
    torch.testing.assert_close(copies, torch.full((2,), 49.0).double())
    torch.testing.assert_close(effective_draws(rows, family), copies)
    assert effective_draws(rows, torch.zeros_like(family)).tolist() == [1.0, 1.0]
    by_chance = effective_draws(rows.repeat(10, 1), torch.arange(500) // 10)
    assert (by_chance > 250).all()


@pytest.mark.statistical
def test_effective_draws_predict_the_error_of_a_mean():
    """The probability of one of two peaks is estimated from thirty populations of a hundred draws. Its squared error
    divided by the predicted variance has mean 1, within five standard errors. Without families it would be 3."""
    model, demonstrations, reward = wager()
    with torch.no_grad():
        reward.weight.fill_(2.0)
    program = reward_posterior(
        model, demonstrations, reward, DialDemonstrator(1.0), prior=3.0, method="laplace", num_samples=4, seed=0
    ).program
    squares = []
    for seed in range(30):
        torch.manual_seed(seed)
        found = tempered(Coordinates(program), drawn_from_prior(Coordinates(program), 100))
        right = (found.u > 0).double()
        squares.append(float((right.mean() - 0.5) ** 2 * effective_draws(right, found.family)[0] / 0.25))
    assert abs(np.mean(squares) - 1) < 5 * (2 / 30) ** 0.5


EVERYONE = [
    ClampedDemonstrator("matching"),
    *(
        demonstrator(infinite_horizon=infinite_horizon)
        for demonstrator in (ClampedDemonstrator, FreeDemonstrator)
        for infinite_horizon in (False, True)
    ),
    *(
        DialDemonstrator(0.4, dynamics, infinite_horizon)
        for dynamics in ("world", "believed")
        for infinite_horizon in (False, True)
    ),
    *(BoltzmannDemonstrator(infinite_horizon) for infinite_horizon in (False, True)),
]


@pytest.mark.parametrize("demonstrator", EVERYONE, ids=repr)
def test_the_likelihood_of_a_batch_of_rewards_agrees_with_that_of_each(demonstrator):
    """Values and derivatives agree, with a temperature and, if the demonstrator has one, a β for each reward."""
    model = problem(2, horizon=5, discount=0.9)
    states, actions = seen(model, 20)
    demonstrations = Demonstrations.from_trajectories(
        model.mdp, [each[:4] for each in states], [each[:3] for each in actions]
    )
    generator = torch.Generator().manual_seed(3)
    psi = torch.randn(2, 3, 18, generator=generator).double().requires_grad_()
    tau = (0.5 + torch.rand(2, 3, generator=generator).double()).requires_grad_()
    beta = torch.randn(2, 3, generator=generator).double().requires_grad_()
    function = RewardFunction(TabularReward(model.mdp, "outcome"), model.mdp)

    def likelihood(psi, tau, beta):
        this = replace(demonstrator, optimism=beta) if isinstance(demonstrator, DialDemonstrator) else demonstrator
        return this.log_likelihood(model, demonstrations, *function(psi), tau)

    found = likelihood(psi, tau, beta)
    alone = [[likelihood(psi[i, j], tau[i, j], beta[i, j]) for j in range(3)] for i in range(2)]
    torch.testing.assert_close(found, torch.stack([torch.stack(row) for row in alone]))
    given = [psi, tau, beta] if isinstance(demonstrator, DialDemonstrator) else [psi, tau]
    total = torch.stack([each for row in alone for each in row]).sum()
    for one, other in zip(*(torch.autograd.grad(each, given) for each in (found.sum(), total)), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.statistical
def test_nuts_agrees_with_quadrature():
    """Means and deviations agree within five standard errors; one seed."""
    unknown, (model, demonstrations) = CASES["ψ, τ"][0], watched()
    _, mean, deviation = exact("ψ, τ")
    found = reward_posterior(
        *(model, demonstrations, LinearReward(model.mdp, FEATURE), MILD),
        **{"prior": 2.0, "num_samples": 120, "num_warmup": 30, "num_chains": 2, "method": "nuts", **unknown},
    )
    error = deviation / found.effective_draws.sqrt().numpy()
    assert (found.effective_draws > 20).all()
    assert (np.abs(found.mean.numpy() - mean) < 5 * error).all()
    assert (np.abs(found.deviation.numpy() - deviation) < 5 * error).all()
    assert (found.r_hat < 1.15).all()


def test_the_log_density_of_laplace_is_that_of_the_program():
    """It is the log-density of a trace of the Pyro program plus the log-Jacobian of the coordinates."""
    model, demonstrations = watched()
    found = reward_posterior(
        *(model, demonstrations, LinearReward(model.mdp, FEATURE), MILD),
        prior=2.0,
        optimism=dist.Uniform(-1.0, 2.0),
        temperature=dist.LogNormal(0.0, 1.0),
        method="laplace",
        num_samples=8,
        seed=0,
    )
    trace = poutine.trace(found.program).get_trace()
    values = {name: trace.nodes[name]["value"] for name in ("psi", "optimism", "temperature")}
    coordinates = Coordinates(found.program)
    part = (float(values["optimism"]) + 1.0) / 3.0
    jacobian = math.log(float(values["temperature"])) + math.log(3.0 * part * (1.0 - part))
    expected = float(trace.log_prob_sum()) + jacobian
    assert float(coordinates.log_density(coordinates.row(values))) == pytest.approx(expected, abs=1e-9)


def test_evidence_of_every_demonstrator_includes_actions_and_outcomes():
    """At β = 0 the clamped demonstrator and both dial demonstrators are the same and have equal evidence."""
    model, demonstrations = watched(20)
    found = compare_demonstrators(
        *(model, demonstrations, LinearReward(model.mdp, FEATURE)),
        {
            "clamped": ClampedDemonstrator(),
            "world": DialDemonstrator(0.0),
            "believed": DialDemonstrator(0.0, "believed"),
        },
        prior=2.0,
        method="laplace",
        num_samples=8,
        seed=0,
    )
    torch.testing.assert_close(found.log_evidence, found.log_evidence[:1].expand(3), atol=1e-8, rtol=0)


def test_evidence_gives_probabilities_and_may_integrate_over_optimism():
    """Of two demonstrators the one with d nats more has probability 1 / (1 + e^−d). An unknown β is drawn."""
    model, demonstrations = watched(20)
    found = compare_demonstrators(
        *(model, demonstrations, LinearReward(model.mdp, FEATURE)),
        {"free": FreeDemonstrator(), "dial": DialDemonstrator(0.0)},
        prior=2.0,
        optimism=dist.Normal(0.0, 1.0),
        method="laplace",
        num_samples=8,
        seed=0,
    )
    assert [each.names for each in found.posteriors] == [("ψ[0]",), ("ψ[0]", "β")]
    ahead = float(found.log_evidence[1] - found.log_evidence[0])
    assert float(found.probability[1]) == pytest.approx(1 / (1 + math.exp(-ahead)))
    assert found.best == ("dial" if ahead > 0 else "free")
    assert str(found).splitlines()[-2].startswith(found.best)


@pytest.mark.statistical
def test_evidence_selects_the_true_demonstrator():
    """There are 160 demonstrations of each in two problems; benchmarks/calibration.py counts over thirty problems."""
    right = 0
    for seed in range(2):
        weight = 2.0 * torch.randn(4, generator=torch.Generator().manual_seed(seed))
        model = TabularModel(with_reward(random_mdp(seed, 4, 3, 3, 5), weight), 0.5)
        for name, demonstrator in DEMONSTRATORS.items():
            found = compare_demonstrators(
                model,
                drawn(model, demonstrator, 160, seed),
                "state",
                DEMONSTRATORS,
                prior=2.0,
                method="laplace",
                num_samples=8,
                seed=0,
            )
            right += found.best == name
    assert right >= 6


@pytest.mark.statistical
def test_ranks_of_the_truth_are_uniform():
    """Rewards and β are drawn from their priors for 28 data sets, and the ranks among 15 draws are counted in four
    groups; a chi-square above 16.3 has probability .001. benchmarks/calibration.py has the full test of all methods."""
    counts = np.zeros(4)
    for seed in range(28):
        rng = np.random.default_rng(seed)
        weight, truth = torch.from_numpy(np.append(2.0 * rng.normal(size=2), 0.0)), float(rng.normal())
        model = TabularModel(with_reward(random_mdp(seed % 5, 3, 2, 3, 3), weight), 0.7)
        demonstrations = drawn(model, DialDemonstrator(truth), 30, seed)
        found = reward_posterior(
            *(model, demonstrations, np.eye(3)[:, :2], DialDemonstrator(0.0)),
            prior=2.0,
            optimism=dist.Normal(0.0, 1.0),
            method="tempering",
            num_samples=60,
            seed=seed,
        )
        counts[int((found.optimism[::4] < truth).sum()) // 4] += 1
    assert ((counts - 7) ** 2 / 7).sum() < 16.3


def test_optimism_is_identified_by_random_dynamics_alone():
    """In deterministic dynamics the deviation of β is infinite and its posterior equals its prior; in random dynamics
    the deviation agrees with that of Laplace."""
    sure = np.zeros((3, 2, 3))
    sure[[0, 0, 1, 1, 2, 2], [0, 1, 0, 1, 0, 1], [1, 2, 2, 0, 0, 1]] = 1.0
    mdp = TabularMDP.from_dense(np.eye(3)[0], sure, np.array([[1.0, 0], [0, 0.5], [0, -1]]), 4)
    model = TabularModel(mdp, 0.7)
    demonstrations = drawn(model, MILD, 50)
    asked = {"prior": 1.0, "optimism": dist.Normal(0.2, 0.6), "method": "laplace", "num_samples": 400}
    found = reward_posterior(model, demonstrations, known(mdp), MILD, **asked)
    assert found.identification.optimism_deviation == math.inf
    assert found.deviation[0] == pytest.approx(0.6, rel=0.15)
    assert "do not identify the optimism" in str(found)
    model, demonstrations = watched()
    found = reward_posterior(model, demonstrations, known(model.mdp), MILD, **{**asked, "optimism": dist.Normal(0, 50)})
    assert found.deviation[0] == pytest.approx(found.identification.optimism_deviation, rel=0.2)
    assert found.probability(lambda x: x.optimism > 0) == pytest.approx((found.optimism > 0).double().mean())


def test_equal_seeds_give_equal_draws_and_leave_global_generators_unchanged():
    model, demonstrations = watched(20)
    before = torch.get_rng_state(), np.random.get_state()[1]  # noqa: NPY002
    asked = {"prior": 1.0, "num_warmup": 4, "num_chains": 2}
    steps = []
    for method, samples in (("laplace", 16), ("tempering", 50), ("nuts", 16)):
        steps.clear()
        one, other, another = (
            reward_posterior(
                *(model, demonstrations),
                **{
                    **asked,
                    "method": method,
                    "num_samples": samples,
                    "seed": seed,
                    "progress": lambda step, metrics: steps.append(step),
                },
            )
            for seed in (0, 0, 1)
        )
        assert torch.equal(one.psi, other.psi)
        assert not torch.equal(one.psi, another.psi)
        assert one.samples["psi"].shape == ((2, 8, 3) if method == "nuts" else (1, samples, 3))
        assert method == "laplace" or steps[: len(steps) // 3] == list(range(1, len(steps) // 3 + 1))
    assert len(steps) == 3 * 24
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002


def test_the_given_reward_model_is_not_changed():
    model, demonstrations = watched(20)
    reward = TabularReward(model.mdp)
    found = reward_posterior(model, demonstrations, reward, prior=1.0, method="laplace", num_samples=8, seed=0)
    assert not reward.weight.any()
    assert found.names == ("state 0", "state 1", "state 2")
    assert "constant" in str(found)
    assert "<table>" in found._repr_html_()
    low, high = found.interval(0.5).T
    assert (low < high).all()


def test_draws_are_exported_to_arviz():
    model, demonstrations = watched(20)
    found = reward_posterior(
        model,
        demonstrations,
        "state",
        MILD,
        prior=1.0,
        optimism=dist.Normal(0.0, 1.0),
        method="laplace",
        num_samples=8,
        seed=0,
    )
    tree = found.to_arviz()
    assert tree["posterior"]["psi"].dims == ("chain", "draw", "parameter")
    np.testing.assert_array_equal(tree["posterior"]["optimism"], found.samples["optimism"])


class OneAtATime:
    """A user's demonstrator that wrongly sums over the batch of rewards."""

    def behaviour(self, model, reward, last, temperature):
        return ClampedDemonstrator().behaviour(model, reward, last, temperature)

    def log_likelihood(self, model, demonstrations, reward, last, temperature):
        return ClampedDemonstrator().log_likelihood(model, demonstrations, reward, last, temperature).sum()


def test_bad_arguments_are_refused():
    model, demonstrations = watched(5)
    for kwargs, message in [
        ({"prior": 0.0}, "`prior` must be"),
        ({"demonstrator": ClampedDemonstrator("matching")}, "must have a likelihood"),
        ({"optimism": dist.Normal(0.0, 1.0)}, "must have a β"),
        ({"optimism": 0.3}, "`optimism` must be a distribution of Pyro"),
        ({"optimism": torch.distributions.Normal(0.0, 1.0)}, "`optimism` must be a distribution of Pyro"),
        ({"temperature": dist.Normal(1.0, 1.0)}, "positive numbers"),
        ({"temperature": dist.Poisson(1.0)}, "one real number"),
        ({"reward": known(model.mdp)}, "nothing is"),
        ({"num_samples": 0}, "`num_samples` must be"),
        ({"method": "vi"}, "`method` must be"),
        ({"method": "tempering", "num_samples": 20}, "`num_samples` must be a whole number, at least 50"),
    ]:
        with pytest.raises(ValueError, match=message):
            reward_posterior(model, demonstrations, **{"prior": 1.0, **kwargs})
    with pytest.raises(ValueError, match="evaluate a batch of rewards"):
        reward_posterior(model, demonstrations, demonstrator=OneAtATime(), prior=1.0, seed=0)
    with pytest.raises(ValueError, match="`demonstrators` must map names"):
        compare_demonstrators(model, demonstrations, demonstrators=["clamped"], prior=1.0, seed=0)
    with pytest.raises(ValueError, match="`level`"):
        reward_posterior(model, demonstrations, prior=1.0, method="laplace", num_samples=8, seed=0).interval(2.0)

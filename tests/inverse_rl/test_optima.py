"""Several optima of a likelihood, and optima at infinity, against scans in numpy that share no code."""

import math

import numpy as np
import pytest
import torch
from demonstrated import corridor, problem, seen
from problems import random_mdp

from pgm_control import Optimism, TabularMDP, TabularModel, infer
from pgm_control.inverse_rl import (
    ClampedDemonstrator,
    Demonstrations,
    DialDemonstrator,
    FreeDemonstrator,
    InverseStatus,
    LinearReward,
    inverse,
    reward_posterior,
)
from pgm_control.inverse_rl.concavity import is_concave
from pgm_control.inverse_rl.objective import Objective
from pgm_control.inverse_rl.search.descent import Point, descend
from pgm_control.inverse_rl.search.optima import End, are_apart, settled, starts
from pgm_control.models import zoo_entry

TIE = 1e-9


def umbrella():
    """Return the problem of the README: each morning rains with probability .3."""
    return TabularMDP([1.0], [[[0.3, 0.7], [0.3, 0.7]]], [[[0, 0], [0, 0]]], [[[-8.0, 1.0], [0.0, -1.0]]], horizon=5)


def built(name):
    return umbrella() if name == "umbrella" else zoo_entry(name).build()


PROBLEMS = {
    "umbrella": 1.0, "restaurant": 1.0, "lottery": 1.0, "risky_path": 1.0, "windy_bridge": 1.0, "frozen_lake": 0.05,
}  # fmt: skip
BETAS = (-0.5, 0.0, 0.2, 0.5, 1.0)


def scanned_policy(mdp, tau, beta, weight):
    """Return the log-policy (T, S, A) of a demonstrator of optimism β for the problem's rewards times a weight."""
    p, successor, reward = (each.numpy() for each in (mdp.probability, mdp.successor, mdp.reward))
    x_paid, v, found = weight * np.where(p > 0, reward, 0.0), np.zeros(len(p)), []
    for _ in range(mdp.horizon):
        x = x_paid + v[successor]
        if beta == 0:
            q = (p * x).sum(-1)
        else:
            top = np.where(p > 0, beta * x, -np.inf).max(-1, keepdims=True)
            q = (tau * np.log((p * np.exp(np.minimum(beta * x - top, 0.0) / tau)).sum(-1)) + top[..., 0]) / beta
        top = q.max(-1)
        v = top + tau * np.log(np.exp((q - top[:, None]) / tau).mean(-1))
        found.append((q - v[:, None]) / tau - math.log(q.shape[1]))
    return np.array(found[::-1])


def occupancies(mdp, log_policy):
    here, found = mdp.initial.numpy().copy(), []
    for row in log_policy:
        found.append(here[:, None] * np.exp(row))
        here = np.zeros_like(here)
        np.add.at(here, mdp.successor.numpy(), found[-1][..., None] * mdp.probability.numpy())
    return np.array(found)


def weight_of(found) -> float:
    """The weight of a linear reward with one feature."""
    return torch.nn.utils.parameters_to_vector(found.reward.parameters()).item()


def scanned(mdp, tau, beta, seen, weight):
    """Return the log-likelihood of occupancies for one weight, in nats."""
    log_policy = scanned_policy(mdp, tau, beta, weight)
    return float((seen * np.where(seen > 0, log_policy, 0.0)).sum())


def recovered(name, beta):
    """Return the result from exact occupancies of true weight 1, and the scanned likelihood as a function."""
    mdp, tau = built(name), PROBLEMS[name]
    seen = occupancies(mdp, scanned_policy(mdp, tau, beta, 1.0))
    demonstrations = Demonstrations.from_occupancies(mdp, torch.from_numpy(seen))
    found = inverse(TabularModel(mdp, tau), demonstrations, mdp.reward[..., None], DialDemonstrator(beta))
    return found, lambda weight: scanned(mdp, tau, beta, seen, weight)


def check_recovered(name, beta):
    """The true weight is found to 1e-3, unless another one ties; then both are reported, with the sentence."""
    found, likelihood = recovered(name, beta)
    weight, others = weight_of(found), [each.parameters.item() for each in found.ties]
    assert found.log_likelihood == pytest.approx(likelihood(weight), abs=1e-9)
    assert likelihood(weight) == pytest.approx(likelihood(1.0), abs=TIE)  # by Gibbs' inequality nothing is better
    for each in found.runners_up:
        assert each.log_likelihood == pytest.approx(likelihood(each.parameters.item()), abs=1e-9)
    if abs(weight - 1.0) > 1e-3:
        assert others
        assert "the demonstrations equally well" in str(found)
        if found.status is not InverseStatus.unbounded:
            assert min(abs(each - 1.0) for each in others) < 1e-3
    if found.status is InverseStatus.unbounded:  # every larger weight ties as well, according to the scan
        assert [likelihood(each) for each in np.geomspace(weight, 10, 9)] == pytest.approx([likelihood(1)] * 9, abs=TIE)
    # The scan finds no optimum that the search missed.
    grid = np.concatenate([-np.geomspace(0.01, 30, 60)[::-1], [0.0], np.geomspace(0.01, 30, 60)])
    assert max(map(likelihood, grid)) <= found.log_likelihood + TIE


@pytest.mark.parametrize(
    ("name", "beta"), [("umbrella", 0.5), ("restaurant", -0.5), ("risky_path", 0.5), ("risky_path", 1.0)]
)
def test_the_weight_of_the_true_reward_is_found_or_tied(name, beta):
    check_recovered(name, beta)


@pytest.mark.slow
@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("name", PROBLEMS)
def test_the_weight_of_the_true_reward_is_found_or_tied_on_six_problems(name, beta):
    check_recovered(name, beta)


def six_of_ten():
    """Return the restaurant, and ten dinners of which six are Italian."""
    mdp = built("restaurant")
    return TabularModel(mdp), Demonstrations.from_trajectories(mdp, [[0]] * 10, [[0]] * 6 + [[1]] * 4)


@pytest.mark.parametrize("name", ["umbrella", "risky_path", "windy_bridge"])
@pytest.mark.parametrize("beta", [0.0, 0.5])
@pytest.mark.parametrize("prior", [None, 3.0])
def test_a_search_that_converged_ends_where_the_gradient_vanishes(name, beta, prior):
    mdp, tau = built(name), PROBLEMS[name]
    seen = torch.from_numpy(occupancies(mdp, scanned_policy(mdp, tau, beta, 1.0)))
    demonstrations = Demonstrations.from_occupancies(mdp, seen)
    found = inverse(TabularModel(mdp, tau), demonstrations, "state_action", DialDemonstrator(beta), prior=prior)
    assert found.gradient <= 1e-6 or found.status is not InverseStatus.converged


def test_two_rewards_that_explain_ten_dinners_equally_well_are_both_reported():
    """The roots of P(Italian) = .6 in the weight, by bisection of a formula: −.125900325997 and 1.286363525344."""
    model, demonstrations = six_of_ten()
    found = inverse(model, demonstrations, model.mdp.reward[..., None], DialDemonstrator(0.5))
    assert weight_of(found) == pytest.approx(-0.125900325997, abs=1e-10)
    (other,) = found.ties
    assert other.parameters.item() == pytest.approx(1.286363525344, abs=1e-10)
    assert other.difference == pytest.approx(0.0, abs=TIE)
    assert other.log_likelihood == pytest.approx(6 * math.log(0.6) + 4 * math.log(0.4), abs=1e-9)
    said = str(found)
    assert "ψ[0] = 1.28636" in said
    assert "equally well" in said
    assert "1 of 1 directions" in said


def test_of_tied_optima_the_nearest_to_the_start_is_the_result():
    model, demonstrations = six_of_ten()
    reward = LinearReward(model.mdp, model.mdp.reward[..., None])
    with torch.no_grad():
        reward.weight.fill_(1.0)
    found = inverse(model, demonstrations, reward, DialDemonstrator(0.5))
    assert weight_of(found) == pytest.approx(1.286363525344, abs=1e-10)
    assert found.ties[0].parameters.item() == pytest.approx(-0.125900325997, abs=1e-10)


def test_a_single_start_finds_only_the_optimum_nearby():
    model, demonstrations = six_of_ten()
    found = inverse(model, demonstrations, model.mdp.reward[..., None], DialDemonstrator(0.5), num_starts=1)
    assert (found.num_starts, found.runners_up) == (1, ())
    with pytest.raises(ValueError, match="`num_starts` must be"):
        inverse(model, demonstrations, num_starts=0)


def test_posteriors_print_their_peaks():
    """A Gaussian at one of them does not show the other; a scan of the density does."""
    model, demonstrations = six_of_ten()
    seen, grid = np.zeros((1, 4, 2)), np.linspace(-3.0, 3.0, 3001)
    seen[0, 0] = 6.0, 4.0
    density = np.array([scanned(model.mdp, 1.0, 0.5, seen, each) - each**2 / 8 for each in grid])
    expected = grid[1:-1][(density[1:-1] > density[:-2]) & (density[1:-1] > density[2:])]
    for method in ("tempering", "laplace"):
        found = reward_posterior(
            *(model, demonstrations, model.mdp.reward[..., None], DialDemonstrator(0.5)),
            prior=2.0,
            method=method,
            num_samples=100,
            seed=0,
        )
        tops = sorted(each.parameters.item() for each in found.peaks)
        assert tops == pytest.approx(expected.tolist(), abs=0.003)
        assert "2 peaks were found" in str(found)
        assert sum(each.share for each in found.peaks) == pytest.approx(1.0)


def always_forward():
    """Return a corridor and a demonstration that always takes the action that leads on."""
    mdp = corridor()
    return TabularModel(mdp, 0.5), Demonstrations.from_trajectories(mdp, [[0, 1, 2, 3]], [[1, 1, 1]])


@pytest.mark.parametrize(
    "demonstrator", [ClampedDemonstrator(), ClampedDemonstrator("matching"), FreeDemonstrator(), DialDemonstrator(0.4)],
    ids=repr,
)  # fmt: skip
def test_an_optimum_at_infinity_is_said_and_a_prior_removes_it(demonstrator):
    """The likelihood of what is always done rises to 1 as the reward of the end grows."""
    model, demonstrations = always_forward()
    found = inverse(model, demonstrations, np.eye(4)[:, 3:], demonstrator)
    assert found.status is InverseStatus.unbounded
    assert found.unbounded_names == ("ψ[0]",)
    assert float(found.direction) > 0
    assert "prior" in str(found)
    assert "grows without bound: ψ[0]" in str(found)
    assert found.table.abs().max() <= 2e6
    held = inverse(model, demonstrations, np.eye(4)[:, 3:], demonstrator, prior=1.0)
    assert held.status is InverseStatus.converged
    assert held.direction is None


def test_a_finite_optimum_is_not_called_infinite():
    """Not even if it is far away: one error in a thousand."""
    mdp = built("lottery")
    demonstrations = Demonstrations.from_trajectories(mdp, [[0]] * 1000, [[0]] + [[1]] * 999)
    buying = torch.zeros(4, 2, 1, dtype=torch.float64)
    buying[0, 0] = 1.0
    found = inverse(TabularModel(mdp), demonstrations, buying)
    assert found.status is InverseStatus.converged
    assert weight_of(found) == pytest.approx(-math.log(999), abs=1e-6)


@pytest.mark.parametrize("name", ["risky_path", "windy_bridge"])
def test_an_optimum_at_infinity_is_seen_where_the_gradient_vanishes_by_rounding(name):
    """A demonstrator of β = 0, taken for one of β = .5: the reward of the pit, the water, falls without bound."""
    model = TabularModel(built(name), 0.3)
    demonstrations = Demonstrations.from_occupancies(model.mdp, infer(model, 0.0).marginals().state_action)
    found = inverse(model, demonstrations, "state", DialDemonstrator(0.5))
    assert found.status is InverseStatus.unbounded
    far = found.runners_up[0]
    assert far.log_likelihood >= found.log_likelihood - TIE
    assert far.parameters.abs().max() > 100


@pytest.mark.parametrize("seed", range(4))
def test_no_level_way_out_is_left_where_a_search_converged(seed):
    """Of 600 such problems one is left, where a reward far away fits as well; it was 34 of them once."""
    actors = ClampedDemonstrator(), ClampedDemonstrator("matching"), FreeDemonstrator(), DialDemonstrator(0.4)
    statuses = set()
    for problem_seed in range(30 * seed, 30 * seed + 30):
        rng = np.random.default_rng(problem_seed)
        states, outcomes = int(rng.integers(3, 6)), int(rng.integers(2, 4))
        mdp = random_mdp(problem_seed, states, 2, outcomes, int(rng.integers(2, 6)), 1.0)
        model, actor = TabularModel(mdp, 0.7), actors[problem_seed % 4]
        few = int(rng.choice([1, 3, 10, 100]))
        watched = infer(model, Optimism(0.0, initial=0.0)).sample(few, torch.Generator().manual_seed(problem_seed))
        demonstrations = Demonstrations.from_trajectories(mdp, watched.states.tolist(), watched.actions.tolist())
        found = inverse(model, demonstrations, str(rng.choice(["state", "state_action"])), actor)
        statuses.add(found.status)
        if found.status is InverseStatus.converged:
            objective = Objective(model, found.reward, actor, demonstrations)
            assert not has_level_way_out(objective, objective.start, 0.7), (problem_seed, str(found))
    assert statuses == {InverseStatus.converged, InverseStatus.unbounded}


def has_level_way_out(function, x, unit):
    """Whether the function stays level far away on one side of x and rises on the other, where its curvature is 0."""
    value, step = function(x)[0], 1e-4 * unit
    axes = step * np.eye(len(x))
    curvature = np.array([function(x + each)[1] - function(x - each)[1] for each in axes]) * (0.5 * unit / 1e-4)
    sizes, directions = np.linalg.eigh((curvature + curvature.T) / 2)
    flat = directions[:, sizes < 1e-5]
    mixed = flat @ np.random.default_rng(0).standard_normal((flat.shape[1], 20))
    for way in np.concatenate([flat, mixed], 1).T if flat.size else ():
        ends = [function(x + sign * 300 * unit * way / np.abs(way).max())[0] - value for sign in (-1, 1)]
        if min(ends) <= TIE and max(ends) > 100 * TIE:
            return True
    return False


TURN = np.linalg.qr(np.random.default_rng(3).standard_normal((3, 3)))[0]
FUNCTIONS = {  # of three turned coordinates: the value, the gradient, and whether the optimum is at infinity
    "bowl": (lambda y: 0.5 * y @ (SCALES * y), lambda y: SCALES * y, False),
    "one error in ten thousand": (
        lambda y: np.exp(-y[0]) + 1e-4 * y[0] + 0.5 * y[1:] @ y[1:],
        lambda y: np.array([1e-4 - np.exp(-y[0]), *y[1:]]),
        False,
    ),
    "levels off exponentially": (
        lambda y: np.exp(-y[0]) + 0.5 * (SCALES * y)[1:] @ y[1:],
        lambda y: np.array([-np.exp(-y[0]), *(SCALES * y)[1:]]),
        True,
    ),
    "at two rates": (
        lambda y: np.exp(-y[0]) + np.exp(-3 * y[1]) + 0.5 * y[2] ** 2,
        lambda y: np.array([-np.exp(-y[0]), -3 * np.exp(-3 * y[1]), y[2]]),
        True,
    ),
}
SCALES = np.array([1.0, 10.0, 100.0])


@pytest.mark.parametrize("tolerance", [1e-2, 1e-4, 1e-6])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_only_a_function_that_levels_off_has_its_optimum_at_infinity(name, tolerance):
    """And a search far away is made for such functions only: it takes more points than all of the rest."""
    value, gradient, expected = FUNCTIONS[name]
    calls = []

    def turned(x):
        calls.append(x)
        return float(value(TURN @ x)), TURN.T @ gradient(TURN @ x)

    start, unit = np.array([1.0, -2.0, 0.5]), np.ones(3)
    points = descend(turned, start, None, unit)
    end = next(each for each in points if np.abs(each.slope).max() <= tolerance)
    calls.clear()
    found = settled(turned, [End(end, points)], start, tolerance, TIE, None, unit, True)
    assert (found.far is not None) is expected
    assert expected or max(np.abs(each).max() for each in calls) < 100


def test_likelihoods_are_certified_as_concave_only_if_they_are():
    """Exact occupancies balance the counts; a few trajectories in random dynamics do not."""
    model = problem(4)
    mdp = model.mdp
    exact = Demonstrations.from_occupancies(mdp, torch.from_numpy(occupancies(mdp, scanned_policy(mdp, 0.7, 0.0, 1.0))))
    sampled = Demonstrations.from_trajectories(mdp, *seen(model, 5))
    linear = LinearReward(mdp, np.eye(3)).linear_form()
    rows = [
        (ClampedDemonstrator(), True, False),
        (ClampedDemonstrator("matching"), True, True),
        (FreeDemonstrator(), False, True),  # without outcomes nothing is certified
        (DialDemonstrator(0.0), True, False),
        (DialDemonstrator(0.3), False, False),
    ]
    for demonstrator, of_exact, of_sampled in rows:
        assert is_concave(demonstrator, model, exact, linear) is of_exact, demonstrator
        assert is_concave(demonstrator, model, sampled, linear) is of_sampled, demonstrator
    assert not is_concave(ClampedDemonstrator(), model, exact, None)


def test_starts_are_the_same_at_every_call_and_include_every_valley_of_one_dimension():
    def wavy(x):
        return float(np.cos(x[0])), -np.sin(x)

    found = [starts(wavy, np.zeros(1), np.full(1, math.pi), np.ones(1), 8, lambda x: 0.0) for _ in range(2)]
    assert all(np.array_equal(*pair) for pair in zip(*found, strict=True))
    near = [float(x[0]) for x in starts(wavy, np.zeros(1), np.full(1, math.pi), np.ones(1), 100, lambda x: 0.0)]
    for valley in (math.pi, -math.pi):
        assert min(abs(x - valley) for x in near) < 0.5


@pytest.mark.parametrize("seed", range(5))
def test_what_nothing_identifies_stays_where_the_search_began(seed):
    """A number added to both rewards changes nothing but rounding, which is no other optimum, however many are seen."""
    transition = np.array([[[1.0, 0.0], [0.2, 0.8]], [[0.0, 1.0], [0.8, 0.2]]])
    mdp = TabularMDP.from_dense([0.5, 0.5], transition, np.array([[0.0, 0.0], [1.0, 1.0]]), 6)
    watched = infer(TabularModel(mdp), 0.0).sample(1000, torch.Generator().manual_seed(seed))
    found = inverse(TabularModel(mdp), Demonstrations.from_trajectories(mdp, watched), "state")
    assert found.table[0, 0, 0] == pytest.approx(-float(found.table[1, 0, 0]), abs=1e-9)
    assert not found.runners_up
    assert found.status is InverseStatus.converged


def test_an_optimum_behind_a_barrier_is_found_where_the_likelihood_levels_off():
    """A lottery of five outcomes, refused three times in a thousand: the scan is highest at the end of its plateau."""
    p, pays = [[0.018, 0.033, 0.001, 0.821, 0.127], [0.001, 0.677, 0.022, 0.022, 0.278]], np.arange(-2.0, 3.0)
    mdp = TabularMDP([1.0], [p], np.zeros((1, 2, 5), int), [[pays, pays]], horizon=1)
    seen_often = Demonstrations.from_trajectories(mdp, [[0]] * 1000, [[0]] * 997 + [[1]] * 3)
    weights = np.linspace(-80.0, 20.0, 10_001)
    worth = 2.0 * np.log((np.array(p)[:, None] * np.exp(0.5 * weights[:, None] * pays)).sum(-1))
    scanned = 997 * -np.logaddexp(0.0, worth[1] - worth[0]) + 3 * -np.logaddexp(0.0, worth[0] - worth[1])
    found = inverse(TabularModel(mdp), seen_often, mdp.reward[..., None], DialDemonstrator(0.5))
    assert found.log_likelihood == pytest.approx(float(scanned.max()), abs=1e-4)
    assert weight_of(found) < -40


def test_two_points_are_apart_if_something_higher_lies_between():
    def double(x):
        return float((x[0] ** 2 - 1) ** 2), np.zeros(1)

    left, right, near = (Point(np.array([x]), double([x])[0], np.zeros(1)) for x in (-1.0, 1.0, 1.1))
    assert are_apart(double, left, right, TIE)
    assert not are_apart(double, near, right, TIE)

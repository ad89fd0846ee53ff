"""Learning rewards, optimism and dynamics of linear-quadratic demonstrators: laws, and what is said of the result."""

import math

import numpy as np
import pytest
import torch
from linear_quadratics import scalar
from problems import sized

from pgm_control import InvalidArgument, LinearQuadratic, LinearQuadraticModel, Optimism, Risk, infer
from pgm_control.inverse_rl import (
    BoltzmannDemonstrator,
    ClampedDemonstrator,
    DiagonalReward,
    DialDemonstrator,
    FullReward,
    FunctionReward,
    InverseStatus,
    SemidefiniteReward,
    inverse,
)
from pgm_control.inverse_rl.continuous.objective import Demonstrated, GaussianObjective
from pgm_control.inverse_rl.continuous.statistics import recorded
from pgm_control.trajectories.gaussian.blocks import ContinuousTrajectories

TRUTH = torch.tensor([1.0, 0.2, 0.5], dtype=torch.float64)


def road(horizon=15, gust=1.2, **changes):
    """A mass on a line in side wind, and its cost; W has rank 1."""
    push = np.array([0.125, 0.5])
    problem = LinearQuadratic.from_cost(
        [[1.0, 0.5], [0.0, 1.0]], push[:, None], np.diag([1.0, 0.2]), [[0.5]], gust * np.outer(push, push),
        horizon=horizon, initial_mean=[0.0, 0.0], initial_covariance=0.25 * np.eye(2), **changes,
    )  # fmt: skip
    return LinearQuadraticModel(problem)


def drives(model, beta, number, seed=0, believed=False):
    """Trajectories of a demonstrator of this optimism, in the true dynamics or in those that it believes."""
    posterior = infer(model, Optimism(beta, initial=0.0))
    return (posterior.blocks() if believed else posterior.true_blocks()).sample(number, seed=seed)


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0, -0.3])
def test_costs_and_optimism_of_many_drives_are_the_truth(beta):
    model = road()
    found = inverse(model, drives(model, beta, 4000), "diagonal", DialDemonstrator(0.0), learn=["optimism"],
                    num_starts=1)  # fmt: skip
    assert found.status is InverseStatus.converged
    assert found.names == ("Q[0,0]", "Q[1,1]", "R[0,0]", "β")
    off = (found.parameters - torch.cat((TRUTH, torch.tensor([beta], dtype=torch.float64)))).abs()
    assert bool((off <= 3 * found.deviations).all())
    assert bool((found.deviations <= torch.tensor([0.04, 0.03, 0.01, 0.1])).all())
    assert found.optimism_deviation == pytest.approx(float(found.deviations[-1]))
    assert found.occupancy_error < 0.06
    assert found.identification.scale_trades
    assert len(found.identification.free_directions) == 0


def test_the_free_likelihood_of_trajectories_that_were_willed_is_concave_and_finds_the_truth():
    model = road()
    seen = drives(model, 1.0, 3000, believed=True)
    found = inverse(model, seen, "diagonal", "free")
    assert (found.status, found.num_starts, found.optimism) == (InverseStatus.converged, 1, 1.0)
    assert bool(((found.parameters - TRUTH).abs() <= 3 * found.deviations).all())
    assert found.occupancy_error < 0.08


def test_the_posterior_that_was_learned_earns_what_the_demonstrator_does():
    """The free optimum matches the moments of the demonstrations, which are the statistics of its family."""
    model = road(horizon=8)
    seen = drives(model, 1.0, 300, believed=True)
    found = inverse(model, seen, "diagonal", "free", tolerance=1e-9)
    start = seen.states[:, 0]
    off = start - start.mean(0)
    blocks = found.behaviour.blocks().replace(initial_mean=start.mean(0), initial_covariance=off.mT @ off / len(off))
    marginals = blocks.marginals()
    predicted = marginals.covariance.diagonal(dim1=-2, dim2=-1) + marginals.mean.square()
    observed = torch.cat((seen.states[:, :-1], seen.actions), -1).square().mean(0)
    torch.testing.assert_close(predicted.sum(0), observed.sum(0), atol=1e-6, rtol=0)


def test_reading_a_clamped_demonstrator_as_free_or_an_optimist_as_a_realist_is_biased():
    """Of 2000 drives: the cost of the lane is 1; the free reading of a realist is .435 ± .011, and the realist's of an
    optimist .526 ± .010, of a pessimist (β = −.5) 2.63 ± .04."""
    model = road()
    realist, optimist = drives(model, 0.0, 2000), drives(model, 0.5, 2000)
    right = inverse(model, realist, "diagonal", "clamped", num_starts=1)
    free = inverse(model, realist, "diagonal", "free", num_starts=1)
    misread = inverse(model, optimist, "diagonal", "clamped", num_starts=1)
    pessimist = inverse(model, drives(model, -0.5, 2000), "diagonal", "clamped", num_starts=1)
    readings = right, free, misread, pessimist
    lanes = [each.parameters[0].item() for each in readings]
    deviations = [each.deviations[0].item() for each in readings]
    assert lanes == pytest.approx([0.990, 0.435, 0.526, 2.626], abs=2e-3)
    assert abs(lanes[0] - 1.0) <= 3 * deviations[0]
    assert max(deviations) < 0.05
    assert lanes[0] - lanes[1] > 20 * deviations[1]
    assert lanes[0] - lanes[2] > 10 * deviations[2]


@pytest.mark.parametrize("kind", [SemidefiniteReward, FullReward])
def test_other_rewards_find_the_same_policy(kind):
    model = road(horizon=10)
    seen = drives(model, 0.0, 4000)
    reward = kind(model.problem)
    found = inverse(model, seen, reward, "clamped", num_starts=1)
    assert found.reward is reward
    assert found.status in (InverseStatus.converged, InverseStatus.no_progress)
    true = infer(model, 0.0)
    torch.testing.assert_close(found.behaviour.gain[:5], true.gain[:5], atol=0.06, rtol=0)
    if kind is SemidefiniteReward:
        torch.testing.assert_close(found.cost.C[0].diagonal(), TRUTH, atol=0.12, rtol=0)


def test_a_function_of_ones_own_and_a_target():
    """ψ is the wanted place and the log of one cost; the target is found."""
    model = road(horizon=10, reference=[1.5, 0.0])
    seen = drives(model, 0.0, 2000)

    def cost(psi):
        C = torch.diag(torch.stack((psi[1].exp(), psi.new_tensor(0.2), psi.new_tensor(0.5))))
        return C, -C @ torch.stack((psi[0], 0.0 * psi[0], 0.0 * psi[0]))

    reward = FunctionReward(model.problem, cost, [0.0, 0.5], names=["target", "log q"])
    found = inverse(model, seen, reward, "clamped", num_starts=1)
    assert found.names == ("target", "log q")
    assert bool(((found.parameters - torch.tensor([1.5, 0.0])).abs() <= 3 * found.deviations).all())
    assert float(reward.weight.detach()[0]) == float(found.parameters[0])
    linear = inverse(model, seen, DiagonalReward(model.problem, linear=True), "clamped", num_starts=1)
    target = -linear.cost.c[0, 0] / linear.cost.C[0, 0, 0]
    assert float(target) == pytest.approx(1.5, abs=0.1)


def test_optimism_is_not_identified_where_nothing_is_random():
    model = road(horizon=6, gust=0.0)
    found = inverse(model, drives(model, 0.0, 300), "diagonal", DialDemonstrator(0.2), learn=["optimism"],
                    num_starts=1)  # fmt: skip
    assert found.optimism_deviation == math.inf
    assert found.optimism == pytest.approx(0.2)
    assert found.identification.indistinguishable.abs().tolist() == [[0.0, 0.0, 0.0, 1.0]]
    assert "do not identify the optimism β" in str(found)
    assert "β not identified" in str(found)
    known = inverse(model, drives(model, 0.0, 300), "diagonal", DialDemonstrator(0.2), num_starts=1)
    assert known.optimism_deviation == math.inf
    assert math.isnan(inverse(model, drives(model, 0.0, 300), "diagonal", num_starts=1).optimism_deviation)


def test_directions_that_were_never_visited_are_said():
    """Nobody moves a component that has no noise, starts at 0 and is not pushed."""
    problem = LinearQuadratic.from_cost(
        np.diag([0.9, 0.8]), [[0.5], [0.0]], np.eye(2), [[0.2]], np.diag([0.3, 0.0]), horizon=6,
        initial_mean=[1.0, 0.0],
    )  # fmt: skip
    model = LinearQuadraticModel(problem)
    found = inverse(model, drives(model, 0.0, 200), "diagonal", num_starts=1)
    weights = found.identification.free_directions.square().sum(0)
    assert weights.tolist() == pytest.approx([0.0, 1.0, 0.0], abs=1e-9)
    assert "Q[1,1]" in str(found.identification)
    assert found.deviations[1].item() == math.inf
    start = SemidefiniteReward(problem)
    two = inverse(model, drives(model, 0.0, 200), start, num_starts=1)
    assert "do not identify" in str(two) or "No demonstrations identify" in str(two)


def test_a_potential_that_is_paid_back_is_not_identified():
    """s'Φs − E s''Φs' at each step and Φ at the end change nothing that a realist does. One with a β tells them apart:
    he minds the luck of s', which the expectation hides."""
    model = LinearQuadraticModel(scalar(horizon=5))
    problem, F = model.problem, model.problem.F[0]

    def paid_back(psi):
        C = torch.diag(torch.stack((psi[0], psi[1])))
        now = torch.diag(torch.stack((psi[2], 0.0 * psi[2])))
        return C + now - psi[2] * F.mT @ F, torch.zeros(2), psi[2].reshape(1, 1), torch.zeros(1)

    reward = FunctionReward(problem, paid_back, [0.5, 0.5, 0.0], names=["q", "r", "potential"])
    found = inverse(model, drives(model, 0.0, 500), reward, "clamped", num_starts=1)
    assert found.identification.indistinguishable.abs().tolist() == [pytest.approx([0.0, 0.0, 1.0], abs=1e-6)]
    dial = inverse(model, drives(model, 0.0, 500), reward, DialDemonstrator(0.5), num_starts=1)
    assert len(dial.identification.free_directions) == 0


def test_a_risk_does_not_trade_with_the_temperature():
    model = LinearQuadraticModel(scalar(), 0.5)
    seen = drives(model, 0.5, 400)
    by_risk = inverse(model, seen, "diagonal", DialDemonstrator(Risk(1.0)), num_starts=1)
    by_beta = inverse(model, seen, "diagonal", DialDemonstrator(0.5), num_starts=1)
    assert by_risk.optimism == 0.5
    torch.testing.assert_close(by_risk.parameters, by_beta.parameters)
    assert (by_risk.identification.scale_trades, by_beta.identification.scale_trades) == (False, True)


def test_believed_dynamics_are_learned_with_the_reward_as_far_as_they_show():
    """She believes that her steering is twice as strong as it is."""
    true = LinearQuadraticModel(scalar(horizon=8))
    believes = LinearQuadraticModel(true.problem.replace(B=[[1.0]]))
    policy = infer(believes, 0.0).blocks()
    seen = policy.replace(transition=true.problem.F).sample(3000, seed=0)
    fixed = FunctionReward(
        true.problem, lambda psi: (torch.diag(torch.stack((psi[0], psi.new_tensor(0.2)))), torch.zeros(2)), [0.5]
    )
    found = inverse(true, seen, fixed, "clamped", learn=["dynamics"], num_starts=1)
    assert found.names == ("ψ[0]", "A[0,0]", "B[0,0]")
    off = (found.parameters - torch.tensor([1.0, 0.9, 1.0])).abs()
    assert bool((off <= 3 * found.deviations).all())
    assert found.deviations[2].item() < 0.2
    assert float(found.believed_dynamics.B) == found.parameters[2].item()
    assert "identify_dynamics" in str(found)
    torch.testing.assert_close(found.behaviour.gain, policy.gain, atol=0.03, rtol=0)


def test_the_search_turns_back_at_the_breakdown():
    model = road(horizon=8)
    seen = drives(model, -0.5, 1000)
    found = inverse(model, seen, "diagonal", DialDemonstrator(-0.4), learn=["optimism"], num_starts=4)
    assert found.num_refused > 0
    assert "beyond the breakdown" in str(found)
    assert math.isfinite(found.log_likelihood)
    assert abs(found.optimism + 0.5) <= 3 * found.optimism_deviation
    found.behaviour  # noqa: B018 - it exists
    high = DiagonalReward(model.problem)
    with torch.no_grad():
        high.weight.copy_(100 * high.weight)
    with pytest.raises(InvalidArgument, match=r"`reward` must start where .* β = -5 is beyond the breakdown"):
        inverse(model, seen, high, DialDemonstrator(-5.0))


def test_one_start_is_the_best_of_several():
    model = road(horizon=6)
    seen = drives(model, 0.5, 300)
    several = inverse(model, seen, "diagonal", DialDemonstrator(0.0), learn=["optimism"], num_starts=3)
    one = inverse(model, seen, "diagonal", DialDemonstrator(0.0), learn=["optimism"], num_starts=1)
    assert several.num_starts >= 2
    torch.testing.assert_close(several.parameters, one.parameters, atol=1e-4, rtol=0)
    assert several.ties == ()


def test_actions_without_noise_have_no_finite_cost_that_is_best_and_show_its_direction():
    """a = −Ks exactly: the larger the costs, the better; their ratios are the true ones."""
    model = road(horizon=6)
    blocks = infer(model, 0.0).true_blocks()
    seen = blocks.replace(policy_covariance=0.0 * blocks.policy_covariance).sample(20, seed=0)
    found = inverse(model, seen, "diagonal", num_starts=1)
    assert found.status is InverseStatus.unbounded
    torch.testing.assert_close(found.direction, TRUTH, atol=2e-3, rtol=0)
    assert found.unbounded_names == ("Q[0,0]", "R[0,0]", "Q[1,1]")
    assert "grows without bound" in str(found)
    assert inverse(model, seen, "diagonal", prior=10.0, num_starts=1).status is InverseStatus.converged


def test_a_prior_holds_the_costs_near_zero():
    model = road(horizon=6)
    seen = drives(model, 0.0, 5)
    loose = inverse(model, seen, "diagonal", num_starts=1)
    tight = inverse(model, seen, "diagonal", prior=0.1, num_starts=1)
    assert tight.parameters[0].abs() < loose.parameters[0].abs()
    assert tight.log_prior != 0
    assert tight.log_likelihood < loose.log_likelihood


def test_steps_are_reported_and_can_be_stopped():
    model = road(horizon=4)
    seen, steps = drives(model, 0.0, 50), []

    def look(info):
        steps.append(info)
        return info.step == 2

    found = inverse(model, seen, "diagonal", callbacks=[look])
    assert (found.status, [each.step for each in steps]) == (InverseStatus.stopped, [0, 1, 2])
    assert isinstance(steps[0].reward, DiagonalReward)
    out = inverse(model, seen, "diagonal", num_steps=1)
    assert out.status is InverseStatus.out_of_steps
    assert repr(out) in str(out)


def test_what_does_not_fit_is_refused():
    model = road(horizon=4)
    seen = drives(model, 0.0, 10)
    refused = [
        ("demonstrator", {"demonstrator": BoltzmannDemonstrator()}),
        ("demonstrator", {"demonstrator": ClampedDemonstrator("matching")}),
        ("demonstrator", {"demonstrator": ClampedDemonstrator(infinite_horizon=True)}),
        ("learn", {"learn": ["optimism"]}),
        ("learn", {"learn": ["temperature"]}),
        ("learn", {"demonstrator": "free", "learn": ["dynamics"]}),
        ("reward", {"reward": "state"}),
        ("method", {"method": "newton"}),
    ]
    for name, options in refused:
        with pytest.raises(InvalidArgument, match=f"`{name}`"):
            inverse(model, seen, **options)
    wrong = ContinuousTrajectories(seen.states + torch.tensor([0.0, 1.0]), seen.actions)
    with pytest.raises(InvalidArgument, match="singular, can take it"):
        inverse(model, ContinuousTrajectories(seen.states.clone().index_fill_(1, torch.tensor([2]), 1.0), seen.actions),
                demonstrator="free")  # fmt: skip
    inverse(model, wrong, num_steps=1, num_starts=1)  # the actions alone count
    for states, actions in ((seen.states[:, :-1], seen.actions), (seen.states[..., :1], seen.actions)):
        with pytest.raises(InvalidArgument, match="`demonstrations` must have states"):
            inverse(model, ContinuousTrajectories(states, actions))
    with pytest.raises(InvalidArgument, match="finite"):
        inverse(model, ContinuousTrajectories(seen.states * math.nan, seen.actions))
    with pytest.raises(InvalidArgument, match="temperature"):
        inverse(LinearQuadraticModel(model.problem, 0.0), seen)


def test_information_is_the_mean_curvature_of_the_likelihood():
    """The Fisher information against the Hessian of the likelihood at the truth, by differences of the gradient."""
    model = road(horizon=6)
    seen = drives(model, 0.5, 20000)
    reward = DiagonalReward(model.problem)
    with torch.no_grad():
        reward.weight.copy_(TRUTH)
    objective = GaussianObjective(model, reward, Demonstrated(0.5, False, True), recorded(seen, 2, 1, 6))
    x = objective.start
    hessian = np.array(
        [objective.log_likelihood(x + way)[1] - objective.log_likelihood(x - way)[1] for way in 1e-4 * np.eye(4)]
    ) / 2e-4  # fmt: skip
    rows = objective.information_rows(x)
    scale = np.sqrt(np.diag(rows.T @ rows))
    np.testing.assert_allclose((rows.T @ rows + hessian) / np.outer(scale, scale), 0.0, atol=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("beta", sized([0.0, 0.5, 1.0, -0.5], [1.0, -0.5]))
def test_intervals_of_optimism_cover_the_truth(beta):
    """Of 40 samples of 200 drives, the interval of two deviations holds β and all costs in 95%, within sampling."""
    model, held, off = road(horizon=12), np.zeros(4), []
    truth = np.append(TRUTH.numpy(), beta)
    for seed in range(40):
        found = inverse(model, drives(model, beta, 200, seed=seed), "diagonal", DialDemonstrator(0.0),
                        learn=["optimism"], num_starts=1)  # fmt: skip
        assert found.status is InverseStatus.converged
        error = (found.parameters.numpy() - truth) / found.deviations.numpy()
        held += np.abs(error) <= 2
        off.append(error)
    assert bool((held >= 34).all())  # 38 are expected; 33 or fewer have probability 1%
    spread = np.std(off, axis=0)
    assert bool(((spread > 0.7) & (spread < 1.4)).all())


@pytest.mark.wrong_types
def test_arrays_are_not_demonstrations():
    with pytest.raises(InvalidArgument, match=r"`demonstrations` must be Cont.*posterior\.true_blocks\(\)\.sample"):
        inverse(road(), (torch.zeros(1), torch.zeros(1)))  # pyright: ignore[reportCallIssue]

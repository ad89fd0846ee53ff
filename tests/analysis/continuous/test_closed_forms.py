"""Evaluation of linear-quadratic models: known answers, samples, and identities on random models."""

import math
import re

import numpy as np
import pytest
import torch
from linear_quadratics import double_integrator, random_model, scalar

from pgm_control import (
    InvalidArgument,
    InvalidGuide,
    InvalidProblem,
    LinearQuadratic,
    LinearQuadraticModel,
    Optimism,
    OptimismBreakdown,
    Risk,
    estimate,
    evaluate,
    explain,
    frontier,
    infer,
    objective,
    output_feedback,
    return_distribution,
    return_moments,
    scorecard,
)

KNOWN = {  # imagined and true return, ELBO of the policy with the true dynamics, KL of the dynamics
    1.0: (-3.92494606, -5.30514032, 6.12555859, 0.56070342),
    0.5: (-4.22103247, -5.01590702, 6.19078994, 0.17830094),
    0.0: (-4.69616295, -4.69616295, 6.21835979, 0.0),
    -0.5: (-5.53106072, -4.33671596, 6.17541558, 0.33668948),
}


def bounded(seed, beta=1.0):
    """A random model, and a β at which its objective is bounded."""
    model = random_model(seed, largest=(6, 3, 15))
    for _ in range(40):
        try:
            return model, beta, infer(model, beta)
        except OptimismBreakdown:
            beta /= 2.0
    raise AssertionError("there is an optimum near 0")


@pytest.mark.parametrize("beta", KNOWN)
def test_known_answers(beta):
    model = LinearQuadraticModel(scalar())
    found = infer(model, beta)
    imagined, true, clamped, tilt = KNOWN[beta]
    score = evaluate(model, found)
    assert score.imagined_return == pytest.approx(imagined, abs=6e-9)
    assert score.true_return == pytest.approx(true, abs=6e-9)
    assert score.delusion == pytest.approx(imagined - true, abs=2e-8)
    assert score.dynamics_kl == pytest.approx(tilt, abs=6e-9)
    assert evaluate(model, found.true_blocks()).elbo == pytest.approx(clamped, abs=6e-9)


def test_known_answers_with_a_start_and_a_prior():
    model = LinearQuadraticModel(scalar(initial_covariance=0.5), 1.0, 1.0)
    free, clamped = infer(model, 1.0), infer(model, 0.0)
    card = scorecard(model, {"free": free, "clamped": clamped})
    assert card.log_evidence == pytest.approx(-2.7677273982, abs=6e-11)
    assert card.evidence_name == "log p(O)"
    assert card.scores["free"].gap == pytest.approx(0.0, abs=1e-12)
    assert card.scores["clamped"].elbo == pytest.approx(-4.3584123902, abs=6e-11)
    rounded = [round(x, 4) for x in (card.scores["free"].imagined_return, card.scores["free"].true_return)]
    assert rounded == [-1.7021, -4.0570]
    assert round(card.scores["clamped"].true_return, 4) == -3.4437
    double = LinearQuadraticModel(double_integrator(), 1.0, 4.0)
    card = scorecard(double, {"clamped": infer(double, 0.0)})
    assert card.log_evidence == pytest.approx(-13.68924369, abs=6e-9)
    assert card.scores["clamped"].elbo == pytest.approx(-21.84852944, abs=6e-9)


def test_the_last_row_is_the_regulator_without_noise_on_its_actions():
    model = LinearQuadraticModel(scalar(), 1.0, 1.0)
    card = scorecard(model, {"clamped": infer(model, 0.0)})
    best = card.scores["best policy"]
    P, K = 0.0, []
    for _ in range(6):
        K.append(0.45 * P / (0.2 + 0.25 * P))
        P = 1.0 + 0.81 * P - 0.45 * P * K[-1]
    mean_square, total = 1.0, 0.0
    for gain in reversed(K):
        total -= 0.5 * (1.0 + 0.2 * gain**2) * mean_square
        mean_square = (0.9 - 0.5 * gain) ** 2 * mean_square + 0.3
    assert best.true_return == pytest.approx(total, abs=1e-12)
    assert best.true_return > card.scores["clamped"].true_return
    assert (best.elbo, best.gap, best.policy_kl) == (-math.inf, math.inf, math.inf)
    free_actions = LinearQuadratic(0.9, 0.5, 0.3, torch.diag(torch.tensor([1.0, 0.0])), horizon=3, initial_mean=1.0)
    assert (
        "best policy"
        not in scorecard(
            LinearQuadraticModel(free_actions, 1.0, 1.0),
            {"clamped": infer(LinearQuadraticModel(free_actions, 1.0, 1.0), 0.0)},
        ).scores
    )


@pytest.mark.parametrize("seed", range(8))
def test_the_objective_of_the_optimum_forward_is_that_of_the_sweep_backward(seed):
    model, beta, found = bounded(seed)
    scale = abs(found.objective) + abs(evaluate(model, found).imagined_return) / model.temperature
    assert objective(model, found) == pytest.approx(found.objective, abs=1e-9 * max(1.0, scale))
    assert objective(model, found, beta) == objective(model, found)
    score = evaluate(model, found)
    expected = score.imagined_return / model.temperature - score.policy_kl - score.dynamics_kl
    assert score.elbo == pytest.approx(expected, abs=1e-10 * max(1.0, scale))


@pytest.mark.parametrize("seed", [0, 3, 4])
def test_samples_of_the_same_programs_agree(seed):
    model = random_model(seed, discounted=False, lebesgue=False, largest=(2, 2, 4))
    guide = infer(model, 0.1)
    sampled, exact = estimate(model, guide, 2000, seed=seed), evaluate(model, guide)
    for name in ("elbo", "imagined_return", "true_return", "policy_entropy"):
        each = getattr(sampled, name)
        assert abs(each.mean - getattr(exact, name)) < 4.5 * each.standard_error + 1e-9, name


def test_the_scorecard_by_sampling_agrees():
    model = LinearQuadraticModel(scalar(horizon=3, initial_covariance=0.5), 1.0, 1.0)
    guides = {"free": infer(model, 1.0), "half": infer(model, 0.5), "clamped": infer(model, 0.0)}
    exact, sampled = scorecard(model, guides), scorecard(model, guides, num_samples=2000, seed=0)
    assert sampled.log_evidence == exact.log_evidence
    for name, row in sampled.scores.items():
        for key in ("elbo", "imagined_return", "true_return", "policy_kl", "dynamics_kl"):
            each = getattr(row, key)
            assert abs(each.mean - getattr(exact.scores[name], key)) < 4.5 * each.standard_error + 1e-9, (name, key)


def test_a_guide_without_gaussian_factors_is_sampled():
    model = LinearQuadraticModel(scalar(horizon=2), 1.0, 1.0)
    found = infer(model, 0.0)
    card = scorecard(model, {"a program": found.__call__, "clamped": found}, num_samples=None, seed=0)
    assert set(card.scores) == {"a program", "clamped"}
    with pytest.raises(InvalidGuide, match=r"`guide` must have affine-Gaussian blocks.*estimate"):
        evaluate(model, found.__call__)


@pytest.mark.parametrize("seed", range(6))
def test_the_variance_of_the_return_is_that_of_samples(seed):
    model = random_model(seed, largest=(3, 2, 6))
    found = infer(model, 0.0)
    moments, problem = return_moments(model, found), model.problem
    drawn = found.true_blocks().sample(100_000, seed=seed)
    weight = problem.discount ** torch.arange(problem.horizon + 1.0)
    total = weight[-1] * problem.final_reward(drawn.states[:, -1])
    for t in range(problem.horizon):
        total = total + weight[t] * problem.reward(t, drawn.states[:, t], drawn.actions[:, t])
    assert float(total.mean()) == pytest.approx(moments.mean, abs=5 * float(total.std()) / 100_000**0.5)
    spread = float((total - total.mean()).square().std()) / 100_000**0.5
    assert float(total.var()) == pytest.approx(moments.variance, abs=5 * spread)


def test_the_variance_of_a_sum_of_squares():
    """Nothing to choose: the return is −½ Σ c w², of independent normal numbers."""
    problem = LinearQuadratic(0.0, 0.0, 0.7, [[3.0, 0.0], [0.0, 1.0]], horizon=4, initial_mean=0.0)
    model = LinearQuadraticModel(problem, 1e-9)
    assert return_moments(model, infer(model, 0.0)).variance == pytest.approx(3 * 0.5 * (3.0 * 0.7) ** 2, rel=1e-7)


def test_another_world_gives_the_true_return_and_the_regret_there():
    problem = scalar(initial_covariance=0.5)
    model, world = LinearQuadraticModel(problem, 1.0, 1.0), problem.replace(W=[[0.9]], discount=0.9)
    guide = infer(model, 0.3)
    found = evaluate(model, guide, world=world)
    assert found.true_return == pytest.approx(
        evaluate(LinearQuadraticModel(world, 1.0, 1.0), guide).true_return, abs=1e-12
    )
    assert found.imagined_return == evaluate(model, guide).imagined_return
    assert found.best_return == infer(LinearQuadraticModel(world, 0.0), 0.0).value
    assert found.regret > 0
    assert evaluate(model, guide, world=LinearQuadraticModel(world)).regret == found.regret
    with pytest.raises(InvalidArgument, match="`world` must have the horizon"):
        evaluate(model, guide, world=scalar(horizon=3))


def test_a_frontier_has_the_numbers_of_each_optimum_and_a_named_gap_beyond_the_breakdown(tmp_path):
    model = LinearQuadraticModel(scalar())
    betas = [-2.5, -1.0, 0.0, 1.0, Risk(0.4), Optimism(dynamics=0.5, initial=0.0)]
    found = frontier(model, betas)
    assert [point.optimism for point in found.points] == betas[1:]
    for point in found.points:
        exact = infer(model, point.optimism)
        score, moments = evaluate(model, exact), return_moments(model, exact)
        assert point.objective == pytest.approx(exact.objective, abs=1e-12)
        assert point.imagined_return == pytest.approx(score.imagined_return, abs=1e-12)
        assert point.true_return == pytest.approx(score.true_return, abs=1e-12)
        assert point.deviation == pytest.approx(moments.variance**0.5, abs=1e-12)
        assert point.cvar == pytest.approx(return_distribution(model, exact).cvar(0.1), abs=1e-9)
    (gap,) = found.gaps
    assert gap.optimism == -2.5
    assert gap.limit == pytest.approx(-2.023794968, abs=6e-10)
    assert "No optimum at -2.5: beyond the breakdown, β* = -2.024." in str(found)
    assert "-2.024" in found._repr_html_()
    assert found.to_dict()["gaps"][0]["limit"] == gap.limit
    found.save(tmp_path / "frontier.json")
    found.save(tmp_path / "frontier.csv")
    with pytest.raises(OptimismBreakdown, match=r"β\* = -2.024"):
        frontier(model, [-3.0])
    cold = frontier(LinearQuadraticModel(scalar(), 0.0), [0.0, Risk(-0.5)])
    assert cold.points[0].objective is None
    assert cold.points[0].imagined_return == pytest.approx(infer(LinearQuadraticModel(scalar(), 0.0), 0.0).value)
    with pytest.raises(InvalidArgument, match="`resolution` must be left out"):
        frontier(model, [0.0], resolution=1.0)


def test_a_singular_noise_that_a_guide_leaves_has_no_elbo():
    problem = LinearQuadratic(
        np.eye(2), [[0.0], [1.0]], np.diag([0.0, 0.2]), np.eye(3), horizon=3, initial_mean=[1.0, 0.0]
    )
    model = LinearQuadraticModel(problem)
    found = infer(model, 0.5)
    assert objective(model, found) == pytest.approx(found.objective, abs=1e-12)
    blocks = found.blocks()
    assert evaluate(model, blocks.replace(noise=blocks.noise + 0.1 * torch.eye(2))).elbo == -math.inf


def test_the_regulator_without_temperature_has_returns_and_no_elbo():
    model = LinearQuadraticModel(scalar(), 0.0)
    found = evaluate(model, infer(model, 0.0))
    assert found.elbo is None
    assert found.policy_entropy == -math.inf
    assert found.true_return == pytest.approx(infer(model, 0.0).value, abs=1e-12)
    bent = evaluate(model, infer(model, Risk(-0.5)))
    nearly = LinearQuadraticModel(scalar(), 1e-7)
    assert bent.dynamics_kl == pytest.approx(evaluate(nearly, infer(nearly, Risk(-0.5))).dynamics_kl, rel=1e-5)
    for call in (objective, scorecard):
        with pytest.raises(InvalidArgument, match="`model` must have a positive temperature"):
            call(model, infer(model, 0.0) if call is objective else {"x": infer(model, 0.0)})  # pyright: ignore[reportCallIssue]


def test_a_clamped_block_that_is_not_the_models_has_no_finite_objective():
    model = LinearQuadraticModel(scalar(initial_covariance=0.5), 1.0, 1.0)
    found = infer(model, 0.5)
    assert objective(model, found, 0.0) == -math.inf
    assert objective(model, found.true_blocks(), 0.0) > -math.inf
    assert objective(model, infer(model, Optimism(dynamics=0.0, initial=0.5)), 0.0) == -math.inf


def test_a_euphoric_problem_has_infinite_evidence():
    problem = LinearQuadratic(0.9, 0.5, 0.3, [[-0.5, 0.0], [0.0, 1.0]], horizon=6, initial_mean=1.0)
    model = LinearQuadraticModel(problem, 1.0, 1.0)
    with pytest.raises(OptimismBreakdown, match="euphoric"):
        infer(model, 1.0)
    card = scorecard(model, {"clamped": infer(model, 0.0)})
    assert card.log_evidence == card.scores["clamped"].gap == math.inf


def test_batches_and_other_sizes_are_refused():
    batch = LinearQuadraticModel(scalar(initial_mean=[[1.0], [2.0]]))
    for call in (evaluate, return_moments, objective):
        with pytest.raises(InvalidProblem, match="`model` must be one problem"):
            call(batch, infer(batch, 0.0))
    model = LinearQuadraticModel(scalar())
    with pytest.raises(InvalidGuide, match="`gain` of the guide must have shape"):
        evaluate(model, infer(LinearQuadraticModel(scalar(horizon=3)), 0.0))


def _rounded(value):
    """The text of a result with ten digits: numbers with a graph are not from the compiled sweep."""
    return re.sub(r"-?\d+\.\d+(e-?\d+)?", lambda each: f"{float(each.group()):.10g}", repr(value))


def test_matrices_with_a_graph_give_the_same_numbers():
    cost = torch.ones(1, 1, dtype=torch.float64, requires_grad=True)
    model = LinearQuadraticModel(scalar(), 1.0, cost)
    plain = LinearQuadraticModel(scalar(), 1.0, 1.0)
    for call in (
        lambda m: evaluate(m, infer(m, 0.5)),
        lambda m: scorecard(m, {"half": infer(m, 0.5)}),
        lambda m: frontier(m, [0.0, 1.0]).to_dict(),
        lambda m: return_moments(m, infer(m, 0.5)),
        lambda m: objective(m, infer(m, 0.5)),
        lambda m: explain(m, flip=False),
    ):
        assert _rounded(call(model)) == _rounded(call(plain))


def test_a_batch_has_no_scorecard():
    batch = LinearQuadraticModel(scalar(initial_mean=[[1.0], [2.0]]), 1.0, 1.0)
    guides = {"clamped": infer(batch, 0.0)}
    for number in (None, 20):
        with pytest.raises(InvalidProblem, match=r"`model` must be one problem for a scorecard.*problem\[index\]"):
            scorecard(batch, guides, num_samples=number)


def test_a_policy_of_observations_is_evaluated_already():
    model = LinearQuadraticModel(scalar(initial_covariance=0.5), 1.0, 1.0)
    with pytest.raises(InvalidGuide, match=r"OutputFeedback.*\.true_return and \.objective; \.sample"):
        evaluate(model, output_feedback(model, [[1.0]], [[0.5]]))

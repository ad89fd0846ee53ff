"""The verbs on a problem in the plane, whose reward is quadratic, beside the closed forms of the same problem."""

import json
import math
from typing import Any

import numpy as np
import pytest
from linear_quadratics import scalar

from pgm_control import (
    InvalidArgument,
    InvalidGuide,
    Line,
    LinearQuadratic,
    LinearQuadraticModel,
    LineModel,
    Optimism,
    OptimismBreakdown,
    Planar,
    PlanarModel,
    compare,
    evaluate,
    explain,
    frontier,
    infer,
    ledger,
    objective,
    return_moments,
    rollout,
    scorecard,
    soft_values,
    to_gymnasium,
)
from pgm_control.models.continuous_zoo import continuous_zoo

STEPS, NOISE, PRIOR = 3, 0.1, 0.5


def planar():
    """Each state that is reached costs ½|s − 1|²."""
    return PlanarModel(Planar(lambda s: -0.5 * ((s - 1.0) ** 2).sum(-1), STEPS, NOISE), 1.0, PRIOR)


def quadratic():
    """The same with matrices: nothing is paid for the first state, and the last one is paid at the end."""
    C = np.zeros((STEPS, 4, 4))
    C[1:, 0, 0] = C[1:, 1, 1] = 1.0
    c = np.zeros((STEPS, 4))
    c[1:, :2] = -1.0
    k = np.array([0.0, 1.0, 1.0])
    end = np.eye(2), -np.ones(2), 1.0
    return LinearQuadraticModel(
        LinearQuadratic(
            np.eye(2), np.eye(2), NOISE * np.eye(2), C, horizon=STEPS, initial_mean=np.zeros(2), c=c, k=k,
            final_cost=end,
        ),
        1.0,
        PRIOR * np.eye(2),
    )  # fmt: skip


def test_the_numbers_are_those_of_the_closed_forms():
    plane, exact = planar(), quadratic()
    guides = [{str(beta): infer(model, beta) for beta in (1.0, 0.3, 0.0)} for model in (plane, exact)]
    cards = scorecard(plane, guides[0]), scorecard(exact, guides[1])
    assert cards[0].log_evidence == pytest.approx(cards[1].log_evidence, abs=1e-5)
    for name, found in guides[0].items():
        for key in ("elbo", "gap", "imagined_return", "true_return", "policy_kl", "dynamics_kl", "delusion"):
            pair = [getattr(card.scores[name], key) for card in cards]
            assert pair[0] == pytest.approx(pair[1], abs=2e-4), (name, key)
        assert evaluate(plane, found).policy_entropy is None
        assert objective(plane, found) == pytest.approx(found.objective, abs=1e-9)
    points = [frontier(model, [0.0, 1.0]).points for model in (plane, exact)]
    for one, other in zip(*points, strict=True):
        assert one.true_return == pytest.approx(other.true_return, abs=2e-4)
        assert one.objective == pytest.approx(other.objective, abs=1e-5)
        assert one.deviation is None


@pytest.mark.slow
def test_the_optimum_acts_in_a_live_environment():
    plane = planar()
    for beta in (1.0, 0.0):
        guide = infer(plane, beta)
        played = rollout(to_gymnasium(plane), guide, 300, seed=1)
        assert abs(played.mean - guide.true_return) < 4.5 * played.standard_error


def test_the_explanation_has_the_numbers_of_the_closed_forms():
    found, exact = explain(planar()), explain(quadratic())
    for name in ("gap", "price_of_optimism"):
        assert getattr(found, name) == pytest.approx(getattr(exact, name), abs=2e-4)
    posterior = infer(quadratic(), 1.0)
    believed, true = posterior.marginals(), posterior.true_marginals()
    t = found.state.time
    for mean, deviation, due in (
        (found.state.mean, found.state.deviation, believed),
        (found.state.true_mean, found.state.true_deviation, true),
    ):
        np.testing.assert_allclose(mean, due.state_mean[t], atol=1e-4)
        np.testing.assert_allclose(deviation, due.state_covariance[t].diagonal().sqrt(), atol=1e-4)
    assert sum(found.dynamics_kl) == pytest.approx(exact.free.dynamics_kl, abs=1e-4)
    assert found.initial_kl == 0.0
    assert found.optimism == 1.0
    text = str(found)
    assert text.startswith("The free guide believes in luck: it changes the dynamics by ")
    assert f"but truly earns {found.free.true_return:.4g}, a delusion of {found.free.delusion:.4g}" in text
    assert "nodes, whose objective changes by" in text
    assert found.headline in found._repr_html_()
    worse = explain(planar(), -0.1)
    assert "The guide of β = -0.1 believes in bad luck" in str(worse)
    assert "The best objective J_β is" in str(worse)


def test_without_a_difference_the_explanation_says_so():
    none = explain(planar(), 0.0)
    assert not none.differs
    assert none.state is None
    assert none.sentences[0].startswith("There is no difference between β = 0 and clamped inference")
    with pytest.raises(InvalidArgument, match="scorecard"):
        explain(planar(), Optimism(dynamics=1.0, initial=0.0))


def test_the_explanation_of_a_line_says_where_it_believes_to_be():
    walk = LineModel(Line(lambda s: -0.5 * (s - 1.0) ** 2, STEPS, lambda s, a: 0.3 + 0.0 * a), 1.0, PRIOR)
    found = explain(walk)
    (mean,), (deviation,) = found.state.true_mean, found.state.true_deviation
    played = infer(walk, 1.0).play(4000, 0).states[:, found.state.time]
    assert mean == pytest.approx(float(played.mean()), abs=4.5 * deviation / 4000**0.5)
    assert deviation == pytest.approx(float(played.std()), rel=0.06)
    assert f"At t = {found.state.time} it expects the state at {found.state.mean[0]:.4g}" in str(found)


@pytest.mark.wrong_types
def test_what_needs_gaussian_factors_is_refused():
    plane: Any = planar()
    guide = infer(plane, 0.0)
    walk: Any = LineModel(Line(lambda s: -0.5 * s**2, 2, lambda s, a: 0.3 + 0.0 * a), 1.0, PRIOR)
    for model, where in ((plane, "in the plane"), (walk, "on a line")):
        for call in (
            lambda model: return_moments(model, guide),
            lambda model: soft_values(model, 0.0),
        ):
            with pytest.raises(
                InvalidArgument, match=f"`model` must be a tabular model.*{where} there are infer, eval"
            ):
                call(model)
    with pytest.raises(InvalidArgument, match="`target` must be left out"):
        frontier(plane, [0.0], target=1.0)
    with pytest.raises(OptimismBreakdown):
        frontier(LinearQuadraticModel(scalar()), [-4.0])


SLOW = pytest.mark.slow


@pytest.mark.parametrize("beta", [1.0, pytest.param(0.3, marks=SLOW), pytest.param(0.0, marks=SLOW), -0.1])
def test_the_ledger_of_a_mesh_is_that_of_the_closed_form(beta):
    """Entry by entry: the sums over nodes of smooth functions are as precise as the matrices."""
    models: list[Any] = [planar(), quadratic()]
    for guide in (1.0, 0.0, -0.1):
        found, due = (ledger(model, infer(model, guide), beta) for model in models)
        assert found.log_evidence == pytest.approx(due.log_evidence, abs=1e-9)
        assert found.delusion_by_step.numpy() == pytest.approx(_ahead(due.delusion_by_step.numpy()), abs=1e-9)
        assert found.gap == pytest.approx(due.gap, abs=1e-9)
        for name in ("policy_by_step", "dynamics_by_step"):
            np.testing.assert_allclose(getattr(found, name), getattr(due, name), atol=1e-9, err_msg=name)
        if beta != 0 or guide == 0:
            assert found.gap == pytest.approx(found.log_evidence - found.elbo, abs=1e-9)
            assert 0 <= found.error < 1e-9


def _ahead(by_state: np.ndarray) -> np.ndarray:
    """Rewards by the step that reaches a state, from rewards by the step that leaves it, and the last one."""
    return np.concatenate((by_state[1:-1], by_state[-1:], [0.0]))


def test_the_ledger_of_a_mesh_holds_expected_log_ratios():
    """By samples of the guide, with its start freed, on a line whose noise grows with effort and on a steep plane."""
    line = Line(lambda s: -((s - 2.0) ** 2), 2, lambda s, a: (0.1 + 0.2 * a**2).sqrt(), initial_deviation=0.5)
    steep = Planar(lambda s: -4.0 / (1.0 + (-3.0 * s[..., 0]).exp()), 2, 0.2, initial_covariance=0.3)
    for model in (LineModel(line, 0.7, 0.8), PlanarModel(steep, 1.0, 0.5)):
        guide, best = infer(model, Optimism(dynamics=0.4, initial=0.2)), infer(model, 1.0)
        found, paths, slack = ledger(model, guide), guide.sample(5_000, seed=3), 2e-3
        states, actions = paths.states, paths.actions

        def check(log_q, log_p, due, slack=slack):
            ratio = log_q - log_p
            assert abs(float(ratio.mean()) - due) <= 4.5 * float(ratio.std()) / 5_000**0.5 + slack

        check(guide.initial().log_prob(states[:, 0]), best.initial().log_prob(states[:, 0]), found.initial)
        for t in range(model.problem.horizon):
            before, action, ahead = states[:, t], actions[:, t], states[:, t + 1]
            q, p = (each.policy(t, before).log_prob(action) for each in (guide, best))
            check(q, p, float(found.policy_by_step[t]))
            q, p = (each.dynamics(t, before, action).log_prob(ahead) for each in (guide, best))
            check(q, p, float(found.dynamics_by_step[t]))
        assert found.gap == pytest.approx(found.log_evidence - found.elbo, abs=1e-9)
        assert found.initial > 0.01


def test_what_the_ledger_of_a_mesh_says(tmp_path):
    plane = planar()
    account = ledger(plane, infer(plane, 0.0))
    assert account.gap == pytest.approx(infer(plane, 1.0).objective - infer(plane, 0.0).objective, abs=1e-9)
    assert "On a mesh: the gap changes by" in str(account)
    assert "log p(O) = " in str(account)
    assert ledger(plane, infer(plane, 1.0)).headline == "No gap: the guide is the exact posterior."
    account.save(tmp_path / "ledger.json")
    assert json.loads((tmp_path / "ledger.json").read_text())["error"] == account.error
    assert ledger(plane, infer(plane, 0.5), 0.0).gap == math.inf
    assert ledger(plane, infer(plane, 0.5), 0.0).elbo == -math.inf
    other = planar()
    with pytest.raises(InvalidGuide, match=r"`guide` must be a posterior of this model.*log_evidence - "):
        ledger(other, infer(plane, 0.0))


def test_the_comparison_of_a_mesh_has_the_numbers_of_the_closed_form(tmp_path):
    found: Any = compare(planar(), name="a plane", command="say it")
    exact = compare(quadratic())
    for name in ("free, exact", "clamped, exact"):
        one, other = (each.scorecard.scores[name] for each in (found, exact))
        for key in ("elbo", "gap", "imagined_return", "true_return"):
            assert getattr(one, key) == pytest.approx(getattr(other, key), abs=1e-8), key
    assert str(found.explanation) == str(explain(planar()))
    assert found.scorecard.scores["free, exact"].gap == pytest.approx(0.0, abs=1e-9)
    found.save(tmp_path / "found.json")
    numbers = json.loads((tmp_path / "found.json").read_text())
    assert numbers["mesh_errors"]["free"]["objective"] == found.free.error.objective
    assert numbers["explanation"]["dynamics_kl"] == list(found.explanation.dynamics_kl)
    assert numbers["command"] == "say it"
    assert "a plane" in repr(found)
    assert "a plane" in found._repr_html_()


def test_a_model_over_vectors_has_no_exact_posterior():
    vectors: Any = continuous_zoo()["windy_pendulum"].model(2)
    for call in (lambda: infer(vectors, 1.0), lambda: explain(vectors), lambda: compare(vectors)):
        with pytest.raises(
            InvalidArgument, match=r'not solved exactly: .*ClampedNeuralGuide.*"natural_gradient".*ilqg'
        ):
            call()


def test_sentences_show_no_rounding_errors():
    """The means of a symmetric problem are 0."""
    said = explain(PlanarModel(Planar(lambda s: -(s**2).sum(-1), 2, 0.3), 1.0, 0.5)).sentences[1]
    assert "the state at (0, 0) with deviation" in said
    assert "truly reaches (0, 0) with" in said

"""Explanations and comparisons of linear-quadratic models, and the terms of other continuous models."""

import json
import math

import pytest
import torch
from linear_quadratics import double_integrator, scalar

from pgm_control import (
    InvalidArgument,
    InvalidGuide,
    LinearQuadraticModel,
    Optimism,
    compare,
    diagnose,
    evaluate,
    explain,
    infer,
    ledger,
    objective,
    scorecard,
)
from pgm_control.plot import ledger_over_time
from pgm_control.trajectories.gaussian.terms import HasTerms, TrajectoryTerms, trajectory_terms


def noisy():
    return LinearQuadraticModel(scalar(initial_covariance=0.5), 1.0, 1.0)


def test_the_sentences_have_the_numbers_of_inference():
    model = noisy()
    found, free, clamped = explain(model), infer(model, 1.0), infer(model, 0.0)
    assert found.free == evaluate(model, free)
    assert found.clamped == evaluate(model, clamped)
    assert found.gap == pytest.approx(free.objective - clamped.objective, abs=1e-12)
    assert found.price_of_optimism == pytest.approx(-3.4437 + 4.0570, abs=1e-4)
    first = found.noises[0]
    assert (first.time, first.component) == (0, 0)
    assert first.deviation == pytest.approx(float(free.noise[0, 0, 0]) ** 0.5)
    assert first.true_deviation == pytest.approx(0.3**0.5)
    drawn = free.sample(200_000, seed=0)
    noise = drawn.states[:, 1, 0] - 0.9 * drawn.states[:, 0, 0] - 0.5 * drawn.actions[:, 0, 0]
    assert first.mean == pytest.approx(float(noise.mean()), abs=0.005)
    square = first.root_mean_square**2 + first.deviation**2
    assert square == pytest.approx(float(noise.square().mean()), rel=0.02)
    assert found.start is not None
    assert found.start.mean == pytest.approx(float(free.initial_mean[0]))
    assert found.policy.gain[0][0] == pytest.approx(float(free.gain[found.policy.time, 0, 0]))
    text = str(found)
    assert "the noise at t = 0 is 0.1333 down with deviation 0.4436 (truly 0 and 0.5477)" in text
    assert "the start is 0.5334 with deviation 0.5164 (truly 1 and 0.7071)" in text
    assert "has the gain 0.3470 (clamped 0.5659) and the deviation 0.8202 (clamped 0.7559)" in text
    assert "imagines a return of -1.702 reward units but truly earns -4.057, a delusion of 2.355" in text
    assert "reaches the log p(O) of -2.768 nats, and no clamped guide an ELBO above -4.358: a gap of 1.591" in text
    assert "below β* = -0.6023 an adversary of the start is unbounded" in text
    assert found.headline in found._repr_html_()


def test_bad_luck_no_luck_and_nothing_random():
    model = noisy()
    assert "believes in bad luck: the noise at t = 0 is 0.5162 up" in str(explain(model, -0.4))
    none = explain(model, 0.0, flip=False)
    assert not none.differs
    assert none.breakdown is None
    assert "with β = 0 a guide believes in the true dynamics" in str(none)
    sure = explain(LinearQuadraticModel(scalar().replace(W=[[0.0]])))
    assert "nothing is random" in str(sure)
    assert "There is an optimum for every β." in str(sure)
    double = explain(LinearQuadraticModel(double_integrator(), 1.0, 4.0), flip=False)
    assert "component 0 of the state" in str(double)
    names = {"state_names": ("position", "speed"), "action_names": ("push",)}
    named = explain(LinearQuadraticModel(double_integrator().replace(**names), 1.0, 4.0))
    assert "the noise of position at t = 0" in str(named)
    assert "position at the start is 1.322" in str(named)
    with pytest.raises(InvalidArgument, match="`optimism` must be one finite number here"):
        explain(model, Optimism(dynamics=1.0, initial=0.0))
    with pytest.raises(InvalidArgument, match="positive temperature"):
        explain(LinearQuadraticModel(scalar(), 0.0))


def test_a_comparison_has_both_optima(tmp_path):
    model = noisy()
    found = compare(model, name="scalar")
    assert list(found.scorecard.scores) == ["free, exact", "clamped, exact", "best policy"]
    assert found.free.log_evidence == found.scorecard.log_evidence
    assert "scalar" in repr(found)
    assert str(found.scorecard) in str(found)
    assert "log p(O)" in found._repr_html_()
    found.save(tmp_path / "comparison.json")
    read = json.loads((tmp_path / "comparison.json").read_text())
    assert read["scores"]["best policy"]["elbo"] == "-inf"
    assert read["explanation"]["breakdown"]["neurotic"]["block"] == "start"


def test_a_diagnosis_has_the_exact_gap():
    model = LinearQuadraticModel(scalar(horizon=2), 1.0, 1.0)
    guide = infer(model, 0.0)
    found = diagnose(model, guide, 50, losses={}, seed=0)
    assert found.log_evidence == infer(model, 1.0).log_evidence
    assert found.elbo.mean == pytest.approx(guide.objective, abs=1e-12)


def test_the_picture_of_a_ledger_over_time():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    model = noisy()
    account = ledger(model, infer(model, 0.0))
    axes = ledger_over_time(account)
    heights = sum(float((patch.get_data().values - patch.get_data().baseline).sum()) for patch in axes.patches)  # pyright: ignore[reportAttributeAccessIssue]
    assert heights == pytest.approx(account.gap)


class Other:
    """Another continuous model, with a posterior that knows its own terms."""

    temperature = 0.5

    def __call__(self):
        raise AssertionError("it is not run")


class OtherPosterior:
    def __init__(self, model):
        self.model = model

    def __call__(self):
        raise AssertionError("it is not run")

    def terms(self):
        step = torch.tensor([0.25, 0.5], dtype=torch.float64)
        return TrajectoryTerms(
            torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64), torch.tensor([1.0, 2.0, 1.0], dtype=torch.float64),
            step, 2.0 * step, torch.tensor(0.125, dtype=torch.float64), step,
        )  # fmt: skip


def test_a_posterior_with_terms_is_evaluated():
    model = Other()
    guide = OtherPosterior(model)
    assert isinstance(guide, HasTerms)
    found = evaluate(model, guide)
    assert (found.imagined_return, found.true_return, found.delusion) == (6.0, 4.0, 2.0)
    assert found.elbo == 12.0 - 0.75 - 1.5 - 0.125
    assert objective(model, guide, 0.5) == 12.0 - 0.75 - 3.0 - 0.25
    assert objective(model, guide, 0.0) == -math.inf
    with pytest.raises(InvalidGuide, match="`guide` must have `terms"):
        trajectory_terms(Other(), guide)
    with pytest.raises(InvalidArgument, match="`model` must be a tabular model"):
        evaluate(Other(), guide)
    with pytest.raises(InvalidArgument, match="`model`"):
        scorecard(model, {"x": guide})


def test_a_comparison_is_saved_as_json_only(tmp_path):
    found = compare(noisy())
    for name in ("found.png", "found"):
        with pytest.raises(InvalidArgument, match=r"`path` must end in \.json"):
            found.save(tmp_path / name)
    assert not list(tmp_path.iterdir())
    found.save(tmp_path / "found.json")
    assert json.loads((tmp_path / "found.json").read_text())["name"] == "this problem"

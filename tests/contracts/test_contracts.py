"""The laws of models and guides, checked on every row of the contract table."""

import copy

import pytest
import torch
from problems import thinned

from contracts.table import GUIDES, MODELS
from pgm_control import FitStatus, evaluate, fit, infer, scorecard
from pgm_control.inference.variational.elbo import elbo
from pgm_control.testing import check_guide, check_model
from pgm_control.trajectories.blocks import Assignable

PAIRS = thinned(tuple(MODELS), tuple(GUIDES))
every_model = pytest.mark.parametrize("build", MODELS.values(), ids=MODELS.keys())
every_pair = pytest.mark.parametrize(
    ("build", "row"),
    [(MODELS[model], GUIDES[guide]) for model, guide in PAIRS],
    ids=[" of ".join(pair[::-1]) for pair in PAIRS],
)
every_guide = pytest.mark.parametrize("row", GUIDES.values(), ids=GUIDES.keys())


@every_model
def test_models_obey_their_laws(build):
    check_model(build(), seed=0)


@every_pair
def test_guides_obey_their_laws(build, row):
    model = build()
    report = check_guide(model, row.build(model), seed=0)
    mdp = model.mdp
    chancy = {"initial": (mdp.initial > 0).sum() > 1, "dynamics": ((mdp.probability > 0).sum(-1) > 1).any()}
    assert set(report.free) == {block for block in row.free if chancy[block]}
    assert report.elbo <= report.log_evidence + 1e-9


@every_model
@every_guide
def test_guides_start_at_the_prior(build, row):
    model = build()
    if not row.is_prior:
        pytest.skip("it cannot be the prior")
    prior, blocks = model.blocks(), row.build(model).blocks()
    torch.testing.assert_close(blocks.log_policy.exp(), prior.log_policy.exp())
    torch.testing.assert_close(blocks.log_dynamics.exp(), prior.log_dynamics.exp())


@pytest.mark.slow
@every_pair
def test_fitted_guides_reach_the_exact_optimum_of_their_kind(build, row):
    model = build()
    guide, exact = row.build(model), infer(model, row.bound)
    with torch.no_grad():
        start = elbo(model, guide.blocks()).item()
    found = fit(model, guide, **{"num_steps": 50 if row.optimism is None else 3000, **row.fit})
    reached = elbo(model, found.guide.blocks()).item()
    assert start - 1e-9 <= reached <= exact.objective + 1e-9
    if row.optimism is None:
        return
    assert reached >= exact.objective - 1e-3
    ours, theirs = evaluate(model, found.guide), evaluate(model, exact)
    spread = 1.0 + float(model.mdp.reward.abs().max()) * model.mdp.horizon
    assert ours.imagined_return == pytest.approx(theirs.imagined_return, abs=0.05 * spread)


@every_model
@every_guide
def test_guides_can_be_assigned_their_own_blocks(build, row):
    model = build()
    guide, twin = row.build(model), row.build(model)
    for parameter in guide.parameters():
        parameter.data.normal_()
    if not isinstance(guide, Assignable) or not isinstance(twin, Assignable):
        pytest.skip("its blocks are not tables")
    with torch.no_grad():
        before = guide.blocks()
        for taker in (twin, guide):
            taker.assign(before)
            after = taker.blocks()
            torch.testing.assert_close(after.log_initial, before.log_initial)
            torch.testing.assert_close(after.log_policy, before.log_policy)
            torch.testing.assert_close(after.log_dynamics, before.log_dynamics)


@every_model
@every_guide
def test_guides_can_be_assigned_the_exact_optimum_of_their_kind(build, row):
    model = build()
    guide = row.build(model)
    if not isinstance(guide, Assignable):
        pytest.skip("its blocks are not tables")
    best = elbo(model, guide.optimum()).item()
    assert best <= infer(model, guide.optimism).objective + 1e-9
    if row.optimism is not None:
        assert best == pytest.approx(infer(model, row.optimism).objective, abs=1e-12)
    found = fit(model, guide, method="exact")
    assert (found.status, found.num_steps) == (FitStatus.converged, 1)
    assert found.elbo == pytest.approx(best, rel=1e-12, abs=1e-12)


@every_guide
def test_guides_copy_and_save_like_any_module(row):
    model = MODELS["random"]()
    guide = fit(model, row.build(model), **{**row.fit, "num_steps": 20}).guide
    twin, other = copy.deepcopy(guide), row.build(model)
    other.load_state_dict(guide.state_dict())
    score = scorecard(model, {"one": guide, "copy": twin, "loaded": other}).scores
    assert score["one"] == score["copy"] == score["loaded"]
    fit(model, twin, **{**row.fit, "num_steps": 20})
    assert scorecard(model, {"one": guide}).scores["one"] == score["one"]

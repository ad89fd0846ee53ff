"""Results as labelled arrays and as draws for ArviZ: dimensions, names, units and values."""

import sys

import numpy as np
import pytest
import torch
from problems import gamble, random_mdp

from pgm_control import (
    ClampedGuide,
    FreeGuide,
    InvalidArgument,
    KLBudget,
    MissingExtra,
    Optimism,
    TabularModel,
    TabularPolicy,
    compare,
    evaluate,
    fit,
    infer,
    ledger,
    scorecard,
)
from pgm_control.exchange import to_arviz, to_xarray
from pgm_control.models import restaurant, windy_bridge

xarray = pytest.importorskip("xarray")
pytest.importorskip("arviz_base")


def test_a_posterior_has_named_dimensions_and_units():
    """All dimensions have different lengths."""
    model = TabularModel(random_mdp(0, states=5, actions=2, outcomes=4, horizon=3), 0.7)
    posterior = infer(model, 1.0)
    found = to_xarray(posterior)
    assert dict(found.sizes) == {"time": 3, "time_and_last": 4, "state": 5, "action": 2, "outcome": 4}
    for name, dims, values, units in (
        ("v", ("time_and_last", "state"), posterior.v, "reward units"),
        ("q", ("time", "state", "action"), posterior.q, "reward units"),
        ("initial", ("state",), posterior.initial, "probability"),
        ("policy", ("time", "state", "action"), posterior.policy, "probability"),
        ("dynamics", ("time", "state", "action", "outcome"), posterior.dynamics, "probability"),
        ("state_marginals", ("time_and_last", "state"), posterior.marginals().state, "probability"),
    ):
        assert found[name].dims == dims
        assert found[name].attrs["units"] == units
        assert found[name].attrs["long_name"]
        np.testing.assert_array_equal(found[name], values)
    assert found.attrs["objective"] == posterior.objective
    assert (found.attrs["temperature"], found.attrs["horizon"]) == (0.7, 3)
    found.v[:] = 99.0  # a copy
    assert (posterior.v < 99).all()
    assert "objective" not in to_xarray(infer(TabularModel(model.mdp, 0.0), 0.0)).attrs
    assert "given" not in found.attrs
    assert to_xarray(infer(model, 1.0, evidence={"state_2": 1, "action_0": 0})).attrs["given"] == "state_2, action_0"
    assert "0.1 of 0.1 nats" in to_xarray(infer(model, KLBudget(dynamics=0.1))).attrs["budget"]


def test_the_layout_of_states_gives_row_and_column():
    found = to_xarray(random_mdp(0).replace(layout=[(0, 2), None, (1, 0)]))
    np.testing.assert_array_equal(found.row, [0, np.nan, 1])
    np.testing.assert_array_equal(found.column, [2, np.nan, 0])
    assert found.row.attrs["units"] == "cells"
    assert "row" not in to_xarray(random_mdp(0))


def test_names_of_states_and_actions_are_coordinates():
    model = TabularModel(restaurant())
    found = to_xarray(infer(model, 1.0))
    assert float(found.policy.sel(time=0, state="hungry", action="Italian")) == pytest.approx(0.620749, abs=1e-6)
    problem = to_xarray(model.mdp)
    assert problem.reward.sel(state="hungry", action="French").values.tolist() == [-10, 6, 8]
    assert problem.reward.attrs["units"] == "reward units"
    assert problem.final_reward.values.tolist() == [0.0] * 4


def test_guides_fits_and_policies_become_datasets():
    model = TabularModel(restaurant())
    fitted = fit(model, ClampedGuide(model), num_steps=7)
    found = to_xarray(fitted)
    assert found.elbo_history.dims == ("step",)
    assert found.elbo_history.attrs["units"] == "nats"
    np.testing.assert_array_equal(found.elbo_history, fitted.elbo_history)
    assert (found.attrs["status"], found.attrs["elbo"]) == ("out_of_steps", fitted.elbo)
    np.testing.assert_array_equal(found.policy, to_xarray(fitted.guide).policy)
    np.testing.assert_allclose(found.dynamics[0], model.mdp.probability, atol=1e-15)

    table = torch.full((4, 2), 0.5)
    plain, named = to_xarray(TabularPolicy(table)), to_xarray(TabularPolicy(table.expand(1, 4, 2)), model.mdp)
    assert plain.policy.dims == ("state", "action")
    assert plain.state.values.tolist() == [0, 1, 2, 3]
    assert named.policy.dims == ("time", "state", "action")
    assert named.action.values.tolist() == ["Italian", "French"]


def test_ledger_scorecard_and_comparison_become_datasets():
    model = TabularModel(restaurant())
    account = ledger(model, infer(model, 0.0))
    found = to_xarray(account)
    nats = sum(float(found[name].sum()) for name in found.data_vars if found[name].attrs["units"] == "nats")
    assert nats - float(found.jensen.sum()) == pytest.approx(account.gap, abs=1e-12)
    assert found.attrs["gap"] == account.gap
    assert found.delusion_by_step.attrs["units"] == "reward units"
    assert found.survival_by_state.dims == ("time", "next_state")
    assert found.next_state.values[0] == "hungry"

    card = scorecard(model, {"free": infer(model, 1.0), "clamped": infer(model, 0.0)})
    found = to_xarray(card)
    assert found.elbo.sel(guide="clamped") == pytest.approx(card.scores["clamped"].elbo)
    units = {name: found[name].attrs["units"] for name in found.data_vars}
    assert [name for name in units if units[name] == "reward units"] == ["imagined_return", "true_return", "delusion"]
    assert found.attrs["log_evidence"] == card.log_evidence

    comparison = compare(model, num_steps=5, name="dinner", seed=0)
    found = to_xarray(comparison)
    assert found.attrs["name"] == "dinner"
    assert found.attrs["num_steps"] == 5
    np.testing.assert_array_equal(found.fit_elbo_history.sel(fit="clamped"), comparison.fits["clamped"].elbo_history)


def test_draws_are_written_to_a_file_and_read_again(tmp_path):
    pytest.importorskip("h5netcdf")
    from xarray import open_datatree

    found = to_arviz(infer(TabularModel(windy_bridge()), 1.0), num_samples=3, seed=0)
    found.to_netcdf(tmp_path / "draws.nc")
    again = open_datatree(tmp_path / "draws.nc").load()
    again.close()
    for group in ("posterior", "sample_stats", "prior", "constant_data"):
        assert again[group].to_dataset().equals(found[group].to_dataset())


def test_errors_name_what_cannot_be_converted(monkeypatch):
    with pytest.raises(InvalidArgument, match=r"`result` must be a problem, .* but is a str"):
        to_xarray("posterior")
    with pytest.raises(InvalidArgument, match="as many entries of state as the result, 4, but has 1"):
        to_xarray(TabularPolicy(torch.full((4, 2), 0.5)), gamble().replace(state_names=["one"]))
    blocks = infer(TabularModel(gamble()), 0.0)

    class Bare:
        def blocks(self):
            return blocks.blocks()

        def __call__(self):
            blocks()

    with pytest.raises(InvalidArgument, match="`mdp` must be given for a Bare"):
        to_xarray(Bare())
    assert to_xarray(Bare(), gamble()).policy.shape == (1, 1, 2)
    with pytest.raises(InvalidArgument, match="`model` must be given for a Bare"):
        to_arviz(Bare())
    assert to_arviz(Bare(), blocks.model, num_samples=2)["posterior"].state.shape == (4, 2, 2)
    with pytest.raises(InvalidArgument, match=r"pyro.infer.Predictive"):
        to_arviz(lambda: None)
    with pytest.raises(InvalidArgument, match="`num_samples` must be a whole number, at least 1"):
        to_arviz(blocks, num_samples=0)
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(MissingExtra, match=r"pip install xarray"):
        to_xarray(blocks)
    monkeypatch.setitem(sys.modules, "arviz_base", None)
    with pytest.raises(MissingExtra, match=r"pip install arviz-base xarray"):
        to_arviz(blocks)


@pytest.mark.statistical
@pytest.mark.parametrize("discount", [1.0, 0.8])
def test_draws_follow_the_posterior(discount):
    """Means agree within 5 standard errors: one false alarm in 10⁶ runs, but the seed is fixed."""
    mdp = random_mdp(1, states=4, horizon=3, discount=discount).replace(state_names=list("abcd"))
    model = TabularModel(mdp, 0.8)
    posterior = infer(model, Optimism(survival=1.0))
    tree = to_arviz(posterior, num_samples=500, seed=torch.Generator().manual_seed(1))
    drawn = tree["posterior"]
    assert drawn.state.dims == ("chain", "draw", "time_and_last")
    assert drawn.action.dims == drawn.outcome.dims == ("chain", "draw", "time")
    assert drawn.state.shape == (4, 500, 4)
    assert drawn.state.attrs["names"] == list("abcd")
    assert (drawn.total_reward.attrs["units"], drawn.state.attrs["units"]) == ("reward units", "index")
    for t in range(4):
        share = np.bincount(drawn.state.values[..., t].ravel(), minlength=5)[:4] / 2000
        truth = posterior.marginals().state[t].numpy()
        assert (np.abs(share - truth) <= 5 * np.sqrt(truth * (1 - truth) / 2000) + 1e-12).all()
    for group, guide in (("posterior", posterior), ("prior", model)):
        paid = tree[group].total_reward.values.ravel()
        mean = evaluate(model, guide).imagined_return
        assert abs(paid.mean() - mean) <= 5 * paid.std() / np.sqrt(paid.size)
    weights = tree["sample_stats"].log_weight
    np.testing.assert_allclose(weights, posterior.log_evidence, atol=1e-9)
    assert weights.attrs["units"] == "nats"
    np.testing.assert_array_equal(tree["constant_data"].probability, mdp.probability)
    assert tree.attrs["temperature"] == 0.8


def test_a_fit_has_its_elbo_history_and_its_draws():
    model = TabularModel(restaurant())
    fitted = fit(model, FreeGuide(model), num_steps=4)
    tree = to_arviz(fitted, num_samples=3, num_chains=2)
    np.testing.assert_array_equal(tree["fit"].elbo_history, fitted.elbo_history)
    assert tree["posterior"].state.shape == (2, 3, 2)
    assert set(tree.children) == {"posterior", "sample_stats", "prior", "constant_data", "fit"}
    hard = to_arviz(infer(TabularModel(model.mdp, 0.0), 0.0), num_samples=3)
    assert "sample_stats" not in hard.children
    assert (hard["posterior"].action.values == 1).all()

"""Linear-quadratic problems and posteriors in files, as labelled arrays, and for ArviZ."""

import numpy as np
import pytest
import torch
from linear_quadratics import double_integrator, random_model, scalar

from pgm_control import (
    GaussianBlocks,
    GaussianPrior,
    InvalidArgument,
    InvalidCheckpoint,
    Line,
    LinearQuadraticModel,
    LineModel,
    Optimism,
    Planar,
    PlanarModel,
    Risk,
    compare,
    evaluate,
    infer,
    ledger,
)
from pgm_control.exchange import load, save, to_arviz, to_xarray
from pgm_control.runtime.checkpoint import read, write

FIELDS = (
    "value_hessian", "value_gradient", "value_constant", "initial_mean", "initial_covariance", "gain", "offset",
    "policy_covariance", "transition", "drift", "noise",
)  # fmt: skip
MATRICES = ("A", "B", "d", "W", "C", "c", "k", "final_P", "final_p", "final_v", "initial_mean", "initial_covariance")


def models():
    batch = scalar(initial_mean=torch.arange(3.0, dtype=torch.float64)[:, None])
    yield from (random_model(seed, largest=(3, 2, 5)) for seed in range(4))
    yield LinearQuadraticModel(batch, 0.5, GaussianPrior([[0.1]], [0.0], [[2.0]]))
    yield LinearQuadraticModel(scalar(), 0.0)


@pytest.mark.parametrize("model", list(models()), ids=repr)
def test_what_is_saved_is_loaded_bit_for_bit(model, tmp_path):
    path = tmp_path / "saved"
    for optimism in (0.0, Optimism(dynamics=Risk(0.001), initial=0.0)):
        posterior = infer(model, optimism)
        for value in (model.problem, model, posterior):
            save(value, path)
            again = load(path)
            assert type(again) is type(value)
            assert repr(again) == repr(value)
        assert all(torch.equal(getattr(again, name), getattr(posterior, name)) for name in FIELDS)
        assert again.optimism == posterior.optimism
        assert torch.equal(torch.as_tensor(again.value), torch.as_tensor(posterior.value))
        for name in MATRICES:
            assert torch.equal(getattr(again.model.problem, name), getattr(model.problem, name)), name
        solved = infer(again.model, optimism)
        assert all(torch.equal(getattr(solved, name), getattr(posterior, name)) for name in FIELDS)


def test_what_is_constant_in_time_stays_so(tmp_path):
    save(scalar(), tmp_path / "saved")
    assert load(tmp_path / "saved").replace(horizon=50).horizon == 50
    assert (tmp_path / "saved").stat().st_size < 20_000


@pytest.mark.parametrize(
    ("name", "value"),
    [("gain", torch.zeros(6, 2, 1, dtype=torch.float64)), ("noise", None), ("value", torch.full((), torch.nan))],
)
def test_a_file_with_other_entries_is_refused(name, value, tmp_path):
    path = tmp_path / "saved"
    save(infer(LinearQuadraticModel(scalar()), 0.5), path)
    tensors, facts = read(path, "saved", lambda _: None, lambda _: None, "")
    write(path, "saved", {**tensors, name: value}, facts)
    with pytest.raises(InvalidCheckpoint, match=name):
        load(path)
    tensors["model"]["problem"]["W"] = -torch.ones(1, 1, 1, dtype=torch.float64)
    write(path, "saved", tensors, facts)
    with pytest.raises(InvalidCheckpoint, match="W"):
        load(path)


def test_labelled_arrays_hold_the_numbers_by_time_and_name():
    pytest.importorskip("xarray")
    model = LinearQuadraticModel(double_integrator(), 1.0, 4.0)
    posterior = infer(model, 1.0)
    found = to_xarray(posterior)
    assert found.gain.dims == ("time", "action", "state")
    np.testing.assert_array_equal(found.gain, posterior.gain)
    np.testing.assert_allclose(found.state_mean, posterior.marginals().state_mean)
    np.testing.assert_allclose(found.true_state_mean, posterior.true_marginals().state_mean)
    assert found.attrs["objective"] == posterior.objective
    assert all(each.attrs["units"] for each in found.data_vars.values())
    assert to_xarray(model.problem).sizes == {
        "time": 20, "state": 2, "from_state": 2, "action": 1, "other_state": 2, "input": 3, "other_input": 3,
    }  # fmt: skip
    assert isinstance(posterior.blocks(), GaussianBlocks)
    np.testing.assert_array_equal(to_xarray(posterior.blocks()).noise, posterior.noise)
    account = ledger(model, infer(model, 0.0))
    labelled = to_xarray(account)
    assert float(labelled.policy_by_step.sum() + labelled.dynamics_by_step.sum()) + labelled.attrs[
        "initial"
    ] == pytest.approx(account.gap)
    compared = to_xarray(compare(LinearQuadraticModel(scalar(), 1.0, 1.0)))
    assert list(compared.guide.values) == ["free, exact", "clamped, exact", "best policy"]
    batch = LinearQuadraticModel(scalar(initial_mean=[[1.0], [2.0]]))
    with pytest.raises(InvalidArgument, match="`result` must be that of one problem"):
        to_xarray(infer(batch, 0.0))


def test_draws_have_log_weights():
    pytest.importorskip("arviz_base")
    model = LinearQuadraticModel(double_integrator(), 1.0, 4.0)
    free, clamped = infer(model, 1.0), infer(model, 0.0)
    tree = to_arviz(free, num_samples=50, num_chains=2, seed=0)
    assert tree["posterior"].state.shape == (2, 50, 21, 2)
    np.testing.assert_allclose(tree["sample_stats"].log_weight, free.log_evidence, atol=1e-10)  # an exact posterior
    weights = to_arviz(clamped, num_samples=3000, num_chains=1, seed=0)["sample_stats"].log_weight.values
    assert abs(weights.mean() - evaluate(model, clamped).elbo) < 4.5 * weights.std() / 3000**0.5
    total = to_arviz(clamped, num_samples=3000, num_chains=1, seed=1)["posterior"].total_reward.values
    assert abs(total.mean() - evaluate(model, clamped).imagined_return) < 4.5 * total.std() / 3000**0.5
    prior = tree["prior"].action.values
    assert abs(prior.std() - 2.0) < 0.1
    improper = to_arviz(infer(LinearQuadraticModel(scalar()), 0.0), num_samples=5, seed=0)
    assert "prior" not in improper.children
    singular = LinearQuadraticModel(double_integrator().replace(W=np.diag([0.0, 0.05])), 1.0, 4.0)
    exact = infer(singular, 1.0)
    np.testing.assert_allclose(
        to_arviz(exact, num_samples=20, seed=0)["sample_stats"].log_weight, exact.log_evidence, atol=1e-8
    )
    cold = LinearQuadraticModel(scalar(), 0.0)
    assert "sample_stats" not in to_arviz(infer(cold, 0.0), num_samples=5, seed=0).children


def test_names_are_saved_and_label_arrays(tmp_path):
    names = {"state_names": ("position", "speed"), "action_names": ("push",)}
    model = LinearQuadraticModel(double_integrator().replace(**names), 1.0, 4.0)
    found = infer(model, 0.5)
    save(found, tmp_path / "saved")
    assert load(tmp_path / "saved").model.problem.state_names == names["state_names"]
    assert load(tmp_path / "saved").model.problem.action_names == names["action_names"]
    data = to_xarray(found)
    assert float(data["state_mean"].sel(state="speed")[1]) == float(found.marginals().state_mean[1, 1])
    assert list(to_xarray(model.problem)["input"].values) == ["position", "speed", "push"]
    drawn = to_arviz(found, num_samples=2, num_chains=1, seed=0)["posterior"]
    assert list(drawn["state"].coords["component"].values) == ["position", "speed"]
    same = model.problem.replace(action_names=("speed",))  # a name may be that of a state and of an action
    assert list(to_xarray(same)["input"].values) == [0, 1, 2]


def test_posteriors_on_a_mesh_become_labelled_arrays_and_draws():
    plane = PlanarModel(Planar(lambda s: -((s - 1.0) ** 2).sum(-1), 2, 0.2, initial_covariance=0.1), 1.0, 0.5)
    line = LineModel(Line(lambda s: -(s**2), 2, 0.3, initial_mean=1.0), 1.0, 0.5)
    for model, axes in ((plane, ("node_x", "node_y")), (line, ("node",))):
        found = infer(model, 1.0)
        data = to_xarray(found)
        assert data["v"].dims == ("time_and_last", *axes)
        nodes = [data[axis].values for axis in axes]
        cell = np.prod([np.diff(each)[0] for each in nodes])
        mass = np.exp(data["log_density"].isel(time_reached=-1)) * cell
        assert float(mass.sum()) == pytest.approx(1.0, abs=1e-6)
        mean = float((mass * data[axes[0]]).sum())
        assert float(data["state_mean"].isel(time_and_last=-1, state=0)) == pytest.approx(mean, abs=1e-6)
        assert float(data["reward"].sum()) == pytest.approx(found.imagined_return)
        assert float(data["true_reward"].sum()) == pytest.approx(found.true_return)
        assert data.attrs["mesh_error"] == found.error.objective
        tree = to_arviz(found, num_samples=500, num_chains=2, seed=0)
        size = len(model.problem.initial_mean) if axes[1:] else 1
        assert tree["posterior"]["state"].shape == (2, 500, 3, size)
        assert tree["posterior"]["action"].shape == (2, 500, 2, size)
        for group, due in (("posterior", found.imagined_return), ("posterior_predictive", found.true_return)):
            total = np.asarray(tree[group]["total_reward"]).ravel()
            assert abs(total.mean() - due) < 4.5 * total.std() / 1000**0.5 + 1e-3
        assert "v" in tree["constant_data"].data_vars
        with pytest.raises(InvalidArgument, match="`model` must be that of the posterior"):
            to_arviz(found, LinearQuadraticModel(scalar()))

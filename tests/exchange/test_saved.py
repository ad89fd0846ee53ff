"""Files of problems, models and posteriors: round trips bit for bit, and the parts that a file holds."""

import dataclasses
import io
import json
import math
import pickle

import numpy as np
import pytest
import torch
from problems import gamble, random_mdp
from sealed import sealed

from pgm_control import (
    Blocks,
    Ensemble,
    InvalidArgument,
    InvalidCheckpoint,
    KLBudget,
    Optimism,
    Posterior,
    Risk,
    TabularMDP,
    TabularModel,
    evaluate,
    fit,
    infer,
    mdp_from_blocks,
    zoo,
)
from pgm_control.exchange import load, save
from pgm_control.guides import ClampedGuide
from pgm_control.inference.exact.tables import WholeTables
from pgm_control.models import frozen_lake, windy_bridge_in_parts


def same(one, other):
    """Equal to the last bit, with equal types, and tables in equal layouts of memory."""
    assert type(one) is type(other), (one, other)
    if isinstance(one, torch.Tensor):
        assert (one.dtype, one.shape, one.stride()) == (other.dtype, other.shape, other.stride())
        assert one.numpy().tobytes() == other.numpy().tobytes()
    elif isinstance(one, dict):
        assert list(one) == list(other)
        for name in one:
            same(one[name], other[name])
    elif isinstance(one, tuple | list):
        assert len(one) == len(other)
        for each, another in zip(one, other, strict=True):
            same(each, another)
    elif dataclasses.is_dataclass(one):
        for field in dataclasses.fields(one):
            same(getattr(one, field.name), getattr(other, field.name))
    elif isinstance(one, WholeTables):
        same((one.q, one.distribution), (other.q, other.distribution))
    elif hasattr(one, "__dict__"):
        same(vars(one), vars(other))
    else:
        assert one == other


def blocky():
    """A problem whose rewards r(s, a) are broadcast over outcomes."""
    rng = np.random.default_rng(0)
    piece = (
        np.full((3, 2, 200_000), 1 / 200_000),
        rng.integers(3, size=(3, 2, 200_000)),
        np.broadcast_to(rng.normal(size=(3, 2, 1)), (3, 2, 200_000)),
    )
    return mdp_from_blocks([piece], 3, 2, 200_000, 2)


MDPS = {
    **{name: entry.build for name, entry in zoo().items()},
    "named": lambda: random_mdp(0, discount=0.3).replace(
        state_names=["a", "β", "\U0001f3b2"], action_names=["x", "y"], final_reward=[1 / 3, -math.inf, 1e-300]
    ),
    "forbidden": lambda: gamble().replace(reward=[[[1.0, 0.0], [0.1, -math.inf]]]),
    "single": lambda: random_mdp(3, discount=0.9).to(dtype=torch.float32),
    "single lake": lambda: frozen_lake().to(dtype=torch.float32),
    "factored": lambda: windy_bridge_in_parts().joint(),
    "ensemble": lambda: Ensemble([random_mdp(0), random_mdp(1)], [0.3, 0.7]).joint(),
    "blocks": blocky,
    "long": lambda: random_mdp(0, horizon=10**12),
}


@pytest.mark.parametrize("name", MDPS)
def test_problems_are_restored_bit_for_bit(tmp_path, name):
    mdp = MDPS[name]()
    mdp = mdp.joint() if not isinstance(mdp, TabularMDP) else mdp
    save(mdp, tmp_path / "mdp.pt")
    same(load(tmp_path / "mdp.pt"), mdp)


MODELS = {
    "uniform": lambda: TabularModel(random_mdp(0), 1 / 3),
    "given": lambda: TabularModel(random_mdp(0), 1e-300, [[0.1, 0.9], [1.0, 0.0], [1 / 3, 2 / 3]]),
    "count": lambda: TabularModel(gamble().replace(reward=[[[1.0, 0.0], [-math.inf, -math.inf]]]), 1.0, "count"),
    "count all": lambda: TabularModel(frozen_lake(), 0.1, "count"),
    "hard": lambda: TabularModel(random_mdp(0), 0.0),
    "single": lambda: TabularModel(random_mdp(0), 0.7, [[0.1, 0.9], [1.0, 0.0], [1 / 3, 2 / 3]]).to(
        dtype=torch.float32
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_models_are_restored_bit_for_bit(tmp_path, name):
    model = MODELS[name]()
    save(model, tmp_path / "model.pt")
    found = load(tmp_path / "model.pt")
    same(found, model)
    if model.temperature > 1e-100:
        same(infer(found, 1.0), infer(model, 1.0))


PARTS = TabularModel(windy_bridge_in_parts(horizon=3).joint(), 0.5)
JOINT = TabularModel(Ensemble([random_mdp(0), random_mdp(1)]).joint(), 0.5)
FADING = TabularModel(random_mdp(0, discount=0.8), 0.5)
TABLE = torch.tensor([[0.5, -1.0], [0.0, 1.0], [1 / 3, 2.0]], dtype=torch.float64)
POSTERIORS = {
    "free": lambda: infer(FADING, 1.0),
    "clamped": lambda: infer(FADING, 0.0),
    "adversarial": lambda: infer(FADING, -0.4),
    "table": lambda: infer(FADING, Optimism(TABLE, 0.3, torch.rand(3, 3, dtype=torch.float64))),
    "table of float32": lambda: infer(FADING, Optimism(TABLE.float())),
    "mask": lambda: infer(FADING, Optimism(TABLE > 0)),
    "freed survival": lambda: infer(FADING, Optimism(1.0, 1.0, 1.0)),
    "risk": lambda: infer(FADING, Risk(-0.1)),
    "table of risks": lambda: infer(FADING, Optimism(Risk(TABLE), Risk(1 / 3))),
    "hard with risk": lambda: infer(TabularModel(random_mdp(0), 0.0), Risk(-0.1)),
    "hard": lambda: infer(TabularModel(random_mdp(0), 0.0), 0.0),
    "parts": lambda: infer(PARTS, Optimism({"own": 0.5, "wind": Risk(-1.0)})),
    "tables of parts": lambda: infer(PARTS, Optimism({"own": torch.rand(17, 1).double(), "wind": 0.0})),
    "members": lambda: infer(JOINT, Optimism(0.0, {"member": 1.0, "state": Risk(0.2)})),
    "single": lambda: infer(FADING.to(dtype=torch.float32), 0.3),
    "rounded": lambda: infer(FADING, 1.0).to(dtype=torch.float32),
    "count": lambda: infer(TabularModel(frozen_lake(horizon=20), 0.1, "count"), 1.0),
    "forbidden": lambda: infer(MODELS["count"](), 0.0),
    "doomed": lambda: infer(TabularModel(gamble().replace(reward=[[[-math.inf, 0.0], [-math.inf, 0.0]]])), 0.0),
}


@pytest.mark.parametrize("name", POSTERIORS)
def test_posteriors_are_restored_bit_for_bit(tmp_path, name):
    posterior = POSTERIORS[name]()
    path = str(tmp_path / "posterior.pt")
    save(posterior, path)
    found = load(path)
    assert isinstance(found, Posterior)
    same(found, posterior)
    assert found.distribution.mdp is found.model.mdp
    assert found.optimism == posterior.optimism
    same(found.sample(3, seed=0), posterior.sample(3, seed=0))
    assert evaluate(found.model, found) == evaluate(posterior.model, posterior)
    assert repr(found) == repr(posterior)


def test_a_restored_model_can_be_fitted(tmp_path):
    save(infer(FADING, 0.0), tmp_path / "posterior.pt")
    model = load(tmp_path / "posterior.pt").model
    assert fit(model, ClampedGuide(model), method="exact").elbo == pytest.approx(infer(FADING, 0.0).objective)


def test_a_file_holds_every_part():
    """A new attribute needs a place in the file."""
    held = {
        TabularMDP: "initial probability successor reward horizon discount final_reward state_names action_names "
        "layout factors initial_factors",
        Posterior: "model optimism v value tables evidence budget",  # the last two are refused
        Blocks: "mdp log_initial log_policy log_dynamics log_survival",
        Optimism: "dynamics initial survival",
        Risk: "theta",
    }
    for kind, names in held.items():
        assert [field.name for field in dataclasses.fields(kind)] == names.split(), kind.__name__
    assert set(vars(TabularModel(random_mdp(0)))) == {
        "mdp", "temperature", "action_prior", "observed", "optimality",
    }  # fmt: skip
    assert set(vars(infer(TabularModel(random_mdp(0)), 0.0).tables)) == {"q", "_make"}


def test_the_file_is_small_where_tables_repeat(tmp_path):
    """Uniform priors, clamped dynamics and broadcast rewards are views of fewer numbers, in the file too."""
    model = TabularModel(random_mdp(0, horizon=10_000))
    save(infer(model, 0.0), tmp_path / "posterior.pt")
    numbers = 10_000 * (6 + 3 + 6)  # q, v and the policy
    assert (tmp_path / "posterior.pt").stat().st_size < 8 * numbers + 20_000


class Own:
    """A model of a user's own class."""

    def __init__(self):
        inner = TabularModel(random_mdp(1))
        self.mdp, self.temperature, self.action_prior, self.blocks = inner.mdp, 1.0, inner.action_prior, inner.blocks

    def __call__(self):
        raise NotImplementedError


class Trap:
    """An object whose unpickling runs code."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (type(self.path).touch, (self.path,))


def test_no_file_runs_code(tmp_path):
    """Neither a pickle, nor an archive with a checksum that fits."""
    caught, path = tmp_path / "caught", tmp_path / "trap.pt"
    pickle.loads(pickle.dumps(Trap(caught)))
    assert caught.exists(), "the trap works"
    caught.unlink()
    archive = io.BytesIO()
    torch.save({"tensors": {"initial": Trap(caught)}, "json": "{}"}, archive)
    for content in (pickle.dumps(Trap(caught)), archive.getvalue(), sealed(archive.getvalue())):
        path.write_bytes(content)
        with pytest.raises(InvalidCheckpoint, match="written by another program or version"):
            load(path)
    assert not caught.exists()


def test_what_a_file_cannot_hold_is_refused(tmp_path):
    with pytest.raises(
        InvalidArgument, match=r"`value` must be the posterior of a TabularModel, but its model is a Own"
    ):
        save(infer(Own(), 1.0), tmp_path / "x.pt")
    model = TabularModel(random_mdp(0))
    with pytest.raises(InvalidArgument, match="without evidence"):
        save(infer(model, 1.0, evidence={"state_1": 0}), tmp_path / "x.pt")
    with pytest.raises(InvalidArgument, match="without a budget"):
        save(infer(model, KLBudget(dynamics=0.1)), tmp_path / "x.pt")
    assert not list(tmp_path.iterdir())
    with pytest.raises(InvalidArgument, match="`path` must be the path of a file"):
        save(random_mdp(0), tmp_path)


@pytest.mark.wrong_types
def test_other_objects_are_refused(tmp_path):
    with pytest.raises(
        InvalidArgument,
        match=r"`value` must be a TabularMDP, a TabularModel, a Posterior, a LinearQuadratic, .* but is 3",
    ):
        save(3, tmp_path / "x.pt")


def test_other_files_are_refused(tmp_path):
    with pytest.raises(InvalidCheckpoint, match=r"There is no checkpoint at .*Pass the `path` of a file that"):
        load(tmp_path / "none.pt")
    fit(FADING, ClampedGuide(FADING), num_steps=2, checkpoint=tmp_path / "fit.pt")
    with pytest.raises(InvalidCheckpoint, match="kind 'saved', but holds one of kind 'fit'"):
        load(tmp_path / "fit.pt")
    (tmp_path / "text.pt").write_text(json.dumps({}))
    with pytest.raises(InvalidCheckpoint, match="is not a whole checkpoint of kind 'saved'"):
        load(tmp_path / "text.pt")
    save(random_mdp(0), tmp_path / "cut.pt")
    whole = (tmp_path / "cut.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InvalidCheckpoint, match="it is incomplete"):
        load(tmp_path / "cut.pt")

"""Tests of `to`: problems, models, posteriors and guides move to another dtype and device."""

import numpy as np
import pytest
import torch
from contracts.table import GUIDES, MODELS
from problems import random_mdp

from pgm_control import (
    ClampedGuide,
    DialGuide,
    Ensemble,
    FactoredMDP,
    FreeWindowGuide,
    ImportanceGuide,
    InvalidArgument,
    InvalidGuide,
    InvalidProblem,
    MarkovGuide,
    MixtureGuide,
    OpenLoopGuide,
    Optimism,
    PartiallyObservedModel,
    SimulatedGuide,
    SimulatorModel,
    TabularMDP,
    TabularModel,
    ToGoELBO,
    WindowGuide,
    fit,
    history_optimum,
    infer,
    remember,
    tabulate,
)
from pgm_control.inference.exact.tables import WholeTables
from pgm_control.inference.variational.elbo import elbo
from pgm_control.models import tiger, windy_bridge_in_parts

SINGLE = 1e-5  # tolerance of results of size 1 in float32
PROBLEMS = {
    "tables": lambda: random_mdp(1, discount=0.8).replace(final_reward=[1.0, 0.0, -1.0]),
    "int32": lambda: TabularMDP([1.0], [[[0.5, 0.5]]], np.zeros((1, 1, 2), np.int32), [[[0.0, 1.0]]], 2),
    "factors": windy_bridge_in_parts,
    "ensemble": lambda: Ensemble([random_mdp(1), random_mdp(2)], [0.3, 0.7]),
    "partial": lambda: tiger(horizon=3),
    "memories": lambda: remember(tiger(horizon=3), 2),
    "model": lambda: TabularModel(random_mdp(1), 0.7, np.array([[0.2, 0.8], [1.0, 0.0], [0.5, 0.5]])),
    "partially observed model": lambda: PartiallyObservedModel(tiger(horizon=3), 5.0, np.array([0.25, 0.25, 0.5])),
    "posterior": lambda: infer(TabularModel(random_mdp(1, discount=0.8), 0.7), Optimism(1.0, 1.0, 1.0)),
    "blocks": lambda: TabularModel(random_mdp(1), 0.7).blocks(),
    "best of histories": lambda: history_optimum(PartiallyObservedModel(tiger(horizon=3), 5.0)),
}
every_problem = pytest.mark.parametrize("build", PROBLEMS.values(), ids=PROBLEMS.keys())
every_guide = pytest.mark.parametrize("row", GUIDES.values(), ids=GUIDES.keys())
cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")


def tensors(thing, seen=None):
    """All tensors that an object holds, by their path."""
    seen = {} if seen is None else seen
    if isinstance(thing, torch.Tensor):
        return {"": thing}
    if id(thing) in seen or isinstance(thing, type | Optimism):  # an optimism is moved where it is used
        return {}
    seen[id(thing)] = thing
    if isinstance(thing, WholeTables):
        parts = {"q": thing.q, "distribution": thing.distribution}
    elif isinstance(thing, dict):
        parts = thing
    elif isinstance(thing, list | tuple):
        parts = dict(enumerate(thing))
    else:
        parts = vars(thing) if hasattr(thing, "__dict__") else {}
    return {f"{key}.{way}": each for key, part in parts.items() for way, each in tensors(part, seen).items()}


def shaken(guide):
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in guide.parameters():
            parameter += 0.5 * torch.randn_like(parameter)
    return guide


@every_problem
def test_float32_and_back(build):
    double = build()
    assert double.to() is double
    assert double.to("cpu", torch.float64) is double
    single = double.to(dtype=torch.float32)
    assert type(single) is type(double)
    before, after = tensors(double), tensors(single)
    assert before.keys() == after.keys()
    for name, table in before.items():
        wanted = torch.float32 if table.is_floating_point() else table.dtype
        assert after[name].dtype == wanted, name
        torch.testing.assert_close(after[name].to(table), table, rtol=SINGLE, atol=SINGLE, msg=name)
    assert not {each.dtype for each in tensors(single.to(dtype=torch.float64)).values()} & {torch.float32}
    assert {each.dtype for each in before.values()} == {each.dtype for each in tensors(double).values()}, (
        "the original is unchanged"
    )


@every_problem
def test_another_device(build):
    """Every table moves to the device "meta", which has no memory."""
    there = build().to("meta")
    assert all(each.is_meta for each in tensors(there).values())
    assert there.to("meta") is there
    assert build().to("meta", torch.float32).to(dtype=torch.float32).to("meta") is not None


@pytest.mark.wrong_types
@pytest.mark.parametrize("build", [*PROBLEMS.values(), lambda: ClampedGuide(PROBLEMS["model"]())])
def test_arguments_are_refused_by_name(build):
    for dtype in (torch.int64, torch.float16, "float32"):
        if isinstance(build(), torch.nn.Module) and dtype != torch.float16:
            continue  # torch's own message
        with pytest.raises(InvalidArgument, match=r"`dtype` must be torch\.float64 or torch\.float32, but is"):
            build().to(dtype=dtype)
    if not isinstance(build(), torch.nn.Module):
        with pytest.raises(InvalidArgument, match="`device` must be a device of torch"):
            build().to("abacus")
        with pytest.raises(InvalidArgument, match=r"but is a dtype. Pass dtype=torch\.float32"):
            build().to(torch.float32)
        if not torch.cuda.is_available():
            with pytest.raises(InvalidArgument, match="torch sees no CUDA device"):
                build().to("cuda")


def test_small_probabilities_stay_positive_and_rewards_stay_finite():
    mdp = TabularMDP([1.0], [[[1.0, 1e-60]]], [[[0, 0]]], [[[0.0, 1.0]]], horizon=1)
    single = mdp.to(dtype=torch.float32)
    assert (single.probability > 0).all()
    assert torch.equal(single.reward, mdp.reward.float())
    huge = mdp.replace(reward=[[[0.0, -1e300]]])
    with pytest.raises(InvalidProblem, match=r"`reward\[0, 0, 1\]` must fit into torch\.float32, but is -1e\+300"):
        huge.to(dtype=torch.float32)
    parts = windy_bridge_in_parts()
    big = FactoredMDP(parts.initial, parts.factors, parts.successor, parts.reward - 1e300, parts.horizon)
    with pytest.raises(InvalidProblem, match="must fit into"):
        big.to(dtype=torch.float32)
    assert infer(TabularModel(parts.to(dtype=torch.float32).joint()), 0.3).objective == pytest.approx(
        infer(TabularModel(parts.joint()), 0.3).objective, rel=SINGLE
    )


def test_inference_in_float32_agrees_with_float64():
    model = TabularModel(random_mdp(1, discount=0.8), 0.7)
    single = infer(model.to(dtype=torch.float32), 0.3)
    torch.testing.assert_close(single.q.double(), infer(model, 0.3).q, rtol=SINGLE, atol=SINGLE)
    rounded = infer(model, 0.3).to(dtype=torch.float32)
    torch.testing.assert_close(rounded.q, single.q, rtol=SINGLE, atol=SINGLE)
    assert rounded.distribution.mdp is rounded.model.mdp
    assert rounded.sample(5, seed=0).states.dtype == torch.int64


@every_guide
@pytest.mark.parametrize("name", ["random, discounted", "restaurant"])
def test_a_guide_moves_with_its_model_and_can_be_fitted(row, name):
    guide = shaken(row.build(MODELS[name]()))
    double, before = guide.model, elbo(guide.model, guide.blocks()).item()
    assert guide.to(dtype=torch.float32) is guide
    assert double.mdp.initial.dtype == torch.float64, "the original model is unchanged"
    assert guide.model.mdp.initial.dtype == torch.float32
    left = [way for way, each in tensors(guide).items() if each.dtype == torch.float64]
    assert not left
    blocks = tabulate(guide.model, guide)
    assert {each.dtype for each in (blocks.log_initial, blocks.log_policy, blocks.log_dynamics)} == {torch.float32}
    assert elbo(guide.model, blocks).item() == pytest.approx(before, rel=SINGLE, abs=SINGLE)
    found = fit(guide.model, guide, **dict(row.fit, num_steps=3))
    assert np.isfinite(elbo(guide.model, found.guide.blocks()).item())
    guide()
    state = guide.to(dtype=torch.float64).state_dict()
    row.build(double).load_state_dict(state)
    guide.to("meta")
    assert not [way for way, each in tensors(guide).items() if not each.is_meta]


def test_guides_inside_guides_share_the_moved_model():
    model = TabularModel(random_mdp(1), 0.7)
    mixture = MixtureGuide(model, [OpenLoopGuide(model), ClampedGuide(model)]).to(dtype=torch.float32)
    assert all(each.model is mixture.model for each in mixture.guides)
    assert mixture.elbo(10).num_samples == 20
    for kind in (WindowGuide, FreeWindowGuide):
        guide = kind(PartiallyObservedModel(tiger(horizon=3), 5.0))
        before = elbo(guide.model, guide.blocks()).item()
        guide.float()
        assert elbo(guide.model, guide.blocks()).item() == pytest.approx(before, rel=SINGLE)
        assert guide.remembered.mdp.initial.dtype == torch.float32
    improved = ImportanceGuide(model, ClampedGuide(model), 3)
    assert improved.to(dtype=torch.float32) is improved
    assert improved.guide.model.mdp.initial.dtype == improved.model.mdp.initial.dtype == torch.float32  # pyright: ignore[reportAttributeAccessIssue]
    assert improved.sample(4).states.shape == (4, 4)


def test_a_dial_guide_with_tables_of_optimism_moves():
    table = torch.tensor([[1.0], [0.0], [-0.5]], dtype=torch.float64)
    model = TabularModel(random_mdp(1, discount=0.8), 0.7)
    guide = shaken(DialGuide(model, Optimism(table, 0.3, 1.0)))
    before = elbo(model, guide.blocks()).item()
    guide.float()
    assert elbo(guide.model, guide.blocks()).item() == pytest.approx(before, rel=SINGLE)
    fit(guide.model, guide, method="exact")


def test_a_model_that_cannot_move_is_refused_before_anything_moves():
    class Fixed:
        def __init__(self):
            inner = TabularModel(random_mdp(1))
            self.mdp, self.temperature, self.action_prior, self.blocks = (
                inner.mdp,
                1.0,
                inner.action_prior,
                inner.blocks,
            )

        def __call__(self):
            raise NotImplementedError

    guide = ClampedGuide(Fixed())
    with pytest.raises(InvalidGuide, match=r"`model` must have a method `to\(device, dtype\)`"):
        guide.to(dtype=torch.float32)
    assert guide.policy_logits.dtype == torch.float64
    with pytest.raises(InvalidArgument, match="`dtype` must be"):
        ClampedGuide(TabularModel(random_mdp(1))).half()


def test_attributes_of_a_user_defined_guide_move():
    class Own(MarkovGuide):
        def __init__(self, model):
            super().__init__(model)
            self.table, self.names, self.several = torch.zeros(2).double(), ["a"], {"x": (torch.ones(1).double(), 3)}

        def blocks(self):
            return self.model.blocks()

    guide = Own(TabularModel(random_mdp(1))).float()
    assert guide.table.dtype == guide.several["x"][0].dtype == torch.float32
    assert guide.names == ["a"]


def test_a_simulator_and_its_guide_move():
    def played(dtype):
        model = SimulatorModel("pgm_control/RiskyPath-v0", action_prior=[0.3, 0.7], num_envs=4, seed=0)
        guide = SimulatedGuide(model, hidden=()).to(dtype=dtype)
        assert (model.dtype, model.device) == (dtype, torch.device("cpu"))
        found = fit(model, guide, ToGoELBO(), num_steps=3, seed=0)
        assert next(guide.parameters()).dtype == dtype
        return float(found.elbo_history[-1])

    for dtype in (torch.float64, torch.float32):
        assert np.isfinite(played(dtype))
    model = SimulatorModel("pgm_control/RiskyPath-v0")
    assert model.to() is model
    with pytest.raises(InvalidArgument, match="`device` must be a device of torch"):
        model.to("abacus")
    with pytest.raises(TypeError, match="device"):
        SimulatorModel("pgm_control/RiskyPath-v0", device="cpu")  # pyright: ignore[reportCallIssue]


@cuda
@every_guide
def test_a_guide_on_a_gpu_has_the_same_elbo(row):
    guide = shaken(row.build(MODELS["random, discounted"]()))
    before = elbo(guide.model, guide.blocks()).item()
    guide.to("cuda")
    assert elbo(guide.model, guide.blocks()).item() == pytest.approx(before, rel=1e-12)
    tabulate(guide.model, guide).sample(3, seed=0)
    assert {each.device.type for each in tensors(guide).values()} == {"cuda"}

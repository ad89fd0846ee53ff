"""Guides of programs over vectors: the blocks they change, bounded actions, members, and optima that are known."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import SVI, Trace_ELBO
from pyro.optim import ClippedAdam
from torch.distributions.transforms import TanhTransform

from pgm_control import fit
from pgm_control.errors import InvalidArgument, InvalidGuide
from pgm_control.guides import ClampedNeuralGuide, ContinuousGuide, FlowGuide, FreeNeuralGuide
from pgm_control.inference.sampling.estimate import estimate, estimate_elbo
from pgm_control.inference.sampling.log_weights import log_weights
from pgm_control.inference.variational.one_pass_elbo import OnePassELBO
from pgm_control.models.continuous import ContinuousModel
from pgm_control.networks.learned_dynamics import learn_dynamics
from pgm_control.testing import check_guide

from .. import linear_gaussian as scalar
from ..ledge import ledge
from ..linear_gaussian_vectors import model

GUIDES = {
    "clamped": lambda of: ClampedNeuralGuide(of, hidden=(6,), seed=0),
    "clamped mixture": lambda of: ClampedNeuralGuide(of, "mixture", hidden=(6,), seed=0),
    "free": lambda of: FreeNeuralGuide(of, hidden=(6,), seed=0),
    "free mixture": lambda of: FreeNeuralGuide(of, "mixture", hidden=(6,), seed=0),
    "flow": lambda of: FlowGuide(of, hidden=(6,), seed=0),
    "free flow": lambda of: FlowGuide(of, free=True, hidden=(6,), seed=0),
}
ONE = torch.ones(2, dtype=torch.float64)
BOUNDED = {
    "uniform": dist.Uniform(-ONE, 2 * ONE).to_event(1),
    "beta": dist.Beta(2 * ONE, 3 * ONE).to_event(1),
    "tanh": dist.TransformedDistribution(dist.Normal(0 * ONE, ONE).to_event(1), [TanhTransform(cache_size=1)]),
    "by state": lambda t, s: dist.Uniform(-1.5 - s.tanh(), torch.ones_like(s)).to_event(1),
}


def moved(guide, scale=0.05):
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for each in guide.parameters():
            each.add_(scale * torch.randn(each.shape, generator=draw, dtype=each.dtype))
    return guide


def decaying(lr, num_steps):
    return ClippedAdam({"lr": lr, "lrd": 0.02 ** (1 / num_steps), "betas": (0.9, 0.99)})


@pytest.mark.parametrize("of", [model(horizon=2), ledge(horizon=3)], ids=["line", "ledge"])
@pytest.mark.parametrize("name", GUIDES)
def test_the_laws_hold_and_the_blocks_are_those_it_states(name, of):
    guide = moved(GUIDES[name](of))
    report = check_guide(of, guide, seed=0)
    assert report.free == guide.free_blocks
    starts = ("initial",) if of.horizon == 2 else ()
    assert report.free == ((*starts, "dynamics") if "free" in name else ())


@pytest.mark.parametrize("name", [each for each in GUIDES if "mixture" not in each])
def test_a_guide_starts_at_the_model(name):
    """The weight of a draw from the model is exp(return/τ)."""
    of = model(horizon=3)
    guide = GUIDES[name](of)
    score = estimate(of, guide, 200, seed=0)
    assert score.elbo.mean == pytest.approx(score.imagined_return.mean)
    assert check_guide(of, guide, seed=0).free == (("initial", "dynamics") if "free" in name else ())


def test_an_affine_clamped_guide_reaches_the_optimum():
    of = model()
    guide = ClampedNeuralGuide(of, hidden=(), seed=0)
    found = fit(of, guide, OnePassELBO(64), decaying(0.07, 180), num_steps=180, tolerance=0.0, seed=0)
    assert found.objective_name == "ELBO"
    elbo = estimate_elbo(of, guide, 20_000, seed=0)
    assert elbo.mean == pytest.approx(scalar.CLAMPED_ELBO, abs=0.01 + 3 * elbo.standard_error)
    steps, _ = scalar.gains(0.0)
    state = torch.ones(1, dtype=torch.float64)
    for t in (0, 2):
        gain, variance, _, _ = steps[t]
        policy = guide.policy(t, state)
        draws = policy.sample((20_000,))
        assert float(draws.mean()) == pytest.approx(-gain, abs=0.12)
        assert float(draws.var()) == pytest.approx(variance, rel=0.2)


@pytest.mark.slow
def test_an_affine_free_guide_reaches_the_evidence():
    of = model()
    guide = FreeNeuralGuide(of, hidden=(), seed=0)
    fit(of, guide, OnePassELBO(64), decaying(0.05, 260), num_steps=260, tolerance=0.0, seed=0)
    weights = log_weights(of, guide, 2000, seed=0)
    assert float(weights.mean()) == pytest.approx(scalar.LOG_EVIDENCE, abs=0.02)
    assert float(weights.std()) < 0.15  # it is constant at the optimum
    score = estimate(of, guide, 5000, seed=0)
    assert score.imagined_return.mean == pytest.approx(-1.7021, abs=0.1)
    assert score.true_return.mean == pytest.approx(-4.0570, abs=0.2)


@pytest.mark.parametrize(
    ("name", "prior"),
    [*(("clamped", prior) for prior in BOUNDED), ("clamped mixture", "uniform"), ("free flow", "tanh")],
)
def test_bounded_actions_stay_within_their_bounds(name, prior):
    of = ContinuousModel(
        dist.Normal(0 * ONE, ONE).to_event(1),
        lambda t, s, a: dist.Normal(s + a, 0.5).to_event(1),
        lambda t, s, a, ahead: -ahead.square().sum(-1),
        3,
        action_prior=BOUNDED[prior],
    )
    guide = moved(GUIDES[name](of), 0.1)
    with torch.no_grad(), pyro.plate("draws", 500):
        trace = pyro.poutine.trace(guide).get_trace()
    for t in range(3):
        action, state = (trace.nodes[f"{kind}_{t}"]["value"] for kind in ("action", "state"))
        assert bool(of.action_prior(t, state).log_prob(action).isfinite().all())
    before = OnePassELBO(500).loss(of, guide)
    fit(of, guide, OnePassELBO(32), decaying(0.03, 15), num_steps=15, tolerance=0.0, seed=0)
    assert OnePassELBO(500).loss(of, guide) < before


@pytest.mark.slow
def test_the_member_of_an_ensemble_is_its_own_block():
    """With members that push one way or the other, the free weights go to the one with the greater reward."""
    draw = torch.Generator().manual_seed(0)
    s, a, w = (torch.randn(40, 1, generator=draw).double() for _ in range(3))
    learned = learn_dynamics(s, a, s + a + w, ensemble_size=2, hidden=(4,), num_epochs=1, seed=0)
    learned.networks.offset.data[:, :1] = torch.tensor([[1.0], [-1.0]])  # in units of the spread of the changes
    of = model(dynamics=learned, reward=lambda t, s, a, ahead: 0.5 * ahead.sum(-1), horizon=4)
    clamped, hopeful = (ClampedNeuralGuide(of, hidden=(), free_member=each, seed=0) for each in (False, True))
    assert (clamped.free_blocks, hopeful.free_blocks) == ((), ("member",))
    assert FreeNeuralGuide(of, hidden=(), seed=0).free_blocks == ("member", "initial", "dynamics")
    assert check_guide(of, moved(hopeful, 0.5), seed=0).free == ("initial",)
    fit(of, hopeful, OnePassELBO(64), decaying(0.1, 50), num_steps=50, tolerance=0.0, seed=0)
    assert float(hopeful.member_logits.detach().softmax(-1)[0]) > 0.8
    assert "initial" not in check_guide(of, clamped, seed=0).free


def test_pyro_fits_it_and_its_store_stays_empty():
    of = model()
    one, other = (ClampedNeuralGuide(of, hidden=(4,), seed=0) for _ in range(2))
    loss = Trace_ELBO(num_particles=4, vectorize_particles=True, max_plate_nesting=1)
    svi = SVI(of, one, ClippedAdam({"lr": 0.01}), loss)
    pyro.set_rng_seed(0)
    values = [svi.step() for _ in range(3)]
    found = fit(of, other, OnePassELBO(4), ClippedAdam({"lr": 0.01}), num_steps=3, tolerance=0.0, seed=0)
    assert (-found.elbo_history).tolist() == pytest.approx(values)
    assert not dict(pyro.get_param_store())
    for mine, theirs in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.allclose(mine, theirs)


def test_a_program_by_hand_with_the_layout_has_these_guides():
    def by_hand():
        state = pyro.sample("state_0", dist.Normal(torch.ones(1), 1.0).to_event(1))
        for t in range(2):
            action = pyro.sample(f"action_{t}", dist.Normal(torch.zeros(1), 1.0).to_event(1))
            pyro.factor(f"optimality_{t}", -(state**2 + action**2).sum(-1))
            state = pyro.sample(f"state_{t + 1}", dist.Normal(state + action, 0.5).to_event(1))

    guide = FreeNeuralGuide(by_hand, hidden=(4,), seed=0)
    assert next(guide.parameters()).dtype == torch.float32  # that of the program
    check_guide(by_hand, moved_single(guide), seed=0)
    with pytest.raises(InvalidGuide, match="action_prior"):
        guide.policy(0, torch.zeros(1))


def moved_single(guide):
    with torch.no_grad():
        for each in guide.parameters():
            each.add_(0.05 * torch.randn_like(each))
    return guide


def test_a_seed_repeats_the_weights():
    of = model()
    one, two, other = (ClampedNeuralGuide(of, seed=seed) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.wrong_types
def test_what_does_not_fit_is_refused():
    of = model()
    with pytest.raises(InvalidArgument, match="`family` must be one of"):
        ClampedNeuralGuide(of, "student")
    with pytest.raises(InvalidArgument, match="`hidden"):
        FreeNeuralGuide(of, hidden=(0,))
    with pytest.raises(InvalidArgument, match="`free_member` is for a model with a site `member`"):
        ClampedNeuralGuide(of, free_member=True)
    with pytest.raises(InvalidArgument, match="`model` must be a program over vectors that runs"):
        ClampedNeuralGuide(lambda: 1 / 0)
    with pytest.raises(InvalidArgument, match="`model` must have the sites state_0"):
        ClampedNeuralGuide(scalar.program)
    with pytest.raises(TypeError, match="abstract"):
        ContinuousGuide(of)  # pyright: ignore[reportAbstractUsage]


@pytest.mark.slow
def test_it_learns_on_a_short_ledge():
    of = ledge(horizon=6)
    guide = ClampedNeuralGuide(of, hidden=(32,), seed=0)
    fit(of, guide, OnePassELBO(64), decaying(0.02, 150), num_steps=150, tolerance=0.0, seed=0)
    assert estimate_elbo(of, guide, 2000, seed=0).mean > -50

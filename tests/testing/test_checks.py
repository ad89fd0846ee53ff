"""The public checks detect typical mistakes in models and guides."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from problems import gamble, random_mdp

from pgm_control import ClampedGuide, LawBroken, MarkovGuide, TabularMDP, TabularModel, infer
from pgm_control.testing import check_guide, check_model
from pgm_control.trajectories.program import run_program

MODEL = TabularModel(random_mdp(seed=0, horizon=2), 0.7)


def sites(model, policy_logits, *, leave_out=(), carry=False, draw=None):
    """A guide written by hand, with optional faults."""
    draw = draw or (lambda logits: dist.Categorical(logits=logits))
    mdp, prior = model.mdp, model.blocks()
    certain = torch.eye(mdp.num_states, dtype=torch.float64).log()
    state = pyro.sample("state_0", dist.Categorical(logits=prior.log_initial))
    for t in range(mdp.horizon):
        if carry:
            outcome = pyro.sample(f"outcome_{t}", draw(prior.log_dynamics[t][state, 0]))
            action = pyro.sample(f"action_{t}", dist.Categorical(logits=policy_logits[t][state]))
        else:
            action = pyro.sample(f"action_{t}", dist.Categorical(logits=policy_logits[t][state]))
            if f"outcome_{t}" in leave_out:
                continue
            outcome = pyro.sample(f"outcome_{t}", draw(prior.log_dynamics[t][state, action]))
        if f"state_{t + 1}" not in leave_out:
            arrival = certain[mdp.successor[state, action, outcome]]
            state = pyro.sample(f"state_{t + 1}", dist.Categorical(logits=arrival))


def test_a_guide_by_hand_passes():
    report = check_guide(MODEL, lambda: sites(MODEL, MODEL.blocks().log_policy), seed=0)
    assert report.free == ()
    assert report.elbo < report.log_evidence


def test_a_posterior_passes_and_its_free_blocks_are_reported():
    assert check_guide(MODEL, infer(MODEL, 1.0), seed=0).free == ("initial", "dynamics")
    assert check_guide(MODEL, infer(MODEL, 0.0), seed=0).free == ()
    discounted = TabularModel(random_mdp(seed=0, horizon=2, discount=0.5))
    from pgm_control import Optimism

    assert check_guide(discounted, infer(discounted, Optimism(0.0, 0.0, 1.0)), seed=0).free == ("survival",)


def test_free_blocks_are_found_in_states_that_the_guide_rarely_visits():
    mdp = TabularMDP(
        [1.0, 0.0],
        [[[1 - 1e-6, 1e-6]], [[0.5, 0.5]]],
        [[[0, 1]], [[0, 1]]],
        [[[0.0, 0.0]], [[0.0, 1.0]]],
        horizon=3,
    )
    model = TabularModel(mdp)
    tilt = torch.tensor([[[0.0, 0.0]], [[-1.0, 1.0]]], dtype=torch.float64)

    class Optimistic(MarkovGuide):
        def blocks(self):
            own = model.blocks()
            return own.replace(log_dynamics=torch.log_softmax(own.log_dynamics + tilt, -1))

    assert check_guide(model, Optimistic(model), seed=0).free == ("dynamics",)


def test_a_site_left_out_is_named():
    model = TabularModel(gamble())
    with pytest.raises(LawBroken, match=r"leaves out `outcome_0`, `state_1`.*not clamped"):
        check_guide(model, lambda: sites(model, model.blocks().log_policy, leave_out=("outcome_0", "state_1")), seed=0)


def test_an_extra_site_is_named():
    def guide():
        sites(MODEL, MODEL.blocks().log_policy)
        pyro.sample("mood", dist.Bernoulli(0.5))

    with pytest.raises(LawBroken, match="samples `mood`, which the model does not have"):
        check_guide(MODEL, guide, seed=0)


def test_an_unsafe_order_is_named():
    with pytest.raises(LawBroken, match="draws `outcome_0` where `action_0` is due"):
        check_guide(MODEL, lambda: sites(MODEL, MODEL.blocks().log_policy, carry=True), seed=0)


def test_mass_on_an_impossible_outcome_is_named():
    mdp = TabularMDP([1.0], [[[1.0, 0.0]]], [[[0, 0]]], [[[0.0, 0.0]]], horizon=1)
    model = TabularModel(mdp)

    def leaky(logits):
        return dist.Categorical(probs=logits.exp() * 0.5 + 0.25)

    with pytest.raises(LawBroken, match="which the model calls impossible: its ELBO is −inf"):
        check_guide(model, lambda: sites(model, model.blocks().log_policy, draw=leaky), seed=0)


def test_private_randomness_is_named():
    import random

    source = random.Random(0)

    def guide():
        logits = torch.tensor([0.0, -torch.inf] if source.random() < 0.5 else [-torch.inf, 0.0], dtype=torch.float64)
        sites(MODEL, logits.expand(2, 3, 2))

    with pytest.raises(LawBroken, match="differs between two runs with one seed"):
        check_guide(MODEL, guide, seed=0)


class Faulty(MarkovGuide):
    """A guide with a selected fault."""

    def __init__(self, model, fault):
        super().__init__(model)
        self.fault = fault
        self.logits = torch.nn.Parameter(torch.zeros_like(model.blocks().log_policy))

    def blocks(self):
        prior = self.model.blocks()
        policy = torch.log_softmax(prior.log_policy + self.logits, -1)
        if self.fault == "unnormalised":
            policy = prior.log_policy + self.logits + 1.0
        if self.fault == "unused":
            policy = prior.log_policy
        if self.fault == "nan gradient":
            bad = torch.where(self.logits > torch.inf, 0.0, self.logits)
            policy = torch.log_softmax(prior.log_policy + bad + 0.0 * (bad - bad).abs().sqrt(), -1)
        if self.fault == "restless":
            policy = torch.log_softmax(policy + torch.randn_like(policy), -1)
        return prior.replace(log_policy=policy)

    def forward(self):
        if self.fault == "says one thing, does another":
            run_program(infer(self.model, 1.0).blocks())
        else:
            super().forward()


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("unnormalised", "`log_policy` of the guide must hold normalised log-probabilities"),
        ("restless", r"its blocks\(\) differ between two calls"),
        ("unused", "does not depend on the parameter `logits`"),
        ("nan gradient", "gradient of the parameter `logits` is not finite"),
        ("says one thing, does another", r"its program has an ELBO of .*, but its blocks\(\)"),
    ],
)
def test_faults_of_a_markov_guide_are_named(fault, message):
    with pytest.raises(LawBroken, match=message):
        check_guide(MODEL, Faulty(MODEL, fault), seed=0)


def test_a_bound_above_the_evidence_is_named():
    """Enumeration in the unsafe order can cause such a bound; here a factor in the guide does."""

    def cheat():
        sites(MODEL, MODEL.blocks().log_policy)
        pyro.factor("bonus", torch.tensor(-50.0), has_rsample=False)

    with pytest.raises(LawBroken, match=r"exceeds log p\(O\)"):
        check_guide(MODEL, cheat, seed=0)


def test_parameters_and_generator_are_restored():
    guide = ClampedGuide(MODEL)
    guide.policy_logits.data.normal_()
    before, state = guide.policy_logits.detach().clone(), torch.get_rng_state()
    check_guide(MODEL, guide, seed=0)
    assert torch.equal(guide.policy_logits, before)
    assert torch.equal(torch.get_rng_state(), state)


class WrongModel:
    """A model whose program does not agree with its tables."""

    def __init__(self, fault):
        self.fault = fault
        self.mdp, self.temperature, self.action_prior = MODEL.mdp, MODEL.temperature, MODEL.action_prior

    def blocks(self):
        return MODEL.blocks()

    def __call__(self):
        if self.fault == "temperature":
            return TabularModel(self.mdp, 2 * self.temperature)()
        if self.fault == "no factor":
            return run_program(self.blocks())
        return MODEL()


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("temperature", "the program and `mdp`, `temperature`, `action_prior` disagree"),
        ("no factor", "the factors must be"),
    ],
)
def test_faults_of_a_model_are_named(fault, message):
    with pytest.raises(LawBroken, match=message):
        check_model(WrongModel(fault), seed=0)


def test_a_sound_model_is_reported():
    report = check_model(WrongModel("none"), seed=0)
    assert report.sites == ("state_0", "action_0", "outcome_0", "state_1", "action_1", "outcome_1", "state_2")
    assert report.log_evidence == pytest.approx(infer(MODEL, 1.0).log_evidence)


def test_rounding_of_torch_on_what_is_impossible():
    """`Categorical(probs)` raises zeros to machine epsilon: a sample never shows it, and the ELBO is −inf."""
    assert bool((MODEL.mdp.probability == 0).any()) or bool((MODEL.mdp.initial == 0).any())

    def rounded():
        sites(MODEL, MODEL.blocks().log_policy, draw=lambda logits: dist.Categorical(probs=logits.exp()))

    with pytest.raises(LawBroken, match=r"`outcome_t` the probability .* write Categorical\(logits=p.log\(\)\)"):
        check_guide(MODEL, rounded, seed=0)

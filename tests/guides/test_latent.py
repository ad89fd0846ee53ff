"""Tests of guides with latent variables: bounds, densities and gradients by enumeration of trajectories and options."""

import itertools
import math

import numpy as np
import oracles
import pyro
import pyro.distributions as dist
import pytest
import torch
from hypothesis import assume, given, settings
from problems import random_mdp
from pyro import poutine
from pyro.infer import SVI, Trace_ELBO, TraceEnum_ELBO, TraceGraph_ELBO, config_enumerate
from pyro.optim import PyroOptim
from strategies import laws, model_of, problem_of, problems

from pgm_control import (
    AuxiliaryELBO,
    FreeOptionGuide,
    InvalidArgument,
    InvalidGuide,
    LatentPolicyGuide,
    LawBroken,
    Optimism,
    OptionGuide,
    StationaryGuide,
    TabularModel,
    auxiliary_elbo,
    best_reverse,
    estimate,
    estimate_elbo,
    fit,
    infer,
    log_weights,
    smc,
    tabulate,
    with_reverse,
)
from pgm_control.testing import check_guide
from pgm_control.trajectories.process import log_probability
from pgm_control.trajectories.samples import Trajectories

pytestmark = pytest.mark.slow

MODEL = TabularModel(random_mdp(seed=1, horizon=3, discount=0.8).replace(final_reward=[0.5, -1.0, 2.0]), 0.7)
LONG = TabularModel(random_mdp(seed=2, states=2, outcomes=2, horizon=5), 0.7)
OPTIONS = (OptionGuide, FreeOptionGuide)
PARTICLES = Trace_ELBO(num_particles=20_000, vectorize_particles=True, max_plate_nesting=0)


def numbers(values):
    return torch.tensor(list(values), dtype=torch.float64)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def shaken(guide, seed=0, scale=1.0):
    """The guide with normal noise added to its parameters."""
    noise = seeded(seed)
    for parameter in guide.parameters():
        parameter.data.add_(scale * torch.randn(parameter.shape, generator=noise, dtype=parameter.dtype))
    return guide


@torch.no_grad()
def bound_of(guide):
    """The exact auxiliary bound, in nats."""
    return float(auxiliary_elbo(guide.model, guide))


class Enumeration:
    """All trajectories of a model, and all sequences of options, with 0 at steps after the end of an episode.

    Every sum is written out from the definitions; the tables of the guide are all that it shares with the library.
    """

    def __init__(self, model, blocks):
        self.blocks, self.paths = blocks, list(oracles.paths(problem_of_model(model)))
        self.log_target = numbers(path.log_weight(float(model.temperature)) for path in self.paths)
        end, steps, count = model.mdp.num_states, model.mdp.horizon, blocks.log_first.shape[-1]
        self.lives = numbers([1 - model.mdp.discount, model.mdp.discount]).log()
        pairs = []
        for i, path in enumerate(self.paths):
            alive = [s < end for s in path.states[:steps]]
            pairs += [(i, z) for z in itertools.product(*(range(count) if each else [0] for each in alive))]
        self.index = torch.tensor([i for i, _ in pairs])
        self.z = torch.tensor([z for _, z in pairs])
        self.s, self.a, self.k = (torch.tensor([path[i] for path in self.paths])[self.index] for i in range(3))
        self.alive = self.s < end
        later = torch.cat((self.z[:, 1:], torch.full_like(self.z[:, :1], count)), 1)
        self.later = torch.where(self.alive[:, 1:], later, count)  # the next option, or that there is none

    @property
    def trajectories(self):
        return Trajectories(*(torch.tensor([path[i] for path in self.paths]) for i in range(3)))

    def log_q(self):
        """log q(τ, z)."""
        q, s, z = self.blocks, torch.where(self.alive, self.s, 0), self.z
        total = q.log_initial[s[:, 0]] + q.log_first[s[:, 0], z[:, 0]]
        for t in range(z.shape[1]):
            lives = self.lives[self.alive[:, t + 1].long()]
            step = q.log_policy[t, s[:, t], z[:, t], self.a[:, t]] + lives
            step = step + q.log_dynamics[t, s[:, t], z[:, t], self.a[:, t], self.k[:, t]]
            total = total + torch.where(self.alive[:, t], step, 0.0)
            if t + 1 < z.shape[1]:
                total = total + torch.where(self.alive[:, t + 1], q.log_next[t, s[:, t + 1], z[:, t], z[:, t + 1]], 0.0)
        return total

    def reverse(self):
        """log q(z_t | z_{t+1}, s_t, a_t, k_t), from the sums of q over all paths."""
        q, (_, states, count, actions) = self.log_q().exp(), self.blocks.log_policy.shape
        shape = states, actions, self.blocks.log_dynamics.shape[-1], count + 1, count
        tables = []
        for t in range(self.z.shape[1]):
            here = self.alive[:, t]
            where = tuple(each[here, t] for each in (self.s, self.a, self.k, self.later, self.z))
            tables.append(q.new_zeros(shape).index_put(where, q[here], accumulate=True))
        mass = torch.stack(tables)
        return (mass / mass.sum(-1, keepdim=True)).log()

    def log_r(self, table):
        """log r(z|τ)."""
        total = self.log_target.new_zeros(len(self.z))
        for t in range(self.z.shape[1]):
            s = torch.where(self.alive[:, t], self.s[:, t], 0)
            row = table[t, s, self.a[:, t], self.k[:, t], self.later[:, t], self.z[:, t]]
            total = total + torch.where(self.alive[:, t], row, 0.0)
        return total

    def bound(self, table=None):
        """The auxiliary bound."""
        log_q, log_r = self.log_q(), self.log_r(self.reverse() if table is None else table)
        possible = log_q > -torch.inf
        found = self.log_target[self.index] + log_r - log_q
        return (log_q.exp()[possible] * found[possible]).sum()

    def marginal(self):
        """q(τ)."""
        return torch.zeros_like(self.log_target).index_add(0, self.index, self.log_q().exp())

    def elbo(self):
        """The marginal ELBO."""
        q = self.marginal()
        return (q * (self.log_target - q.log()))[q > 0].sum()


def problem_of_model(model):
    """The model as plain arrays, with its own prior."""
    found = problem_of(model.mdp, float(model.temperature))
    final = model.mdp.final_reward
    return oracles.Problem(
        found.initial, found.probability, found.successor, found.reward, found.horizon, found.temperature,
        model.action_prior.numpy(), np.zeros(model.mdp.num_states) if final is None else final.numpy(),
        model.mdp.discount,
    )  # fmt: skip


@settings(laws, max_examples=15)
@given(problems())
def test_the_bound_is_that_of_enumeration_and_below_the_marginal_elbo(problem):
    """Auxiliary bound ≤ marginal ELBO ≤ log p(O), all three by enumeration; the filtered density is the marginal."""
    model = model_of(problem)
    assume(infer(model, 0.0).value > -math.inf)
    evidence = oracles.enumerate_posterior(problem).log_evidence
    for build in OPTIONS:
        guide = shaken(build(model, 2, seed=seeded()))
        with torch.no_grad():
            blocks = guide.latent_blocks()
            every = Enumeration(model, blocks)
            found = float(auxiliary_elbo(model, guide))
            assert found == pytest.approx(float(every.bound()), rel=1e-12, abs=1e-12)
            marginal = float(every.elbo())
            assert found <= marginal + 1e-10
            assert marginal <= evidence + 1e-10
            density = log_probability(guide.process(), model.mdp, every.trajectories).exp()
        np.testing.assert_allclose(density, every.marginal(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("build", OPTIONS)
@pytest.mark.parametrize("model", [MODEL, LONG], ids=["discounted", "five steps"])
def test_three_numbers_by_enumeration(model, build):
    guide = shaken(build(model, 2, seed=0))
    with torch.no_grad():
        blocks = guide.latent_blocks()
        every = Enumeration(model, blocks)
        found, expected, marginal = float(auxiliary_elbo(model, guide)), float(every.bound()), float(every.elbo())
    assert found == pytest.approx(expected, abs=1e-12)
    evidence = oracles.enumerate_posterior(problem_of_model(model)).log_evidence
    assert found + 1e-3 < marginal < evidence
    score = estimate_elbo(model, guide, 20_000, seed=0)
    assert score.mean == pytest.approx(marginal, abs=5 * score.standard_error)
    torch.manual_seed(0)
    with torch.no_grad():
        draws = torch.tensor([-PARTICLES.loss(*with_reverse(model, guide)) for _ in range(10)])
    assert float(draws.mean()) == pytest.approx(expected, abs=5 * float(draws.std()) / 10**0.5)


@pytest.mark.parametrize("build", OPTIONS)
def test_the_gradient_is_that_of_enumeration(build):
    """The sweep holds the best reverse model fixed; the enumeration differentiates it too."""
    guide = shaken(build(MODEL, 2, seed=0))
    parameters = list(guide.parameters())
    found = torch.autograd.grad(auxiliary_elbo(MODEL, guide), parameters)
    every = Enumeration(MODEL, guide.latent_blocks())
    with torch.no_grad():
        table = every.reverse()
    expected = torch.autograd.grad(every.bound(torch.where(table.isnan(), 0.0, table)), parameters)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)
    step = [1e-4 * torch.randn(each.shape, generator=seeded(1), dtype=torch.float64) for each in parameters]
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            for parameter, change in zip(parameters, step, strict=True):
                parameter += sign * change
            values.append(float(auxiliary_elbo(MODEL, guide)))
            for parameter, change in zip(parameters, step, strict=True):
                parameter -= sign * change
    slope = sum(float((gradient * change).sum()) for gradient, change in zip(found, step, strict=True))
    assert (values[0] - values[1]) / 2 == pytest.approx(slope, rel=1e-5)


@pytest.mark.parametrize("build", OPTIONS)
def test_any_reverse_model_gives_a_bound_and_the_best_is_the_conditional_of_the_guide(build):
    guide = shaken(build(MODEL, 2, seed=0))
    with torch.no_grad():
        blocks = guide.latent_blocks()
        every, best = Enumeration(MODEL, blocks), best_reverse(guide)
        expected = every.reverse()
        visited = ~expected.isnan()
        torch.testing.assert_close(best[visited], expected[visited], rtol=1e-10, atol=1e-10)
        other = torch.log_softmax(torch.randn(best.shape, generator=seeded(3), dtype=torch.float64), -1)
        found = float(auxiliary_elbo(MODEL, guide, other))
        assert found == pytest.approx(float(every.bound(other)), abs=1e-12)
        assert found < float(auxiliary_elbo(MODEL, guide))


@pytest.mark.parametrize("build", OPTIONS)
def test_the_programs_have_those_densities(build):
    guide = shaken(build(MODEL, 2, seed=0))
    with torch.no_grad():
        every = Enumeration(MODEL, guide.latent_blocks())
        log_q, log_r = every.log_q(), every.log_r(every.reverse())
    extended, sampler = with_reverse(MODEL, guide)
    rows = torch.cat((every.s, every.a, every.k, every.z), 1)
    for seed in range(20):
        with poutine.seed(rng_seed=seed), torch.no_grad():
            drawn = poutine.trace(sampler).get_trace()
            scored = poutine.trace(poutine.replay(extended, trace=drawn)).get_trace()
        row = torch.cat(
            [torch.stack([drawn.nodes[f"{kind}_{t}"]["value"] for t in range(3 + (kind == "state"))])
             for kind in ("state", "action", "outcome", "option")]
        )  # fmt: skip
        (i,) = (rows == row).all(1).nonzero()[:, 0].tolist()
        assert float(drawn.log_prob_sum()) == pytest.approx(float(log_q[i]), abs=1e-9)
        assert float(scored.log_prob_sum()) == pytest.approx(
            float(every.log_target[every.index[i]] + log_r[i]), abs=1e-9
        )


def test_without_the_reverse_model_the_entropy_of_the_options_enters():
    """Pyro leaves r out in silence: the result exceeds the marginal ELBO by H(z | τ), and even log p(O)."""
    guide = fit(MODEL, FreeOptionGuide(MODEL, 8, seed=0), num_steps=300).guide
    with torch.no_grad():
        every = Enumeration(MODEL, guide.latent_blocks())
        q = every.log_q()
        wrong = float((q.exp() * (every.log_target[every.index] - q))[q > -torch.inf].sum())
        torch.manual_seed(0)
        draws = torch.tensor([-PARTICLES.loss(MODEL, guide) for _ in range(5)])
    assert float(draws.mean()) == pytest.approx(wrong, abs=5 * float(draws.std()) / 5**0.5)
    assert wrong > oracles.enumerate_posterior(problem_of_model(MODEL)).log_evidence


STATIONARY = StationaryGuide(MODEL)


class Tossed:
    """A clamped guide of MODEL with a coin as its auxiliary site; a subclass gives it a reverse model."""

    def __call__(self):
        pyro.sample("coin", dist.Categorical(torch.tensor([0.5, 0.5])), infer={"is_auxiliary": True})
        STATIONARY()


def test_an_auxiliary_site_without_a_reverse_model_is_refused():
    with pytest.raises(InvalidGuide, match=r"reverse model for its auxiliary site `coin`.*`reverse\(values\)`"):
        fit(MODEL, Tossed(), num_steps=1)


@pytest.mark.wrong_types
def test_a_guide_without_a_reverse_model_has_no_pair():
    with pytest.raises(InvalidGuide, match=r"a method `reverse\(values\)`, but is"):
        with_reverse(MODEL, StationaryGuide(MODEL))


class Coin(Tossed):
    """A guide whose reverse model is the distribution of the coin, with mistakes on demand."""

    def __init__(self, site="coin", logit=0.0):
        self.site, self.logit = site, logit

    def reverse(self, values):
        assert set(values) == {f"{kind}_{t}" for kind in ("state", "action", "outcome") for t in range(3)} | {"state_3"}
        pyro.sample(self.site, dist.Categorical(logits=torch.tensor([self.logit, 0.0])))


@pytest.mark.usefixtures("few_draws")
def test_the_laws_know_auxiliary_sites():
    for guide in (OptionGuide(MODEL, seed=0), FreeOptionGuide(MODEL, seed=0), LatentPolicyGuide(MODEL, seed=0), Coin()):
        report = check_guide(MODEL, guide, seed=0)
        assert report.elbo < report.log_evidence
        assert report.free == (("initial", "dynamics") if isinstance(guide, FreeOptionGuide) else ())
    with pytest.raises(LawBroken, match="samples `coin` as auxiliary sites, but has no method `reverse`"):
        check_guide(MODEL, Tossed(), seed=0)
    with pytest.raises(LawBroken, match="its auxiliary sites and no other, but differs in `coin`, `mood`"):
        check_guide(MODEL, Coin("mood"), seed=0)
    with pytest.raises(LawBroken, match="which its reverse model calls impossible"):
        check_guide(MODEL, Coin(logit=-math.inf), seed=0)


def test_one_option_is_a_stationary_policy():
    expected = fit(MODEL, StationaryGuide(MODEL)).elbo
    found = fit(MODEL, OptionGuide(MODEL, 1))
    assert found.objective_name == "auxiliary bound"
    assert bound_of(found.guide) == pytest.approx(expected, abs=1e-4)


def test_fits_from_several_seeds_reach_one_optimum_above_that_of_one_option():
    values = [bound_of(fit(MODEL, OptionGuide(MODEL, 2, seed=seed)).guide) for seed in range(3)]
    assert max(values) - min(values) < 1e-4
    assert bound_of(fit(MODEL, OptionGuide(MODEL, 1)).guide) + 0.03 < min(values)
    assert max(values) < infer(MODEL, 0.0).objective


def test_free_options_end_at_a_stationary_point_above_clamped_ones():
    """The bound has several local optima."""
    guides = [fit(MODEL, FreeOptionGuide(MODEL, 2, seed=seed)).guide for seed in range(2)]
    for guide in guides:
        slopes = torch.autograd.grad(auxiliary_elbo(MODEL, guide), list(guide.parameters()))
        assert max(float(each.abs().max()) for each in slopes) < 1e-2
        assert bound_of(fit(MODEL, OptionGuide(MODEL, 2, seed=0)).guide) + 0.5 < bound_of(guide)
        assert bound_of(guide) < infer(MODEL, 1.0).objective


def test_losses_that_sample_fit_the_options_too():
    exact = fit(MODEL, OptionGuide(MODEL, 2, seed=0)).guide
    loss = Trace_ELBO(num_particles=100, vectorize_particles=True, max_plate_nesting=0)
    optim = PyroOptim(torch.optim.Adam, {"lr": 0.05})
    found = fit(MODEL, OptionGuide(MODEL, 2, seed=0), loss, optim, num_steps=400, seed=0)
    assert found.objective_name == "auxiliary bound"
    assert found.elbo is None
    best, reached = (bound_of(each) for each in (exact, found.guide))
    assert best - 0.05 < reached < best
    fit(MODEL, OptionGuide(MODEL, 2, seed=0), TraceGraph_ELBO(), num_steps=2, seed=0)


def test_svi_makes_the_step_of_fit():
    one, other = OptionGuide(MODEL, 2, seed=0), OptionGuide(MODEL, 2, seed=0)
    fit(MODEL, one, num_steps=3, optim=PyroOptim(torch.optim.Adam, {"lr": 0.1}))
    step = SVI(MODEL, other, PyroOptim(torch.optim.Adam, {"lr": 0.1}), AuxiliaryELBO()).step
    for _ in range(3):
        step()
    for name, parameter in one.named_parameters():
        torch.testing.assert_close(parameter, dict(other.named_parameters())[name])


def test_the_verbs_of_sampling_use_the_density_of_trajectories():
    """Importance weights p~/q(τ) are unbiased for p(O); so are those of sequential Monte Carlo."""
    guide = fit(MODEL, FreeOptionGuide(MODEL, 2, seed=0)).guide
    evidence = oracles.enumerate_posterior(problem_of_model(MODEL)).log_evidence
    weights = (log_weights(MODEL, guide, 20_000, seed=0) - evidence).exp()
    assert float(weights.mean()) == pytest.approx(1.0, abs=5 * float(weights.std()) / 20_000**0.5)
    assert smc(MODEL, guide, 5_000, seed=0).log_evidence == pytest.approx(evidence, abs=0.1)
    score = estimate(MODEL, guide, 2_000, seed=0)
    assert score.imagined_return.mean > score.true_return.mean


def test_refusals():
    guide = OptionGuide(MODEL, 2, seed=0)
    with pytest.raises(InvalidGuide, match=r"memory.*estimate\(model, guide\)"):
        tabulate(MODEL, guide)
    with pytest.raises(InvalidGuide, match=r"cannot be enumerated in parallel.*AuxiliaryELBO"):
        TraceEnum_ELBO().loss(MODEL, config_enumerate(guide))
    with pytest.raises(InvalidGuide, match=r"`latent_blocks\(\)`, such as an OptionGuide"):
        fit(MODEL, StationaryGuide(MODEL), AuxiliaryELBO())
    with pytest.raises(InvalidArgument, match="`num_options`"):
        OptionGuide(MODEL, 0)


@pytest.mark.parametrize("build", [*OPTIONS, LatentPolicyGuide])
def test_a_moved_guide_keeps_its_bound(build):
    guide = shaken(build(MODEL, seed=0))
    before = estimate_elbo(MODEL, guide, 4_000, seed=0)
    guide.float()
    after = estimate_elbo(guide.model, guide, 4_000, seed=0)
    assert after.mean == pytest.approx(before.mean, abs=5 * math.hypot(before.standard_error, after.standard_error))
    if build is not LatentPolicyGuide:
        assert auxiliary_elbo(guide.model, guide).dtype == torch.float32
    again = build(MODEL, seed=1)
    again.load_state_dict(guide.double().state_dict())


# The continuous latent variable.


def quadrature(model, guide, nodes=60):
    """Auxiliary bound and marginal ELBO of a guide with one Gaussian variable, by quadrature over it."""
    z, weight = (torch.from_numpy(each) for each in np.polynomial.hermite_e.hermegauss(nodes))
    log_weight = weight.log() - 0.5 * math.log(2 * math.pi)
    paths = list(oracles.paths(problem_of_model(model)))
    target = numbers(path.log_weight(float(model.temperature)) for path in paths)
    end, prior = model.mdp.num_states, model.action_prior
    logits = guide.policy_logits[..., None] + guide.latent_weights * z  # state, action, node
    policy = torch.log_softmax(prior.log()[..., None] + logits, 1)
    log_q, log_r = [], []
    for path in paths:
        steps = [(s, a) for s, a in zip(path.states, path.actions, strict=False) if s < end]
        others = math.log(path.probability) - sum(float(prior[s, a].log()) for s, a in steps)
        log_q.append(others + sum(policy[s, a] for s, a in steps))
        share = z.new_zeros(prior.numel() + 1)
        share[-1] = 1.0
        for s, a in steps:
            share[s * prior.shape[1] + a] += 1 / model.mdp.horizon
        mean, log_scale = share @ guide.reverse_mean, share @ guide.reverse_log_scale
        log_r.append(dist.Normal(mean, log_scale.exp()).log_prob(z))
    log_q, log_r = torch.stack(log_q), torch.stack(log_r)
    density = -0.5 * z.square() - 0.5 * math.log(2 * math.pi)
    together = (log_weight + log_q).exp()
    marginal = together.sum(-1)
    bound = (together * (target[:, None] + log_r - log_q - density)).sum()
    return bound, (marginal * (target - marginal.log())).sum()


@pytest.mark.parametrize("discount", [1.0, 0.8])
def test_the_bounds_of_a_latent_policy_by_quadrature(discount):
    model = TabularModel(random_mdp(seed=1, horizon=3, discount=discount), 0.7)
    guide = LatentPolicyGuide(model, seed=0)
    with torch.no_grad():
        for parameter in guide.parameters():
            parameter.add_(0.5 * torch.randn(parameter.shape, generator=seeded(1), dtype=torch.float64))
        bound, marginal = (float(each) for each in quadrature(model, guide))
        torch.manual_seed(0)
        draws = torch.tensor([-PARTICLES.loss(*with_reverse(model, guide)) for _ in range(10)])
    assert float(draws.mean()) == pytest.approx(bound, abs=5 * float(draws.std()) / 10**0.5)
    assert bound < marginal < oracles.enumerate_posterior(problem_of_model(model)).log_evidence


def test_a_latent_policy_is_fitted_by_sampling_and_beats_a_stationary_one():
    loss = Trace_ELBO(num_particles=200, vectorize_particles=True, max_plate_nesting=0)
    optim = PyroOptim(torch.optim.Adam, {"lr": 0.05})
    guide = fit(MODEL, LatentPolicyGuide(MODEL, seed=0), loss, optim, num_steps=400, seed=0).guide
    with torch.no_grad():
        bound, marginal = quadrature(MODEL, guide)
    stationary = fit(MODEL, StationaryGuide(MODEL)).elbo
    assert stationary - 0.02 < float(bound) <= float(marginal) < infer(MODEL, 0.0).objective


def test_the_verbs_of_sampling_use_the_auxiliary_bound_of_a_latent_policy():
    """log w = log p~ + log r − log q(τ, z); sequential Monte Carlo keeps z in each particle."""
    guide = shaken(LatentPolicyGuide(MODEL, seed=0), scale=0.3)  # with a narrow r the weights have no variance
    with torch.no_grad():
        bound, marginal = (float(each) for each in quadrature(MODEL, guide))
    evidence = oracles.enumerate_posterior(problem_of_model(MODEL)).log_evidence
    found = estimate(MODEL, guide, 20_000, seed=0)
    assert found.elbo.mean == pytest.approx(bound, abs=5 * found.elbo.standard_error)
    assert bound + 5 * found.elbo.standard_error < marginal
    assert found.delusion.mean == pytest.approx(0.0, abs=5 * found.delusion.standard_error)
    weights = (log_weights(MODEL, guide, 20_000, seed=0) - evidence).exp()
    assert float(weights.mean()) == pytest.approx(1.0, abs=5 * float(weights.std()) / 20_000**0.5)
    drawn = smc(MODEL, guide, 20_000, seed=0)
    assert drawn.log_evidence == pytest.approx(evidence, abs=0.1)
    assert drawn.trajectories.states.shape == (20_000, 4)
    np.testing.assert_allclose(
        drawn.marginals().state, infer(MODEL, Optimism(survival=1.0)).marginals().state, atol=0.1
    )
    with pytest.raises(InvalidGuide, match=r"LatentPolicyGuide draws auxiliary variables.*estimate\(model, guide\)"):
        tabulate(MODEL, guide)


def test_a_program_uses_the_reverse_model_of_its_guide():
    """With one Gaussian step all is known: the best r makes the log-weight exact, and without r the bound is looser."""

    def program():
        action = pyro.sample("action_0", dist.Normal(0.0, 1.0))
        pyro.factor("optimality_0", -(action**2) / 2)

    class Guide:
        def __call__(self):
            z = pyro.sample("z", dist.Normal(0.0, 0.5), infer={"is_auxiliary": True})
            pyro.sample("action_0", dist.Normal(z, 0.5))

    class Reversed(Guide):
        def reverse(self, values):
            pyro.sample("z", dist.Normal(values["action_0"] / 2, 0.5**1.5))

    exact = -0.5 * math.log(2)  # of ∫ N(a; 0, 1) exp(−a²/2); the guide's marginal is the posterior, N(0, 1/2)
    torch.testing.assert_close(log_weights(program, Reversed(), 100, seed=0), torch.full((100,), exact))
    assert estimate_elbo(program, Guide(), 2_000, seed=0).mean < exact - 0.1

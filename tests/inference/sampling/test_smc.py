"""Sequential Monte Carlo and improved guides, by enumeration of all random numbers and by sampling."""

import itertools
import math

import numpy as np
import oracles
import pyro
import pytest
import torch
from hypothesis import assume, given, settings
from problems import gamble, random_mdp
from pyro import poutine
from pyro.infer import Trace_ELBO, TraceEnum_ELBO
from strategies import laws, model_of, problem_of, problems

from pgm_control import (
    ClampedGuide,
    Estimate,
    FreeGuide,
    InvalidArgument,
    InvalidGuide,
    Optimism,
    TabularMDP,
    TabularModel,
    conditional_smc,
    estimate,
    evaluate,
    fit,
    infer,
    iwae_bound,
    smc,
)
from pgm_control.guides import ImportanceGuide, MixtureGuide, SMCGuide
from pgm_control.inference.sampling import particles as particles_module
from pgm_control.inference.sampling.log_weights import log_target
from pgm_control.inference.sampling.particles import run_smc, systematic
from pgm_control.inference.variational.elbo import values_to_go
from pgm_control.trajectories import process as process_module
from pgm_control.trajectories.clamped_process import ClampedProcess
from pgm_control.trajectories.process import MarkovProcess, log_probability, process_of
from pgm_control.trajectories.samples import Trajectories

pytestmark = pytest.mark.slow

FREE = Optimism(1.0, 1.0, 1.0)
MODEL = TabularModel(random_mdp(seed=1, horizon=3, discount=0.8).replace(final_reward=[0.5, -1.0, 2.0]), 0.7)
ALL_FORBIDDEN = TabularModel(TabularMDP([1.0], [[[1.0]]], [[[0]]], [[[-math.inf]]], horizon=3))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def moved(guide, seed=0, spread=1.0):
    """A guide with random parameters."""
    generator = seeded(seed)
    with torch.no_grad():
        for parameter in guide.parameters():
            parameter += spread * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
    return guide


def batch_of(paths):
    """Enumerated trajectories in the format of the library."""
    return Trajectories(*(torch.tensor([path[i] for path in paths]) for i in range(3)))


def within(estimated, exact):
    """Agreement within five standard errors."""
    assert 0 < estimated.standard_error < math.inf
    assert abs(estimated.mean - exact) <= 5 * estimated.standard_error, (str(estimated), exact)


def every_run(monkeypatch, run, pinned=False):
    """(probability, result) of a function for every sequence of random numbers that the library may draw.

    The draws are replaced by a sequence of choices. After each run, the last choice with an outcome left is changed,
    until none is left. Systematic resampling is constant in its uniform number between known points. With `pinned` the
    draws of particle 0, which are discarded, are not enumerated.
    """
    script, outcomes_left, probability = [], [], [1.0]
    position = [0]

    def choose(shares):
        depth = position[0]
        position[0] += 1
        possible = [i for i, share in enumerate(shares) if share > 0]
        if depth == len(script):
            script.append(0)
            outcomes_left.append(0)
        outcomes_left[depth] = len(possible) - 1 - script[depth]
        probability[0] *= shares[possible[script[depth]]]
        return possible[script[depth]]

    def draw(log_probability, generator):
        rows = log_probability.exp().tolist()
        kept = [int(np.argmax(rows.pop(0)))] if pinned else []
        return torch.tensor(kept + [choose(row) for row in rows])

    def rand(*shape, **kwargs):
        cuts = sorted({0.0, 1.0, *choose_cuts[0]})
        shares = [high - low for low, high in itertools.pairwise(cuts)]
        i = choose(shares)
        return torch.tensor([[(cuts[i] + cuts[i + 1]) / 2]], dtype=torch.float64)

    def multinomial(rows, size, replacement, generator):
        return torch.tensor([[0, *(choose(row) for _ in range(1, size))] for row in rows.tolist()])

    choose_cuts = [[]]
    original = particles_module.systematic

    def systematic(log_weight, generator):
        size = log_weight.shape[-1]
        cumulated = torch.softmax(log_weight[0], -1).cumsum(-1).tolist()
        choose_cuts[0] = [x for c in cumulated for i in range(size) if 0 < (x := c * size - i) < 1]
        return original(log_weight, generator)

    with monkeypatch.context() as patch:
        patch.setattr(process_module, "draw", draw)
        patch.setattr(particles_module, "draw", draw)
        patch.setattr(particles_module, "systematic", systematic)
        patch.setattr(torch, "rand", rand)
        patch.setattr(torch, "multinomial", multinomial)
        while True:
            position[0], probability[0] = 0, 1.0
            result = run()
            yield probability[0], result
            while script and outcomes_left[-1] == 0:
                script.pop()
                outcomes_left.pop()
            if not script:
                return
            script[-1] += 1


@laws
@given(problems())
def test_the_posterior_with_its_values_as_lookahead_has_equal_weights(problem):
    model = model_of(problem)
    posterior = infer(model, FREE)
    assume(posterior.value > -math.inf)
    found = smc(model, posterior, 7, seed=seeded(), lookahead=posterior.v / model.temperature)
    assert found.log_evidence == pytest.approx(posterior.log_evidence, abs=1e-9)
    np.testing.assert_allclose(found.effective_sample_size, 7.0, rtol=1e-9)
    np.testing.assert_allclose(found.log_weights, -math.log(7), atol=1e-9)


@settings(laws, max_examples=40)
@given(problems())
def test_no_result_is_nan_and_particles_of_weight_zero_keep_it(problem):
    model = model_of(problem)
    found = smc(model, model, 6, threshold=0.9, seed=seeded())
    assert not torch.isnan(found.log_weights).any()
    assert not math.isnan(found.log_evidence)
    assert ((found.effective_sample_size >= 0) & (found.effective_sample_size <= 6 + 1e-9)).all()
    targets = log_target(model, found.trajectories)
    assert (torch.isneginf(found.log_weights) | ~torch.isneginf(targets)).all()  # no weight on forbidden trajectories
    if infer(model, FREE).value == -math.inf:
        assert found.log_evidence == -math.inf
    states, actions, outcomes = found.trajectories  # the past of a resampled particle leads to its state
    arrived = model.mdp.successor[states[:, :-1].clamp(max=problem.ended - 1), actions, outcomes]
    followed = (states[:, 1:] == arrived) | (states[:, 1:] == problem.ended)
    assert followed.all()


def test_without_resampling_it_is_importance_sampling():
    guide = moved(ClampedGuide(MODEL))
    found = smc(MODEL, guide, 50, threshold=0.0, seed=seeded())
    process = process_of(MODEL, guide)
    weight = log_target(MODEL, found.trajectories) - log_probability(process, MODEL.mdp, found.trajectories).detach()
    assert found.log_evidence == pytest.approx(float(torch.logsumexp(weight, -1)) - math.log(50), abs=1e-9)
    np.testing.assert_allclose(found.log_weights, torch.log_softmax(weight, -1), atol=1e-9)
    assert not found.resampled.any()


def tiny(actions=1, outcomes=2, horizon=2):
    """A problem with two states and several likely trajectories."""
    rng = np.random.default_rng(3)
    shape = (2, actions, outcomes)
    mdp = TabularMDP(
        rng.dirichlet(np.ones(2)),
        rng.dirichlet(np.ones(outcomes), shape[:2]),
        rng.integers(2, size=shape),
        rng.normal(size=shape),
        horizon,
        final_reward=[0.0, 1.0],
    )
    return TabularModel(mdp, 1.5)


@pytest.mark.parametrize(("actions", "outcomes"), [(1, 2), (2, 1)])
@pytest.mark.parametrize("lookahead", [None, torch.tensor([[0.3, -0.4], [1.0, -0.2], [7.0, 7.0]], dtype=torch.float64)])
def test_the_expectation_of_the_evidence_is_exact_over_every_run(monkeypatch, actions, outcomes, lookahead):
    """For two particles and two steps, the sum over all random numbers is p(O) up to rounding."""
    model = tiny(actions, outcomes)
    guide = moved(FreeGuide(model))

    def run():
        found = smc(model, guide, 2, threshold=1.0, lookahead=lookahead)
        return math.exp(found.log_evidence), bool(found.resampled.any())

    total, mean, some = 0.0, 0.0, False
    for probability, (evidence, again) in every_run(monkeypatch, run):
        total, mean, some = total + probability, mean + probability * evidence, some or again
    assert some
    assert total == pytest.approx(1.0, abs=1e-12)
    assert mean == pytest.approx(math.exp(infer(model, 1.0).log_evidence), rel=1e-12)


@pytest.mark.parametrize(("particles", "horizon", "threshold"), [(2, 2, 0.0), (2, 2, 0.8), (2, 2, 1.0), (3, 1, 1.0)])
def test_a_step_of_particle_gibbs_leaves_the_posterior_invariant(monkeypatch, particles, horizon, threshold):
    """With a reference from the posterior, the result over all random numbers has the posterior distribution."""
    model = tiny(horizon=horizon)
    guide = moved(FreeGuide(model), seed=2)
    paths = list(oracles.paths(problem_of(model.mdp, model.temperature)))
    weight = np.exp([path.log_weight(model.temperature) for path in paths])
    posterior = weight / weight.sum()
    found = dict.fromkeys((path[:3] for path in paths), 0.0)

    def run():
        result = conditional_smc(model, guide, reference, particles, threshold=threshold)
        assert torch.equal(result.trajectories.states[0], reference.states[0])
        return result

    moves = 0.0
    for path, share in zip(paths, posterior, strict=True):
        reference = batch_of([path])
        for probability, result in every_run(monkeypatch, run, pinned=True):
            for kept, log_weight in enumerate(result.log_weights.tolist()):
                key = tuple(tuple(each[kept].tolist()) for each in result.trajectories)
                found[key] += share * probability * math.exp(log_weight)
                moves += share * probability * math.exp(log_weight) * (key != path[:3])
    np.testing.assert_allclose(list(found.values()), posterior, atol=1e-12)
    assert moves > 0.05


@pytest.mark.statistical
@pytest.mark.parametrize("form", ["clamped", "free", "mixture", "twisted", "optimistic"])
def test_the_evidence_is_unbiased(form):
    """40 000 runs of four particles, with a discount and a final reward."""
    guide = moved(FreeGuide(MODEL) if form == "free" else ClampedGuide(MODEL), spread=0.5)
    lookahead = None
    if form == "mixture":
        guide = MixtureGuide.apart(MODEL, ClampedGuide, 2, seed=seeded(3))
    elif form == "twisted":
        lookahead = values_to_go(MODEL, guide.blocks())[0]
    elif form == "optimistic":
        lookahead = infer(MODEL, FREE).v / MODEL.temperature
    process = process_of(MODEL, guide)
    runs = run_smc(MODEL, process, 4, 40_000, 0.8, seeded(), lookahead)
    found, exact = Estimate.of(runs.log_evidence.exp()), math.exp(infer(MODEL, FREE).log_evidence)
    within(found, exact)
    assert found.standard_error < 0.02 * exact
    assert bool(runs.resampled.any())
    assert not bool(runs.resampled.all())
    below = Estimate.of(runs.log_evidence)
    assert below.mean + 5 * below.standard_error < infer(MODEL, FREE).log_evidence


@pytest.mark.statistical
def test_particle_gibbs_keeps_the_marginals_of_the_posterior():
    """20 000 references from the posterior, with discount and final reward; one step of each; five standard errors."""
    exact, n = infer(MODEL, FREE), 20_000
    reference = exact.sample(n, seeded())
    guide = MixtureGuide.apart(MODEL, ClampedGuide, 2, seed=seeded(3))
    runs = run_smc(MODEL, process_of(MODEL, guide), 4, n, 0.8, seeded(1), None, reference)
    assert torch.equal(runs.states[:, 0], reference.states)
    one = torch.multinomial(torch.softmax(runs.log_weights, -1), 1, generator=seeded(2))
    kept = runs.states[torch.arange(n), one[:, 0]]
    assert float((kept != reference.states).any(-1).double().mean()) > 0.15
    seen = torch.nn.functional.one_hot(kept, 4).double().mean(0)[:, :3]
    error = (exact.marginals().state * (1 - exact.marginals().state) / n).sqrt()
    assert ((seen - exact.marginals().state).abs() <= 5 * error).all()


@pytest.mark.statistical
def test_weighted_marginals_approach_those_of_the_posterior():
    found, exact = smc(MODEL, infer(MODEL, 0.0), 100_000, seed=seeded()).marginals(), infer(MODEL, FREE)
    np.testing.assert_allclose(found.state, exact.marginals().state, atol=0.02)
    np.testing.assert_allclose(found.outcome, exact.marginals().outcome, atol=0.02)
    assert float(found.state[0].sum()) == pytest.approx(1.0)


def test_systematic_resampling_rounds_each_share_up_or_down():
    log_weight = torch.randn(500, 8, generator=seeded(), dtype=torch.float64) * 2
    log_weight[:, 3] = -math.inf
    chosen = systematic(log_weight, seeded())
    counts = torch.nn.functional.one_hot(chosen, 8).sum(1)
    due = 8 * torch.softmax(log_weight, -1)
    assert (counts >= due.floor()).all()
    assert (counts <= due.floor() + 1).all()
    assert (counts[:, 3] == 0).all()
    np.testing.assert_allclose(counts.double().mean(0), due.mean(0), atol=0.1)


def test_rounding_never_selects_a_particle_of_weight_zero(monkeypatch):
    """With a uniform number just below 1 in float32, the last position rounds to the total mass."""
    almost_one = 1 - 2.0**-24
    monkeypatch.setattr(torch, "rand", lambda *shape, **kwargs: torch.full(shape, almost_one, dtype=kwargs["dtype"]))
    for dead_at_the_end in (0, 1):
        log_weight = torch.tensor([[0.0, 0.0, 0.0, *[-math.inf] * dead_at_the_end]])
        assert int(systematic(log_weight, None).max()) == 2


class Remembering(ClampedProcess):
    """A process that stores the last state, and checks that the current state equals it."""

    def begin(self, state):
        return state[:, None].double()

    def log_policy(self, t, state, memory):
        assert ((memory[:, 0] == state) | (memory[:, 0] == self.prior.mdp.num_states)).all()
        return self.prior.log_policy[t, state]

    def remember(self, t, state, action, outcome, survives, memory):
        arrived = self.prior.mdp.successor[state, action, outcome]
        return torch.where(survives, arrived, self.prior.mdp.num_states)[:, None].double()


def test_the_memory_of_a_particle_follows_its_ancestors():
    found = smc(MODEL, Remembering(MODEL), 200, threshold=1.0, seed=seeded())
    assert found.resampled.any()


def test_if_all_particles_have_weight_zero_the_evidence_is_zero():
    for lookahead in (None, infer(ALL_FORBIDDEN, 1.0).v):
        found = smc(ALL_FORBIDDEN, ALL_FORBIDDEN, 5, threshold=1.0, lookahead=lookahead)
        assert found.log_evidence == -math.inf
        assert torch.isneginf(found.log_weights).all()
        assert found.effective_sample_size.tolist() == pytest.approx([5.0, 0.0, 0.0, 0.0])
        assert not torch.isnan(found.marginals().state).any()
        with pytest.raises(InvalidArgument, match="Raise `num_particles`, or propose with a guide that avoids it"):
            found.sample(1)


def test_a_lookahead_of_minus_infinity_excludes_nothing():
    """The ELBO to go of a guide that risks a forbidden outcome is −inf in states that the posterior visits."""
    mdp = gamble(horizon=2).replace(reward=[[[1.0, 0.0], [3.0, -math.inf]]])
    model = TabularModel(mdp)
    lookahead = values_to_go(model, model.blocks())[0]
    assert torch.isneginf(lookahead[:-1]).all()
    runs = run_smc(model, MarkovProcess(model.blocks()), 3, 20_000, 1.0, seeded(), lookahead)
    within(Estimate.of(runs.log_evidence.exp()), math.exp(infer(model, 1.0).log_evidence))


def test_results_are_data():
    found = smc(MODEL, ClampedGuide(MODEL), 10, threshold=0.9, seed=seeded())
    again = smc(MODEL, ClampedGuide(MODEL), 10, threshold=0.9, seed=seeded())
    assert found.to_dict() == again.to_dict()
    assert found.to_dict()["num_particles"] == 10
    assert "resampled" in str(found)
    assert f"log Ẑ = {found.log_evidence:.6f} nats" in repr(found)
    assert "ESS" in found._repr_html_()


# Improved guides


def exact_resampling(model, guide, particles):
    """Probabilities of sampling–importance–resampling and the importance-weighted bound, by enumeration of all sets."""
    paths = list(oracles.paths(problem_of(model.mdp, model.temperature)))
    log_q = MarkovProcess(guide.blocks()).log_probability(batch_of(paths)).detach().numpy()
    log_target_of = np.asarray([path.log_weight(model.temperature) for path in paths])
    weight, share, bound = np.exp(log_target_of - log_q), np.zeros(len(paths)), 0.0
    for chosen in itertools.product(range(len(paths)), repeat=particles):
        probability = math.exp(sum(log_q[i] for i in chosen))
        for i in chosen:
            share[i] += probability * weight[i] / sum(weight[j] for j in chosen)
        bound += probability * math.log(np.mean(weight[list(chosen)]))
    return paths, share, bound, float(share @ (log_target_of - np.log(share)))


@pytest.mark.statistical
def test_resampling_by_importance_agrees_with_its_definition():
    """The ELBO of the kept trajectory lies between bound and evidence; frequencies and returns are exact."""
    model = tiny(actions=2, horizon=1)
    guide = moved(ClampedGuide(model))
    paths, share, bound, elbo = exact_resampling(model, guide, 3)
    assert evaluate(model, guide).elbo < bound < elbo < infer(model, 1.0).log_evidence
    improved, n = ImportanceGuide(model, guide, 3), 20_000
    within(improved.bound(4000, seeded()), bound)
    within(improved.imagined_return(4000, seeded()), share @ [path.total for path in paths])
    drawn = improved.sample(n, seeded())
    seen = dict.fromkeys((path[:3] for path in paths), 0)
    for key in zip(*(map(tuple, each.tolist()) for each in drawn), strict=True):
        seen[key] += 1
    error = np.sqrt(share * (1 - share) / n)
    assert (np.abs(np.asarray(list(seen.values())) / n - share) <= 5 * error).all()
    state = np.zeros((2, 2))
    for path, each in zip(paths, share, strict=True):
        for t, s in enumerate(path.states):
            state[t, s] += each
    np.testing.assert_allclose(improved.marginals(n, seeded()).state, state, atol=0.015)


@pytest.mark.statistical
def test_bounds_are_ordered():
    """More particles are better, one particle equals the guide, and the bound equals `iwae_bound`."""
    guide = ClampedGuide(MODEL)
    within(ImportanceGuide(MODEL, guide, 1).bound(4000, seeded()), evaluate(MODEL, guide).elbo)
    within(SMCGuide(MODEL, guide, 1).bound(4000, seeded()), evaluate(MODEL, guide).elbo)
    for kind in (ImportanceGuide, SMCGuide):
        few, many = kind(MODEL, guide, 2).bound(4000, seeded()), kind(MODEL, guide, 50).bound(4000, seeded())
        assert few.mean + 5 * few.standard_error < many.mean
        assert many.mean < infer(MODEL, FREE).log_evidence
    one, other = ImportanceGuide(MODEL, guide, 5).bound(4000, seeded()), iwae_bound(MODEL, guide, 5, 4000, seeded(1))
    assert abs(one.mean - other.mean) < 5 * math.hypot(one.standard_error, other.standard_error)
    assert not ImportanceGuide(MODEL, guide, 5)._run(100, seeded()).resampled.any()
    assert SMCGuide(MODEL, guide, 5)._run(100, seeded()).resampled.any()
    assert not SMCGuide(MODEL, guide, 5, threshold=0.0)._run(100, seeded()).resampled.any()
    ahead = SMCGuide(MODEL, infer(MODEL, FREE), 3, lookahead=infer(MODEL, FREE).v / MODEL.temperature)
    assert ahead.bound(10).mean == pytest.approx(infer(MODEL, FREE).log_evidence, abs=1e-9)


def test_an_improved_guide_runs_at_the_models_sites():
    improved = SMCGuide(MODEL, ClampedGuide(MODEL), 20)
    with poutine.seed(rng_seed=0):
        trace = poutine.trace(improved).get_trace()
    played = poutine.trace(poutine.replay(MODEL, trace=trace)).get_trace()
    drawn = [name for name, node in trace.nodes.items() if node["type"] == "sample"]
    due = [name for name, node in played.nodes.items() if node["type"] == "sample" and not node["is_observed"]]
    assert drawn == due
    assert float(played.log_prob_sum()) > -math.inf


@pytest.mark.parametrize("kind", [ImportanceGuide, SMCGuide])
def test_the_elbo_of_an_improved_guide_is_refused(kind):
    improved = kind(MODEL, ClampedGuide(MODEL), 4)
    message = "cannot give its log-probability.*take its `bound"
    for loss in (Trace_ELBO(), TraceEnum_ELBO(), Trace_ELBO(num_particles=2)):
        with pytest.raises(ValueError, match=r"(?s)" + message):
            loss.loss(MODEL, improved)
    with pytest.raises(ValueError, match=r"(?s)" + message):
        fit(MODEL, improved, num_steps=1)
    with pytest.raises(InvalidGuide, match=message):
        estimate(MODEL, improved, 10)
    with pytest.raises(InvalidGuide, match="cannot be drawn in a plate"), pyro.plate("many", 2):
        improved()


def test_an_improved_guide_refuses_if_all_particles_have_weight_zero():
    improved = ImportanceGuide(ALL_FORBIDDEN, ALL_FORBIDDEN, 4)
    assert improved.bound(10) == Estimate(-math.inf, 0.0, 10)
    for call in (improved.sample, improved.marginals, improved.imagined_return):
        with pytest.raises(InvalidGuide, match=r"All 4 particles .*forbidden.*Raise `num_particles`"):
            call(2)


REFERENCE = infer(MODEL, FREE).sample(1, seeded())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: smc(MODEL, MODEL, 0), "`num_particles` must be a whole number, at least 1"),
        (lambda: smc(MODEL, MODEL, 2, threshold=1.5), "`threshold` must be a number from 0 to 1, but is 1.5"),
        (lambda: smc(TabularModel(gamble(), 0.0), MODEL, 2), "positive temperature"),
        (lambda: smc(MODEL, MODEL, 2, lookahead=torch.zeros(3, 3)), r"`lookahead` must have shape \(4, 3\)"),
        (lambda: smc(MODEL, MODEL, 2, lookahead=torch.full((4, 3), math.nan)), "finite or −inf"),
        (
            lambda: conditional_smc(MODEL, MODEL, infer(MODEL, 1.0).sample(2), 2),
            "must be one trajectory, but is a batch of 2",
        ),
        (
            lambda: conditional_smc(MODEL, MODEL, REFERENCE._replace(states=(REFERENCE.states + 1) % 3), 2),
            "must agree with its outcomes.*Take one from a run of smc",
        ),
        (
            lambda: conditional_smc(ALL_FORBIDDEN, ALL_FORBIDDEN, ALL_FORBIDDEN_PATH, 2),
            "must be possible, but has probability 0 under the model",
        ),
        (lambda: ImportanceGuide(MODEL, MODEL, 2).bound(1), "`num_samples` must be a whole number, at least 2"),
        (lambda: ImportanceGuide(MODEL, MODEL, 2).sample(0), "`num_samples` must be a whole number, at least 1"),
    ],
)
def test_errors_name_the_argument_and_the_remedy(wrong, message):
    with pytest.raises(InvalidArgument, match=message):
        wrong()


@pytest.mark.parametrize("run", [smc, ImportanceGuide])
def test_functions_that_are_no_tables_are_no_proposals(run):
    with pytest.raises(InvalidGuide, match="`action_0` is missing"):
        run(MODEL, lambda: None, 2)


ALL_FORBIDDEN_PATH = Trajectories(*(torch.zeros(1, n, dtype=torch.int64) for n in (4, 3, 3)))

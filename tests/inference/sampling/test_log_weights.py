"""Log-weights and the estimates from them, compared with enumeration and exact evaluation."""

import itertools
import math
import random

import numpy as np
import oracles
import pyro
import pyro.distributions as dist
import pytest
import torch
from hypothesis import assume, given, settings
from problems import gamble, random_mdp
from strategies import laws, model_of, problem_of, problems

from pgm_control import (
    ClampedGuide,
    Estimate,
    FreeGuide,
    InvalidArgument,
    InvalidGuide,
    Optimism,
    TabularModel,
    estimate,
    estimate_elbo,
    evaluate,
    infer,
    iwae_bound,
    log_weights,
)
from pgm_control.inference.sampling.log_weights import log_target, returns, traced
from pgm_control.trajectories.process import MarkovProcess, log_transition, policy_entropy, simulate, transitions
from pgm_control.trajectories.program import run_program
from pgm_control.trajectories.samples import Trajectories

pytestmark = pytest.mark.slow

FREE = Optimism(1.0, 1.0, 1.0)
MODEL = TabularModel(random_mdp(seed=1, horizon=3, discount=0.8).replace(final_reward=[0.5, -1.0, 2.0]), 0.7)


def batch_of(paths):
    """Enumerated trajectories in the format of the library."""
    return Trajectories(*(torch.tensor([path[i] for path in paths]) for i in range(3)))


def moved(guide, seed=0, spread=1.0):
    """A guide with random parameters."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in guide.parameters():
            parameter += spread * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
    return guide


def within(estimated, exact, errors=5.0):
    """Agreement within five standard errors: one false alarm in 1.7 million; seeds make the result reproducible."""
    assert 0 < estimated.standard_error < math.inf
    assert abs(estimated.mean - exact) <= errors * estimated.standard_error, (str(estimated), exact)


@laws
@given(problems())
def test_the_exact_posterior_has_constant_log_weight(problem):
    posterior = infer(model_of(problem), FREE)
    assume(posterior.value > -math.inf)
    found = log_weights(posterior.model, posterior, 50, torch.Generator().manual_seed(0))
    np.testing.assert_allclose(found, posterior.log_evidence, rtol=0, atol=1e-9)


@laws
@given(problems())
def test_targets_and_returns_agree_with_enumeration(problem):
    model, paths = model_of(problem), list(oracles.paths(problem))
    together = batch_of(paths)
    expected = [path.log_weight(problem.temperature) for path in paths]
    np.testing.assert_allclose(log_target(model, together), expected, atol=1e-9)
    np.testing.assert_allclose(returns(model.mdp, together), [path.total for path in paths], atol=1e-9)


@laws
@given(problems())
def test_densities_sum_to_one_and_are_products_of_their_factors(problem):
    """Computed for all times at once, step by step, and by plain products."""
    model, paths = model_of(problem), list(oracles.paths(problem))
    blocks = moved(FreeGuide(model)).blocks() if infer(model, 1.0).value > -math.inf else model.blocks()
    process, together = MarkovProcess(blocks), batch_of(paths)
    first = together.states[:, 0]
    stepwise = process.log_initial()[first]
    for transition in transitions(model.mdp, together):
        stepwise = stepwise + log_transition(process, model.mdp, transition, process.begin(first))
    initial, policy, dynamics = (getattr(blocks, f"log_{name}").detach() for name in ("initial", "policy", "dynamics"))

    def plain(path):
        value = float(initial[path.states[0]].exp())
        for t, (s, a, k) in enumerate(zip(path.states, path.actions, path.outcomes, strict=False)):
            if s != problem.ended:
                value *= float(policy[t, s, a].exp() * dynamics[t, s, a, k].exp())
                value *= problem.discount if path.states[t + 1] != problem.ended else 1 - problem.discount
        return value

    density = process.log_probability(together).detach().exp()
    np.testing.assert_allclose(density, [plain(path) for path in paths], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(stepwise.detach().exp(), density, rtol=1e-9, atol=1e-12)
    assert float(density.sum()) == pytest.approx(1.0, abs=1e-9)


@settings(laws, max_examples=20)
@given(problems())
def test_the_program_has_the_densities_of_the_tables(problem):
    posterior = infer(model_of(problem), 0.0)
    assume(posterior.value > -math.inf)
    with torch.no_grad():
        found = traced(posterior.model, posterior, 10, torch.Generator().manual_seed(0))
    process = MarkovProcess(posterior.blocks())
    np.testing.assert_allclose(process.log_probability(found.trajectories), found.log_probability, atol=1e-9)


def by_hand(guide):
    """The same guide, without its tables."""
    return lambda: guide()


@pytest.mark.statistical
@pytest.mark.parametrize("free", [False, True])
@pytest.mark.parametrize("form", [lambda guide: guide, by_hand])
def test_estimates_are_unbiased(free, form):
    guide = moved((FreeGuide if free else ClampedGuide)(MODEL))
    exact, n = evaluate(MODEL, guide), 20_000 if form is not by_hand else 300
    found = estimate(MODEL, form(guide), n, torch.Generator().manual_seed(0))
    for name in ("elbo", "imagined_return", "true_return", "delusion", "policy_entropy"):
        within(getattr(found, name), getattr(exact, name))
    within(estimate_elbo(MODEL, form(guide), n, torch.Generator().manual_seed(1)), exact.elbo)
    assert found.elbo.standard_error < (0.02 if n == 20_000 else 0.2)
    if free and n == 20_000:
        assert abs(found.delusion.mean) > 5 * found.delusion.standard_error


def test_true_outcomes_follow_the_model():
    """A free guide that believes in jackpots only earns .2 · 3 with its actions."""
    model = TabularModel(gamble(horizon=2), 0.2)
    posterior = infer(model, 1.0)
    for guide in (posterior, by_hand(posterior)):
        found = estimate(model, guide, 400, torch.Generator().manual_seed(0))
        within(found.true_return, evaluate(model, posterior).true_return)
        assert found.imagined_return.mean > 5.9
        assert found.delusion.mean > 4.0


def test_the_policy_entropy_is_that_of_every_choice():
    process = MarkovProcess(MODEL.blocks())
    drawn = simulate(process, MODEL.mdp, 100, torch.Generator().manual_seed(0))
    alive = (drawn.states[:, :-1] < 3).sum(-1)
    np.testing.assert_allclose(policy_entropy(process, MODEL.mdp, drawn), alive * math.log(2))


def test_forbidden_trajectories_have_weight_minus_infinity_and_no_nan():
    mdp = gamble().replace(reward=[[[1.0, 0.0], [3.0, -math.inf]]])
    model = TabularModel(mdp)
    found = estimate(model, TabularModel(mdp), 100, torch.Generator().manual_seed(0))
    assert found.elbo == Estimate(-math.inf, 0.0, 100)
    assert found.delusion.mean == 0.0
    assert "-inf ± 0" in str(found)
    assert iwae_bound(model, model, 1, 100).mean == -math.inf
    assert iwae_bound(model, model, 50, 100).mean > -math.inf


def exact_iwae(problem, guide, particles):
    """E log mean w by enumeration of all sets of trajectories."""
    paths = list(oracles.paths(problem))
    together = batch_of(paths)
    log_q = MarkovProcess(guide.blocks()).log_probability(together).detach().numpy()
    weight = np.exp(np.asarray([path.log_weight(problem.temperature) for path in paths]) - log_q)
    return sum(
        math.exp(sum(log_q[i] for i in chosen)) * math.log(np.mean(weight[list(chosen)]))
        for chosen in itertools.product(range(len(paths)), repeat=particles)
    )


@pytest.mark.statistical
def test_the_importance_weighted_bound_rises_from_the_elbo_to_the_evidence():
    mdp = random_mdp(seed=4, states=2, actions=2, outcomes=2, horizon=1)
    model, problem = TabularModel(mdp, 0.3), problem_of(mdp, 0.3)
    guide = moved(ClampedGuide(model))
    exact = [exact_iwae(problem, guide, k) for k in (1, 2, 3)]
    assert exact[0] == pytest.approx(evaluate(model, guide).elbo, abs=1e-9)
    assert exact[0] < exact[1] < exact[2] < infer(model, 1.0).log_evidence
    for k, expected in enumerate(exact, 1):
        within(iwae_bound(model, guide, k, 4000, torch.Generator().manual_seed(k)), expected)
    far = iwae_bound(model, guide, 20_000, 100, torch.Generator().manual_seed(0))
    within(far, infer(model, 1.0).log_evidence)
    assert far.standard_error < 0.02


def test_generators_determine_all_draws_and_leave_the_state_of_torch_alone():
    guide = moved(ClampedGuide(MODEL))
    before = torch.get_rng_state()
    for form in (guide, by_hand(guide)):
        one, other = (log_weights(MODEL, form, 5, torch.Generator().manual_seed(7)) for _ in range(2))
        assert torch.equal(one, other)
        assert not torch.equal(one, log_weights(MODEL, form, 5, torch.Generator().manual_seed(8)))
    assert torch.equal(before, torch.get_rng_state())


def test_estimates_are_printed_with_two_digits_of_their_error():
    assert str(Estimate(-1.23449, 0.01234, 10)) == "-1.234 ± 0.012"
    assert str(Estimate(12345.6, 78.9, 10)) == "12346 ± 79"
    assert str(Estimate(2.0, 0.0, 10)) == "2 ± 0"
    found = Estimate.of(torch.tensor([1.0, 2.0, 3.0, 6.0]))
    assert (found.mean, found.num_samples) == (3.0, 4)
    assert found.standard_error == pytest.approx(np.std([1, 2, 3, 6], ddof=1) / 2)


def test_scores_are_data():
    found = estimate(MODEL, ClampedGuide(MODEL), 10, torch.Generator().manual_seed(0))
    assert found.to_dict()["elbo"] == {
        "mean": found.elbo.mean,
        "standard_error": found.elbo.standard_error,
        "num_samples": 10,
    }
    assert [line.split("  ")[0].strip() for line in str(found).splitlines()][:2] == ["ELBO", "imagined return"]
    assert str(found.true_return) in found._repr_html_()


def incomplete():
    pyro.sample("state_0", dist.Categorical(logits=torch.zeros(3)))


def talkative():
    MODEL()
    pyro.sample("mood", dist.Bernoulli(0.5))


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (
            lambda: log_weights(MODEL, MODEL, 0),
            InvalidArgument,
            "`num_samples` must be a whole number, .*but is 0",
        ),
        (
            lambda: log_weights(MODEL, incomplete, 0),
            InvalidArgument,
            "`num_samples` must be a whole number, at least 1",
        ),
        (lambda: log_weights(MODEL, incomplete, 3), InvalidGuide, "`action_0` is missing.*check_guide says more"),
        (lambda: log_weights(MODEL, talkative, 3), InvalidGuide, "`mood` is extra"),
        (lambda: log_weights(TabularModel(gamble(), 0.0), MODEL, 3), InvalidArgument, "positive temperature"),
        (lambda: log_weights(MODEL, ClampedGuide(TabularModel(gamble())), 3), InvalidGuide, "from the same model"),
        (
            lambda: estimate(MODEL, MODEL, 1),
            InvalidArgument,
            "`num_samples` must be a whole number, at least 2, but is 1",
        ),
        (lambda: estimate_elbo(MODEL, MODEL, 1), InvalidArgument, "Use 1000, say"),
        (lambda: iwae_bound(MODEL, MODEL, 0), InvalidArgument, "`num_particles` must be a whole number, at least 1"),
    ],
)
def test_errors_name_the_argument_and_the_remedy(wrong, error, message):
    with pytest.raises(error, match=message):
        wrong()


def program_of(blocks, choose=lambda logits, state: logits):
    """A guide function for a problem without a discount; `choose` may change the logits of the actions."""

    def guide():
        logits = blocks.log_initial
        for t in range(blocks.mdp.horizon):
            state = pyro.sample(f"state_{t}", dist.Categorical(logits=logits))
            policy = choose(blocks.log_policy[t][state], state)
            action = pyro.sample(f"action_{t}", dist.Categorical(logits=policy))
            outcome = pyro.sample(f"outcome_{t}", dist.Categorical(logits=blocks.log_dynamics[t][state, action]))
            arrived = blocks.mdp.successor[state, action, outcome]
            logits = torch.where(torch.arange(blocks.mdp.num_states) == arrived, 0.0, -torch.inf)
        pyro.sample(f"state_{blocks.mdp.horizon}", dist.Categorical(logits=logits))

    return guide


def branching(logits, state):
    return logits.flip(-1) if int(state) == 0 else logits


def without_branch(logits, state):
    return torch.where(state == 0, logits.flip(-1), logits)


def over_the_batch(logits, state):
    """Right for one run; for a batch in a plate the sum would be over all runs."""
    return logits + (state == 0).sum() * (logits.flip(-1) - logits)


@pytest.mark.statistical
@pytest.mark.parametrize("choose", [branching, without_branch, over_the_batch])
def test_functions_are_estimated_right_whether_they_can_run_side_by_side_or_not(choose, monkeypatch):
    model = TabularModel(random_mdp(seed=2, horizon=3), 0.7)
    blocks = moved(ClampedGuide(model)).blocks()
    flipped = blocks.log_policy.clone()
    flipped[:, 0] = flipped[:, 0].flip(-1)
    exact = evaluate(model, blocks.replace(log_policy=flipped))
    found = estimate(model, program_of(blocks, choose), 400, seed=0)
    for name in ("elbo", "imagined_return", "true_return", "policy_entropy"):
        within(getattr(found, name), getattr(exact, name))


def test_a_function_without_branches_runs_once_for_all_draws():
    runs, blocks = [], moved(FreeGuide(MODEL)).blocks()

    def guide():
        runs.append(1)
        run_program(blocks)

    found = estimate_elbo(MODEL, guide, 2000, seed=0)
    within(found, evaluate(MODEL, blocks).elbo)
    assert len(runs) < 10


def test_parameters_of_the_store_do_not_prevent_a_batch_and_loops_say_so(caplog):
    runs = []

    def choose(logits, state):
        runs.append(1)
        return logits + pyro.param("bias", torch.tensor([0.0, 0.3]))

    model = TabularModel(random_mdp(seed=2, horizon=3), 0.7)
    one, other = (estimate_elbo(model, program_of(model.blocks(), choose), 100, seed=0) for _ in range(2))
    assert len(runs) < 60
    assert one == other, "whether the first call makes the parameters or not"
    assert not caplog.records
    pyro.clear_param_store()
    slow = program_of(model.blocks(), branching)
    slow.__name__ = "branches"
    estimate(model, slow, 10, seed=0)
    (record,) = caplog.records
    assert "branches is called 10 times. The reason: RuntimeError: " in record.getMessage()


@pytest.mark.parametrize("draw", [random.random, np.random.default_rng(0).random, np.random.random])
def test_random_numbers_from_elsewhere_differ_between_runs(draw):
    """A guide with an unrecorded coin: the log-weights of all draws must not share one throw."""
    model = TabularModel(gamble(), 1.0)
    blocks = model.blocks()
    runs = []

    def choose(logits, state):
        runs.append(1)
        return logits + torch.tensor([0.0, 3.0]) * (draw() < 0.5)

    actions = traced(model, program_of(blocks, choose), 400, None).trajectories.actions
    assert len(runs) >= 400
    assert 0.6 < float(actions.double().mean()) < 0.85  # (.5 + .953) / 2 = .726


def test_guides_of_the_wrong_signature_are_named():
    for guide, message in ((lambda state: None, "missing a required argument: 'state'"),):
        with pytest.raises(InvalidArgument, match=f"`guide` must be a function that can be called without .*{message}"):
            estimate_elbo(MODEL, guide, 2)

    with pytest.raises(InvalidGuide, match=r"`guide` must be a guide, or a Pyro program, .* but is 3"):
        estimate_elbo(MODEL, 3, 2)

    def wide():
        for kind, count in (("state", 4), ("action", 3), ("outcome", 3)):
            for t in range(count):
                pyro.sample(f"{kind}_{t}", dist.OneHotCategorical(logits=torch.zeros(3)))

    with pytest.raises(InvalidGuide, match=r"must draw one number at `state_0`, but draws a tensor of shape \(3,\)"):
        estimate_elbo(MODEL, wide, 2)

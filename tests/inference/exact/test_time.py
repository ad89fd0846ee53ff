"""Models that depend on time: equal to the same models with the time in the state, and to enumeration."""

import math

import pyro
import pytest
import torch
from problems import thinned
from pyro.infer import TraceEnum_ELBO, config_enumerate
from timed_models import FEATURES, A, K, S, T, log_factor, of_time, timed_model, trajectories, with_time_in_the_state

from pgm_control import (
    ClampedGuide,
    DialGuide,
    FreeGuide,
    InvalidArgument,
    InvalidProblem,
    LogisticOptimality,
    MarkovELBO,
    Optimism,
    Risk,
    TableOptimality,
    TabularMDP,
    TabularModel,
    evaluate,
    fit,
    infer,
    ledger,
    log_weights,
    objective,
    soft_values,
    tabulate,
)
from pgm_control.models import restaurant
from pgm_control.models.tabular import model_like
from pgm_control.trajectories.steps import temperature_at

BETAS = [-0.5, 0.0, 0.4, 1.0, Optimism(0.3, 1.0, 0.6)]
NEAR = {"rtol": 1e-12, "atol": 1e-12}


@pytest.mark.parametrize("beta", BETAS, ids=str)
@pytest.mark.parametrize("feature", FEATURES)
def test_exact_inference_is_that_of_the_time_in_the_state(feature, beta):
    for seed in range(3):
        model = timed_model(feature, seed)
        found, expected = infer(model, beta), infer(with_time_in_the_state(model), beta)
        assert found.objective == pytest.approx(expected.objective, abs=1e-12)
        taus = torch.tensor([temperature_at(model, t) for t in range(T + 1)], dtype=torch.float64)
        torch.testing.assert_close(found.v / taus[:, None], of_time(expected.v), **NEAR)
        torch.testing.assert_close(found.q / taus[:T, None, None], of_time(expected.q), **NEAR)
        torch.testing.assert_close(found.policy, of_time(expected.policy), **NEAR)
        torch.testing.assert_close(found.dynamics, of_time(expected.dynamics), **NEAR)
        torch.testing.assert_close(found.initial, expected.initial[:S], **NEAR)
        assert found.value == pytest.approx(found.objective * float(taus[0]), abs=1e-12)
        if isinstance(beta, Optimism):
            torch.testing.assert_close(found.blocks().survival, _survival(expected), **NEAR)
        assert objective(model, found, beta) == pytest.approx(found.objective, abs=1e-11)


def _survival(posterior):
    """That of arriving in (t + 1, s')."""
    table = posterior.blocks().survival
    return torch.stack([table[t, (t + 1) * S : (t + 2) * S] for t in range(T)])


@pytest.mark.parametrize("feature", [each for each in FEATURES if each not in ("discount", "all")])
def test_exact_inference_is_enumeration(feature):
    model = timed_model(feature, seed=4)
    total = sum(p * math.exp(gained) for p, gained, _ in trajectories(model))
    found = infer(model, 1.0)
    assert found.log_evidence == pytest.approx(math.log(total), abs=1e-12)
    visits = torch.zeros(T, S, A, K, dtype=torch.float64)
    for p, gained, path in trajectories(model):
        for t in range(T):
            visits[t, path[3 * t], path[3 * t + 1], path[3 * t + 2]] += p * math.exp(gained) / total
    torch.testing.assert_close(found.marginals().outcome, visits, **NEAR)
    both = (found.forward + found.v / _taus(model)[:, None]).logsumexp(-1)
    torch.testing.assert_close(both, torch.full_like(both, found.log_evidence), **NEAR)


def _taus(model):
    return torch.tensor([temperature_at(model, t) for t in range(T + 1)], dtype=torch.float64)


@pytest.mark.parametrize("feature", FEATURES)
def test_the_program_has_the_same_factors(feature):
    """Enumeration by Pyro of the model and a guide, and densities of samples, are those of the tables."""
    model = timed_model(feature, seed=2)
    guide = infer(model, 0.3)
    exact = MarkovELBO().loss(model, guide)
    enumerated = config_enumerate(guide, "parallel")
    assert TraceEnum_ELBO(max_plate_nesting=0).loss(model, enumerated) == pytest.approx(exact, abs=1e-9)
    free = infer(model, Optimism(1.0, 1.0, 1.0))
    torch.testing.assert_close(
        log_weights(model, free, 20, seed=0), torch.full((20,), free.log_evidence, dtype=torch.float64), **NEAR
    )
    trace = pyro.poutine.trace(model).get_trace()
    observed = [t for t in range(T + 1) if f"optimality_{t}" in trace]
    expected = [t for t in range(T + 1) if model.observed is None or bool(model.observed[t])]
    assert observed == expected


@pytest.mark.parametrize("optimism", [-0.5, 0.0, 0.4, 1.0], ids=str)
@pytest.mark.parametrize("feature", FEATURES)
def test_fits_reach_the_optimum(feature, optimism):
    model = timed_model(feature, seed=1)
    beta = Optimism(optimism, optimism)
    for method in ("exact", "natural_gradient"):
        guide = DialGuide(model, beta)
        fit(model, guide, method=method)
        assert objective(model, guide, beta) == pytest.approx(infer(model, beta).objective, abs=1e-6)


def test_gradients_of_the_elbo_are_those_of_the_time_in_the_state():
    for feature in FEATURES:
        model = timed_model(feature, seed=1)
        guide, generator = FreeGuide(model), torch.Generator().manual_seed(0)
        with torch.no_grad():
            for each in guide.parameters():
                each.add_(torch.randn(each.shape, generator=generator, dtype=torch.float64))
        MarkovELBO().loss_and_grads(model, guide)
        step = 1e-6
        for each in guide.parameters():
            at = (0,) * each.ndim
            with torch.no_grad():
                each[at] += step
                up = MarkovELBO().loss(model, guide)
                each[at] -= 2 * step
                down = MarkovELBO().loss(model, guide)
                each[at] += step
            assert float(each.grad[at]) == pytest.approx((up - down) / (2 * step), abs=1e-7)


@pytest.mark.parametrize("feature", FEATURES)
def test_the_ledger_adds_up(feature):
    model = timed_model(feature, seed=3)
    guide = infer(model, 0.0)
    found = ledger(model, guide)
    assert found.gap == pytest.approx(found.log_evidence - found.elbo, abs=1e-10)
    assert found.elbo == pytest.approx(-MarkovELBO().loss(model, guide), abs=1e-10)


@pytest.mark.parametrize("feature", [each for each in FEATURES if each not in ("discount", "all", "counts")])
def test_returns_are_sums_of_rewards(feature):
    """Whatever is observed, and whatever the likelihood of optimality."""
    model = timed_model(feature, seed=5)
    found, mdp = infer(model, 0.0), model.mdp
    blocks, total = tabulate(model, found), 0.0
    for p, _, path in trajectories(TabularModel(mdp)):
        prior = (1.0 / A) ** T
        weight, gained = p / prior, float(mdp.final_reward[path[-1]])
        for t in range(T):
            s, a, k = path[3 * t : 3 * t + 3]
            weight *= float(blocks.policy[t, s, a])
            gained += float(mdp.reward[t, s, a, k] if mdp.reward.ndim == 4 else mdp.reward[s, a, k])
        total += weight * gained
    score = evaluate(model, found)
    assert score.true_return == pytest.approx(total, abs=1e-12)
    assert score.imagined_return == pytest.approx(total, abs=1e-12)
    assert score.elbo == pytest.approx(-MarkovELBO().loss(model, found), abs=1e-10)


def test_a_risk_at_each_temperature():
    model = timed_model("temperature")
    found = infer(model, Optimism(dynamics=Risk(0.3), initial=Risk(0.3)))
    table = 0.3 * _taus(model)[:T, None, None]
    expected = infer(model, Optimism(dynamics=table, initial=0.3 * 0.5))
    assert infer(model, Risk(0.3)).objective == found.objective
    torch.testing.assert_close(found.q, expected.q, **NEAR)
    assert found.objective == pytest.approx(expected.objective, abs=1e-12)


@pytest.mark.parametrize("beta", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("feature", FEATURES)
def test_evidence_at_a_time(feature, beta):
    model = timed_model(feature, seed=6)
    start, ends = [0.2, 1.0, 0.5], [0.0] * (model.mdp.discount < 1)
    known = {"action_1": 0, "state_0": [*start, *ends], "action_2": [0.3, 0.9]}
    unrolled = with_time_in_the_state(model)
    wide = [*start, *[0.0] * (S * T), *ends]
    found = infer(model, beta, evidence=known)
    expected = infer(unrolled, beta, evidence={**known, "state_0": wide})
    assert found.objective == pytest.approx(expected.objective, abs=1e-12)
    torch.testing.assert_close(found.policy, of_time(expected.policy), **NEAR)


def test_a_step_that_was_not_optimal_under_the_logistic_likelihood():
    model = timed_model("logistic")
    found = infer(model, 1.0, evidence={"optimality_1": 0})
    total = 0.0
    for p, gained, path in trajectories(model):
        log_o = float(log_factor(model, 1)[path[3], path[4], path[5]])
        total += p * math.exp(gained - log_o) * (1.0 - math.exp(log_o))
    assert found.log_evidence == pytest.approx(math.log(total), abs=1e-12)


def test_constant_vectors_are_numbers():
    assert TabularModel(restaurant(), [2.0]).temperature == 2.0
    assert TabularModel(restaurant(), 2.0, observed=[True]).observed is None


def test_the_logistic_restaurant_by_a_sum_of_three_lines():
    mdp, sigma = restaurant(), torch.nn.functional.logsigmoid
    model = TabularModel(mdp, 1.0, optimality=LogisticOptimality())
    p, r = mdp.probability[0], mdp.reward[0]
    free = (p * sigma(r).exp()).sum(-1)
    clamped = (p * sigma(r)).sum(-1).exp()
    found = infer(model, 1.0)
    torch.testing.assert_close(found.policy[0, 0], free / free.sum(), **NEAR)
    assert found.log_evidence == pytest.approx(float((0.5 * free.sum()).log()), abs=1e-12)
    torch.testing.assert_close(infer(model, 0.0).policy[0, 0], clamped / clamped.sum(), **NEAR)
    guide = ClampedGuide(model)
    fit(model, guide, method="exact")
    assert evaluate(model, guide).true_return == pytest.approx(
        float((clamped / clamped.sum() * (p * r).sum(-1)).sum()), abs=1e-12
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temperature": [1.0, 2.0, 3.0]}, "`temperature` must be a number, or one for each of the 4 steps"),
        ({"temperature": [1.0, 0.0, 3.0, 1.0]}, "positive at each step"),
        ({"action_prior": torch.full((3, S, A), 0.5)}, "`action_prior` must have shape"),
        ({"observed": [True] * 3}, "`observed` must be one boolean for each of the 4 steps"),
        ({"observed": [1, 0, 1, 1]}, "`observed` must be one boolean"),
        ({"observed": "all"}, "`observed` must be an array"),
        ({"optimality": "logistic"}, "`optimality` must be a likelihood"),
        (
            {"optimality": TableOptimality(torch.zeros(2, S, A, K))},
            "`optimality` must have a log_likelihood of the shape",
        ),
        ({"optimality": LogisticOptimality(), "temperature": 0.0}, "`optimality` must be exponential"),
    ],
)
@pytest.mark.wrong_types
def test_bad_arguments_of_a_model(arguments, message):
    with pytest.raises(InvalidProblem, match=message):
        TabularModel(timed_model("tables").mdp, **arguments)


def test_bad_tables_of_a_problem():
    mdp = timed_model("tables").mdp
    tables = mdp.initial, mdp.probability, mdp.successor, mdp.reward
    with pytest.raises(InvalidProblem, match="`probability` must have one entry for each of the 5 actions"):
        TabularMDP(*tables, horizon=5)
    with pytest.raises(InvalidProblem, match="`reward` must have one entry for each of the 5"):
        TabularMDP(mdp.initial, mdp.probability[0], mdp.successor, mdp.reward, horizon=5)
    with pytest.raises(InvalidProblem, match="one entry for each of the 3"):
        mdp.replace(horizon=3)
    wrong = mdp.probability.clone()
    wrong[2, 1, 0] *= 2
    with pytest.raises(InvalidProblem, match=r"`probability\[2, 1, 0\]`"):
        TabularMDP(mdp.initial, wrong, mdp.successor, mdp.reward, T)


def test_evidence_on_a_variable_that_is_not_observed_is_refused():
    model = timed_model("observed")
    with pytest.raises(InvalidArgument, match="leaves optimality_1 out"):
        infer(model, 1.0, evidence={"optimality_1": 1})


@pytest.mark.parametrize(
    ("feature", "beta"),
    [
        pytest.param(feature, beta, marks=[pytest.mark.slow] * (beta in (-0.5, 1.0)))
        for feature, beta in thinned(FEATURES, (0.0, 0.4, -0.5, 1.0))
    ],
)
def test_differentiable_values(feature, beta):
    """They are those of `infer`, and their derivatives are those of finite differences, to the second order."""
    model = timed_model(feature, seed=7)
    mdp, found = model.mdp, infer(model, beta)
    values = soft_values(model, beta)
    torch.testing.assert_close(values.q, found.q, **NEAR)
    assert float(values.value) == pytest.approx(found.value, abs=1e-12)
    reward = torch.where(mdp.reward.isfinite(), mdp.reward, -3.0)
    logits = torch.where(mdp.probability > 0, mdp.probability, 0.2).log()
    inputs = [each.clone().requires_grad_() for each in (reward, mdp.final_reward, logits, mdp.initial.add(0.1).log())]
    prior = model.action_prior.clamp(min=0.1).requires_grad_()

    def objective_of(reward, last, logits, start, prior, beta):
        chances = {"probability": logits.softmax(-1), "initial": start.softmax(-1)}
        given = {"reward": reward, "final_reward": last, "action_prior": prior, **chances}
        return soft_values(model, beta, **given).objective

    optimism = torch.tensor(beta, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(objective_of, (*inputs, prior, optimism), atol=1e-6)
    assert torch.autograd.gradgradcheck(objective_of, (*inputs, prior, optimism), atol=1e-5, fast_mode=True)


@pytest.mark.parametrize("feature", FEATURES)
def test_batches_of_settings(feature):
    model = timed_model(feature, seed=8)
    mdp, betas = model.mdp, torch.tensor([-0.5, 0.0, 1.0], dtype=torch.float64)
    reward = torch.stack([mdp.reward, mdp.reward.clamp(min=-5) + 1, mdp.reward.clamp(min=-5) * 2])
    batch = soft_values(model, betas, reward=reward)
    for n in range(3):
        alone = soft_values(model, float(betas[n]), reward=reward[n])
        torch.testing.assert_close(batch.q[n], alone.q, **NEAR)
        assert float(batch.objective[n]) == pytest.approx(float(alone.objective), abs=1e-12)


def test_the_temperature_of_a_logistic_model_is_differentiable():
    model = TabularModel(restaurant(), 1.0, optimality=LogisticOptimality())
    tau = torch.tensor([0.7, 1.5], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda tau: soft_values(model, 0.4, temperature=tau).objective, (tau,))
    for n in range(2):
        other = TabularModel(restaurant(), float(tau.detach()[n]), optimality=LogisticOptimality())
        expected = infer(other, 0.4).objective
        assert float(soft_values(model, 0.4, temperature=tau.detach()).objective[n]) == pytest.approx(
            expected, abs=1e-12
        )


def test_soft_values_refuse_what_has_no_single_number():
    model = timed_model("temperature")
    with pytest.raises(InvalidArgument, match="`temperature` must be None"):
        soft_values(model, 0.0, temperature=1.0)
    with pytest.raises(InvalidArgument, match="`optimism` must be a number"):
        soft_values(model, Risk(0.1))


@pytest.mark.parametrize("beta", [0.0, 1.0])
@pytest.mark.parametrize("feature", FEATURES)
def test_compiled_loops_and_torch_agree(feature, beta, monkeypatch):
    """Also where values span more than the exponentials of one step can hold."""
    for scale in (1.0, 300.0):
        model = timed_model(feature, seed=9)
        model = model_like(model, model.mdp.replace(reward=scale * model.mdp.reward))
        compiled = infer(model, beta)
        with monkeypatch.context() as patch:
            patch.setenv("PGM_CONTROL_BACKEND", "torch")
            expected = infer(model, beta)
        torch.testing.assert_close(compiled.q, expected.q, rtol=1e-11, atol=1e-11)
        torch.testing.assert_close(compiled.policy, expected.policy, rtol=1e-9, atol=1e-11)
        torch.testing.assert_close(compiled.dynamics, expected.dynamics, rtol=1e-9, atol=1e-11)
        torch.testing.assert_close(compiled.blocks().survival, expected.blocks().survival)
        assert compiled.value == pytest.approx(expected.value, rel=1e-12)


def test_a_step_without_an_outcome_of_other_steps():
    """An outcome that is possible at other times, and would lead to a state that cannot go on."""
    doomed = torch.tensor([[[0.0, -torch.inf]], [[-torch.inf, -torch.inf]]])
    p = torch.tensor([[[[1.0, 0.0]], [[1.0, 0.0]]], [[[0.5, 0.5]], [[1.0, 0.0]]], [[[1.0, 0.0]], [[1.0, 0.0]]]])
    successor = torch.tensor([[[0, 1]], [[1, 1]]])
    mdp = TabularMDP([1.0, 0.0], p, successor, doomed, 3)
    for beta in (0.0, 0.3, 1.0):
        found = infer(TabularModel(mdp, [1.0, 2.0, 3.0]), beta)
        assert found.objective == pytest.approx(-math.inf if beta == 0 else math.log(0.5) / max(beta, 1e-9), abs=1e-6)


def test_a_reward_that_forbids_at_one_time_only():
    """A guide that takes the outcome then has an ELBO of −inf; one that takes it at other times has not."""
    model = timed_model("counts")
    mdp = model.mdp
    reward = torch.zeros_like(mdp.reward)
    reward[2, 1, 0] = -torch.inf
    free = mdp.replace(reward=reward, probability=torch.full_like(mdp.probability, 1 / K), initial=[0.0, 1.0, 0.0])
    model = TabularModel(free, 1.0)
    always, other = (torch.zeros(T, S, A, dtype=torch.float64) for _ in range(2))
    always[..., 0], other[..., 0] = 1.0, 1.0
    other[2] = torch.tensor([0.0, 1.0])
    for policy, is_possible in ((always, False), (other, True)):
        blocks = tabulate(model, policy)
        reached = float(blocks.marginals().state[2, 1])
        assert reached > 0
        assert math.isfinite(evaluate(model, policy).elbo) == is_possible
        assert math.isfinite(-MarkovELBO().loss(model, Fixed(blocks))) == is_possible
    guide = FreeGuide(model)
    assert bool(torch.isneginf(guide.blocks().log_dynamics[2, 1, 0]).any()) or evaluate(model, guide).elbo > -math.inf


def test_what_is_kept_notices_a_change_of_temperature_or_of_what_is_observed():
    model = timed_model("temperature")
    guide = Fixed(infer(model, 0.0).blocks())
    for change in ("replace", "in place", "observed"):
        MarkovELBO().loss(model, guide)  # keeps what it computed
        if change == "replace":
            model.temperature = 2.0 * model.temperature
        elif change == "in place":
            model.temperature *= 3.0
        else:
            model.observed = torch.tensor([True, False, True, True, True])
        observed = None if model.observed is None else model.observed
        anew = TabularModel(model.mdp, torch.as_tensor(model.temperature).clone(), observed=observed)
        assert MarkovELBO().loss(model, guide) == pytest.approx(MarkovELBO().loss(anew, guide), abs=1e-12)
        assert infer(model, 1.0).objective == pytest.approx(infer(anew, 1.0).objective, abs=1e-12)


class Fixed:
    """A guide of given factors."""

    def __init__(self, blocks):
        self.own = blocks

    def blocks(self):
        """The factors."""
        return self.own

    def __call__(self):
        """Not needed for an exact loss."""

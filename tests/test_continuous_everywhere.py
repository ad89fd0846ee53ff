"""Every public function that takes a model or a problem handles a linear-quadratic one, or refuses it by name."""

import inspect
import itertools
import re

import pyro.distributions as dist
import pytest
import torch
from linear_quadratics import scalar
from pyro.infer import Trace_ELBO

import pgm_control as pc
from pgm_control import exchange, inverse_rl, plot, testing
from pgm_control.models import deterministic_twin


def words(names):
    return names.split()


def model():
    return pc.LinearQuadraticModel(scalar(horizon=3, initial_covariance=0.5), 1.0, 1.0)


def other_ways(m):
    """The same numbers by estimates: pairs of an exact number and an estimate of it."""
    q = pc.infer(m, 0.5)
    exact, sampled = pc.evaluate(m, q), pc.estimate(m, q, 500, seed=0)
    yield exact.elbo, sampled.elbo
    yield exact.elbo, pc.estimate_elbo(m, q, 500, seed=1)
    yield exact.imagined_return, sampled.imagined_return
    yield exact.true_return, sampled.true_return
    yield exact.elbo, pc.Estimate.of(pc.log_weights(m, q, 500, seed=2))
    free = pc.infer(m, 1.0)
    yield free.log_evidence, pc.iwae_bound(m, free, 2, num_samples=5, seed=0)
    ran = [pc.smc(m, free, 50, seed=seed).log_evidence for seed in (0, 1)]
    yield free.log_evidence, pc.Estimate.of(torch.tensor(ran, dtype=torch.float64))
    yield pc.objective(m, q, 1.0), pc.estimate_elbo(m, q, 500, seed=3)
    moments = pc.return_moments(m, q)
    played = pc.rollout(pc.to_gymnasium(m), q, 400, seed=0)
    yield moments.mean, pc.Estimate(played.mean, played.standard_error, 400)
    yield pc.return_distribution(m, q).cvar(0.2), pc.return_distribution(m, q, num_samples=500, seed=4).cvar(0.2)
    yield moments.mean, pc.Estimate(pc.frontier(m, [0.5]).best.true_return, 0.0, 1)
    yield (
        pc.scorecard(m, {"q": q}).scores["q"].elbo,
        pc.scorecard(m, {"q": q}, num_samples=500, seed=5).scores["q"].elbo,
    )
    yield pc.diagnose(m, q, 50, losses={}, seed=0).elbo.mean, sampled.elbo
    scaled = pc.with_optimism(m, m, 0.5), pc.with_optimism(q, m, 0.5)
    losses = [-Trace_ELBO().loss(*scaled) for _ in range(200)]
    yield q.objective, pc.Estimate.of(torch.tensor(losses, dtype=torch.float64))


def test_what_is_handled_is_right():
    m = model()
    torch.manual_seed(0)
    for exact, estimated in other_ways(m):
        assert abs(estimated.mean - exact) <= 4.5 * estimated.standard_error + 1e-9, (exact, estimated)
    q = pc.infer(m, 0.5)
    assert pc.ledger(m, q).gap == pytest.approx(pc.infer(m, 1.0).log_evidence - pc.evaluate(m, q).elbo, abs=1e-10)
    assert pc.breakdown(m).neurotic.optimism < 0
    assert str(pc.explain(m))
    assert repr(pc.compare(m))
    assert len(pc.picture(pc.compare(m)).axes) == 5
    assert pc.render(m, {"q": q})
    bars = plot.ledger_bars(pc.ledger(m, q))
    assert sum(bar.get_width() for block in bars.containers for bar in block) == pytest.approx(pc.ledger(m, q).gap)
    testing.check_model(m, seed=0)
    testing.check_guide(m, q, seed=0)


HANDLED = words(
    "ClampedGaussianGuide FreeGaussianGuide GaussianDialGuide OpenLoopGaussianGuide ClampedNeuralGuide "
    "FreeNeuralGuide FlowGuide output_feedback OutputFeedback stationary_policy "
    "plot:gain_by_optimism plot:ledger_bars report return_distribution "
    "LinearQuadraticModel GaussianPosterior breakdown infer soft_values log_weights iwae_bound smc conditional_smc "
    "evaluate objective estimate estimate_elbo scorecard ledger diagnose frontier return_moments explain compare "
    "render rollout to_gymnasium with_optimism exchange:save exchange:to_xarray exchange:to_arviz testing:check_model "
    "testing:check_guide"
)

MODELS = {
    name: lambda m, name=name: getattr(pc, name)(m)
    for name in words(
        "FreeGuide ClampedGuide OpenLoopGuide StationaryGuide DeterministicGuide NeuralGuide MeanFieldGuide "
        "LowRankGuide WindowGuide FreeWindowGuide OptionGuide FreeOptionGuide LatentPolicyGuide SimulatedGuide "
        "freed_survival history_optimum ladder debias growth_rate learn_prior"
    )
} | {
    "DialGuide": lambda m: pc.DialGuide(m, 0.5),
    "skills": lambda m: pc.skills(m, 2),
    "empowerment": lambda m: pc.empowerment(m),
    "infer_planar": lambda m: pc.infer_planar(m, 0.5),
    "infer_line": lambda m: pc.infer_line(m, 0.5),
    "ilqg": lambda m: pc.ilqg(m, 0.5),
    "ViewGuide": lambda m: pc.ViewGuide(m, [0]),
    "MixtureGuide": lambda m: pc.MixtureGuide(m, [pc.infer(m, 0.0)]),
    "ImportanceGuide": lambda m: pc.ImportanceGuide(m, pc.infer(m, 0.0), 3),
    "SMCGuide": lambda m: pc.SMCGuide(m, pc.infer(m, 0.0), 3),
    "tabulate": lambda m: pc.tabulate(m, pc.infer(m, 0.0)),
    "renyi_bound": lambda m: pc.renyi_bound(m, pc.infer(m, 0.0), 0.5),
    "value_iteration": lambda m: pc.value_iteration(m, 0.0),
    "average_reward": lambda m: pc.average_reward(m, 0.0),
    "policy_evaluation": lambda m: pc.policy_evaluation(m, torch.ones(1, 1)),
    "stationary_distribution": lambda m: pc.stationary_distribution(m, torch.ones(1, 1)),
    "stationary_elbo": lambda m: pc.stationary_elbo(m, torch.zeros(1, 1)),
    "elbo_rate": lambda m: pc.elbo_rate(m, torch.zeros(1, 1)),
    "auxiliary_elbo": lambda m: pc.auxiliary_elbo(m, pc.infer(m, 0.0)),
    "critical_optimism": lambda m: pc.critical_optimism(m, 0, 0),
    "temperature_for": lambda m: pc.temperature_for(m, 0.0, share_of_best=0.9),
    "condition_on_return": lambda m: pc.condition_on_return(m, 1.0),
    "bench": lambda m: pc.bench({"x": m}),
    "explore": lambda m: pc.explore(m),
    "KLBudget": lambda m: pc.infer(m, pc.KLBudget(dynamics=0.1)),
    "evidence": lambda m: pc.infer(m, 1.0, evidence={"state_1": 0}),
    "frontier with a resolution": lambda m: pc.frontier(m, [0.0], resolution=0.2),
    "MarkovELBO": lambda m: pc.MarkovELBO().loss(m, pc.infer(m, 0.0)),
    "MarkovObjective": lambda m: pc.MarkovObjective(0.5).loss(m, pc.infer(m, 0.0)),
    "MarkovRenyi": lambda m: pc.MarkovRenyi(0.5).loss(m, pc.infer(m, 0.0)),
    "MixtureELBO": lambda m: pc.MixtureELBO().loss(m, pc.infer(m, 0.0)),
    "AuxiliaryELBO": lambda m: pc.AuxiliaryELBO().loss(m, pc.infer(m, 0.0)),
    "with_reverse": lambda m: pc.with_reverse(m, pc.infer(m, 0.0)),
    "fit of a posterior": lambda m: pc.fit(m, pc.infer(m, 0.0)),
    "member_returns": lambda m: pc.member_returns(m, pc.infer(m, 0.0)),
    "believed_weights": lambda m: pc.believed_weights(m, pc.infer(m, 0.0)),
    "plot:policy_maps": lambda m: plot.policy_maps(m),
    "plot:policy_map": lambda m: plot.policy_map(m, pc.infer(m, 0.0)),
    "plot:episode_maps": lambda m: plot.episode_maps(m),
    "plot:outcomes": lambda m: plot.outcomes(m),
    "plot:temperature_sweep": lambda m: plot.temperature_sweep(m),
    "plot:ledger_map": lambda m: plot.ledger_map(pc.ledger(m, pc.infer(m, 0.0))),
    "plot:value_heatmap": lambda m: plot.value_heatmap(pc.infer(m, 0.0)),
    "inverse_rl:inverse": lambda m: inverse_rl.inverse(m, None),  # pyright: ignore[reportCallIssue]
    "inverse_rl:reward_posterior": lambda m: inverse_rl.reward_posterior(m, None, prior=1.0),
    "inverse_rl:compare_demonstrators": lambda m: inverse_rl.compare_demonstrators(m, None, prior=1.0),
    "behaviour:behaviour_log_likelihood": lambda m: pc.behaviour.behaviour_log_likelihood({"x": m}, None, 0.0, 1.0),
    "behaviour:fit_people": lambda m: pc.behaviour.fit_people({"x": m}, None, pc.behaviour.PeoplePrior(1.0, 0.3)),
    "behaviour:simulate_people": lambda m: pc.behaviour.simulate_people({"x": m}, 0.0, 1.0, num_people=2),
}
PROBLEMS = {
    "TabularModel": lambda p: pc.TabularModel(p),
    "PartiallyObservedMDP": lambda p: pc.PartiallyObservedMDP(p, torch.eye(2)),
    "PartiallyObservedModel": lambda p: pc.PartiallyObservedModel(p),
    "PlanarModel": lambda p: pc.PlanarModel(p),
    "LineModel": lambda p: pc.LineModel(p),
    "Ensemble": lambda p: pc.Ensemble([p]),
    "TabularEnv": lambda p: pc.TabularEnv(p),
    "check_against_env": lambda p: pc.check_against_env(p, "FrozenLake-v1"),
    "explore": lambda p: pc.explore(p),
    "exchange:to_dense": lambda p: exchange.to_dense(p),
    "exchange:to_quantecon": lambda p: exchange.to_quantecon(p),
    "exchange:to_mdptoolbox": lambda p: exchange.to_mdptoolbox(p),
    "exchange:to_pymdp": lambda p: exchange.to_pymdp(p),
    "exchange:to_seals": lambda p: exchange.to_seals(p),
    "exchange:feasible_prior": lambda p: exchange.feasible_prior(p),
    "plot:plane_paths": lambda p: plot.plane_paths(p, {"a": torch.zeros(1, 1, 2)}),
    "plot:state_map": lambda p: plot.state_map(p, torch.ones(1), label="value"),
    "plot:layout_of": lambda p: plot.layout_of(p),
    "plot:has_layout": lambda p: plot.has_layout(p),
    "inverse_rl:TabularReward": lambda p: inverse_rl.TabularReward(p),
    "inverse_rl:LinearReward": lambda p: inverse_rl.LinearReward(p, torch.ones(1, 1)),
    "inverse_rl:NetworkReward": lambda p: inverse_rl.NetworkReward(p, torch.ones(1, 1), torch.nn.Linear(1, 1)),
    "inverse_rl:Demonstrations": lambda p: inverse_rl.Demonstrations.from_transitions(p, [0], [0]),
    "inverse_rl:from_episodes": lambda p: inverse_rl.from_episodes(p, []),
    "deterministic_twin": lambda p: deterministic_twin(p),
}
REFUSED = {**{f"{name}(model)": call for name, call in MODELS.items()},
           **{f"{name}(problem)": lambda m, call=call: call(m.problem) for name, call in PROBLEMS.items()}}  # fmt: skip


@pytest.mark.wrong_types
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_handled_is_refused_by_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((pc.InvalidArgument, pc.InvalidProblem, pc.InvalidGuide)) as refusal:
        REFUSED[name](model())
    assert "`" in str(refusal.value) or "needs a" in str(refusal.value)
    assert str(refusal.value).count(".") >= 1


RESULTS = words(  # made by functions of the library, with problems or models as fields
    "Blocks LatentBlocks SoftValues Posterior HistoryOptimum Remembered Ladder Debiased SMC Ledger LearnedPrior Skills "
    "Comparison Bench BenchRow ReturnConditioned ContinuousComparison ContinuousLedger exchange:Discretised "
    "GridPosterior"
)
OTHERS = words(  # base classes, functions of simulators, and statuses
    "ContinuousGuide GaussianGuide SimulatorModel MarkovGuide MemoryGuide LatentMarkovGuide ClampedProcess "
    "member_blocks fit plot:elbo_curves "
    "plot:recovered_reward_maps"
)


def test_every_function_is_in_a_list():
    known = {*HANDLED, *MODELS, *PROBLEMS, *RESULTS, *OTHERS}
    missing = []
    for package in ("", "exchange", "testing", "plot"):
        module = getattr(pc, package) if package else pc
        for name in module.__all__:
            public = getattr(module, name)
            if not callable(public) or name.endswith("Status"):
                continue
            try:
                arguments = list(inspect.signature(public).parameters)[:2]
            except (TypeError, ValueError):
                continue
            full = f"{package}:{name}" if package else name
            if {"model", "mdp", "problem"} & set(arguments) and full not in known:
                missing.append(full)
    assert not missing


@pytest.mark.parametrize("name", ["ClampedGaussianGuide", "FreeGaussianGuide", "OpenLoopGaussianGuide"])
def test_gaussian_guides_are_evaluated_in_closed_form(name):
    m = model()
    guide = getattr(pc, name)(m)
    account = pc.ledger(m, guide)
    assert account.gap == pytest.approx(pc.infer(m, 1.0).log_evidence - pc.evaluate(m, guide).elbo, abs=1e-9)
    assert pc.scorecard(m, {name: guide}).scores[name].elbo == pc.evaluate(m, guide).elbo
    sampled = pc.estimate(m, guide, 500, seed=0)
    for key in ("elbo", "imagined_return", "true_return"):
        each = getattr(sampled, key)
        assert abs(each.mean - getattr(pc.evaluate(m, guide), key)) <= 4.5 * each.standard_error + 1e-9


def vectors():
    zero = torch.zeros(2, dtype=torch.float64)
    prior = dist.Normal(zero, 1.0).to_event(1)
    return pc.ContinuousModel(
        prior, lambda t, s, a: dist.Normal(s + a, 0.3).to_event(1), lambda t, s, a, ahead: -(ahead**2).sum(-1), 2,
        1.0, prior,
    )  # fmt: skip


def plane():
    return pc.PlanarModel(pc.Planar(lambda s: -(s**2).sum(-1), 2, 0.3), 1.0, 0.5)


def line():
    return pc.LineModel(pc.Line(lambda s: -(s**2), 2, 0.3), 1.0, 0.5)


NEITHER = {  # what a model over vectors without an exact posterior refuses, and the remedy that it names
    "infer": (lambda m, q: pc.infer(m, 1.0), "ilqg(model) find a policy"),
    "explain": (lambda m, q: pc.explain(m), "ilqg(model) find a policy"),
    "compare": (lambda m, q: pc.compare(m), "estimate, scorecard, return_distribution, diagnose and smc sample"),
    "report": (lambda m, q: pc.report(m, path="report.html"), "scorecard"),
    "frontier": (lambda m, q: pc.frontier(m, [0.0]), "return_distribution"),
    "ledger": (lambda m, q: pc.ledger(m, q), "diagnose"),
    "evaluate": (lambda m, q: pc.evaluate(m, q), "estimate(model, guide) and return_distribution(model, guide) sample"),
    "objective": (lambda m, q: pc.objective(m, q, 1.0), "estimate(model, guide)"),
    "return_moments": (lambda m, q: pc.return_moments(m, q), "return_distribution"),
    "soft_values": (lambda m, q: pc.soft_values(m, 0.0), "ilqg(model)"),
    "breakdown": (lambda m, q: pc.breakdown(m), "infer(model, β)"),
    "stationary_policy": (lambda m, q: pc.stationary_policy(m, 0.0), "ilqg"),
    "save": (lambda m, q: exchange.save(m, "model.pt"), "not functions"),
}
SAMPLED = {
    "estimate": lambda m, q: pc.estimate(m, q, 200, seed=0).true_return,
    "scorecard": lambda m, q: pc.scorecard(m, {"q": q}, num_samples=200, seed=1).scores["q"].true_return,
    "return_distribution": lambda m, q: pc.return_distribution(m, q, num_samples=200, seed=2).mean,
    "rollout": lambda m, q: rolled(m, q),
}


def rolled(m, q):
    found = pc.rollout(pc.to_gymnasium(m), q, 200, seed=3)
    return pc.Estimate(found.mean, found.standard_error, 200)


@pytest.mark.wrong_types
@pytest.mark.parametrize("name", NEITHER)
def test_a_model_over_vectors_refuses_by_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call, remedy = NEITHER[name]
    m = vectors()
    with pytest.raises((pc.InvalidArgument, pc.InvalidGuide), match=re.escape(remedy)):
        call(m, pc.ClampedGaussianGuide(m))


@pytest.mark.parametrize("build", [vectors, plane])
def test_models_over_vectors_are_sampled(build):
    """All estimates are of the same number, each within its error."""
    m = build()
    q = pc.ClampedGaussianGuide(m)
    assert pc.render(m, {"q": q})
    assert pc.diagnose(m, q, 50, losses={}, seed=0)
    for one, other in itertools.pairwise(call(m, q) for call in SAMPLED.values()):
        assert abs(one.mean - other.mean) < 4.5 * (one.standard_error**2 + other.standard_error**2) ** 0.5


ON_A_MESH = {  # what a problem on a mesh refuses
    "evaluate of another guide": (lambda m, q: pc.evaluate(m, q), "estimate(model, guide)"),
    "ledger of another guide": (lambda m, q: pc.ledger(m, q), "estimate(model, guide).elbo.mean"),
    "evaluate in another world": (
        lambda m, q: pc.evaluate(m, pc.infer(m, 0.0), world=m),
        "rollout(to_gymnasium(world)",
    ),
    "return_moments": (lambda m, q: pc.return_moments(m, pc.infer(m, 0.0)), "return_distribution"),
    "soft_values": (lambda m, q: pc.soft_values(m, 0.0), "infer"),
    "breakdown": (lambda m, q: pc.breakdown(m), "OptimismBreakdown"),
    "frontier with a target": (lambda m, q: pc.frontier(m, [0.0], target=1.0), "return_distribution"),
}


@pytest.mark.wrong_types
@pytest.mark.parametrize("name", ON_A_MESH)
def test_a_problem_on_a_mesh_refuses_by_name(name):
    call, remedy = ON_A_MESH[name]
    for m in (plane(), line()):
        with pytest.raises((pc.InvalidArgument, pc.InvalidGuide), match=re.escape(remedy)):
            call(m, lambda: None)

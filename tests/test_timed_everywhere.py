"""Every public function that takes a model or a problem handles what depends on time, or refuses it by name."""

import itertools

import pytest
import torch
from problems import some
from pyro.infer import TraceEnum_ELBO, config_enumerate
from timed_models import A, S, T, timed_model, with_time_in_the_state

import pgm_control as pc
from pgm_control import exchange, inverse_rl, plot, testing
from pgm_control.models import deterministic_twin

KINDS = ("tables", "temperature", "prior", "observed", "logistic", "table")


def on_pairs(policy):
    """A policy (time, state, action) in the states t·S + s; uniform where the time does not fit."""
    found = torch.full((T, (T + 1) * S, A), 1.0 / A, dtype=torch.float64)
    for t in range(T):
        found[t, t * S : (t + 1) * S] = policy[t]
    return found


def with_rewards(model):
    """The problem over pairs t·S + s with the rewards themselves."""
    pairs, mdp = with_time_in_the_state(model).mdp, model.mdp
    reward, final = torch.zeros_like(pairs.probability), torch.zeros_like(pairs.initial)
    for t in range(T):
        reward[t * S : (t + 1) * S] = mdp.reward[t] if mdp.reward.ndim == 4 else mdp.reward
    final[T * S :] = mdp.final_reward
    return pairs.replace(reward=reward, final_reward=final)


def laid_out(model):
    """The model with its states in a row of a map."""
    made = pc.TabularModel(model.mdp.replace(layout=[(0, s) for s in range(S)], action_names=["left", "right"]))
    for name in ("temperature", "action_prior", "observed", "optimality"):
        setattr(made, name, getattr(model, name))
    return made


def nats(model):
    """The clamped optimum of the model with the time in the state, and a free one."""
    pairs = with_time_in_the_state(model)
    return pc.infer(pairs, 0.0), pc.infer(pairs, pc.Optimism(1.0, 1.0, 1.0))


# Each entry yields pairs of numbers that must be equal; some functions are only called.


def evaluations(model):
    clamped, free = pc.infer(model, 0.0), pc.infer(model, 1.0)
    world, pairs = pc.TabularModel(with_rewards(model)), with_time_in_the_state(model)
    for guide in (clamped, free):
        found = pc.evaluate(model, guide, world=model)
        yield found.true_return, pc.evaluate(world, on_pairs(guide.policy)).true_return
        yield found.elbo, pc.evaluate(pairs, pc.infer(pairs, guide.optimism)).elbo
        yield found.policy_kl, pc.evaluate(pairs, pc.infer(pairs, guide.optimism)).policy_kl
        yield found.dynamics_kl, pc.evaluate(pairs, pc.infer(pairs, guide.optimism)).dynamics_kl
        hard = pc.TabularModel(world.mdp, 0.0, pairs.action_prior)
        yield found.best_return, pc.infer(hard, 0.0).value


def ledgers(model):
    pairs = with_time_in_the_state(model)
    found = pc.ledger(model, pc.infer(model, 0.0))
    expected = pc.ledger(pairs, pc.infer(pairs, 0.0))
    yield from zip(found.totals, expected.totals, strict=True)
    for t in range(T):
        yield float(found.policy_by_step[t]), float(expected.policy_by_step[t])
        yield float(found.jensen[t].sum()), float(expected.jensen[t, t * S : (t + 1) * S].sum())


def diagnoses(model):
    pairs = with_time_in_the_state(model)
    guide = pc.ClampedGuide(model)
    pc.fit(model, guide, method="exact")
    found = pc.diagnose(model, guide, 25, losses={}, seed=0)
    yield found.log_evidence, pc.infer(pairs, pc.Optimism(1.0, 1.0, 1.0)).log_evidence
    yield found.gap, found.log_evidence - pc.infer(pairs, 0.0).objective
    yield found.optimisation_gap, 0.0
    assert "The fit has ended" in str(found)


def scorecards(model):
    pairs = with_time_in_the_state(model)
    found = pc.scorecard(model, {"free": pc.infer(model, 1.0)})
    expected = pc.scorecard(pairs, {"free": pc.infer(pairs, 1.0)})
    yield found.log_evidence, expected.log_evidence
    yield found.scores["free"].elbo, expected.scores["free"].elbo
    assert str(found)
    assert found._repr_html_()


def frontiers(model):
    found = pc.frontier(model, [0.0, 0.5, 1.0], cvar_level=0.3)
    for point in found.points:
        policy = on_pairs(pc.infer(model, point.optimism).policy)
        expected = pc.return_distribution(with_rewards(model), policy)
        yield point.true_return, expected.mean
        yield point.cvar, expected.cvar(0.3)


def distributions(model):
    guide = pc.infer(model, 0.5)
    found, expected = (
        pc.return_distribution(model, guide),
        pc.return_distribution(with_rewards(model), on_pairs(guide.policy)),
    )
    yield from zip(found.values.tolist(), expected.values.tolist(), strict=True)
    yield from zip(found.probability.tolist(), expected.probability.tolist(), strict=True)
    moments = pc.return_moments(model, guide)
    yield moments.mean, expected.mean
    yield moments.variance, expected.variance


def bounds(model):
    clamped, free = nats(model)
    guide = pc.infer(model, 0.0)
    yield pc.renyi_bound(model, guide, 0.5), pc.renyi_bound(with_time_in_the_state(model), clamped, 0.5)
    exact = pc.infer(model, 1.0)
    yield float(pc.iwae_bound(model, exact, 3, seed=0).mean), free.objective
    yield pc.estimate(model, exact, num_samples=5, seed=0).elbo.mean, free.objective
    yield pc.estimate_elbo(model, exact, num_samples=5, seed=0).mean, free.objective
    assert abs(pc.smc(model, pc.infer(model, 1.0), 200, seed=0).log_evidence - free.objective) < 0.5


def debiased(model):
    found = pc.debias(model)
    clamped = pc.infer(model, 0.0)
    again = pc.infer(found.model, 1.0)
    yield again.log_evidence, clamped.objective
    folded = found.folded(again)
    yield from zip(folded.log_policy.exp().flatten().tolist(), clamped.policy.flatten().tolist(), strict=True)
    assert str(found)


def objectives(model):
    clamped, _ = nats(model)
    exact = pc.infer(model, 0.5)
    pairs = with_time_in_the_state(model)
    yield pc.objective(model, exact), pc.infer(pairs, 0.5).objective
    yield pc.soft_values(model, 0.5).objective.item(), pc.infer(pairs, 0.5).objective
    yield -pc.MarkovELBO().loss(model, pc.infer(model, 0.0)), clamped.objective
    yield -pc.MarkovObjective(0.5).loss(model, exact), pc.infer(pairs, 0.5).objective
    guide = pc.DialGuide(model, 0.5)
    pc.fit(model, guide, method="exact")
    scaled = pc.with_optimism(model, model, 0.5), pc.with_optimism(config_enumerate(guide, "parallel"), model, 0.5)
    yield -TraceEnum_ELBO(max_plate_nesting=0).loss(*scaled), pc.infer(pairs, 0.5).objective


def explained(model):
    assert pc.explain(model).sentences
    assert repr(pc.compare(model, num_steps=3, seed=0))
    flips = []
    for t, state in itertools.product(range(T), range(S)):
        low, high = (pc.infer(model, beta).policy[t, state].argmax() for beta in (0.0, 1.0))
        if low != high:
            flips.append((t, state))
    pairs = with_time_in_the_state(model)
    for t, state in flips:
        found, expected = pc.critical_optimism(model, state, t), pc.critical_optimism(pairs, t * S + state, t)
        yield float(found), pytest.approx(float(expected), abs=1e-6)


def files(model, tmp_path):
    exchange.save(model, tmp_path / "model")
    again = exchange.load(tmp_path / "model")
    yield pc.infer(again, 0.5).objective, pc.infer(model, 0.5).objective
    exact = pc.infer(model, 0.5)
    exchange.save(exact, tmp_path / "posterior")
    yield exchange.load(tmp_path / "posterior").objective, exact.objective
    narrow = pc.infer(model.to(dtype=torch.float32), 0.5).objective
    yield narrow, pytest.approx(exact.objective, abs=1e-4)
    exchange.to_xarray(model.mdp)
    exchange.to_xarray(exact)


def environments(model):
    env = pc.to_gymnasium(model.mdp, observe_time=True)
    read = pc.TabularMDP.from_gymnasium(env, horizon=T)
    hard = pc.infer(pc.TabularModel(read, 0.0), 0.0)
    yield hard.value, pc.infer(pc.TabularModel(with_rewards(model), 0.0), 0.0).value
    plain, total = pc.to_gymnasium(model.mdp), 0.0
    plain.reset(seed=0)
    for t in range(T):
        s = plain.state
        _, reward, *_, info = plain.step(0)
        k = info["outcome"]
        table = model.mdp.reward[t] if model.mdp.reward.ndim == 4 else model.mdp.reward
        last = float(model.mdp.final_reward[plain.state]) if t == T - 1 else 0.0
        yield reward, float(table[s, 0, k]) + last
        total += reward


def laws(model):
    testing.check_model(model, seed=0)
    testing.check_guide(model, pc.FreeGuide(model), seed=0)
    testing.check_guide(model, pc.ClampedGuide(model), seed=0)
    yield from ()


def every_guide(model):
    best = pc.infer(model, pc.Optimism(1.0, 1.0, 1.0)).objective
    every = {name: entry.build(model) for name, entry in pc.guide_zoo().items()}
    every |= {"view": pc.ViewGuide(model, [0, 1, 1]), "smc": pc.SMCGuide(model, pc.ClampedGuide(model), 3)}
    every |= {"importance": pc.ImportanceGuide(model, pc.ClampedGuide(model), 3)}
    for name, guide in every.items():
        if isinstance(guide, pc.HasBlocks):
            exact = pc.evaluate(model, guide).elbo
            assert exact <= best + 1e-9, name
            enumerated = config_enumerate(guide, "parallel")
            yield -TraceEnum_ELBO(max_plate_nesting=0).loss(model, enumerated), exact
        else:
            guide()
    for name in ("open_loop", "stationary", "mean_field", "low_rank", "deterministic"):
        way = "exact" if name == "deterministic" else "svi"
        fitted = pc.fit(model, every[name], num_steps=40, method=way, seed=0)
        assert fitted.elbo >= fitted.elbo_history[0] - 1e-9, name


def latent_guides(model):
    """The same parameters with the time in the state give the same auxiliary bound."""
    pairs = with_time_in_the_state(model)
    for build in (pc.OptionGuide, pc.FreeOptionGuide):
        guide, other = build(model, seed=0), build(pairs, seed=0)
        other.load_state_dict({name: torch.cat([each] * (T + 1)) for name, each in guide.state_dict().items()})
        yield pc.auxiliary_elbo(model, guide).item(), pc.auxiliary_elbo(pairs, other).item()
    assert pc.estimate_elbo(model, pc.LatentPolicyGuide(model, seed=0), 2, seed=0).mean < torch.inf


def pictures(model, tmp_path):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    drawn = laid_out(model)
    free = pc.infer(drawn, 1.0)
    plot.policy_maps(drawn)
    plot.policy_map(drawn, free)
    plot.state_map(drawn.mdp, free.v[0].numpy(), label="value")
    plot.episode_maps(drawn, seed=0)
    assert plot.has_layout(drawn.mdp)
    plot.outcomes(drawn)
    for each in (plot.value_heatmap, plot.q_heatmap, plot.policy_heatmap, plot.occupancy_heatmap, plot.message_heatmap):
        each(free)
    account = pc.ledger(drawn, pc.infer(drawn, 0.0))
    for each in (plot.ledger_over_time, plot.ledger_map, plot.ledger_bars):
        each(account)
    plot.dial_sweep(pc.frontier(drawn, [0.0, 1.0]))
    fitted = pc.compare(drawn, num_steps=3, seed=0)
    plot.elbo_curves(drawn, fitted.fits)
    pc.picture(fitted, tmp_path / "picture.png")
    pc.report(drawn, path=tmp_path / "report.html")
    assert pc.render(drawn)
    pyplot.close("all")
    assert drawn._repr_html_()
    assert free._repr_html_()
    assert repr(free)
    yield from ()


HANDLED = (
    evaluations, ledgers, diagnoses, scorecards, frontiers, distributions, bounds, debiased, objectives, explained,
    files, environments, laws, every_guide, latent_guides, pictures,
)  # fmt: skip


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        pytest.param(function, kind, marks=[pytest.mark.slow] * (function is pictures and kind not in KINDS[:2]))
        for function in HANDLED
        for kind in (*KINDS[:2], *(some(KINDS[2:]) if function is pictures else KINDS[2:]))
    ],
    ids=lambda each: each if isinstance(each, str) else each.__name__,
)
def test_what_is_handled_is_equal_to_the_time_in_the_state(function, kind, tmp_path):
    model = timed_model(kind, seed=1)
    extra = (tmp_path,) if function in (files, pictures) else ()
    for found, expected in function(model, *extra):
        approximately = expected if not isinstance(expected, float | int) else pytest.approx(expected, abs=1e-9)
        assert found == approximately


def behaviour(demonstrator, model):
    return demonstrator.behaviour(model, model.mdp.reward, model.mdp.final_reward, 1.0)


REFUSED_MODELS = {
    "ladder": lambda model: pc.ladder(model),
    "skills": lambda model: pc.skills(model, 2),
    "condition_on_return": lambda model: pc.condition_on_return(model, 1.0),
    "temperature_for": lambda model: pc.temperature_for(model, 0.0, share_of_best=0.9),
    "temperature_sweep": lambda model: plot.temperature_sweep(model),
    "value_iteration": lambda model: pc.value_iteration(model, 0.0),
    "average_reward": lambda model: pc.average_reward(model, 0.0),
    "growth_rate": lambda model: pc.growth_rate(model),
    "freed_survival": lambda model: pc.freed_survival(model),
    "policy_evaluation": lambda model: pc.policy_evaluation(model, torch.full((S, A), 0.5)),
    "stationary_distribution": lambda model: pc.stationary_distribution(model, torch.full((S, A), 0.5)),
    "inverse": lambda model: inverse_rl.inverse(model, None),  # pyright: ignore[reportCallIssue]
    "compare_demonstrators": lambda model: inverse_rl.compare_demonstrators(model, None, prior=1.0),
    "reward_posterior": lambda model: inverse_rl.reward_posterior(model, None, prior=1.0),
    "clamped demonstrator": lambda model: behaviour(inverse_rl.ClampedDemonstrator(), model),
    "Boltzmann demonstrator": lambda model: behaviour(inverse_rl.BoltzmannDemonstrator(), model),
    "behaviour_log_likelihood": lambda model: pc.behaviour.behaviour_log_likelihood({"x": model}, None, 0.0, 1.0),
    "fit_people": lambda model: pc.behaviour.fit_people({"x": model}, None, pc.behaviour.PeoplePrior(1.0, 0.3)),
    "simulate_people": lambda model: pc.behaviour.simulate_people({"x": model}, 0.0, 1.0, num_people=2),
    "to_arviz": lambda model: exchange.to_arviz(model.blocks().sample(8, seed=0), model),
    "KLBudget": lambda model: pc.infer(model, pc.KLBudget(dynamics=0.1)),
    "explore": lambda model: pc.explore(model),
}
REFUSED_PROBLEMS = {
    "to_dense": lambda mdp: exchange.to_dense(mdp),
    "to_quantecon": lambda mdp: exchange.to_quantecon(mdp),
    "to_mdptoolbox": lambda mdp: exchange.to_mdptoolbox(mdp),
    "to_pymdp": lambda mdp: exchange.to_pymdp(mdp),
    "to_seals": lambda mdp: exchange.to_seals(mdp),
    "feasible_prior": lambda mdp: exchange.feasible_prior(mdp),
    "PartiallyObservedMDP": lambda mdp: pc.PartiallyObservedMDP(mdp, torch.eye(S)),
    "Ensemble": lambda mdp: pc.Ensemble([mdp]),
    "check_against_env": lambda mdp: pc.check_against_env(mdp, "FrozenLake-v1"),
    "deterministic_twin": lambda mdp: deterministic_twin(mdp),
    "TabularReward": lambda mdp: inverse_rl.TabularReward(mdp),
    "LinearReward": lambda mdp: inverse_rl.LinearReward(mdp, torch.ones(S, 1)),
    "Demonstrations": lambda mdp: inverse_rl.Demonstrations.from_transitions(mdp, [0], [0]),
    "explore": lambda mdp: pc.explore(mdp),
}


@pytest.mark.wrong_types  # None in place of data
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", REFUSED_MODELS)
def test_what_is_not_handled_is_refused_by_name(name, kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((pc.InvalidArgument, pc.InvalidProblem), match=r"depends? on time|leaves some|likelihood exp"):
        REFUSED_MODELS[name](timed_model(kind, seed=1))


@pytest.mark.wrong_types  # an id in place of an environment
@pytest.mark.parametrize("name", REFUSED_PROBLEMS)
def test_problems_that_depend_on_time_are_refused_by_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((pc.InvalidArgument, pc.InvalidProblem), match="depend on time"):
        REFUSED_PROBLEMS[name](timed_model("tables").mdp)

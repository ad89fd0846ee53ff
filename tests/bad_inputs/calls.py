"""A valid call of every public function of `pgm_control` itself, with small arguments."""

import inspect
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import gymnasium
import linear_gaussian
import numpy as np
import pyro.distributions as dist
import torch
from gymnasium.spaces import Discrete
from problems import random_mdp

import pgm_control as pgm
from pgm_control import (
    PartiallyObservedModel,
    TabularModel,
    behaviour,
    exchange,
    guides,
    infer,
    inverse_rl,
    learners,
    models,
    planners,
    plot,
    testing,
)
from pgm_control.models.continuous import ContinuousModel

PACKAGES: dict[str, ModuleType] = {
    "": pgm,
    "models": models,
    "guides": guides,
    "learners": learners,
    "planners": planners,
    "inverse_rl": inverse_rl,
    "behaviour": behaviour,
    "plot": plot,
    "exchange": exchange,
    "testing": testing,
}


class Call(NamedTuple):
    """A function with valid arguments.

    Attributes:
        function: the function, class or method.
        arguments: makes valid arguments, anew for each call where they would change.
        skipped: arguments that are not replaced, such as a file object.
        anything: arguments that may be any object.
        drawn: arguments with numbers that are only drawn: nan is a gap, and a gradient does no harm.
        slow: whether a call takes more than some milliseconds.
        differentiable: arguments with a graph that is kept.
    """

    function: Callable[..., Any]
    arguments: Callable[[], dict[str, Any]]
    skipped: frozenset[str] = frozenset()
    anything: frozenset[str] = frozenset()
    drawn: frozenset[str] = frozenset()
    slow: bool = False
    differentiable: frozenset[str] = frozenset()


CALLS: dict[str, Call] = {}


def _still(state: torch.Tensor) -> torch.Tensor:
    """A reward of the plane."""
    return -(state**2).sum(-1)


def add(
    name: str,
    arguments: Callable[[], dict[str, Any]],
    *,
    skipped: str = "",
    anything: str = "",
    drawn: str = "",
    slow: bool = False,
    differentiable: str = "",
) -> None:
    package, _, path = name.partition(" of ")[0].rpartition(":")
    function: Any = PACKAGES[package]
    for part in path.split("."):
        function = getattr(function, part)
    skips, accepts, draws, keeps = (frozenset(each.split()) for each in (skipped, anything, drawn, differentiable))
    CALLS[name] = Call(function, arguments, skips, accepts, draws, slow, keeps)


def add_method(name: str, owner: Callable[[], Any], arguments: Callable[[], dict[str, Any]], **more: Any) -> None:
    def function(*args: Any, **kwargs: Any) -> Any:
        return getattr(owner(), name.rpartition(".")[2])(*args, **kwargs)

    package, _, path = name.rpartition(":")
    kind, method = path.split(".")
    signature = inspect.signature(getattr(getattr(PACKAGES[package], kind), method))
    function.__signature__ = signature.replace(parameters=list(signature.parameters.values())[1:])  # pyright: ignore[reportFunctionMemberAccess]
    more = {key: frozenset(each.split()) if isinstance(each, str) else each for key, each in more.items()}
    CALLS[name] = Call(function, arguments, **more)


def drift(t: int, state: Any, action: Any) -> Any:
    """Dynamics over vectors."""
    return dist.Normal(state + action, 0.5).to_event(1)


def measured(x: float) -> dict[str, float]:
    """A function for a sweep."""
    return {"twice": 2 * x}


mdp = cache(lambda: random_mdp(0, states=3, actions=2, outcomes=3, horizon=2))
model = cache(lambda: TabularModel(mdp()))
regulator = cache(
    lambda: pgm.LinearQuadraticModel(pgm.LinearQuadratic(0.9, 0.5, 0.3, np.eye(2), horizon=2, initial_mean=1.0))
)
swing = cache(
    lambda: ContinuousModel(
        dist.Normal(torch.ones(1), 1.0).to_event(1),
        lambda t, s, a: dist.Normal(s.sin() + a, 1.0).to_event(1),
        lambda t, s, a, ahead: -(ahead**2).sum(-1),
        2,
        action_prior=dist.Normal(torch.zeros(1), 1.0).to_event(1),
    )
)
posterior = cache(lambda: infer(model(), 1.0))
clamped = cache(lambda: infer(model(), 0.0))
vector = cache(lambda: dist.Normal(torch.zeros(1, dtype=torch.float64), 1.0).to_event(1))
drifting = cache(
    lambda: pgm.ContinuousModel(vector(), drift, lambda t, s, a, ahead: -s.square().sum(-1), 2, action_prior=vector())
)
pomdp = cache(lambda: models.tiger(horizon=2))
remembered = cache(lambda: pgm.remember(pomdp()))
ensemble = cache(lambda: pgm.Ensemble([random_mdp(0), random_mdp(1)]))
joint = cache(lambda: infer(TabularModel(ensemble().joint()), 1.0))
grid = cache(lambda: TabularModel(models.frozen_lake(horizon=3)))
factored = cache(lambda: models.windy_bridge_in_parts(horizon=2))
prior = cache(lambda: np.full((3, 2), 0.5))
dense = cache(lambda: exchange.to_dense(mdp(), merge=True))
drawn = cache(lambda: posterior().sample(4, seed=0))
demonstrations = cache(lambda: inverse_rl.Demonstrations.from_trajectories(mdp(), drawn()))
found = cache(lambda: inverse_rl.inverse(model(), demonstrations(), prior=1.0, num_steps=2))
account = cache(lambda: pgm.ledger(model(), clamped()))
returns = cache(lambda: pgm.return_distribution(model(), clamped()))
frontier = cache(lambda: pgm.frontier(model(), [0.0, 1.0]))
fitted = cache(lambda: pgm.fit(model(), pgm.ClampedGuide(model()), num_steps=2))
comparison = cache(lambda: pgm.compare(model(), num_steps=2))
folder = cache(lambda: Path(tempfile.mkdtemp()))
lake = cache(lambda: models.environment_id("risky_path"))
small = {"hidden": (4,), "batch_size": 4, "capacity": 50, "learning_starts": 5, "seed": 0}
learner = cache(lambda: learners.SAC(lake(), **small))
learned = cache(lambda: learner().learn(10))


def ring(start: int, stop: int) -> tuple[np.ndarray, ...]:
    """The tables of states on a ring of four: each action goes to one side, and slips to the other."""
    states = np.arange(start, stop)[:, None, None]
    successor = (states + np.array([[1, -1], [-1, 1]])) % 4
    return np.broadcast_to([0.9, 0.1], successor.shape), successor, np.broadcast_to(states == 2, successor.shape) * 1.0


def tables() -> dict[str, Any]:
    """The arguments of `TabularMDP`, as arrays of numpy."""
    names = ("initial", "probability", "successor", "reward")
    return {**{name: getattr(mdp(), name).numpy() for name in names}, "horizon": 2}


def square(name: str) -> np.ndarray:
    """A table of dense arrays, anew."""
    return getattr(dense(), name).copy()


def hall() -> dict[str, Any]:
    """The arguments of `from_transitions`, which need no prior."""
    data = ([0, 0, 1, 1], [0, 1, 0, 1], [1, 0, 2, 0], [1.0, 0.5, 2.0, 0.0], [False, False, True, False])
    return {"data": tuple(map(np.array, data)), "pseudocount": 0.0, "horizon": 2, "initial": np.array([1.0, 0.0, 0.0])}


# Problems
add("TabularMDP", tables, differentiable="initial probability reward final_reward")
add(
    "TabularMDP.from_dense",
    lambda: {n: square(n) for n in ("initial", "transition", "reward")} | {"horizon": 2},
    differentiable="initial transition reward",
)
add("TabularMDP.from_gymnasium", lambda: {"env": gymnasium.make("FrozenLake-v1"), "horizon": 2})
add("TabularMDP.from_transitions", lambda: {**hall(), "unseen_reward": 0.0, "num_states": 3, "num_actions": 2})
add_method("TabularMDP.to", mdp, lambda: {"device": "cpu", "dtype": torch.float64})
add(
    "mdp_from_blocks",
    lambda: {
        "blocks": [tuple(tables()[n] for n in ("probability", "successor", "reward"))],
        "num_states": 3,
        "num_actions": 2,
        "num_outcomes": 3,
        "horizon": 2,
    },
)
add(
    "FactoredMDP", lambda: {n: getattr(factored(), n) for n in ("initial", "factors", "successor", "reward", "horizon")}
)
add("Ensemble", lambda: {"members": [random_mdp(0), random_mdp(1)], "weights": np.array([0.5, 0.5])})
add("Ensemble.from_transitions", lambda: {**hall(), "num_samples": 2, "seed": 0})
add("PartiallyObservedMDP", lambda: {"mdp": mdp(), "observation": np.full((3, 2), 0.5)})
add("remember", lambda: {"pomdp": pomdp(), "window": 1})
add_method("Remembered.view", remembered, lambda: {"window": 1})
add_method("Remembered.action_prior", remembered, lambda: {"action_prior": np.full(3, 1 / 3)})
add(
    "TabularModel",
    lambda: {"mdp": mdp(), "temperature": 1.0, "action_prior": prior(), "optimality": pgm.LogisticOptimality()},
    differentiable="action_prior",
)
add(
    "models:TabularModel",
    lambda: {
        "mdp": mdp(),
        "temperature": [1.0, 0.5],
        "action_prior": np.full((2, 3, 2), 0.5),
        "observed": [True, False],
        "optimality": pgm.TableOptimality(np.full((2, 3, 2, 3), -1.0)),
    },
    differentiable="action_prior",
)
add("TableOptimality", lambda: {"log_likelihood": np.full((3, 2, 3), -1.0), "final": np.zeros(3)})
add("PartiallyObservedModel", lambda: {"problem": pomdp(), "temperature": 1.0, "action_prior": np.full(3, 1 / 3)})
plane = cache(lambda: pgm.PlanarModel(pgm.Planar(_still, 2, 0.3), 1.0, 0.5))
line = cache(lambda: pgm.LineModel(pgm.Line(torch.zeros_like, 2, 0.3), 1.0, 0.5))
on_plane = cache(lambda: pgm.infer_planar(plane(), 1.0))
add("Planar", lambda: {"reward": _still, "horizon": 2, "noise_covariance": 0.3, "initial_mean": [0.0, 1.0]})
add("Line", lambda: {"reward": torch.zeros_like, "horizon": 2, "noise": 0.3})
add("PlanarModel", lambda: {"problem": plane().problem, "temperature": 1.0, "action_prior": 0.5})
add("LineModel", lambda: {"problem": line().problem, "temperature": 1.0, "action_prior": 0.5})
add("infer_planar", lambda: {"model": plane(), "optimism": 0.5})
add("infer_line", lambda: {"model": line(), "optimism": 0.5})
add_method("GridPosterior.policy", on_plane, lambda: {"t": 0, "state": torch.zeros(2)})
add_method("GridPosterior.sample", on_plane, lambda: {"num_samples": 2, "seed": 0})
add("TabularEnv", lambda: {"mdp": mdp()})
add("to_gymnasium", lambda: {"mdp": mdp()})
add(
    "check_against_env", lambda: {"mdp": mdp(), "env": pgm.to_gymnasium(mdp()), "total_steps": 20, "seed": 0}, slow=True
)
add("SimulatorModel", lambda: {"env": lake(), "horizon": 2, "num_envs": 1, "seed": 0}, slow=True)
add("Factors", lambda: {"names": ("a",), "sizes": (3,)}, skipped="names sizes")

# Guides
for _name in ("FreeGuide", "ClampedGuide", "OpenLoopGuide", "StationaryGuide", "DeterministicGuide", "MeanFieldGuide"):
    add(_name, lambda: {"model": model()})
for _name in ("ClampedGaussianGuide", "FreeGaussianGuide", "OpenLoopGaussianGuide"):
    add(_name, lambda: {"model": regulator()})
add("GaussianDialGuide", lambda: {"model": regulator(), "optimism": 0.5})
add("GaussianELBO", lambda: {"optimism": 0.5})
add("ilqg", lambda: {"model": swing(), "optimism": 0.5, "step_size": 0.5, "num_steps": 2, "tolerance": 0.1}, slow=True)
add("DialGuide", lambda: {"model": model(), "optimism": 0.5})
add("ViewGuide", lambda: {"model": model(), "view": np.array([0, 0, 1])})
add("NeuralGuide", lambda: {"model": model(), "hidden": (4,)}, anything="network")
add("LowRankGuide", lambda: {"model": model(), "rank": 1})
add("MixtureGuide", lambda: {"model": model(), "guides": [pgm.ClampedGuide(model()), pgm.ClampedGuide(model())]})
add("OptionGuide", lambda: {"model": model(), "num_options": 2, "spread": 0.5, "seed": 0})
add("FreeOptionGuide", lambda: {"model": model(), "num_options": 2, "spread": 0.5, "seed": 0})
add("LatentPolicyGuide", lambda: {"model": model(), "latent_dim": 1, "spread": 0.5, "seed": 0})
add("auxiliary_elbo", lambda: {"model": model(), "guide": pgm.OptionGuide(model(), seed=0)})
add("best_reverse", lambda: {"guide": pgm.OptionGuide(model(), seed=0)})
add("with_reverse", lambda: {"model": model(), "guide": pgm.OptionGuide(model(), seed=0)}, anything="model")
add("Risk", lambda: {"theta": 0.1})
add("KLBudget", lambda: {"dynamics": 0.1, "per": "event", "adversarial": True})
add("temperature_for", lambda: {"model": model(), "optimism": 0.0, "share_of_best": 0.5})
add("learn_prior", lambda: {"model": model(), "max_steps": 2})
add("skills", lambda: {"model": model(), "num_skills": 2, "max_steps": 2, "starts": 1, "seed": 0})
add("SkillDiscriminator", lambda: {"space": Discrete(16), "num_skills": 2, "hidden": (4,), "capacity": 50, "seed": 0})
add(
    "SkillEnv",
    lambda: {
        "env": gymnasium.make("FrozenLake-v1"),
        "discriminator": pgm.SkillDiscriminator(Discrete(16), 2, capacity=50, seed=0),
    },
)
add("empowerment", lambda: {"model": model(), "horizon": 1, "states": [0]})
add("MixtureELBO", lambda: {"num_particles": 2})
add("WindowGuide", lambda: {"model": PartiallyObservedModel(pomdp()), "window": 1})
add("FreeWindowGuide", lambda: {"model": PartiallyObservedModel(pomdp()), "window": 1})
add("ImportanceGuide", lambda: {"model": model(), "guide": clamped(), "num_particles": 2})
add("SMCGuide", lambda: {"model": model(), "guide": clamped(), "num_particles": 2})
add(
    "SimulatedGuide",
    lambda: {"model": models.SimulatorModel(lake(), horizon=2, num_envs=1, seed=0), "hidden": (4,)},
    slow=True,
)
add(
    "ContinuousModel",
    lambda: {
        "start": vector(),
        "dynamics": drift,
        "reward": lambda t, s, a, ahead: -ahead.square().sum(-1),
        "horizon": 2,
        "temperature": 1.0,
        "action_prior": vector(),
        "final_reward": lambda s: -s.square().sum(-1),
    },
)
add_method("ContinuousModel.with_prior", drifting, lambda: {"guide": pgm.ClampedNeuralGuide(drifting(), hidden=(4,))})
add("ClampedNeuralGuide", lambda: {"model": drifting(), "family": "gaussian", "hidden": (4,), "free_member": False})
add("FreeNeuralGuide", lambda: {"model": drifting(), "family": "gaussian", "hidden": (4,)})
add("FlowGuide", lambda: {"model": drifting(), "free": False, "hidden": (4,)})
add("OnePassELBO", lambda: {"num_particles": 2, "optimism": 1.0})
add(
    "learn_dynamics",
    lambda: {
        "states": np.arange(20.0)[:, None],
        "actions": np.ones((20, 1)),
        "next_states": np.arange(1.0, 21.0)[:, None],
        "ensemble_size": 1,
        "hidden": (4,),
        "num_epochs": 2,
        "learning_rate": 0.01,
        "batch_size": 10,
        "held_out": 0.1,
        "patience": 2,
        "seed": 0,
    },
)
add("guide_entry", lambda: {"name": "free"})
add("GuideEntry", lambda: {"name": "mine", "build": pgm.FreeGuide, "summary": "words"}, anything="build")
add("tabulate", lambda: {"model": model(), "guide": clamped()})
add_method("Blocks.sample", clamped().blocks, lambda: {"num_samples": 2, "seed": 0})
add_method("Blocks.to", clamped().blocks, lambda: {"device": "cpu"})
add_method("Posterior.sample", clamped, lambda: {"num_samples": 2, "seed": 0})
add_method("Posterior.at", clamped, lambda: {"t": 0})
add_method("Posterior.to", clamped, lambda: {"device": "cpu"})

# Inference
add("infer", lambda: {"model": model(), "optimism": 1.0})
add(
    "soft_values",
    lambda: {
        "model": model(),
        "optimism": 1.0,
        "reward": mdp().reward,
        "final_reward": torch.zeros(3, dtype=torch.float64),
        "temperature": 1.0,
        "action_prior": model().action_prior,
    },
    anything="reward final_reward action_prior temperature optimism",
)
add("Optimism", lambda: {"dynamics": 1.0, "initial": 1.0, "survival": 0.0})
add("freed_survival", lambda: {"model": TabularModel(mdp().replace(discount=0.5))})
add("renyi_bound", lambda: {"model": model(), "guide": clamped(), "order": 0.5})
add("history_optimum", lambda: {"model": PartiallyObservedModel(pomdp())})
add("ladder", lambda: {"model": model(), "max_nodes": 10})
add("debias", lambda: {"model": model()})
add(
    "value_iteration",
    lambda: {
        "model": TabularModel(mdp().replace(discount=0.5)),
        "optimism": 1.0,
        "initial_value": np.zeros(3),
        "max_sweeps": 50,
    },
    skipped="num_threads",
)
add(
    "policy_evaluation",
    lambda: {"model": TabularModel(mdp().replace(discount=0.5)), "policy": prior(), "max_sweeps": 50},
    skipped="num_threads",
)
add(
    "value_iteration_blocks",
    lambda: {
        "block": ring,
        "num_states": 4,
        "num_actions": 2,
        "num_outcomes": 2,
        "temperature": 0.5,
        "optimism": 1.0,
        "discount": 0.5,
        "action_prior": np.array([0.5, 0.5]),
        "num_blocks": 2,
        "max_sweeps": 50,
    },
)
add(
    "policy_evaluation_blocks",
    lambda: {
        "block": ring,
        "num_states": 4,
        "num_actions": 2,
        "num_outcomes": 2,
        "policy": lambda start, stop: np.full((stop - start, 2), 0.5),
        "temperature": 0.5,
        "discount": 0.5,
        "num_blocks": 2,
        "max_sweeps": 50,
    },
)
add("stationary_distribution", lambda: {"model": model(), "policy": prior(), "max_sweeps": 50})
add("average_reward", lambda: {"model": model(), "optimism": 1.0, "max_sweeps": 50}, skipped="num_threads")
add("growth_rate", lambda: {"model": model(), "max_sweeps": 50})
for name, discount in (("stationary_elbo", 0.5), ("elbo_rate", 1.0)):
    add(
        name,
        lambda discount=discount: {
            "model": TabularModel(mdp().replace(discount=discount)),
            "log_policy": model().action_prior.log(),
            "log_dynamics": torch.zeros_like(mdp().probability),
        },
    )
add("fit", lambda: {"model": model(), "guide": pgm.ClampedGuide(model()), "num_steps": 2, "seed": 0}, slow=True)
add_method("Fit.save", fitted, lambda: {"path": folder() / "fit.pt"})
add("MarkovObjective", lambda: {"optimism": 0.5})
add("MarkovRenyi", lambda: {"order": 0.5})
add("with_optimism", lambda: {"program": clamped(), "model": model(), "optimism": 0.5}, anything="program")
add("PrintEvery", lambda: {"every": 1}, skipped="file")
add("ProgressBar", lambda: {"total": 1, "label": "x"})
add("log_weights", lambda: {"model": model(), "guide": clamped(), "num_samples": 2, "seed": 0})
add("iwae_bound", lambda: {"model": model(), "guide": clamped(), "num_particles": 2, "num_samples": 2, "seed": 0})
add("smc", lambda: {"model": model(), "guide": clamped(), "num_particles": 2, "seed": 0})
add(
    "conditional_smc",
    lambda: {
        "model": model(),
        "guide": clamped(),
        "reference": clamped().sample(1, seed=0),
        "num_particles": 2,
        "seed": 0,
    },
)
add("estimate", lambda: {"model": model(), "guide": clamped(), "num_samples": 2, "seed": 0})
add("estimate_elbo", lambda: {"model": model(), "guide": clamped(), "num_samples": 2, "seed": 0})

program, hand = linear_gaussian.program, cache(lambda: linear_gaussian.optimal_guide(0.0))
pair = {"model": program, "guide": hand(), "seed": 0}
add("log_weights of a program", lambda: {**pair, "num_samples": 2})
add("estimate of a program", lambda: {**pair, "num_samples": 2})
add("iwae_bound of a program", lambda: {**pair, "num_samples": 2, "num_particles": 2})
add("smc of a program", lambda: {**pair, "num_particles": 2})
add(
    "conditional_smc of a program",
    lambda: {**pair, "reference": pgm.smc(program, hand(), 2, seed=0).sample(1, seed=0), "num_particles": 2},
)
add("scorecard of a program", lambda: {"model": program, "guides": {"hand": hand()}, "num_samples": 2, "seed": 0})
add("testing:check_model of a program", lambda: {"model": program, "seed": 0})
add("testing:check_guide of a program", lambda: pair)
add("with_optimism of a program", lambda: {"program": hand(), "model": program, "optimism": 0.5}, anything="program")

# Evaluation
add("evaluate", lambda: {"model": model(), "guide": clamped(), "world": model()})
add("objective", lambda: {"model": model(), "guide": clamped(), "optimism": 0.5})
add("scorecard", lambda: {"model": model(), "guides": {"clamped": clamped()}})
add("ledger", lambda: {"model": model(), "guide": clamped(), "optimism": 1.0})
add(
    "diagnose",
    lambda: {
        "model": model(),
        "guide": pgm.ClampedGuide(model()),
        "num_samples": 25,
        "num_gradients": 2,
        "losses": {"MarkovELBO": pgm.MarkovELBO()},
        "seed": 0,
    },
)
add_method("Ledger.save", account, lambda: {"path": folder() / "ledger.csv"})
add("frontier", lambda: {"model": model(), "optimism": [0.0, 1.0], "cvar_level": 0.1, "target": 0.0})
add_method("Frontier.save", frontier, lambda: {"path": folder() / "frontier.csv"})
add(
    "critical_optimism",
    lambda: {"model": TabularModel(models.restaurant()), "state": 0, "t": 0, "tolerance": 1e-2},
    slow=True,
)
add("believed_weights", lambda: {"ensemble": ensemble(), "guide": joint()})
add("member_blocks", lambda: {"ensemble": ensemble(), "guide": joint(), "member": 0})
add("member_returns", lambda: {"ensemble": ensemble(), "guide": joint()})
add("return_distribution", lambda: {"model": model(), "guide": clamped(), "resolution": 0.1, "max_atoms": 1000})
for _name, _argument in (("quantile", "level"), ("cvar", "level"), ("at_least", "target")):
    add_method(f"ReturnDistribution.{_name}", returns, lambda argument=_argument: {argument: 0.5})
add("return_moments", lambda: {"model": model(), "guide": clamped()})
add("condition_on_return", lambda: {"model": model(), "target": -1.0, "max_states": 1000})
add("explain", lambda: {"model": model(), "optimism": 1.0, "flip": False})
add("compare", lambda: {"model": model(), "num_steps": 2, "seed": 0, "name": "mine"}, slow=True)
add_method("Comparison.save", comparison, lambda: {"path": folder() / "comparison.json"})
add("picture", lambda: {"comparison": comparison()}, slow=True)
add("report", lambda: {"found": comparison(), "path": folder() / "report.html"}, slow=True)
add(
    "explore",
    lambda: {"problem": model(), "path": folder() / "page.html", "open_browser": False, "name": "mine"},
    skipped="open_browser",
    slow=True,
)
add("render", lambda: {"model": model(), "guides": {"free": 1.0}, "horizon": 1})
add_method("Drawing.save", cache(lambda: pgm.render(model(), {})), lambda: {"path": folder() / "drawing.mmd"})
add("TabularPolicy", lambda: {"probability": prior(), "seed": 0})
add("TabularPolicy.of", lambda: {"guide": clamped(), "seed": 0})
add_method("TabularPolicy.table", lambda: pgm.TabularPolicy(prior()), lambda: {"horizon": 2})
add_method(
    "TabularPolicy.predict",
    lambda: pgm.TabularPolicy(prior()),
    lambda: {"observation": np.array([0, 1]), "deterministic": False},
    anything="state episode_start",
)
add(
    "rollout",
    lambda: {"env": pgm.to_gymnasium(mdp()), "policy": clamped(), "num_episodes": 1, "seed": 0, "deterministic": False},
    slow=True,
)
add(
    "bench",
    lambda: {"models": ["restaurant"], "guides": ["free"], "num_seeds": 1, "num_steps": 1, "num_samples": 2},
    slow=True,
)
add(
    "sweep",
    lambda: {"function": measured, "settings": {"x": [1, 2]}, "engine": "threading", "jobs": 1, "version": "1"},
    anything="function",
)
add_method("Sweep.column", lambda: pgm.sweep(measured, {"x": [1]}), lambda: {"name": "x"})
add_method("Sweep.save", lambda: pgm.sweep(measured, {"x": [1]}), lambda: {"folder": folder() / "table"})

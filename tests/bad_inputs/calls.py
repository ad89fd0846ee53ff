"""A valid call of every public function, with small arguments."""

import inspect
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from problems import random_mdp

import pgm_control as pgm
from pgm_control import exchange, guides, inverse_rl, learners, models, plot, testing
from pgm_control import PartiallyObservedModel, TabularModel, infer

PACKAGES: dict[str, ModuleType] = {
    "": pgm, "models": models, "guides": guides, "learners": learners, "inverse_rl": inverse_rl, "plot": plot,
    "exchange": exchange, "testing": testing,
}  # fmt: skip


class Call(NamedTuple):
    """A function with valid arguments.

    Attributes:
        function: the function, class or method.
        arguments: makes valid arguments, anew for each call where they would change.
        skipped: arguments that are not replaced, such as a file object.
        open: arguments that may be any object.
        slow: whether a call takes more than some milliseconds.
    """

    function: Callable[..., Any]
    arguments: Callable[[], dict[str, Any]]
    skipped: frozenset[str] = frozenset()
    open: frozenset[str] = frozenset()
    slow: bool = False


CALLS: dict[str, Call] = {}


def _call(
    name: str, arguments: Callable[[], dict[str, Any]], *, skipped: str = "", open: str = "", slow: bool = False
) -> None:
    package, _, path = name.rpartition(":")
    function: Any = PACKAGES[package]
    for part in path.split("."):
        function = getattr(function, part)
    CALLS[name] = Call(function, arguments, frozenset(skipped.split()), frozenset(open.split()), slow)


def _method(name: str, owner: Callable[[], Any], arguments: Callable[[], dict[str, Any]], **more: Any) -> None:
    def function(*args: Any, **kwargs: Any) -> Any:
        return getattr(owner(), name.rpartition(".")[2])(*args, **kwargs)

    package, _, path = name.rpartition(":")
    kind, method = path.split(".")
    signature = inspect.signature(getattr(getattr(PACKAGES[package], kind), method))
    function.__signature__ = signature.replace(parameters=list(signature.parameters.values())[1:])  # pyright: ignore[reportFunctionMemberAccess]
    more = {key: frozenset(each.split()) if isinstance(each, str) else each for key, each in more.items()}
    CALLS[name] = Call(function, arguments, **more)


mdp = cache(lambda: random_mdp(0, states=3, actions=2, outcomes=3, horizon=2))
model = cache(lambda: TabularModel(mdp()))
posterior = cache(lambda: infer(model(), 1.0))
clamped = cache(lambda: infer(model(), 0.0))
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


def tables() -> dict[str, Any]:
    """The arguments of `TabularMDP`, as arrays of numpy."""
    names = ("initial", "probability", "successor", "reward")
    return {**{name: getattr(mdp(), name).numpy() for name in names}, "horizon": 2}


def square(name: str) -> np.ndarray:
    """A table of dense arrays, anew."""
    return getattr(dense(), name).copy()


# Problems
_call("TabularMDP", tables)
_call("TabularMDP.from_dense", lambda: {n: square(n) for n in ("initial", "transition", "reward")} | {"horizon": 2})
_call("TabularMDP.from_gymnasium", lambda: {"env": __import__("gymnasium").make("FrozenLake-v1"), "horizon": 2})
_method("TabularMDP.to", mdp, lambda: {"device": "cpu", "dtype": torch.float64})
_call("mdp_from_blocks", lambda: {
    "blocks": [tuple(tables()[n] for n in ("probability", "successor", "reward"))], "num_states": 3, "num_actions": 2,
    "num_outcomes": 3, "horizon": 2})  # fmt: skip
_call(
    "FactoredMDP", lambda: {n: getattr(factored(), n) for n in ("initial", "factors", "successor", "reward", "horizon")}
)
_call("Ensemble", lambda: {"members": [random_mdp(0), random_mdp(1)], "weights": np.array([0.5, 0.5])})
_call("PartiallyObservedMDP", lambda: {"mdp": mdp(), "observation": np.full((3, 2), 0.5)})
_call("remember", lambda: {"pomdp": pomdp(), "window": 1})
_method("Remembered.view", remembered, lambda: {"window": 1})
_method("Remembered.action_prior", remembered, lambda: {"action_prior": np.full(3, 1 / 3)})
_call("TabularModel", lambda: {"mdp": mdp(), "temperature": 1.0, "action_prior": prior()})
_call("PartiallyObservedModel", lambda: {"problem": pomdp(), "temperature": 1.0, "action_prior": np.full(3, 1 / 3)})
_call("TabularEnv", lambda: {"mdp": mdp()})
_call("to_gymnasium", lambda: {"mdp": mdp()})
_call(
    "check_against_env", lambda: {"mdp": mdp(), "env": pgm.to_gymnasium(mdp()), "total_steps": 20, "seed": 0}, slow=True
)
_call("SimulatorModel", lambda: {"env": lake(), "horizon": 2, "num_envs": 1, "seed": 0}, slow=True)
_call("Factors", lambda: {"names": ("a",), "sizes": (3,)}, skipped="names sizes")

# Guides
for _name in ("FreeGuide", "ClampedGuide", "OpenLoopGuide", "StationaryGuide", "DeterministicGuide", "MeanFieldGuide"):
    _call(_name, lambda: {"model": model()})
_call("DialGuide", lambda: {"model": model(), "optimism": 0.5})
_call("ViewGuide", lambda: {"model": model(), "view": np.array([0, 0, 1])})
_call("NeuralGuide", lambda: {"model": model(), "hidden": (4,)}, open="network")
_call("LowRankGuide", lambda: {"model": model(), "rank": 1})
_call("MixtureGuide", lambda: {"model": model(), "guides": [pgm.ClampedGuide(model()), pgm.ClampedGuide(model())]})
_call("MixtureELBO", lambda: {"num_samples": 2})
_call("WindowGuide", lambda: {"model": PartiallyObservedModel(pomdp()), "window": 1})
_call("FreeWindowGuide", lambda: {"model": PartiallyObservedModel(pomdp()), "window": 1})
_call("ImportanceGuide", lambda: {"model": model(), "guide": clamped(), "num_particles": 2})
_call("SMCGuide", lambda: {"model": model(), "guide": clamped(), "num_particles": 2})
_call(
    "SimulatedGuide",
    lambda: {"model": models.SimulatorModel(lake(), horizon=2, num_envs=1, seed=0), "hidden": (4,)},
    slow=True,
)
_call("guide_entry", lambda: {"name": "free"})
_call("GuideEntry", lambda: {"name": "mine", "build": pgm.FreeGuide, "summary": "words"}, open="build")
_call("tabulate", lambda: {"model": model(), "guide": clamped()})
_method("Blocks.sample", clamped().blocks, lambda: {"num_samples": 2, "seed": 0})
_method("Blocks.to", clamped().blocks, lambda: {"device": "cpu"})
_method("Posterior.sample", clamped, lambda: {"num_samples": 2, "seed": 0})
_method("Posterior.to", clamped, lambda: {"device": "cpu"})

# Inference
_call("infer", lambda: {"model": model(), "optimism": 1.0})
_call("soft_values", lambda: {
    "model": model(), "optimism": 1.0, "reward": mdp().reward, "final_reward": torch.zeros(3, dtype=torch.float64),
    "temperature": 1.0, "action_prior": model().action_prior}, open="reward final_reward action_prior temperature optimism")  # fmt: skip
_call("Optimism", lambda: {"dynamics": 1.0, "initial": 1.0, "survival": 0.0})
_call("freed_survival", lambda: {"model": TabularModel(mdp().replace(discount=0.5))})
_call("renyi_bound", lambda: {"model": model(), "guide": clamped(), "order": 0.5})
_call("history_optimum", lambda: {"model": PartiallyObservedModel(pomdp())})
_call("ladder", lambda: {"model": model(), "max_nodes": 10})
_call("debias", lambda: {"model": model()})
_call("value_iteration", lambda: {
    "model": TabularModel(mdp().replace(discount=0.5)), "optimism": 1.0, "initial_value": np.zeros(3), "max_sweeps": 50},
    skipped="num_threads")  # fmt: skip
_call(
    "policy_evaluation",
    lambda: {"model": TabularModel(mdp().replace(discount=0.5)), "policy": prior(), "max_sweeps": 50},
    skipped="num_threads",
)
_call("stationary_distribution", lambda: {"model": model(), "policy": prior(), "max_sweeps": 50})
_call("average_reward", lambda: {"model": model(), "optimism": 1.0, "max_sweeps": 50}, skipped="num_threads")
_call("growth_rate", lambda: {"model": model(), "max_sweeps": 50})
_call("fit", lambda: {"model": model(), "guide": pgm.ClampedGuide(model()), "num_steps": 2, "seed": 0}, slow=True)
_method("Fit.save", fitted, lambda: {"path": folder() / "fit.pt"})
_call("MarkovObjective", lambda: {"optimism": 0.5})
_call("MarkovRenyi", lambda: {"order": 0.5})
_call("with_optimism", lambda: {"program": clamped(), "model": model(), "optimism": 0.5})
_call("PrintEvery", lambda: {"every": 1}, skipped="file")
_call("ProgressBar", lambda: {"total": 1, "label": "x"})
_call("log_weights", lambda: {"model": model(), "guide": clamped(), "num_samples": 2, "seed": 0})
_call("iwae_bound", lambda: {"model": model(), "guide": clamped(), "num_particles": 2, "num_samples": 2, "seed": 0})
_call("smc", lambda: {"model": model(), "guide": clamped(), "num_particles": 2, "seed": 0})
_call("conditional_smc", lambda: {
    "model": model(), "guide": clamped(), "reference": clamped().sample(1, seed=0), "num_particles": 2, "seed": 0})  # fmt: skip
_call("estimate", lambda: {"model": model(), "guide": clamped(), "num_samples": 2, "seed": 0})
_call("estimate_elbo", lambda: {"model": model(), "guide": clamped(), "num_samples": 2, "seed": 0})

# Evaluation
_call("evaluate", lambda: {"model": model(), "guide": clamped()})
_call("objective", lambda: {"model": model(), "guide": clamped(), "optimism": 0.5})
_call("scorecard", lambda: {"model": model(), "guides": {"clamped": clamped()}})
_call("ledger", lambda: {"model": model(), "guide": clamped(), "optimism": 1.0})
_method("Ledger.save", account, lambda: {"path": folder() / "ledger.csv"})
_call("frontier", lambda: {"model": model(), "optimism": [0.0, 1.0], "cvar_level": 0.1, "target": 0.0})
_method("Frontier.save", frontier, lambda: {"path": folder() / "frontier.csv"})
_call(
    "critical_optimism",
    lambda: {"model": TabularModel(models.restaurant()), "state": 0, "t": 0, "tolerance": 1e-2},
    slow=True,
)
_call("believed_weights", lambda: {"ensemble": ensemble(), "guide": joint()})
_call("member_blocks", lambda: {"ensemble": ensemble(), "guide": joint(), "member": 0})
_call("member_returns", lambda: {"ensemble": ensemble(), "guide": joint()})
_call("return_distribution", lambda: {"model": model(), "guide": clamped(), "resolution": 0.1, "max_atoms": 1000})
for _name, _argument in (("quantile", "level"), ("cvar", "level"), ("at_least", "target")):
    _method(f"ReturnDistribution.{_name}", returns, lambda argument=_argument: {argument: 0.5})
_call("return_moments", lambda: {"model": model(), "guide": clamped()})
_call("condition_on_return", lambda: {"model": model(), "target": -1.0, "max_states": 1000})
_call("explain", lambda: {"model": model(), "optimism": 1.0, "flip": False}, open="flip")
_call("compare", lambda: {"model": model(), "num_steps": 2, "seed": 0, "name": "mine"}, slow=True)
_method("Comparison.save", comparison, lambda: {"path": folder() / "comparison.json"})
_call("picture", lambda: {"comparison": comparison()}, slow=True)
_call("report", lambda: {"found": comparison(), "path": folder() / "report.html"}, slow=True)
_call(
    "explore",
    lambda: {"problem": model(), "path": folder() / "page.html", "open_browser": False, "name": "mine"},
    skipped="open_browser",
    slow=True,
)
_call("render", lambda: {"model": model(), "guides": {"free": 1.0}, "horizon": 1})
_method("Drawing.save", cache(lambda: pgm.render(model(), {})), lambda: {"path": folder() / "drawing.mmd"})
_call("TabularPolicy", lambda: {"probability": prior(), "seed": 0})
_call("TabularPolicy.of", lambda: {"guide": clamped(), "seed": 0})
_method("TabularPolicy.table", lambda: pgm.TabularPolicy(prior()), lambda: {"horizon": 2})
_method(
    "TabularPolicy.predict",
    lambda: pgm.TabularPolicy(prior()),
    lambda: {"observation": np.array([0, 1])},
    open="deterministic",
)
_call(
    "rollout",
    lambda: {"env": pgm.to_gymnasium(mdp()), "policy": clamped(), "num_episodes": 1, "seed": 0},
    open="deterministic",
    slow=True,
)
_call(
    "bench",
    lambda: {"models": ["restaurant"], "guides": ["free"], "num_seeds": 1, "num_steps": 1, "num_samples": 2},
    skipped="backend",
    slow=True,
)

# Models
_call("models:lottery", dict)
for _name in (
    "risky_path",
    "windy_bridge",
    "slippery_cliff",
    "risky_path_twin",
    "windy_bridge_twin",
    "slippery_cliff_twin",
):
    _call(f"models:{_name}", lambda: {"horizon": 2})
_call("models:windy_bridge_in_parts", lambda: {"horizon": 2, "gust": 0.1})
_call("models:tiger", lambda: {"horizon": 2, "accuracy": 0.8})
_call("models:frozen_lake", lambda: {"size": "4x4", "horizon": 2})
_call("models:frozen_lake_twin", lambda: {"size": "4x4", "horizon": 2})
_call("models:deterministic_twin", lambda: {"mdp": mdp()})
_call("models:zoo_entry", lambda: {"name": "restaurant"})
_call("models:ZooEntry", lambda: {"name": "mine", "build": models.restaurant, "summary": "words"}, open="build")
_call("models:environment_id", lambda: {"name": "restaurant"})
_call("models:MultiGoalEnv", dict)

# Learners
for _name in ("SAC", "OriginalSAC"):
    _call(f"learners:{_name}", lambda: {"env": lake() if "Goal" in lake() else lake(), **small}, slow=True)
CALLS["learners:OriginalSAC"] = CALLS["learners:OriginalSAC"]._replace(
    arguments=lambda: {"env": "pgm_control/MultiGoal-v0", **small})  # fmt: skip
_call("learners:SoftQLearning", lambda: {"env": lake(), **small}, slow=True)
_call("learners:MaxEntPolicyGradient", lambda: {"env": lake(), "hidden": (4,), "seed": 0}, slow=True)
_method("learners:Learner.learn", learner, lambda: {"total_steps": 5}, slow=True)
_method("learners:Learner.evaluate", learner, lambda: {"num_episodes": 1, "seed": 0}, slow=True)
_method("learners:Learner.predict", learner, lambda: {"observation": 0}, open="deterministic", slow=True)
_method("learners:Learner.save", learner, lambda: {"path": folder() / "learner.pt"}, slow=True)
_call("learners:Actions", lambda: {"space": __import__("gymnasium").spaces.Discrete(2)})

# Inverse reinforcement learning
_call(
    "inverse_rl:inverse",
    lambda: {"model": model(), "demonstrations": demonstrations(), "prior": 1.0, "num_steps": 2},
    slow=True,
)
_call("inverse_rl:Demonstrations.from_trajectories", lambda: {
    "mdp": mdp(), "states": drawn().states.numpy(), "actions": drawn().actions.numpy()})  # fmt: skip
_call("inverse_rl:Demonstrations.from_transitions", lambda: {
    "mdp": mdp(), "states": drawn().states[:, 0].numpy(), "actions": drawn().actions[:, 0].numpy()})  # fmt: skip
_call("inverse_rl:Demonstrations.from_occupancies", lambda: {
    "mdp": mdp(), "occupancies": clamped().marginals().state_action.numpy()})  # fmt: skip
_call("inverse_rl:to_episodes", lambda: {"mdp": mdp(), "trajectories": drawn()})
_call("inverse_rl:from_episodes", lambda: {"mdp": mdp(), "episodes": inverse_rl.to_episodes(mdp(), drawn())})
_call(
    "inverse_rl:record",
    lambda: {"env": pgm.to_gymnasium(mdp()), "policy": clamped(), "num_episodes": 1, "seed": 0},
    open="deterministic",
    slow=True,
)
_call("inverse_rl:LinearReward", lambda: {"mdp": mdp(), "features": np.eye(3)}, open="pays_last")
_call("inverse_rl:TabularReward", lambda: {"mdp": mdp(), "of": "state"}, open="pays_last")
_call(
    "inverse_rl:NetworkReward",
    lambda: {"mdp": mdp(), "features": np.eye(3), "module": torch.nn.Linear(3, 1)},
    open="pays_last",
)
_call("inverse_rl:ClampedDemonstrator", lambda: {"criterion": "likelihood"}, open="infinite_horizon")
_call("inverse_rl:DialDemonstrator", lambda: {"optimism": 0.5}, open="infinite_horizon")
_call("inverse_rl:identification", lambda: {"found": found()}, slow=True)
_call("inverse_rl:reward_posterior", lambda: {
    "model": model(), "demonstrations": demonstrations(), "prior": 1.0, "num_samples": 4, "num_warmup": 2,
    "num_chains": 1, "seed": 0}, slow=True)  # fmt: skip
_call("inverse_rl:compare_demonstrators", lambda: {
    "model": model(), "demonstrations": demonstrations(), "prior": 1.0, "num_samples": 4, "seed": 0}, slow=True)  # fmt: skip

# Pictures
_call("plot:policy_maps", lambda: {"model": grid(), "guides": {"clamped": infer(grid(), 0.0)}}, open="axes", slow=True)
_call("plot:policy_map", lambda: {"model": grid(), "guide": infer(grid(), 0.0)}, open="ax", slow=True)
_call("plot:state_map", lambda: {"mdp": grid().mdp, "values": np.zeros(17), "label": "x"}, open="ax", slow=True)
_call("plot:layout_of", lambda: {"mdp": grid().mdp})
_call("plot:has_layout", lambda: {"mdp": grid().mdp})
_call("plot:outcomes", lambda: {"model": model(), "guide": posterior(), "max_rows": 1}, open="ax", slow=True)
for _name in ("value_heatmap", "occupancy_heatmap"):
    _call(f"plot:{_name}", lambda: {"posterior": posterior()}, open="ax", slow=True)
for _name in ("q_heatmap", "policy_heatmap", "message_heatmap"):
    _call(f"plot:{_name}", lambda: {"posterior": posterior()}, open="axes", slow=True)
_call("plot:ledger_over_time", lambda: {"account": account()}, open="ax", slow=True)
_call("plot:ledger_bars", lambda: {"account": account(), "max_states": 2}, open="ax", slow=True)
_call("plot:ledger_map", lambda: {"account": pgm.ledger(grid(), infer(grid(), 0.0))}, open="ax", slow=True)
_call("plot:imagined_and_true", lambda: {"rows": {"clamped": pgm.evaluate(model(), clamped())}}, open="ax", slow=True)
_call("plot:return_distributions", lambda: {"distributions": returns()}, open="ax", slow=True)
_call("plot:dial_sweep", lambda: {"found": frontier()}, open="axes", slow=True)
_call("plot:temperature_sweep", lambda: {"model": model(), "temperatures": [0.5, 1.0]}, open="axes", slow=True)
_call(
    "plot:curves", lambda: {"x": [0.0, 1.0], "rows": {"a": [0.0, 1.0]}, "across": "x", "up": "y"}, open="ax", slow=True
)
_call(
    "plot:recovered_reward",
    lambda: {"true": [0.0, 1.0], "recovered": {"a": [0.0, 1.0]}, "names": ["s", "t"]},
    open="ax up_to_a_constant",
    slow=True,
)
_call("plot:elbo_curves", lambda: {"model": model(), "fits": {"clamped": fitted()}}, open="axes", slow=True)
_call("plot:learning_curves", lambda: {"learnings": learned()}, open="ax", slow=True)

# Exchange
_call("exchange:to_xarray", lambda: {"result": posterior(), "mdp": None}, open="mdp")
_call(
    "exchange:to_arviz",
    lambda: {"result": posterior(), "model": model(), "num_samples": 2, "num_chains": 2, "seed": 0},
    slow=True,
)
for _name in ("to_dense", "to_quantecon", "to_mdptoolbox", "to_seals"):
    _call(f"exchange:{_name}", lambda: {"mdp": mdp(), "merge": True}, open="merge")
_call(
    "exchange:to_pymdp",
    lambda: {"problem": exchange.from_pymdp([np.eye(2)], [np.full((2, 2, 2), 0.5)], [np.zeros(2)], horizon=2)},
)
_call("exchange:feasible_prior", lambda: {"mdp": mdp()})
_call("exchange:from_quantecon", lambda: {
    "reward": square("reward")[..., 0], "transition": square("transition"), "discount": 0.9, "horizon": 2})  # fmt: skip
_call("exchange:from_mdptoolbox", lambda: {
    "transitions": square("transition").transpose(1, 0, 2).copy(), "reward": square("reward")[..., 0].copy(), "horizon": 2})  # fmt: skip
_call("exchange:from_pymdp", lambda: {
    "A": [np.eye(3)], "B": [square("transition").transpose(2, 0, 1).copy()], "C": [np.zeros(3)], "D": [square("initial")],
    "horizon": 2, "merge": False}, open="merge")  # fmt: skip
_call("exchange:from_seals", lambda: {
    "transition_matrix": square("transition"), "reward_matrix": square("reward"), "horizon": 2,
    "initial_state_dist": square("initial")})  # fmt: skip
_call("exchange:grid_world", lambda: {"rows": ["S.G"], "horizon": 2})
_call("exchange:Cell", dict, open="start wall ends back")
_call("exchange:discretise", lambda: {
    "env": "CartPole-v1", "bins": 2, "num_samples": 1, "num_resets": 2, "horizon": 2, "seed": 0}, slow=True)  # fmt: skip
_call("testing:check_model", lambda: {"model": model(), "seed": 0}, slow=True)
_call("testing:check_guide", lambda: {"model": model(), "guide": pgm.ClampedGuide(model()), "seed": 0}, slow=True)

"""A valid call of every public function of the packages, with small arguments."""

from functools import cache
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch

import pgm_control as pgm
from pgm_control import behaviour, exchange, infer, inverse_rl, models

from .calls import (
    CALLS,
    account,
    add,
    add_method,
    clamped,
    demonstrations,
    drawn,
    fitted,
    folder,
    found,
    frontier,
    grid,
    lake,
    learned,
    learner,
    mdp,
    model,
    posterior,
    returns,
    small,
    square,
)


def _saved() -> Path:
    """The path of a saved posterior."""
    exchange.save(posterior(), folder() / "saved.pt")
    return folder() / "saved.pt"


# Models
add("models:lottery", dict)
for _name in (
    "risky_path",
    "windy_bridge",
    "slippery_cliff",
    "risky_path_twin",
    "windy_bridge_twin",
    "slippery_cliff_twin",
):
    add(f"models:{_name}", lambda: {"horizon": 2})
add("models:windy_bridge_in_parts", lambda: {"horizon": 2, "gust": 0.1})
add("models:tiger", lambda: {"horizon": 2, "accuracy": 0.8})
add("models:frozen_lake", lambda: {"size": "4x4", "horizon": 2})
add("models:frozen_lake_twin", lambda: {"size": "4x4", "horizon": 2})
add("models:deterministic_twin", lambda: {"mdp": mdp()})
add("models:zoo_entry", lambda: {"name": "restaurant"})
add("models:ZooEntry", lambda: {"name": "mine", "build": models.restaurant, "summary": "words"}, anything="build")
add("models:environment_id", lambda: {"name": "restaurant"})
add("models:MultiGoalEnv", dict)
add("models:gusty_ledge", lambda: {"horizon": 3, "wind": 0.1})
add("models:hurry", lambda: {"horizon": 3})
add("models:windy_pendulum", lambda: {"horizon": 3, "wind": 0.1})
add("models:double_integrator", lambda: {"horizon": 3})
add(
    "models:ContinuousEntry",
    lambda: {"name": "mine", "build": models.hurry, "summary": "words", "temperature": 1.0},
    anything="build",
)

# Learners
for _name in ("SAC", "OriginalSAC"):
    add(f"learners:{_name}", lambda: {"env": lake(), **small})
CALLS["learners:OriginalSAC"] = CALLS["learners:OriginalSAC"]._replace(
    arguments=lambda: {"env": "pgm_control/MultiGoal-v0", **small}
)
add("learners:SoftQLearning", lambda: {"env": lake(), **small})
add("learners:MaxEntPolicyGradient", lambda: {"env": lake(), "hidden": (4,), "seed": 0})
add_method("learners:Learner.learn", learner, lambda: {"total_steps": 5})
add_method("learners:Learner.evaluate", learner, lambda: {"num_episodes": 1, "seed": 0, "deterministic": False})
add_method(
    "learners:Learner.predict",
    learner,
    lambda: {"observation": 0, "deterministic": True},
    anything="observation state episode_start action_masks",
)
add_method("learners:Learner.save", learner, lambda: {"path": folder() / "learner.pt"})
add(
    "learners:EvaluateEvery", lambda: {"every": 5, "num_episodes": 1, "seed": 0, "deterministic": False}, anything="env"
)
add("learners:KeepBest", lambda: {"path": folder() / "best.pt"})
add("learners:StopAtReturn", lambda: {"least": 1.0, "of": "training", "times": 2})
add("learners:CheckpointEvery", lambda: {"every": 5, "folder": folder() / "files", "newest": 2})
add("learners:ActionMasks", lambda: {"env": gymnasium.make("CartPole-v1")}, skipped="env")
add("learners:Normaliser", lambda: {"measured": torch.tensor([True])}, skipped="measured")
add("learners:Actions", lambda: {"space": gymnasium.spaces.Discrete(2)})

# Inverse reinforcement learning
scalar_model = cache(
    lambda: pgm.LinearQuadraticModel(
        pgm.LinearQuadratic.from_cost(0.9, 0.5, 1.0, 0.2, 0.3, horizon=3, initial_mean=1.0)
    )
)
scalar_drives = cache(lambda: infer(scalar_model(), 0.0).sample(20, seed=0))
add(
    "inverse_rl:inverse",
    lambda: {"model": model(), "demonstrations": demonstrations(), "prior": 1.0, "num_steps": 2},
    slow=True,
)
add(
    "inverse_rl:Demonstrations.from_trajectories",
    lambda: {"mdp": mdp(), "states": drawn().states.numpy(), "actions": drawn().actions.numpy()},
)
add(
    "inverse_rl:Demonstrations.from_transitions",
    lambda: {"mdp": mdp(), "states": drawn().states[:, 0].numpy(), "actions": drawn().actions[:, 0].numpy()},
)
add(
    "inverse_rl:Demonstrations.from_occupancies",
    lambda: {"mdp": mdp(), "occupancies": clamped().marginals().state_action.numpy()},
)
add("inverse_rl:to_episodes", lambda: {"mdp": mdp(), "trajectories": drawn()})
add("inverse_rl:from_episodes", lambda: {"mdp": mdp(), "episodes": inverse_rl.to_episodes(mdp(), drawn())})
add(
    "inverse_rl:record",
    lambda: {"env": pgm.to_gymnasium(mdp()), "policy": clamped(), "num_episodes": 1, "seed": 0, "deterministic": False},
    slow=True,
)
add("inverse_rl:LinearReward", lambda: {"mdp": mdp(), "features": np.eye(3), "pays_last": False})
add("inverse_rl:TabularReward", lambda: {"mdp": mdp(), "of": "state", "pays_last": False})
add(
    "inverse_rl:NetworkReward",
    lambda: {"mdp": mdp(), "features": np.eye(3), "module": torch.nn.Linear(3, 1), "pays_last": False},
)
add(
    "inverse_rl:inverse of a linear-quadratic model",
    lambda: {"model": scalar_model(), "demonstrations": scalar_drives(), "prior": 1.0, "num_steps": 2, "num_starts": 1},
    slow=True,
)
add(
    "inverse_rl:identify_dynamics",
    lambda: {"problem": scalar_model().problem, "trajectories": scalar_drives(), "drift": True},
)
add("inverse_rl:DiagonalReward", lambda: {"problem": scalar_model().problem, "linear": False, "pays_last": False})
add("inverse_rl:SemidefiniteReward", lambda: {"problem": scalar_model().problem, "pays_last": False})
add("inverse_rl:FullReward", lambda: {"problem": scalar_model().problem, "pays_last": False})
add(
    "inverse_rl:FunctionReward",
    lambda: {
        "problem": scalar_model().problem,
        "function_of_psi": lambda psi: (torch.diag(psi), torch.zeros(2)),
        "start": [1.0, 1.0],
        "names": ["q", "r"],
    },
)
# `infinite_horizon` is checked where a demonstrator is used.
add(
    "inverse_rl:ClampedDemonstrator",
    lambda: {"criterion": "likelihood", "infinite_horizon": False},
    anything="infinite_horizon",
)
add("inverse_rl:DialDemonstrator", lambda: {"optimism": 0.5, "infinite_horizon": False}, anything="infinite_horizon")
add("inverse_rl:identification", lambda: {"found": found()}, slow=True)
add(
    "inverse_rl:reward_posterior",
    lambda: {
        "model": model(),
        "demonstrations": demonstrations(),
        "prior": 1.0,
        "num_samples": 4,
        "num_warmup": 2,
        "num_chains": 1,
        "seed": 0,
    },
    slow=True,
)
add(
    "inverse_rl:compare_demonstrators",
    lambda: {"model": model(), "demonstrations": demonstrations(), "prior": 1.0, "num_samples": 4, "seed": 0},
    slow=True,
)


# Behaviour of people
def _choices() -> behaviour.Choices:
    return behaviour.simulate_people({"x": model()}, 0.0, 1.0, num_people=2, num_repeats=2, seed=0)


def _written() -> Path:
    """The path of a written table of choices."""
    _choices().to_csv(folder() / "choices.csv")
    return folder() / "choices.csv"


def _people(**more: Any) -> dict[str, Any]:
    """The arguments that all functions of people take."""
    return {"models": {"x": model()}, "seed": 0, **more}


_prior = cache(lambda: behaviour.PeoplePrior(1.0, 0.3))
_table = {"person": [1, 2], "trial": [1, 1], "problem": ["x", "x"], "state": [0, 1], "action": [0, 1]}
_short = {"num_samples": 8, "num_warmup": 2}
add("behaviour:Choices", lambda: _table, anything="person trial problem state action")
add("behaviour:Choices.from_table", lambda: {"table": _table})
add("behaviour:Choices.from_csv", lambda: {"path": _written()})
add("behaviour:PeoplePrior", lambda: {"temperature": 1.0, "risk": 0.3, "lapse": 0.1})
add(
    "behaviour:behaviour_log_likelihood",
    lambda: {"models": {"x": model()}, "data": _choices(), "optimism": 0.1, "temperature": 1.0, "hard": False},
    differentiable="optimism temperature lapse",
)
add(
    "behaviour:simulate_people",
    lambda: _people(optimism=0.1, temperature=1.0, num_people=2, hard=False),
    differentiable="optimism temperature lapse",
)
add(
    "behaviour:fit_people",
    lambda: _people(prior=_prior(), data=_choices(), num_chains=2, **_short),
    slow=True,
)
add(
    "behaviour:compare_people_models",
    lambda: _people(prior=_prior(), data=_choices(), demonstrators=["dial"], num_populations=4),
    slow=True,
)
add("behaviour:recovery", lambda: _people(prior=_prior(), num_people=2, num_repeats=2, **_short), slow=True)
add(
    "behaviour:model_confusion",
    lambda: _people(
        prior=_prior(), demonstrators=["dial", "free"], num_people=2, num_repeats=2, num_sets=1, num_populations=4
    ),
    slow=True,
)


# Pictures
add(
    "plot:policy_maps", lambda: {"model": grid(), "guides": {"clamped": infer(grid(), 0.0)}}, anything="axes", slow=True
)
add(
    "plot:episode_maps",
    lambda: {"model": grid(), "guides": {"clamped": infer(grid(), 0.0)}, "seed": 0},
    anything="axes",
    slow=True,
)
add("plot:policy_map", lambda: {"model": grid(), "guide": infer(grid(), 0.0)}, anything="ax", slow=True)
add(
    "plot:state_map",
    lambda: {"mdp": grid().mdp, "values": np.zeros(17), "label": "x"},
    anything="ax",
    drawn="values",
    slow=True,
)
add("plot:layout_of", lambda: {"mdp": grid().mdp})
add("plot:has_layout", lambda: {"mdp": grid().mdp})
add(
    "plot:outcomes",
    lambda: {"model": model(), "guide": posterior(), "state": 0, "action": 0, "max_rows": 1},
    anything="ax",
    slow=True,
)
for _name in ("value_heatmap", "occupancy_heatmap"):
    add(f"plot:{_name}", lambda: {"posterior": posterior()}, anything="ax", slow=True)
for _name in ("q_heatmap", "policy_heatmap", "message_heatmap"):
    add(f"plot:{_name}", lambda: {"posterior": posterior()}, anything="axes", slow=True)
add("plot:ledger_over_time", lambda: {"account": account()}, anything="ax", slow=True)
add("plot:ledger_bars", lambda: {"account": account(), "max_states": 2}, anything="ax", slow=True)
add("plot:ledger_map", lambda: {"account": pgm.ledger(grid(), infer(grid(), 0.0))}, anything="ax", slow=True)
add("plot:imagined_and_true", lambda: {"rows": {"clamped": pgm.evaluate(model(), clamped())}}, anything="ax", slow=True)
add("plot:return_distributions", lambda: {"distributions": returns()}, anything="ax", slow=True)
add("plot:dial_sweep", lambda: {"found": frontier()}, anything="axes", slow=True)
add("plot:temperature_sweep", lambda: {"model": model(), "temperatures": [0.5, 1.0]}, anything="axes", slow=True)
add(
    "plot:curves",
    lambda: {"x": [0.0, 1.0], "rows": {"a": [0.0, 1.0]}, "across": "x", "up": "y"},
    anything="ax",
    drawn="x rows",
    slow=True,
)
add(
    "plot:recovered_reward",
    lambda: {"true": [0.0, 1.0], "recovered": {"a": [0.0, 1.0]}, "names": ["s", "t"], "up_to_a_constant": True},
    anything="ax",
    drawn="true",
    slow=True,
)
add(
    "plot:recovered_parameters",
    lambda: {"true": {"a": [0.0, 1.0]}, "estimates": {"a": np.array([[0.0, -1.0, 1.0], [1.0, 0.0, 2.0]])}},
    anything="axes",
    slow=True,
)
add("plot:confusion", lambda: {"counts": np.eye(2), "names": ["a", "b"]}, anything="ax", slow=True)
add("plot:elbo_curves", lambda: {"model": model(), "fits": {"clamped": fitted()}}, anything="axes", slow=True)
add("plot:learning_curves", lambda: {"learnings": learned()}, anything="ax", slow=True)

# Exchange
add("exchange:save", lambda: {"value": posterior(), "path": folder() / "posterior.pt"})
add("exchange:load", lambda: {"path": _saved()})
add("exchange:to_xarray", lambda: {"result": posterior(), "mdp": None}, anything="mdp")
add(
    "exchange:to_arviz",
    lambda: {"result": posterior(), "model": model(), "num_samples": 2, "num_chains": 2, "seed": 0},
    slow=True,
)
for _name in ("to_dense", "to_quantecon", "to_mdptoolbox", "to_seals"):
    add(f"exchange:{_name}", lambda: {"mdp": mdp(), "merge": True})
add(
    "exchange:to_pymdp",
    lambda: {"problem": exchange.from_pymdp([np.eye(2)], [np.full((2, 2, 2), 0.5)], [np.zeros(2)], horizon=2)},
)
add(
    "exchange:policy_from_predict",
    lambda: {
        "agent": learner(),
        "env": lake(),
        "observations": np.arange(3),
        "num_samples": 2,
        "seed": 0,
    },
)
add("exchange:feasible_prior", lambda: {"mdp": mdp()})
add(
    "exchange:from_quantecon",
    lambda: {"reward": square("reward")[..., 0], "transition": square("transition"), "discount": 0.9, "horizon": 2},
)
add(
    "exchange:from_mdptoolbox",
    lambda: {
        "transitions": square("transition").transpose(1, 0, 2).copy(),
        "reward": square("reward")[..., 0].copy(),
        "horizon": 2,
    },
)
add(
    "exchange:from_pymdp",
    lambda: {
        "A": [np.eye(3)],
        "B": [square("transition").transpose(2, 0, 1).copy()],
        "C": [np.zeros(3)],
        "D": [square("initial")],
        "horizon": 2,
        "merge": False,
    },
)
add(
    "exchange:from_seals",
    lambda: {
        "transition_matrix": square("transition"),
        "reward_matrix": square("reward"),
        "horizon": 2,
        "initial_state_dist": square("initial"),
    },
)
add("exchange:grid_world", lambda: {"rows": ["S.G"], "horizon": 2})
add("exchange:Cell", dict, anything="start wall ends back reward")  # grid_world checks them
add(
    "exchange:discretise",
    lambda: {"env": "Pendulum-v1", "bins": 2, "actions": 2, "num_samples": 1, "num_resets": 2, "horizon": 2, "seed": 0},
    slow=True,
)
add(
    "exchange:Chart",
    lambda: {"names": ("x",), "low": (0.0,), "high": (1.0,), "periodic": (False,)},
    anything="names action_names",
)
add("testing:check_model", lambda: {"model": model(), "seed": 0}, slow=True)
add("testing:check_guide", lambda: {"model": model(), "guide": pgm.ClampedGuide(model()), "seed": 0}, slow=True)

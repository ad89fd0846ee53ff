"""Valid calls with linear-quadratic models."""

from functools import cache

import numpy as np

from pgm_control import (
    ContinuousEnv,
    LinearQuadratic,
    LinearQuadraticModel,
    Planar,
    compare,
    infer,
    ledger,
    output_feedback,
    return_distribution,
    to_gymnasium,
)

from .calls import add, add_method, folder

problem = cache(
    lambda: LinearQuadratic.from_cost(
        0.9, 0.5, 1.0, 0.2, 0.3, horizon=2, initial_mean=[1.0], initial_covariance=[[0.5]]
    )
)
model = cache(lambda: LinearQuadraticModel(problem(), 1.0, [[1.0]]))
clamped = cache(lambda: infer(model(), 0.0))


def _started() -> ContinuousEnv:
    env = to_gymnasium(model())
    env.reset(seed=0)
    return env


CONTROL = {"A": np.eye(2), "B": [[0.5], [1.0]], "W": 0.3 * np.eye(2), "horizon": 2, "initial_mean": [1.0, 0.0]}
CONTROL |= {"discount": 0.9, "state_names": ["position", "speed"], "action_names": ["push"]}
START = {"initial_covariance": 0.5 * np.eye(2), "d": [0.1, 0.0]}
COST = {"Q": np.eye(2), "R": [[0.2]], "N": [[0.1], [0.0]], "final_cost": np.eye(2)}
TABLES = "A B W C c k d final_cost initial_mean initial_covariance"

add(
    "LinearQuadratic",
    lambda: CONTROL | START | {"C": np.eye(3), "c": [0.0, 1.0, 0.0], "k": 0.5, "final_cost": np.eye(2)},
    differentiable=TABLES,
)
add(
    "LinearQuadratic.from_cost",
    lambda: (
        CONTROL | START | COST | {"reference": [0.5, 0.0], "action_reference": 0.1}
    ),
    differentiable=f"{TABLES} Q R N reference action_reference",
)  # fmt: skip
add(
    "LinearQuadratic.from_continuous",
    lambda: (
        CONTROL
        | COST
        | {"initial_covariance": np.eye(2), "dt": 0.5, "reference": [0.5, 0.0], "action_reference": 0.1}
    ),
    differentiable=f"{TABLES} Q R N reference action_reference",
)  # fmt: skip
add(
    "GaussianPrior",
    lambda: {"gain": [[0.1]], "offset": 0.0, "covariance": [[1.0]]},
    differentiable="gain offset covariance",
)
add(
    "LinearQuadraticModel",
    lambda: {"problem": problem(), "temperature": 1.0, "action_prior": [[1.0]]},
    differentiable="action_prior",
)
add_method("LinearQuadraticModel.with_prior", model, lambda: {"guide": clamped(), "dynamics": True, "initial": False})
add("infer of a linear-quadratic model", lambda: {"model": model(), "optimism": 0.5, "evidence": None})
add(
    "soft_values of a linear-quadratic model",
    lambda: {"model": model(), "optimism": 0.5, "temperature": 1.0},
    differentiable="optimism temperature",
)
add("breakdown", lambda: {"model": model(), "initial": True})
add("stationary_policy", lambda: {"model": model(), "optimism": 0.5})
add("output_feedback", lambda: {"model": model(), "H": [[1.0]], "V": [[0.1]], "optimism": 0.0})
add_method("GaussianPosterior.sample", clamped, lambda: {"num_samples": 2, "seed": 0})
add_method("OutputFeedback.sample", lambda: output_feedback(model(), 1.0, 0.1), lambda: {"num_samples": 2, "seed": 0})
add("evaluate of a linear-quadratic model", lambda: {"model": model(), "guide": clamped(), "world": problem()})
add("objective of a linear-quadratic model", lambda: {"model": model(), "guide": clamped(), "optimism": 0.5})
add("return_moments of a linear-quadratic model", lambda: {"model": model(), "guide": clamped()})
add("return_distribution of a linear-quadratic model", lambda: {"model": model(), "guide": clamped()})
_laws = {"GaussianReturns": {}, "SampledReturns": {"num_samples": 50, "seed": 0}}
for _name, _given in _laws.items():
    for _method, _argument in (("quantile", "level"), ("cvar", "level"), ("at_least", "target")):
        add_method(
            f"{_name}.{_method}",
            lambda given=_given: return_distribution(model(), clamped(), **given),
            lambda argument=_argument: {argument: 0.5},
        )
add("scorecard of a linear-quadratic model", lambda: {"model": model(), "guides": {"clamped": clamped()}})
add("ledger of a linear-quadratic model", lambda: {"model": model(), "guide": clamped(), "optimism": 0.5})
add("frontier of a linear-quadratic model", lambda: {"model": model(), "optimism": [0.0, 1.0]})
add("explain of a linear-quadratic model", lambda: {"model": model(), "optimism": 1.0, "flip": False})
add("compare of a linear-quadratic model", lambda: {"model": model(), "seed": 0, "name": "mine"})
add("to_gymnasium of a linear-quadratic model", lambda: {"mdp": model()})
add(
    "rollout of a linear-quadratic model",
    lambda: {"env": to_gymnasium(model()), "policy": clamped(), "num_episodes": 2, "num_envs": 1, "seed": 0},
)
add("exchange:save of a linear-quadratic model", lambda: {"value": clamped(), "path": folder() / "gaussian.pt"})
add("exchange:to_xarray of a linear-quadratic model", lambda: {"result": clamped(), "mdp": None}, anything="mdp")
add(
    "exchange:to_arviz of a linear-quadratic model",
    lambda: {"result": clamped(), "model": model(), "num_samples": 5, "num_chains": 2, "seed": 0},
)
add_method("ContinuousLedger.save", lambda: ledger(model(), clamped()), lambda: {"path": folder() / "ledger.csv"})
add_method("ContinuousComparison.save", lambda: compare(model()), lambda: {"path": folder() / "comparison.json"})
add_method("ContinuousEnv.step", _started, lambda: {"action": np.zeros(1)}, drawn="action")
add("plot:belief_paths", lambda: {"posterior": clamped(), "components": 0}, anything="ax", slow=True)
add("plot:gain_by_optimism", lambda: {"model": model(), "optimisms": [0.0, 1.0]}, anything="axes", slow=True)
add(
    "plot:plane_paths",
    lambda: {
        "problem": Planar(lambda s: -(s**2).sum(-1), 2, 0.3),
        "paths": {"clamped": np.zeros((2, 3, 2))},
        "t": 1,
        "num_paths": 1,
    },
    anything="ax",
    drawn="paths",
    slow=True,
)

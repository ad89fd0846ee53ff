"""Every kind of guide through every function that takes a guide: exact, estimated, or refused with a reason.

`python -m tests.contracts` prints the table.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import linear_gaussian
import pyro
import pyro.distributions as dist
import torch
from problems import random_mdp
from pyro.infer.autoguide import AutoMultivariateNormal, AutoNormal

import pgm_control as pc
from pgm_control.guides import FreeOptionGuide, LatentPolicyGuide, OptionGuide
from pgm_control.guides.zoo import guide_zoo
from pgm_control.testing import check_guide

MODEL = pc.TabularModel(random_mdp(seed=5, states=3, actions=2, outcomes=2, horizon=3), 0.7)
PRIOR = MODEL.blocks()


def _draw(policy: Callable[..., Any], dynamics: Callable[..., Any] | None = None) -> None:
    """One trajectory at the sites of the model, with a policy of time, states and actions so far."""
    successor, states, actions = MODEL.mdp.successor.long(), [], []
    certain = torch.eye(MODEL.mdp.num_states, dtype=torch.float64).log()
    logits = PRIOR.log_initial
    for t in range(MODEL.mdp.horizon):
        states.append(pyro.sample(f"state_{t}", dist.Categorical(logits=logits)))
        actions.append(pyro.sample(f"action_{t}", dist.Categorical(logits=policy(t, states, actions))))
        table = PRIOR.log_dynamics[t] if dynamics is None else dynamics(t)
        outcome = pyro.sample(f"outcome_{t}", dist.Categorical(logits=table[states[-1], actions[-1]]))
        logits = certain[successor[states[-1], actions[-1], outcome]]
    pyro.sample(f"state_{MODEL.mdp.horizon}", dist.Categorical(logits=logits))


def _param(name: str, *shape: int) -> torch.Tensor:
    fixed = torch.sin(1.7 * torch.arange(math.prod(shape), dtype=torch.float64)).reshape(shape)
    return pyro.param(name, fixed)


def clamped_function() -> None:
    logits = _param("clamped", 3, 3, 2)
    _draw(lambda t, states, actions: logits[t][states[-1]])


def free_function() -> None:
    logits, tilt = _param("free", 3, 3, 2), _param("tilt", 3, 3, 2, 2)
    _draw(lambda t, states, actions: logits[t][states[-1]], lambda t: PRIOR.log_dynamics[t] + tilt[t])


def open_loop_function() -> None:
    logits = _param("open_loop", 3, 2)
    _draw(lambda t, states, actions: logits[t])


def history_function() -> None:
    """Its actions depend on the last action."""
    logits = _param("history", 3, 2, 2)
    _draw(lambda t, states, actions: logits[t][actions[-1] if actions else torch.tensor(0)])


def branching_function() -> None:
    """Its code branches on values, so that it cannot be run in a batch."""
    logits = _param("branching", 2, 2)
    _draw(lambda t, states, actions: logits[0] if int(states[-1]) == 0 else logits[1])


class Row(NamedTuple):
    """A model, a guide that is made anew, and arguments for `fit`."""

    model: Any
    build: Callable[[], Any]
    fit: Mapping[str, Any] = {}


FUNCTIONS = (clamped_function, free_function, open_loop_function, history_function, branching_function)
ROWS: dict[str, Row] = {
    **{name: Row(MODEL, lambda each=each: each.build(MODEL), each.fit) for name, each in guide_zoo().items()},
    "posterior": Row(MODEL, lambda: pc.infer(MODEL, 1.0)),
    **{each.__name__: Row(MODEL, lambda each=each: each) for each in FUNCTIONS},
    "OptionGuide": Row(MODEL, lambda: OptionGuide(MODEL, seed=0)),
    "FreeOptionGuide": Row(MODEL, lambda: FreeOptionGuide(MODEL, seed=0)),
    "LatentPolicyGuide": Row(MODEL, lambda: LatentPolicyGuide(MODEL, seed=0)),
    "optimal, by hand": Row(linear_gaussian.program, lambda: linear_gaussian.optimal_guide(1.0)),
    "AutoNormal": Row(linear_gaussian.program, lambda: AutoNormal(linear_gaussian.program)),
    "AutoMultivariateNormal": Row(linear_gaussian.program, lambda: AutoMultivariateNormal(linear_gaussian.program)),
}


def _conditional(row: Row, guide: Any) -> float:
    reference = pc.smc(row.model, guide, 20, seed=0).sample(1, seed=0)
    return pc.conditional_smc(row.model, guide, reference, 5, seed=0).log_evidence


def _scaled(row: Row, guide: Any) -> float:
    pair = pc.with_optimism(row.model, row.model, 0.5), pc.with_optimism(guide, row.model, 0.5)
    for each in pair:
        with pyro.poutine.block():
            each()
    return 0.0


def _scorecard(row: Row, guide: Any) -> Any:
    return pc.scorecard(row.model, {"guide": guide}, num_samples=20, seed=0).scores["guide"].elbo


def _fit(row: Row, guide: Any) -> float:
    settings = {"num_steps": 2, **{name: each for name, each in row.fit.items() if name != "num_steps"}}
    return float(pc.fit(row.model, guide, seed=0, **settings).elbo_history[-1])


VERBS: dict[str, Callable[[Row, Any], Any]] = {
    "evaluate": lambda row, guide: pc.evaluate(row.model, guide).elbo,
    "ledger": lambda row, guide: pc.ledger(row.model, guide).gap,
    "tabulate": lambda row, guide: float(pc.tabulate(row.model, guide).policy.detach().sum()),
    "scorecard": _scorecard,
    "estimate": lambda row, guide: pc.estimate(row.model, guide, 20, seed=0).elbo,
    "log_weights": lambda row, guide: float(pc.log_weights(row.model, guide, 20, seed=0).mean()),
    "iwae_bound": lambda row, guide: pc.iwae_bound(row.model, guide, 3, 10, seed=0),
    "smc": lambda row, guide: pc.smc(row.model, guide, 20, seed=0).log_evidence,
    "conditional_smc": _conditional,
    "with_optimism": _scaled,
    "fit": _fit,
    "check_guide": lambda row, guide: check_guide(row.model, guide, seed=0).elbo,
    "render": lambda row, guide: float(len(str(pc.render(row.model, {"guide": guide})))),
}
EXACT = {"evaluate", "ledger", "tabulate"}  # need tables


def answer(row: str, verb: str) -> str:
    """What a function says about a guide: "yes", an error of the library, or "wrong" for anything else."""
    guide = ROWS[row].build()
    try:
        found = VERBS[verb](ROWS[row], guide)
    except pc.PGMControlError as problem:
        return f"{type(problem).__name__}: {problem}"
    number = found.mean if isinstance(found, pc.Estimate) else float(found)
    return "yes" if math.isfinite(number) else f"wrong: {number}"

"""The Pyro program of a Markov distribution over trajectories: one layout of sites for every model and guide."""

from collections.abc import Iterable
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from jaxtyping import Float, Int
from pyro import poutine
from pyro.poutine.util import site_is_subsample
from torch import Tensor

from ..errors import InvalidGuide, UsedByAnotherThread
from ..problems.mdp import TabularMDP
from ..problems.timed import at_time
from ..programs.auxiliary import is_auxiliary, require_reverse
from ..runtime.alone.thread import alone
from ..runtime.programs import without_condition
from .action_measure import log_mass
from .blocks import Blocks, MarkovModel
from .steps import has_last_factor, is_observed, is_timed, last_worth, temperature_at, worth_at


def sites(horizon: int) -> list[str]:
    """The sample sites of a tabular model, and of its guides: first all states, then the actions, then the outcomes."""
    counts = {"state": horizon + 1, "action": horizon, "outcome": horizon}
    return [f"{kind}_{t}" for kind, count in counts.items() for t in range(count)]


def require_sites(found: Iterable[str], horizon: int) -> None:
    """Require the sample sites of a guide of a tabular model.

    Raises:
        InvalidGuide: if one is missing, or there is another.
    """
    due = sites(horizon)
    if odd := sorted(set(due) ^ set(found)):
        raise InvalidGuide(
            f"`guide` must sample the sites of the model and no other, but `{odd[0]}` is "
            f"{'missing' if odd[0] in due else 'extra'}. pgm_control.testing.check_guide says more."
        )


def require_program(model: MarkovModel, guide: Any) -> None:
    """Run the guide once, and require the sample sites of the model: with others its ELBO would be no bound.

    Auxiliary sites are allowed if the guide has a reverse model.

    Raises:
        InvalidGuide: if a site is missing, or there is another; but not if the guide cannot run.
    """
    try:
        with alone(), poutine.block(), torch.random.fork_rng(devices=[]):
            trace = poutine.trace(guide).get_trace()
    except UsedByAnotherThread:
        raise
    except Exception:
        return  # its first step raises it again, and says what the guide must be
    sites = [(name, site) for name, site in trace.nodes.items() if site["type"] == "sample"]
    auxiliary = {name for name, site in sites if is_auxiliary(site)}
    require_reverse(guide, auxiliary)
    require_sites({name for name, site in sites if not site_is_subsample(site)} - auxiliary, model.mdp.horizon)


def is_program(model: object) -> bool:
    """Whether a model is a Pyro program without tables, of which everything is known by sampling only."""
    if isinstance(model, type) or not callable(model):
        return False
    inner = without_condition(model)[0]
    return not isinstance(inner, MarkovModel) and not hasattr(inner, "why_clamped")


def run_program(blocks: Blocks, optimality: MarkovModel | None = None) -> None:
    r"""Sample `state_0, action_0, outcome_0, …, state_T`; in the model, weigh by `optimality_t`.

    Each step draws the state first, from the outcome of the step before: only this order keeps Pyro's enumeration exact
    under `pyro.markov` with factors. Given the outcome, `state_{t+1}` is deterministic except for survival; with a
    discount the index S means "ended". All probabilities are passed as logits, so that an impossible outcome stays
    impossible: `Categorical(probs=…)` would raise it to machine epsilon.

    Args:
        blocks: the factors, and the problem, which says where outcomes lead.
        optimality: the model, to add the factor $\exp(r_t/\tau)$ at each step, times the number of actions if the
            action prior counts them; None in a guide.
    """
    mdp = blocks.mdp
    ends = mdp.discount < 1
    initial = with_end(blocks.log_initial) if ends else blocks.log_initial
    policy = with_end(blocks.log_policy, 1) if ends else blocks.log_policy
    dynamics = with_end(blocks.log_dynamics, 1) if ends else blocks.log_dynamics
    survives, stops = survival_logits(blocks)
    successor = mdp.successor
    if ends:
        successor = torch.cat((successor, torch.full_like(successor[:1], mdp.num_states)))
    factors = None if optimality is None else _log_factors(optimality)
    logits = initial
    for t in pyro.markov(range(mdp.horizon + 1)):
        state = pyro.sample(f"state_{t}", dist.Categorical(logits=logits))
        if t == mdp.horizon:
            if factors is not None and (table := factors[t]) is not None:
                pyro.factor(f"optimality_{t}", table[state])
            return
        action = pyro.sample(f"action_{t}", dist.Categorical(logits=policy[t][state]))
        outcome = pyro.sample(f"outcome_{t}", dist.Categorical(logits=dynamics[t][state, action]))
        if factors is not None and (table := factors[t]) is not None:
            pyro.factor(f"optimality_{t}", table[state, action, outcome])
        logits = arrival_logits(successor[state, action, outcome].long(), survives[t], stops[t])


def _log_factors(model: MarkovModel) -> list[Tensor | None]:
    """The log-factor of each step by state, action and outcome, and of the last state; None where there is none."""
    mdp, mass, found = model.mdp, log_mass(model), list[Tensor | None]()
    for t in range(mdp.horizon):
        if t > 0 and not is_timed(model):
            found.append(found[0])
            continue
        here = at_time(mass, t, 1)
        table = worth_at(model, t) / temperature_at(model, t) + here[:, None, None]
        found.append(_ended(mdp, table) if is_observed(model, t) or bool(here.any()) else None)
    last = last_worth(model) / temperature_at(model, mdp.horizon)
    return [*found, _ended(mdp, last) if has_last_factor(model) and is_observed(model, mdp.horizon) else None]


def _ended(mdp: TabularMDP, table: Tensor) -> Tensor:
    """The table with a row of zeros for the end, if there is one."""
    return torch.cat((table, torch.zeros_like(table[:1]))) if mdp.discount < 1 else table


def survival_logits(blocks: Blocks) -> tuple[Float[Tensor, "time target"], Float[Tensor, "time target end"]]:
    """Log-probabilities of arriving in the state that the outcome leads to, and of the end; there is none without one.

    The end leads to itself.
    """
    steps, none = blocks.mdp.horizon, blocks.log_initial.new_zeros(blocks.mdp.horizon, 1)
    if blocks.mdp.discount == 1:
        return none.expand(-1, blocks.mdp.num_states), none.expand(-1, blocks.mdp.num_states)[..., None][..., :0]
    survival = blocks.survival.expand(steps, -1)
    return torch.cat((survival.log(), none), -1), torch.cat(((1.0 - survival).log(), none), -1)[..., None]


def arrival_logits(
    target: Int[Tensor, "*batch"], survives: Float[Tensor, " target"], stops: Float[Tensor, "target end"]
) -> Float[Tensor, "*batch target"]:
    """Log-probability of each state at t + 1 given the state that the outcome leads to: that state, or the end."""
    states = len(survives) - stops.shape[-1]
    nowhere = survives.new_full((*target.shape, states), -torch.inf)
    return torch.cat((nowhere, stops[target]), -1).scatter(-1, target[..., None], survives[target][..., None])


def with_end(table: Float[Tensor, "..."], axis: int = 0) -> Float[Tensor, "..."]:
    """The table with one more state, the end, in which action 0 and outcome 0 are certain."""
    shape = list(table.shape)
    shape[axis] = 1
    row = table.new_full(shape, -torch.inf)
    if axis:
        row[..., 0] = 0.0
    return torch.cat((table, row), axis)

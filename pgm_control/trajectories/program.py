"""The Pyro program of a Markov distribution over trajectories: one layout of sites for every model and guide."""

from collections.abc import Iterable
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from jaxtyping import Float
from pyro import poutine
from pyro.poutine.util import site_is_subsample
from torch import Tensor

from ..errors import InvalidGuide
from .action_measure import log_mass
from .blocks import Blocks, MarkovModel


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

    Raises:
        InvalidGuide: if a site is missing, or there is another; but not if the guide cannot run.
    """
    try:
        with poutine.block(), torch.random.fork_rng(devices=[]):
            trace = poutine.trace(guide).get_trace()
    except Exception:
        return  # its first step raises it again, and says what the guide must be
    sites = [(name, site) for name, site in trace.nodes.items() if site["type"] == "sample"]
    require_sites((name for name, site in sites if not site_is_subsample(site)), model.mdp.horizon)


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
    initial = _with_end(blocks.log_initial) if ends else blocks.log_initial
    policy = _with_end(blocks.log_policy, 1) if ends else blocks.log_policy
    dynamics = _with_end(blocks.log_dynamics, 1) if ends else blocks.log_dynamics
    arrival = _arrival(blocks)
    successor, reward, last = mdp.successor, mdp.reward, mdp.final_reward
    if ends:
        successor = torch.cat((successor, torch.full_like(successor[:1], mdp.num_states)))
        reward = torch.cat((reward, torch.zeros_like(reward[:1])))
        last = None if last is None else torch.cat((last, torch.zeros_like(last[:1])))
    mass = None if optimality is None else torch.cat((log_mass(optimality), initial.new_zeros(1)))
    logits = initial
    for t in pyro.markov(range(mdp.horizon + 1)):
        state = pyro.sample(f"state_{t}", dist.Categorical(logits=logits))
        if t == mdp.horizon:
            if optimality is not None and last is not None:
                pyro.factor(f"optimality_{t}", last[state] / optimality.temperature)
            return
        action = pyro.sample(f"action_{t}", dist.Categorical(logits=policy[t][state]))
        outcome = pyro.sample(f"outcome_{t}", dist.Categorical(logits=dynamics[t][state, action]))
        if optimality is not None and mass is not None:
            pyro.factor(f"optimality_{t}", reward[state, action, outcome] / optimality.temperature + mass[state])
        logits = arrival[t][successor[state, action, outcome]]


def _arrival(blocks: Blocks) -> Float[Tensor, "time target state"]:
    """Log-probability of each state at t + 1 given the state that the outcome leads to: that state, or the end."""
    mdp = blocks.mdp
    none = blocks.log_initial.new_full((mdp.num_states, mdp.num_states), -torch.inf)
    certain = none.clone().fill_diagonal_(0.0)
    if mdp.discount == 1:
        return certain.expand(mdp.horizon, -1, -1)
    survival = blocks.survival
    live = torch.where(certain == 0, survival.log()[..., None], none)
    rows = torch.cat((live, (1.0 - survival).log()[..., None]), -1)
    ended = torch.cat((none[0], none.new_zeros(1))).expand(mdp.horizon, 1, -1)
    return torch.cat((rows, ended), 1)


def _with_end(table: Float[Tensor, "..."], axis: int = 0) -> Float[Tensor, "..."]:
    """The table with one more state, the end, in which action 0 and outcome 0 are certain."""
    shape = list(table.shape)
    shape[axis] = 1
    row = table.new_full(shape, -torch.inf)
    if axis:
        row[..., 0] = 0.0
    return torch.cat((table, row), axis)

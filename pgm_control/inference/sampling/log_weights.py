"""Log-weights log p~ − log q of trajectories drawn from a guide, from which every estimate is computed.

Sources:
    [levine2018] S. Levine, Reinforcement learning and control as probabilistic inference: tutorial and review. 2018.
        arXiv:1805.00909
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from pyro import poutine
from torch import Tensor

from ...errors import InvalidGuide
from ...problems.feasible import ended_states
from ...problems.mdp import TabularMDP, last_reward
from ...problems.timed import by_time
from ...programs.auxiliary import HasReverse, is_auxiliary, log_reverse
from ...programs.side_by_side import Named, Run, side_by_side
from ...runtime.arguments import whole
from ...runtime.programs import require_callable
from ...runtime.randomness import generator_of
from ...trajectories.action_measure import log_mass
from ...trajectories.blocks import MarkovModel, require_model
from ...trajectories.process import MarkovProcess, Process, log_probability, process_of, simulate
from ...trajectories.program import is_program, require_sites, sites
from ...trajectories.samples import Trajectories, require_room_for
from ...trajectories.steps import last_worth, log_likelihood, temperature_at
from .of_programs import program_log_weights, seed_of


class Weighted(NamedTuple):
    """Draws from a guide, each with its log-weight log p~ − log q, in nats."""

    trajectories: Trajectories
    log_weight: Float[Tensor, " batch"]


def log_weights(
    model: MarkovModel | Callable[[], Any],
    guide: Callable[[], Any] | Process,
    num_samples: int = 1000,
    seed: int | torch.Generator | None = None,
) -> Float[Tensor, " batch"]:
    r"""The log-weights of independent draws from a guide, in nats.

    $$\log w = \log \tilde p(s_0, a_0, k_0, \dots) - \log q(s_0, a_0, k_0, \dots)$$

    Their mean estimates the ELBO, and the mean of their exponentials estimates p(O). For the exact posterior all are
    equal to log p(O). A draw that the model forbids has the log-weight −inf.

    The model may be any Pyro program whose factors `pyro.factor("optimality_0", reward / temperature)` are the
    optimality variables, such as

        def program():
            state = pyro.sample("state_0", dist.Normal(1.0, 0.7))
            for t in range(6):
                action = pyro.sample(f"action_{t}", dist.Normal(0.0, 1.0))
                pyro.factor(f"optimality_{t}", -(state**2 + action**2) / 2)
                state = pyro.sample(f"state_{t + 1}", dist.Normal(state + action, 0.5))

    Sites with other names have their roles stated: `program.roles = {"speed_*": ("state", "chance"), "torque_*":
    "action", "cost_*": "optimality"}`; "chance" is what the world draws. Rewards are in units of the attribute
    `program.temperature` per nat, 1 if there is none. The guide, a Pyro program too, draws the same sites.
    A guide may also have auxiliary sites z, marked `infer={"is_auxiliary": True}`. If it has a method `reverse` (see
    `with_reverse`), log w = log p~ + log r(z | trajectory) − log q(trajectory, z), whose mean is the auxiliary bound.
    Otherwise they are left out of log q, as if r were the distribution that they are drawn from: a looser bound. Those
    of Pyro's AutoGuides, from which the other sites are computed, belong to the density. Guides with `process()`, such
    as `OptionGuide`, have the density of trajectories without z.

    Args:
        model: the tabular model, or a Pyro program.
        guide: any guide. One with `blocks()` or with a memory (`process()`) is sampled in one batch. Any other Pyro
            guide is run once per draw, all runs side by side by `torch.vmap`; in a loop if its code branches on the
            values drawn, which the logger "pgm_control" says.
        num_samples: the number of draws, at least 1.
        seed: an integer, a generator, or None for torch's global generator.

    Raises:
        InvalidArgument: at temperature 0, or if an argument is invalid; the message names it.
        InvalidGuide: if the guide does not sample the sites of the model, or has no density.

    References:
        [levine2018]
    """
    if is_program(model):
        return program_log_weights(model, guide, num_samples, seed)
    model = require_model(model, in_nats=True, timed=True)
    return draw_weighted(model, guide, num_samples, generator_of(seed, model.mdp.initial.device)).log_weight


@torch.no_grad()
def draw_weighted(
    model: MarkovModel, guide: Callable[[], Any] | Process, num_samples: int, generator: torch.Generator | None = None
) -> Weighted:
    """The draws of `log_weights`, together with their trajectories."""
    model = require_model(model, in_nats=True, timed=True)
    process = process_of(model, guide)
    if process is None:
        assert not isinstance(guide, Process)
        trajectories, log_q, _ = traced(model, guide, num_samples, generator)
    else:
        trajectories = simulate(process, model.mdp, num_samples, generator)
        log_q = log_probability(process, model.mdp, trajectories)
    return Weighted(trajectories, log_target(model, trajectories) - log_q)


def log_target(model: MarkovModel, trajectories: Trajectories) -> Float[Tensor, " batch"]:
    r"""$\log \tilde p = \log p(s_0) + \sum_t \log \rho + \log p(k_t) + r_t/\tau$, in nats, survival included."""
    prior = MarkovProcess(model.blocks()).log_probability(trajectories)
    last = last_worth(model) / temperature_at(model, model.mdp.horizon)
    gained = _summed(trajectories, log_likelihood(model), log_mass(model), last)
    return prior + gained


def returns(mdp: TabularMDP, trajectories: Trajectories) -> Float[Tensor, " batch"]:
    """The sum of the rewards of each trajectory, the final one included, in reward units."""
    return _summed(trajectories, mdp.reward, torch.zeros_like(mdp.initial), last_reward(mdp))


def _summed(trajectories: Trajectories, of_outcome: Tensor, of_state: Tensor, of_last: Tensor) -> Tensor:
    """The sum of tables over each trajectory: by outcome, by state, which may both depend on time, and by last state.

    An ended episode adds nothing.
    """
    alive = trajectories.states < len(of_last)
    here = torch.where(alive, trajectories.states, 0)
    time = torch.arange(here.shape[1] - 1, device=here.device)
    paid = by_time(of_outcome, len(time), 3)[time, here[:, :-1], trajectories.actions, trajectories.outcomes]
    paid = paid + by_time(of_state, len(time), 1)[time, here[:, :-1]]
    return torch.where(alive[:, :-1], paid, 0.0).sum(-1) + torch.where(alive[:, -1], of_last[here[:, -1]], 0.0)


def trajectories_of(mdp: TabularMDP, values: Named) -> Trajectories:
    """The trajectories with these values of the sites, by name, one row a trajectory."""
    rows = torch.stack([values[name] for name in sites(mdp.horizon)], 1).to(mdp.successor.device)
    return Trajectories(*rows.split([mdp.horizon + 1, mdp.horizon, mdp.horizon], 1))


class Traced(NamedTuple):
    """Runs of a Pyro guide: the trajectories, their log-density, and that of their decisions, in nats.

    Actions after the end of an episode are no decisions. With auxiliary sites z the log-density is log q(τ, z) − log r,
    where r is the reverse model of the guide; if it has none, their own conditionals, so that log q(τ | z) remains.
    """

    trajectories: Trajectories
    log_probability: Float[Tensor, " batch"]
    log_policy: Float[Tensor, " batch"]


def traced(model: MarkovModel, guide: Callable[[], Any], num_samples: int, generator: torch.Generator | None) -> Traced:
    """Draws from a Pyro guide of a tabular model: independent runs, all at once by `torch.vmap` if its code allows it.

    Raises:
        InvalidArgument: if the guide cannot be called without arguments.
        InvalidGuide: if it samples other sites than the model's, or several numbers at one site.
    """
    num_samples = require_room_for("num_samples", whole("num_samples", num_samples), model.mdp.horizon)
    require_callable("guide", guide)
    like, steps = model.mdp.initial, model.mdp.horizon
    values, logs = side_by_side(_run(guide, model.mdp), guide, num_samples, seed_of(generator), like)
    trajectories = trajectories_of(model.mdp, _by_name(sites(steps), values["sites"].T))
    return Traced(trajectories, logs["log_q"].to(like), logs["log_policy"].to(like))


def _run(guide: Callable[[], Any], mdp: TabularMDP) -> Run:
    """A function that runs the guide, with values of its sites if any are given.

    It returns the values of the sites, their log-probability, and that of the actions until the episode has ended.
    """
    steps, ended = mdp.horizon, torch.nn.functional.pad(ended_states(mdp), (0, 1), value=True)
    due = sites(steps)

    def run(given: Mapping[str, Tensor]) -> tuple[Named, Named]:
        hidden: Named = {name: value for name, value in given.items() if name != "sites"}
        program = poutine.condition(guide, _by_name(due, given["sites"]) | hidden) if given else guide
        trace = poutine.trace(program).get_trace()
        try:
            trace.compute_log_prob()
        except ValueError as problem:  # Pyro turns the error of a guide without a density into this one
            raise problem.__cause__ if isinstance(problem.__cause__, InvalidGuide) else problem from None
        everything: dict[str, Any] = dict(trace.nodes)
        nodes = {name: node for name, node in everything.items() if node["type"] == "sample"}
        hidden |= {name: torch.as_tensor(node["value"]) for name, node in nodes.items() if is_auxiliary(node)}
        require_sites(set(nodes) - set(hidden), steps)
        values = {name: torch.as_tensor(nodes[name]["value"]) for name in due}
        for name, value in values.items():
            if value.numel() != 1:
                raise InvalidGuide(
                    f"`guide` must draw one number at `{name}`, but draws a tensor of shape {tuple(value.shape)}. Use "
                    "Categorical, without a plate."
                )
        log_q = {name: torch.as_tensor(nodes[name]["log_prob_sum"]) for name in due}
        actions = torch.stack([log_q[f"action_{t}"] for t in range(steps)])
        rows = torch.stack([value.reshape(()).long() for value in values.values()])
        decided = torch.where(ended.to(rows.device)[rows[:steps]], 0.0, actions)
        total = torch.stack(list(log_q.values())).sum()
        if hidden and isinstance(guide, HasReverse):
            drawn = torch.stack([torch.as_tensor(nodes[name]["log_prob_sum"]) for name in hidden]).sum()
            total = total + drawn - log_reverse(guide, _by_name(due, rows), hidden)
        return {"sites": rows, **hidden}, {"log_q": total, "log_policy": decided.sum()}

    return run


def _by_name(names: list[str], values: Int[Tensor, "site ..."]) -> Named:
    return dict(zip(names, values, strict=True))

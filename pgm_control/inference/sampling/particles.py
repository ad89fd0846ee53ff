"""The particle loop of sequential Monte Carlo: move, weight and resample, for a batch of independent runs."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...errors import InvalidArgument
from ...problems.mdp import TabularMDP
from ...problems.timed import at_time
from ...runtime.arguments import number, shown
from ...runtime.array_like import numbers
from ...trajectories.action_measure import log_mass
from ...trajectories.blocks import MarkovModel
from ...trajectories.process import MarkovProcess, Process, Transition, arrival, draw, draw_transition, log_transition
from ...trajectories.samples import Trajectories, require_room_for
from ...trajectories.steps import last_worth, log_likelihood, temperature_at
from .resampling import effective_sample_size, log_mean, multinomial, standard_error, systematic


class Runs(NamedTuple):
    """A batch of independent runs: the fields of `SMC` with a leading axis for the run. Weights are not normalised."""

    log_evidence: Float[Tensor, " batch"]
    log_weights: Float[Tensor, "batch particle"]
    states: Int[Tensor, "batch particle time_and_last"]
    actions: Int[Tensor, "batch particle time"]
    outcomes: Int[Tensor, "batch particle time"]
    effective_sample_size: Float[Tensor, "batch time_and_last"]
    resampled: Bool[Tensor, "batch time"]
    standard_error: Float[Tensor, " batch"]


def share(name: str, value: float) -> float:
    """Require a number from 0 to 1.

    Raises:
        InvalidArgument: if it is anything else.
    """
    found = number(value)
    if not 0 <= found <= 1:
        raise InvalidArgument(f"`{name}` must be a number from 0 to 1, but is {shown(value)}.")
    return found


def require_possible(log_probability: Tensor, owner: str) -> None:
    """Require that a reference has a positive probability under its model and its guide.

    Raises:
        InvalidArgument: if it has none under this one.
    """
    if not bool(log_probability > -torch.inf):
        raise InvalidArgument(
            f"`reference` must be possible, but has probability 0 under {owner}. Take one from a run of "
            "smc(model, guide, …), with the same model and guide."
        )


@torch.no_grad()
def run_smc(
    model: MarkovModel,
    process: Process,
    particles: int,
    runs: int,
    threshold: float,
    generator: torch.Generator | None,
    lookahead: object,
    reference: Trajectories | None = None,
) -> Runs:
    """The runs of `smc`; with a reference for each run, those of `conditional_smc`."""
    threshold = share("threshold", threshold)
    require_room_for("num_particles", runs * particles, model.mdp.horizon)
    mdp, truth, ahead = model.mdp, MarkovProcess(model.blocks()), log_twist(model, lookahead)
    paid, mass = log_likelihood(model), log_mass(model)
    pinned = torch.arange(runs * particles, device=mdp.initial.device) % particles == 0  # particle 0 of each run

    def pin(drawn: Tensor, fixed: Tensor) -> Tensor:
        return torch.where(pinned, fixed.repeat_interleave(particles), drawn)

    state = draw(process.log_initial().expand(runs * particles, -1), generator)
    if reference is not None:
        state = pin(state, reference.states[:, 0])
    memory = process.begin(state)
    log_weight = truth.log_initial()[state] - process.log_initial()[state] + ahead[0, state]
    log_evidence = log_weight.new_zeros(runs)
    states, actions, outcomes, ancestors, sizes, resampled = [state], [], [], [], [], []
    first = torch.arange(particles, device=state.device).expand(runs, -1)
    for t in range(mdp.horizon):
        weights = log_weight.view(runs, particles)
        sizes.append(effective_sample_size(weights))
        again = (sizes[-1] < threshold * particles) & (sizes[-1] > 0)
        ancestor = torch.arange(runs * particles, device=state.device)
        if again.any():
            log_evidence = log_evidence + torch.where(again, log_mean(weights), 0.0)
            resample = systematic if reference is None else multinomial
            chosen = resample(weights, generator) + torch.arange(runs, device=state.device)[:, None] * particles
            ancestor = torch.where(again[:, None], chosen, ancestor.view(runs, particles)).flatten()
            log_weight = torch.where(again[:, None], 0.0, weights).flatten()
            first = first.flatten()[ancestor].view(runs, particles)
            state, memory = state[ancestor], memory[ancestor]
        alive = state < mdp.num_states
        transition = draw_transition(process, mdp, t, torch.where(alive, state, 0), alive, memory, generator)
        if reference is not None:
            transition = transition._replace(
                action=pin(transition.action, reference.actions[:, t]),
                outcome=pin(transition.outcome, reference.outcomes[:, t]),
                survives=pin(transition.survives, reference.states[:, t + 1] < mdp.num_states),
            )
        following = arrival(mdp, transition)
        gain = (
            log_transition(truth, mdp, transition, memory)
            - log_transition(process, mdp, transition, memory)
            + _factor(transition, at_time(paid, t, 3), at_time(mass, t, 1))
        )
        log_weight = log_weight + gain + ahead[t + 1, following] - ahead[t, state]
        memory = process.remember(t, *transition[2:], memory)
        state = following
        states.append(state)
        actions.append(torch.where(alive, transition.action, 0))
        outcomes.append(torch.where(alive, transition.outcome, 0))
        ancestors.append(ancestor)
        resampled.append(again)
    weights = log_weight.view(runs, particles)
    paths = _genealogy(mdp, states, actions, outcomes, ancestors)
    return Runs(
        log_evidence=log_evidence + log_mean(weights),
        log_weights=weights,
        states=paths.states.view(runs, particles, -1),
        actions=paths.actions.view(runs, particles, -1),
        outcomes=paths.outcomes.view(runs, particles, -1),
        effective_sample_size=torch.stack([*sizes, effective_sample_size(weights)], -1),
        resampled=torch.stack(resampled, -1),
        standard_error=standard_error(weights, first),
    )


def log_twist(model: MarkovModel, lookahead: object) -> Float[Tensor, "time_and_last state_or_end"]:
    """log ψ: finite except in the last row, which is the final reward; 0 for particles that have terminated."""
    mdp = model.mdp
    shape = (mdp.horizon + 1, mdp.num_states)
    given = None if lookahead is None else lookahead.detach() if isinstance(lookahead, Tensor) else lookahead
    ahead = mdp.initial.new_zeros(shape)
    if given is not None:
        ahead = numbers("lookahead", given, InvalidArgument).to(mdp.initial)
    if tuple(ahead.shape) != shape:
        raise InvalidArgument(
            f"`lookahead` must have shape {shape}, one row per time from 0 to T, but has {tuple(ahead.shape)}."
        )
    if not bool((ahead < torch.inf).all()):
        raise InvalidArgument("`lookahead` must be finite or −inf, in nats, but holds nan or +inf.")
    lowest = torch.where(ahead.isfinite(), ahead, torch.inf).amin(-1, keepdim=True)
    ahead = torch.where(ahead.isfinite(), ahead, torch.where(lowest.isfinite(), lowest, 0.0))
    ahead[-1] = last_worth(model) / temperature_at(model, mdp.horizon)
    return torch.cat((ahead, ahead.new_zeros(len(ahead), 1)), -1)


def _factor(
    transition: Transition, paid: Float[Tensor, "state action outcome"], mass: Float[Tensor, " state"]
) -> Float[Tensor, " particle"]:
    here = transition.state
    return torch.where(transition.alive, paid[here, transition.action, transition.outcome] + mass[here], 0.0)


def _genealogy(
    mdp: TabularMDP, states: list[Tensor], actions: list[Tensor], outcomes: list[Tensor], ancestors: list[Tensor]
) -> Trajectories:
    """The trajectories of the particles at the end, traced back through their ancestors."""
    line = torch.arange(len(states[0]), device=states[0].device)
    path, chosen, drawn = [states[-1]], [], []
    for t in reversed(range(mdp.horizon)):
        chosen.append(actions[t][line])
        drawn.append(outcomes[t][line])
        line = ancestors[t][line]
        path.append(states[t][line])
    return Trajectories(*(torch.stack(each[::-1], 1) for each in (path, chosen, drawn)))

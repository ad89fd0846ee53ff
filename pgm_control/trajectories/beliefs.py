"""What a guide believes about the dynamics, compared with the true dynamics."""

import math
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from ..chance.log_space import expect, relative
from ..problems.timed import by_time
from ..text.wording import HasNames, reward_phrase, state_label
from .blocks import MarkovModel
from .tabulate import Tabulable, tabulate

_WORTH_SAYING = 0.05  # as a fraction of the largest tilt


@final
@dataclass(frozen=True)
class Outcome:
    """One possible outcome of an event; outcomes with the same successor and the same reward are merged into one.

    Attributes:
        successor: the state it leads to.
        reward: its reward, in reward units; if that depends on time, its mean over the steps.
        true: its true probability; if that depends on time, its mean over the visits.
        believed: the probability that a guide gives it.
    """

    successor: int
    reward: float
    true: float
    believed: float


@final
@dataclass(frozen=True)
class Event:
    """The outcomes of an action in a state as a guide believes them, averaged over the steps by expected visits.

    Attributes:
        state, action: the state and the action.
        visits: how often the guide expects to take the action in the state, per episode.
        tilt: expected KL of the believed from the true probabilities, summed over the episode, in nats.
        outcomes: the possible outcomes; those whose probability is raised the most come first.
    """

    state: int
    action: int
    visits: float
    tilt: float
    outcomes: tuple[Outcome, ...]

    @property
    def raised(self) -> Outcome:
        """The outcome whose probability is raised the most."""
        return self.outcomes[0]

    @property
    def denied(self) -> Outcome:
        """The outcome with the largest p log p/q: its true occurrence surprises the guide the most on average."""
        possible = (outcome for outcome in self.outcomes if outcome.true > 0)
        return max(possible, key=lambda outcome: outcome.true * math.log(outcome.true / max(outcome.believed, 1e-300)))


def tilted_events(model: MarkovModel, guide: Tabulable, max_rows: int = 3) -> tuple[Event, ...]:
    """The events that the guide tilts, at most one per state and `max_rows` in all, the largest expected KL first.

    Events whose tilt is below a twentieth of the largest, or is only rounding, are left out.
    """
    with torch.no_grad():
        blocks, truth = tabulate(model, guide), model.blocks()
        visits = blocks.marginals().state_action
        kl = expect(blocks.log_dynamics, relative(blocks.log_dynamics, truth.log_dynamics))
        tilt = (visits * torch.where(visits > 0, kl, 0.0)).sum(0)
    highest, action = tilt.max(-1)
    largest, states = highest.topk(min(max_rows, len(highest)))
    counts = (largest > 100 * torch.finfo(tilt.dtype).eps) & (largest >= _WORTH_SAYING * largest[0])
    return tuple(believed_event(model, guide, int(s), int(action[s])) for s in states[counts])


def believed_event(model: MarkovModel, guide: Tabulable, state: int, action: int) -> Event:
    """What a guide believes about one event; if it never reaches the event, what it believes at the first step."""
    mdp = model.mdp
    with torch.no_grad():
        blocks = tabulate(model, guide)
        p, r = (by_time(table, mdp.horizon, 3)[:, state, action] for table in (mdp.probability, mdp.reward))
        log_q, log_p = blocks.log_dynamics[:, state, action], p.log()
        joint = blocks.marginals().outcome[:, state, action]
        visits = joint.sum(-1)
        kl = expect(log_q, relative(log_q, log_p))
        believed = joint.sum(0) / visits.sum() if visits.sum() > 0 else log_q[0].exp()
        p, r = _over_time(p, visits[:, None]), _over_time(r, p)
    outcomes: dict[tuple[int, float], list[float]] = {}
    for k in range(mdp.num_outcomes):
        true = float(p[k])
        if true > 0 or believed[k] > 0:
            key = int(mdp.successor[state, action, k]), float(r[k])
            sums = outcomes.setdefault(key, [0.0, 0.0])
            sums[0] += true
            sums[1] += float(believed[k])
    found = [Outcome(*key, *sums) for key, sums in outcomes.items()]
    found.sort(key=lambda outcome: outcome.true - outcome.believed)
    tilt = (visits * torch.where(visits > 0, kl, 0.0)).sum()
    return Event(state, action, float(visits.sum()), float(tilt), tuple(found))


def _over_time(table: Float[Tensor, "time outcome"], weight: Tensor) -> Float[Tensor, " outcome"]:
    """The mean over time with these weights; the first entry if there is no weight, or all are the same."""
    if len(table) == 1 or table.stride(0) == 0:
        return table[0]
    total = weight.sum(0)
    mean = torch.where(weight > 0, weight * table, 0.0).sum(0) / torch.where(total > 0, total, 1.0)
    return torch.where(total > 0, mean, table[0])


def outcome_labels(mdp: HasNames, event: Event) -> list[str]:
    """Labels of the outcomes: where each leads, if they differ in that, and its reward, if they differ in that."""
    targets, rewards = {outcome.successor for outcome in event.outcomes}, {outcome.reward for outcome in event.outcomes}
    labels = []
    for outcome in event.outcomes:
        target = [state_label(mdp, outcome.successor)] if len(targets) > 1 or len(rewards) == 1 else []
        labels.append("\n".join([*target, *([reward_phrase(outcome.reward)] if len(rewards) > 1 else [])]))
    return labels

"""Many small problems as one decision graph, in layers by the number of steps to go.

A cell is one state of one problem, for one person, at one time. Layer n holds the cells with n steps to go; their
outcomes lead to cells of layer n − 1. Only cells that can follow an observed choice are kept, each once for a person.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...errors import InvalidArgument
from ...problems.mdp import last_reward
from ...runtime.arguments import named, shown
from ...runtime.array_like import real_array
from ...runtime.memory import require_room
from ...text.wording import listed
from ...trajectories.blocks import MarkovModel
from .located import Located

_AT_MOST = 40  # tables of doubles for each outcome, with the derivatives


@final
@dataclass(frozen=True, eq=False)
class Layer:
    """The cells with one number of steps to go, at least 1. Actions and outcomes are padded with probability 0.

    Attributes:
        person: the index of the person of each cell.
        log_prior: log ρ(a|s), −inf for forbidden actions.
        log_probability: log p(k|s, a).
        reward: r(s, a, k), in reward units.
        features: what each reward weight is multiplied by.
        successor: the index of the next cell in the layer below.
        discount: γ of the problem.
    """

    person: Int[Tensor, " cell"]
    log_prior: Float[Tensor, "cell action"]
    log_probability: Float[Tensor, "cell action outcome"]
    reward: Float[Tensor, "cell action outcome"]
    features: Float[Tensor, "cell action outcome weight"]
    successor: Int[Tensor, "cell action outcome"]
    discount: Float[Tensor, " cell"]


@final
@dataclass(frozen=True, eq=False)
class Layers:
    """The decision graph of all people.

    Attributes:
        num_people, num_weights: the numbers of people and of reward weights.
        last: the final rewards of the cells with no step to go, in reward units.
        layers: the layers with 1, 2, … steps to go.
        first: by problem, the index of each (time, state) among its cells with as many steps to go; −1 if none.
        offset: by layer, where the cells of each (person, problem) begin; −1 if there are none.
    """

    num_people: int
    num_weights: int
    last: Float[Tensor, " cell"]
    layers: tuple[Layer, ...]
    first: tuple[Int[Tensor, "_ _"], ...]
    offset: Int[Tensor, "layer person problem"]

    def place(
        self,
        person: Int[Tensor, " choice"],
        problem: Int[Tensor, " choice"],
        time: Int[Tensor, " choice"],
        state: Int[Tensor, " choice"],
    ) -> tuple[Int[Tensor, " choice"], Int[Tensor, " choice"]]:
        """Return the steps to go and the index of the cell of each (person, problem, time, state)."""
        horizons = torch.tensor([len(each) - 1 for each in self.first])
        width = max(each.numel() for each in self.first)
        table = torch.stack([torch.nn.functional.pad(each.flatten(), (0, width - each.numel())) for each in self.first])
        states = torch.tensor([each.shape[1] for each in self.first])
        to_go = horizons[problem] - time
        return to_go, self.offset[to_go, person, problem] + table[problem, time * states[problem] + state]


def layers_of(models: Mapping[str, MarkovModel], features: Mapping[str, Mapping[str, Any]], seen: Located) -> Layers:
    """Return the decision graph of all people from the places of their choices on.

    Raises:
        InvalidArgument: if a feature does not fit its problem, a reward is infinite where it may not be, or the tables
            do not fit into memory.
    """
    tables = [_feature_tables(features, name, model) for name, model in models.items()]
    allowed = [_allowed(name, model) for name, model in models.items()]
    needed = [_needed(i, model, allowed[i], seen) for i, model in enumerate(models.values())]
    played = torch.zeros(len(seen.people), len(models), dtype=torch.bool)
    played[seen.person, seen.problem] = True
    person, problem = played.nonzero().T
    deepest = max(model.mdp.horizon for model in models.values())
    first = tuple(torch.where(each, each.long().cumsum(1) - 1, -1) for each in needed)
    sizes = torch.zeros(deepest + 1, len(models), dtype=torch.long)
    for i, each in enumerate(needed):
        sizes[: len(each), i] = each.sum(1).flip(0)
    counts = sizes[:, problem]  # of the cells of each pair
    starts = counts.cumsum(1) - counts
    offset = torch.full((deepest + 1, *played.shape), -1)
    offset[:, person, problem] = starts
    width = max(model.mdp.num_actions * model.mdp.num_outcomes for model in models.values())
    require_room("data", "the values of all choices", int(counts.sum()) * width * _AT_MOST, 8, "Give fewer choices.")
    made = []
    for n in range(1, deepest + 1):
        if not int(counts[n].sum()):
            break
        rows = torch.repeat_interleave(torch.arange(len(problem)), counts[n])
        inside = torch.arange(len(rows)) - torch.repeat_interleave(starts[n], counts[n])
        of_problem = sizes[n].cumsum(0) - sizes[n]
        stacked = _stacked(n, list(models.values()), tables, allowed, needed, first)
        at = of_problem[problem[rows]] + inside
        log_prior, log_p, reward, feature, successor, discount = (each[at] for each in stacked)
        successor = successor + starts[n - 1][rows][:, None, None]
        made.append(Layer(person[rows], log_prior, log_p, reward, feature, successor, discount))
    last = torch.cat([last_reward(m.mdp)[each[-1]].double() for m, each in zip(models.values(), needed, strict=True)])
    rows = torch.repeat_interleave(torch.arange(len(problem)), counts[0])
    of_problem = sizes[0].cumsum(0) - sizes[0]
    inside = torch.arange(len(rows)) - torch.repeat_interleave(starts[0], counts[0])
    num_weights = tables[0].shape[-1]
    return Layers(len(seen.people), num_weights, last[of_problem[problem[rows]] + inside], tuple(made), first, offset)


def _stacked(
    n: int,
    models: list[MarkovModel],
    tables: list[Tensor],
    allowed: list[Tensor],
    needed: list[Bool[Tensor, "_ _"]],  # by time and state
    first: tuple[Tensor, ...],
) -> tuple[Tensor, ...]:
    """The tables of the needed states with n steps to go, of all problems one after the other, padded.

    A forbidden action, as padding is, has one outcome, which pays 0.
    """
    actions = max(model.mdp.num_actions for model in models)
    outcomes = max(model.mdp.num_outcomes for model in models)
    found: list[list[Tensor]] = [[] for _ in range(6)]
    for model, feature, may, need, place in zip(models, tables, allowed, needed, first, strict=True):
        mdp = model.mdp
        if mdp.horizon < n:
            continue
        t = mdp.horizon - n
        s = need[t].nonzero()[:, 0]
        shape, own = (len(s), actions, outcomes), (slice(None), slice(mdp.num_actions), slice(mdp.num_outcomes))
        possible, probability, reward = (torch.zeros(shape, dtype=torch.float64) for _ in range(3))
        features, successor = torch.zeros(*shape, feature.shape[-1]).double(), torch.zeros(shape, dtype=torch.long)
        possible[own] = (may[s][..., None] & (mdp.probability[s] > 0)).double()
        usable = possible > 0
        probability[own] = mdp.probability[s].double()
        reward[own], features[own], successor[own] = mdp.reward[s].double(), feature[s], place[t + 1][mdp.successor[s]]
        probability = torch.where(usable, probability, 0.0)
        probability[..., 0] = torch.where(usable.any(-1), probability[..., 0], 1.0)
        prior = torch.zeros(shape[:2], dtype=torch.float64)
        prior[own[:2]] = torch.where(may[s], model.action_prior[s].double(), 0.0)
        parts = (
            prior.log(), probability.log(), torch.where(usable, reward, 0.0),
            torch.where(usable[..., None], features, 0.0), torch.where(usable, successor, 0),
            torch.full(shape[:1], mdp.discount, dtype=torch.float64),
        )  # fmt: skip
        for column, part in zip(found, parts, strict=True):
            column.append(part)
    return tuple(torch.cat(each) for each in found)


def _needed(
    index: int, model: MarkovModel, allowed: Bool[Tensor, "state action"], seen: Located
) -> Bool[Tensor, "time_and_last state"]:
    """Which states the choices of one problem visit or may lead to, by time."""
    mdp, mine = model.mdp, seen.problem == index
    found = torch.zeros(mdp.horizon + 1, mdp.num_states, dtype=torch.bool)
    found[seen.time[mine], seen.state[mine]] = True
    usable = allowed[..., None] & (mdp.probability > 0)
    for t in range(mdp.horizon):
        here = usable[found[t]]
        found[t + 1, mdp.successor[found[t]][here].long()] = True
    return found


def _allowed(name: str, model: MarkovModel) -> Bool[Tensor, "state action"]:
    """Which actions the prior and the rewards allow.

    Raises:
        InvalidArgument: if a reward is infinite, except where all outcomes of an action are forbidden.
    """
    mdp = model.mdp
    possible = mdp.probability > 0
    finite = (mdp.reward.isfinite() | ~possible).all(-1)
    forbidden = ((mdp.reward == -torch.inf) | ~possible).all(-1)
    if not bool((finite | forbidden).all()) or not bool(last_reward(mdp).isfinite().all()):
        raise InvalidArgument(
            f"`models[{name!r}]` must have finite rewards, or −inf for all outcomes of an action, to forbid it, but "
            "has another infinite reward. Use a large negative number."
        )
    found = (model.action_prior > 0) & finite
    if not bool(found.any(-1).all()):
        state = mdp.state_name(int((~found.any(-1)).nonzero()[0]))
        raise InvalidArgument(
            f"`models[{name!r}]` must allow an action in every state, but forbids all in state {state!r}. Allow one, "
            "with reward 0 if nothing depends on it."
        )
    return found


def _feature_tables(
    features: Mapping[str, Mapping[str, Any]], name: str, model: MarkovModel
) -> Float[Tensor, "state action outcome weight"]:
    """The features of one problem, one for each reward weight; 0 where none is given.

    Raises:
        InvalidArgument: if one does not broadcast against the rewards, or is not finite.
    """
    shape, found = tuple(model.mdp.reward.shape), []
    for weight, by_problem in features.items():
        given = by_problem.get(name, 0.0)
        label = f"features[{weight!r}][{name!r}]"
        table = torch.from_numpy(np.asarray(real_array(label, given, InvalidArgument), dtype=np.float64))
        try:
            table = table.expand(shape)
        except RuntimeError as problem:
            raise InvalidArgument(
                f"`{label}` must broadcast against (state, action, outcome), {shape}, but is {shown(given)}."
            ) from problem
        if not bool(table.isfinite().all()):
            raise InvalidArgument(f"`{label}` must hold finite numbers, but holds others.")
        found.append(table)
    return torch.stack(found, -1) if found else torch.zeros(*shape, 0, dtype=torch.float64)


def require_features(features: object, models: Mapping[str, MarkovModel]) -> dict[str, Mapping[str, Any]]:
    """Return the features by weight and problem.

    Raises:
        InvalidArgument: if they are anything else than mappings, or name an unknown problem.
    """
    if features is None:
        return {}
    found = named("features", features, least=0, what="table by problem")
    for weight, by_problem in found.items():
        unknown = set(named(f"features[{weight!r}]", by_problem, what="table")) - set(models)
        if unknown:
            raise InvalidArgument(
                f"`features[{weight!r}]` must name problems of `models`, but names {sorted(unknown)[0]!r}. The models "
                f"are {listed([repr(each) for each in models])}."
            )
    return found

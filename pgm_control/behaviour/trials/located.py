"""Choices located in their problems: names become indices, and every step is checked to be possible."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from ...errors import InvalidArgument
from ...problems.mdp import TabularMDP
from ...runtime.arguments import named
from ...text.wording import listed
from ...trajectories.blocks import MarkovModel, require_model
from .choices import require_choices


class Located(NamedTuple):
    """Choices as indices: of people and problems in the order of their names."""

    people: tuple[str, ...]
    problems: tuple[str, ...]
    person: Int[Tensor, " choice"]
    problem: Int[Tensor, " choice"]
    time: Int[Tensor, " choice"]
    state: Int[Tensor, " choice"]
    action: Int[Tensor, " choice"]


def require_models(models: object) -> dict[str, MarkovModel]:
    """Return the models by the name of their problem.

    Raises:
        InvalidArgument: if one is not a tabular model that is constant in time; the message names it.
    """
    found = named("models", models, what="model")
    for name, model in found.items():
        require_model(model, name=f"models[{name!r}]")
    return found


def located(models: Mapping[str, MarkovModel], data: object) -> Located:
    """Return the choices as indices.

    Raises:
        InvalidArgument: if a problem, state or action is unknown, or a step is impossible; the message names the
            column, the row and the remedy.
    """
    choices = require_choices(data)
    names, people = list(models), {name: i for i, name in enumerate(choices.people)}
    steps: dict[tuple[str, str], list[tuple[str, int, int]]] = {}
    rows = []
    for i, (person, trial, problem, state, action) in enumerate(zip(*choices.columns.values(), strict=True)):
        if problem not in models:
            raise InvalidArgument(
                f"`data` must name problems of `models`, but column 'problem' has {problem!r} in row {i + 1}. The "
                f"models are {listed([repr(name) for name in names])}."
            )
        mdp = models[problem].mdp
        s = _index("state", state, mdp.state_names, mdp.num_states, problem, i)
        a = _index("action", action, mdp.action_names, mdp.num_actions, problem, i)
        before = steps.setdefault((person, trial), [])
        _require_possible(models[problem], mdp, before, (problem, s, a), i, (person, trial))
        rows.append((people[person], names.index(problem), len(before), s, a))
        before.append((problem, s, a))
    return Located(choices.people, tuple(names), *torch.tensor(rows).T.unbind())


def _index(column: str, entry: str, names: tuple[str, ...] | None, count: int, problem: str, row: int) -> int:
    if names is not None and entry in names:
        return names.index(entry)
    if entry.isascii() and entry.isdigit() and int(entry) < count:
        return int(entry)
    known = f"its {column}s are {listed([repr(each) for each in names])}, or" if names else f"its {column}s are"
    raise InvalidArgument(
        f"`data` must name {column}s of the problem, but column {column!r} has {entry!r} in row {row + 1}. The problem "
        f"is {problem!r}: {known} the numbers from 0 to {count - 1}."
    )


def _require_possible(
    model: MarkovModel,
    mdp: TabularMDP,
    before: list[tuple[str, int, int]],
    now: tuple[str, int, int],
    row: int,
    episode: tuple[str, str],
) -> None:
    """Require that this step may follow those before it, and that the prior and the rewards allow its action."""
    (problem, s, a), (person, trial) = now, episode
    where = f"row {row + 1}, step {len(before) + 1} of trial {trial!r} of person {person!r}"
    state, action = mdp.state_name(s), mdp.action_name(a)
    steps = "The rows of one person and trial are the steps of one episode: number the trials of each person."
    if before and before[-1][0] != problem:
        raise InvalidArgument(
            f"`data` must have one problem in each trial, but column 'problem' has {problem!r} in {where}, after "
            f"{before[-1][0]!r}. {steps}"
        )
    if len(before) >= mdp.horizon:
        raise InvalidArgument(
            f"`data` must have at most {mdp.horizon} rows in a trial of problem {problem!r}, its horizon, but column "
            f"'trial' has one more in {where}. {steps}"
        )
    if before:
        _, s_before, a_before = before[-1]
        reached = mdp.successor[s_before, a_before][mdp.probability[s_before, a_before] > 0]
        if not bool((reached == s).any()):
            raise InvalidArgument(
                f"`data` must have possible steps, but column 'state' has {state!r} in {where}, where action "
                f"{mdp.action_name(a_before)!r} in state {mdp.state_name(s_before)!r} does not lead. {steps}"
            )
    elif not mdp.initial[s] > 0:
        raise InvalidArgument(
            f"`data` must have possible steps, but column 'state' has {state!r} in {where}, where problem {problem!r} "
            "does not start. Correct the row, or the `initial` of the problem."
        )
    if not model.action_prior[s, a] > 0 or not bool((mdp.reward[s, a] > -torch.inf).all()):
        cause = "its action prior" if not model.action_prior[s, a] > 0 else "a reward of −inf"
        raise InvalidArgument(
            f"`data` must hold actions that are allowed, but column 'action' has {action!r} in {where}, which problem "
            f"{problem!r} forbids in state {state!r} by {cause}. Correct the row, or allow the action."
        )

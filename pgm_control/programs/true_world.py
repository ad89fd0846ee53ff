"""A guide's actions in the world of the model: the model draws chance, and the guide each action."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InvalidGuide
from .replay import Pair, by_kind, require_numbers
from .run import Site, run_with
from .side_by_side import Named, side_by_side


class Played(NamedTuple):
    """Independent runs in which the guide draws the actions and the model everything else.

    Attributes:
        values: the values of the model's sites, and of the auxiliary variables of the guide, one row a run.
        log_policy: the log-density of each action given what was drawn before it, in nats, by site.
        log_optimality: the log-factor of optimality, in nats, by site.
    """

    values: Named
    log_policy: dict[str, Float[Tensor, " draw"]]
    log_optimality: dict[str, Float[Tensor, " draw"]]


def in_true_world(pair: Pair, num_samples: int, seed: int | None) -> Played:
    """Runs of the model whose actions are drawn by the guide, given what has been drawn so far.

    Before each action the model runs up to it, and then the guide, with the values drawn so far, also of the auxiliary
    variables of the guide; so that T actions cost T²/2 steps of each.

    Raises:
        InvalidGuide: if the guide draws chance that comes after an action before the action.
    """

    def run(known: Mapping[str, Tensor]) -> tuple[Named, Named]:
        drawn, policy, chance = dict[str, Any](known), dict[str, Site](), list[str]()
        for name in pair.latent:
            if not pair.has_role(name, "action"):
                chance.append(name)
                continue
            _draw_chance(pair, drawn, chance)
            policy[name] = _draw_action(pair, drawn, name)
            chance.clear()
        scored = run_with(pair.model, drawn)
        pair.require_sites(scored)
        values = {**drawn, **{name: scored[name].value for name in chance}}
        logs = {f"q {name}": site.log_probability for name, site in policy.items()}
        logs |= {
            f"p {name}": site.log_probability for name, site in scored.items() if pair.has_role(name, "optimality")
        }
        return {name: torch.as_tensor(each) for name, each in values.items()}, logs

    values, logs = side_by_side(run, pair.guide, num_samples, seed, pair.like)
    require_numbers(logs)
    return Played(values, by_kind(logs, "q"), by_kind(logs, "p"))


def _draw_chance(pair: Pair, drawn: dict[str, Any], names: list[str]) -> None:
    """Let the model draw these sites."""
    if names:
        found = run_with(pair.model, drawn, until=names)
        if not set(names) <= set(found):
            pair.require_sites(found)
        drawn.update({name: found[name].value for name in names})


def _draw_action(pair: Pair, drawn: dict[str, Any], action: str) -> Site:
    """Let the guide draw an action, and the auxiliary variables before it."""
    found = run_with(pair.guide, drawn, until=[action])
    if action not in found:
        raise InvalidGuide(f"`guide` must sample the sites of the model, but `{action}` is missing in a run.")
    for name, site in found.items():
        if name in drawn or name == action:
            continue
        if not site.is_auxiliary and not site.is_determined:
            raise InvalidGuide(
                f"`guide` must draw `{action}` before `{name}`, as the model does, to act in the true world, which "
                "draws what follows. Change the order of its sites."
            )
        if site.is_auxiliary:
            drawn[name] = site.value
    drawn[action] = found[action].value
    return found[action]

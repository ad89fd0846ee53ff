"""The laws for Pyro programs without tables, from the roles of their sites. Each check returns its violations."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import pyro
import torch
from pyro import poutine

from ..errors import InvalidArgument, InvalidGuide
from ..inference.sampling.of_programs import pair_of
from ..programs.own_parameters import own_parameters
from ..programs.replay import Pair, Replay, require_known_density
from ..programs.roles import roles_of, temperature_of
from ..programs.run import run_with
from ..programs.true_world import in_true_world
from ..runtime.programs import without_handlers
from ..runtime.randomness import seeded
from . import laws

_DRAWS = 200


class GuideOfProgram(NamedTuple):
    """What the checks find: the blocks of chance that the guide changes, its ELBO in nats, and the broken laws."""

    free: set[str]
    elbo: float
    broken: list[str]


@runtime_checkable
class HasFreeBlocks(Protocol):
    """A guide that says which blocks of chance it may change."""

    @property
    def free_blocks(self) -> tuple[str, ...]:
        """Their names, out of "member", "initial" and "dynamics"."""
        ...


def model_laws(model: Callable[[], Any], seed: int) -> list[str]:
    """A program has factors of optimality, a role for each site, finite densities, and is repeatable."""
    with pyro.validation_enabled(False):
        drawn = laws.play(model, seed)
    for name, site in drawn.items():
        if not site.log_probability < float("inf"):
            return [f"the log-probability of `{name}` is {site.log_probability}; it must be a number below +inf."]
    try:
        temperature_of(model)
        Pair(model, _prior(model))
    except (InvalidArgument, InvalidGuide) as problem:
        return [str(problem)]
    broken = laws.repeatable(model, seed)
    if hasattr(without_handlers(model), "roles"):
        shown = ", ".join(f"`{name}`" for name in list(drawn)[:8])
        broken += [
            f"its `roles` name {pattern!r}, but no site fits: its sites are {shown}, …. Correct the pattern."
            for pattern in roles_of(model).unused(drawn)
        ]
    return broken


def latent_sites(model: Callable[[], Any], seed: int) -> tuple[str, ...]:
    """The sites that a program draws, in order, without those of plates."""
    with seeded(seed):
        return tuple(name for name, site in run_with(model, {}).items() if site.is_latent)


def _prior(model: Callable[[], Any]) -> Callable[[], Any]:
    """The model without its factors and observations, as a guide."""
    return poutine.block(model, hide_fn=lambda msg: bool(msg.get("is_observed")))


def guide_laws(model: Callable[[], Any], guide: Callable[[], Any], seed: int) -> GuideOfProgram:
    """A guide draws the sites of the model, with densities, in an order in which it can act, and is repeatable."""
    with own_parameters(guide):
        return _guide_laws(model, guide, seed)


def _guide_laws(model: Callable[[], Any], guide: Callable[[], Any], seed: int) -> GuideOfProgram:
    try:
        pair = pair_of(model, guide)
        require_known_density(guide, pair.auxiliary)
        temperature_of(model)
        replay = pair.replayed(_DRAWS, seed)
        in_true_world(pair, _DRAWS, seed)
    except InvalidGuide as problem:
        return GuideOfProgram(set(), float("nan"), [str(problem)])
    log_weight = replay.log_weight
    broken = laws.repeatable(guide, seed) + _forbidden(pair, replay) + _shapes(pair, seed)
    if torch.isnan(log_weight).any():
        broken.append("its log-weights are nan. Look for 0·∞ or log of a negative number in its densities.")
    return GuideOfProgram(_free_blocks(pair, replay), float(log_weight.double().mean()), broken)


def _shapes(pair: Pair, seed: int) -> list[str]:
    """Each site has as many event dimensions as in the model, without which Pyro's losses do not run."""
    with seeded(seed):
        drawn = run_with(pair.guide, {})
        scored = run_with(pair.model, {name: site.value for name, site in drawn.items()})
    for name in pair.latent:
        own, due = drawn[name].distribution.event_dim, scored[name].distribution.event_dim
        if own != due:
            remedy = f"Add .to_event({due - own}) to its distribution." if due > own else "Take .to_event() away."
            return [f"it draws `{name}` with {own} event dimensions where the model has {due}. {remedy}"]
    return []


def _forbidden(pair: Pair, replay: Replay) -> list[str]:
    """The guide draws nothing that the model calls impossible."""
    for name in pair.latent:
        if torch.isneginf(replay.log_model[name]).any():
            return [f"it draws values of `{name}` that the model calls impossible: its ELBO is −inf."]
    return []


def kept_blocks(guide: object, free: set[str]) -> list[str]:
    """A guide changes no block that it says to keep."""
    if not isinstance(guide, HasFreeBlocks):
        return []
    said = set(guide.free_blocks)
    changed = free - said - ({"initial"} if "member" in said else set())  # a member is drawn before the first action
    return [
        f"its draws of the block {name!r} differ from the model's, but its `free_blocks` are {tuple(sorted(said))}. "
        "Name it there, or draw it from the model."
        for name in sorted(changed)
    ]


def _free_blocks(pair: Pair, replay: Replay) -> set[str]:
    """The blocks of chance whose densities differ from the model's: those before the first action, and those after."""
    clamped = pair.clamped(replay)
    first = next((i for i, name in enumerate(pair.latent) if pair.has_role(name, "action")), len(pair.latent))
    chance = {name: "initial" if i < first else "dynamics" for i, name in enumerate(pair.latent)}
    return {block for name, block in chance.items() if pair.has_role(name, "chance") and name not in clamped}

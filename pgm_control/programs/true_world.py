"""A guide's actions in the world of the model: the model draws chance, and asks the guide for each action."""

from collections.abc import Mapping
from typing import Any, NamedTuple, final

import torch
from jaxtyping import Float
from pyro import poutine
from pyro.poutine.messenger import Messenger
from torch import Tensor

from ..errors import InvalidGuide
from .replay import Pair
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

    At each action the guide runs up to it, with the values drawn so far, also of its own auxiliary variables; so that
    T actions cost T²/2 steps of the guide.

    Raises:
        InvalidGuide: if the guide draws chance that comes after an action before the action.
    """
    factors = [name for name in pair.sites if pair.has_role(name, "optimality")]

    def run(known: Mapping[str, Tensor]) -> tuple[Named, Named]:
        policy = _GuideAsPolicy(pair, known)
        scored = run_with(policy(pair.model), known)
        values = {name: torch.as_tensor(each) for name, each in policy.drawn.items()}
        logs = {f"q {name}": site.log_probability for name, site in policy.actions.items()}
        logs |= {f"p {name}": scored[name].log_probability for name in factors if name in scored}
        return values, logs

    values, logs = side_by_side(run, pair.guide, num_samples, seed, pair.like)
    parts = ({name[2:]: each for name, each in logs.items() if name[0] == kind} for kind in "qp")
    return Played(values, *parts)


@final
class _GuideAsPolicy(Messenger):
    """A handler of the model that takes the actions of the guide."""

    def __init__(self, pair: Pair, known: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.pair, self.known = pair, dict(known)
        self.drawn = dict[str, Any]()  # so far: of the model, and auxiliary variables of the guide
        self.actions = dict[str, Site]()

    def _pyro_sample(self, msg: Any) -> None:
        name = str(msg["name"])
        if msg["is_observed"] or not self.pair.has_role(name, "action"):
            return
        with torch.no_grad(), poutine.block():
            found = run_with(self.pair.guide, {**self.known, **self.drawn}, until=[name])
        if name not in found:
            raise InvalidGuide(f"`guide` must sample the sites of the model, but `{name}` is missing in a run.")
        for other, site in found.items():
            if other in self.drawn or other == name:
                continue
            if not site.is_auxiliary and not site.is_determined:
                raise InvalidGuide(
                    f"`guide` must draw `{name}` before `{other}`, as the model does, to act in the true world, which "
                    "draws what follows. Change the order of its sites."
                )
            if site.is_auxiliary:
                self.drawn[other] = site.value
        self.actions[name] = found[name]
        msg["value"], msg["done"] = found[name].value, True

    def _pyro_post_sample(self, msg: Any) -> None:
        if not msg["is_observed"]:
            self.drawn[msg["name"]] = msg["value"]

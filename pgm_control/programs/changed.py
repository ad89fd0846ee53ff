"""Programs whose distributions are changed at some sites, and one run that draws from the new ones and scores both."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, final, runtime_checkable

import torch
from jaxtyping import Float
from pyro import poutine
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_subsample
from torch import Tensor

Change = Callable[[str, Any, Mapping[str, Tensor]], Any]


@runtime_checkable
class ChangesSites(Protocol):
    """A guide that is its model, with other distributions at some sites: it never has sites that the model lacks."""

    model: Any

    def change(self, site: str, distribution: Any, values: Mapping[str, Tensor]) -> Any:
        """The distribution that the guide draws a site from, or None for the model's own.

        Args:
            site: the name of the site.
            distribution: the model's own, given the values so far.
            values: those of the sites before it, by name.
        """
        ...


class Scored(NamedTuple):
    """Independent runs of a program with changed sites, side by side.

    Attributes:
        latent: the values of the sites that are drawn, by name, in order.
        log_ratio: log p − log q of each changed site, in nats, by its name.
        log_factor: the log-probability of each observed site, in nats, by its name.
        log_score: log q of each changed site whose draws are not reparameterised, by its name.
    """

    latent: dict[str, Tensor]
    log_ratio: dict[str, Float[Tensor, " draw"]]
    log_factor: dict[str, Float[Tensor, " draw"]]
    log_score: dict[str, Float[Tensor, " draw"]]


def run_changed(program: Callable[[], Any], change: Change) -> None:
    """Run a program as a guide: with the changed distributions, and without its factors and observations."""
    with poutine.block(hide_fn=_is_observed), _Changes(change):
        program()


def score_changed(program: Callable[[], Any], change: Change, count: int) -> Scored:
    """Run a program `count` times side by side with the changed distributions, scoring every site once.

    The draws are those of the guide inside of a plate with as many elements, from the same random numbers.
    """
    scorer = _Scorer(change, count)
    with poutine.block(), scorer:
        program()
    return scorer.scored


def _is_observed(msg: Any) -> bool:
    return msg["type"] == "sample" and bool(msg["is_observed"])


class _Changes(Messenger):
    """A handler that replaces the distributions of latent sites, and keeps all values."""

    def __init__(self, change: Change) -> None:
        super().__init__()
        self._change, self._values = change, dict[str, Tensor]()

    def _pyro_sample(self, msg: Any) -> None:
        if not msg["is_observed"] and not site_is_subsample(msg):
            changed = self._change(msg["name"], msg["fn"], self._values)
            if changed is not None:
                msg["fn"] = changed

    def _pyro_post_sample(self, msg: Any) -> None:
        if not site_is_subsample(msg):
            self._values[msg["name"]] = msg["value"]


@final
class _Scorer(_Changes):
    """The same, with the log-densities of both distributions, in a batch."""

    def __init__(self, change: Change, count: int) -> None:
        super().__init__(change)
        self._count, self.scored = torch.Size((count,)), Scored({}, {}, {}, {})

    def _pyro_sample(self, msg: Any) -> None:
        if msg["is_observed"] or site_is_subsample(msg):
            return
        own = msg["fn"]
        super()._pyro_sample(msg)
        given = msg["fn"]
        if given.batch_shape != self._count:
            msg["fn"] = given.expand(self._count)
        msg["value"] = msg["fn"]()
        msg["done"] = True
        self.scored.latent[msg["name"]] = msg["value"]
        if given is not own:
            log_q = msg["fn"].log_prob(msg["value"])
            self.scored.log_ratio[msg["name"]] = own.log_prob(msg["value"]) - log_q
            if not given.has_rsample and log_q.requires_grad:
                self.scored.log_score[msg["name"]] = log_q

    def _pyro_post_sample(self, msg: Any) -> None:
        super()._pyro_post_sample(msg)
        if msg["is_observed"] and not site_is_subsample(msg):
            self.scored.log_factor[msg["name"]] = msg["fn"].log_prob(msg["value"]).expand(self._count)

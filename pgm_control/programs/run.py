"""One run of a Pyro program in which the values of some sites are given, as far as it is needed."""

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, final

import pyro
import torch
from pyro import poutine
from pyro.distributions import Delta, Unit
from pyro.distributions.util import scale_and_mask
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_subsample
from torch import Tensor

from ..runtime.alone.thread import alone


@final
@dataclass(frozen=True, eq=False)
class Site:
    """A sample statement in a run.

    Attributes:
        value: what was drawn, given or observed.
        distribution: where it comes from.
        is_latent: whether it is drawn, not observed.
        is_auxiliary: whether it is marked `infer={"is_auxiliary": True}`, a variable that the model does not have.
        scale, mask: of its log-probability, as Pyro's handlers set them.
    """

    value: Any
    distribution: Any
    is_latent: bool
    is_auxiliary: bool
    scale: Any
    mask: Any

    @property
    def log_probability(self) -> Tensor:
        """Its log-probability or log-factor, summed over its elements, in nats; −inf outside of the support."""
        with alone(), pyro.validation_enabled(False):  # which raises an error there
            found = self.distribution.log_prob(self.value)
        return torch.as_tensor(scale_and_mask(found, self.scale, self.mask)).sum()

    @property
    def is_determined(self) -> bool:
        """Whether its value is a function of those before."""
        return isinstance(_base(self.distribution), Delta)

    @property
    def is_factor(self) -> bool:
        """Whether it is the factor of a reparameterised density, which belongs to a guide."""
        return isinstance(_base(self.distribution), Unit)


def _base(distribution: Any) -> Any:
    while hasattr(distribution, "base_dist"):
        distribution = distribution.base_dist
    return distribution


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """A context at whose end torch's generators and Pyro's parameters are as before."""
    store = pyro.get_param_store()
    with alone(), store.scope(store.get_state()), torch.random.fork_rng(devices=[]):
        yield


def run_with(
    program: Callable[[], Any], known: Mapping[str, Any], until: Collection[str] | None = None
) -> dict[str, Site]:
    """The sites of a run in which those in `known` have these values, in order.

    Args:
        program: a Pyro program.
        known: values by the names of sites; a name that the program does not have is ignored.
        until: the run ends as soon as all of these sites have been reached; None: at the end of the program.
    """
    reader = _Reader(known, until)
    with alone(), poutine.block(), reader, contextlib.suppress(_EverythingReached):
        program()
    return reader.sites


class _EverythingReached(Exception):
    """All wanted sites have been reached."""


@final
class _Reader(Messenger):
    """A handler that gives known sites their values and keeps every site."""

    def __init__(self, known: Mapping[str, Any], until: Collection[str] | None) -> None:
        super().__init__()
        self.known, self.sites = known, dict[str, Site]()
        self.left = None if until is None else set(until)

    def _pyro_sample(self, msg: Any) -> None:
        if msg["name"] in self.known and not msg["is_observed"] and not site_is_subsample(msg):
            msg["value"], msg["done"] = self.known[msg["name"]], True

    def _pyro_post_sample(self, msg: Any) -> None:
        if site_is_subsample(msg):
            return
        about = msg["infer"] or {}
        is_auxiliary = bool(about.get("is_auxiliary"))
        if not about.get("_deterministic"):
            self.sites[msg["name"]] = Site(
                msg["value"], msg["fn"], not msg["is_observed"], is_auxiliary, msg["scale"], msg["mask"]
            )
        if self.left is not None:
            self.left.discard(msg["name"])
            if not self.left:
                raise _EverythingReached

"""The abstract guide of a tabular model: turns blocks into a Pyro program."""

import abc
from collections.abc import Callable
from typing import Any

import pyro
import torch
from pyro.nn import PyroModule

from pgm_control.chance.log_tables import row_error, untilted
from pgm_control.errors import InvalidGuide
from pgm_control.inference.variational.parameters import announce_parameters
from pgm_control.programs.own_parameters import keeps_parameters
from pgm_control.runtime.moving import Place, moved, place_of
from pgm_control.trajectories.blocks import Blocks, MarkovModel, require_model, require_room_for_policy
from pgm_control.trajectories.program import run_program


class AbstractPyroModule(type(PyroModule), abc.ABCMeta):
    """The metaclass of PyroModule, which also refuses to instantiate an abstract class."""


class TabularGuide(PyroModule, abc.ABC, metaclass=AbstractPyroModule):
    """A guide of a tabular model. It holds the model whose sites it samples, and moves together with it.

    `guide.to(device=…, dtype=…)`, `guide.float()` and similar methods move the parameters in place, as in any module of
    torch. They also move the tensors and blocks that the guide holds, and replace `guide.model` by a moved copy. Fit
    and score the guide with `guide.model`.
    """

    def __init__(self, model: MarkovModel) -> None:
        """Store the model whose sites this guide samples."""
        require_model(model, timed=True, graph=True)
        require_room_for_policy(model)
        super().__init__()
        self.model = model

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Any:
        """Move the guide and its model; torch calls this for `to` and every other method that moves a module."""
        old = self.model
        like = fn(old.mdp.initial)
        place = place_of(like, like.device, like.dtype)
        model = moved(old, place)
        if Place.of(model.mdp.initial) != place:
            raise InvalidGuide(
                f"`model` must have a method `to(device, dtype)` for its guide to be moved, but {type(model).__name__} "
                "has none that moves it. Build the guide from a model that is already there."
            )
        for each in self.modules():
            if isinstance(each, TabularGuide) and each.model is old:
                each.model = model
        for name, value in list(vars(self).items()):
            if name not in _OWN:
                tied = value.replace(mdp=model.mdp) if isinstance(value, Blocks) else value
                setattr(self, name, moved(tied, place))
        return super()._apply(fn, recurse)


_OWN = frozenset(vars(PyroModule()))  # the attributes of every module: parameters, buffers, hooks


class MarkovGuide(TabularGuide):
    r"""A distribution over trajectories with the same factorisation as the model.

    $$q = q(s_0) \prod_t \pi_t(a_t \mid s_t)\, q_t(k_t \mid s_t, a_t)$$

    To write a guide, inherit from this class, keep parameters as `torch.nn.Parameter` (or any `torch.nn.Module`), call
    `super().__init__(model)` first, and return normalised log-probabilities from `blocks()`. The sites, their order
    within a step and the enumeration are then correct by construction. Read `ClampedGuide` as an example. The
    parameters belong to the guide: none enters Pyro's global parameter store, so two guides never share one by name.
    """

    @abc.abstractmethod
    def blocks(self) -> Blocks:
        """The factors as normalised log-probabilities, computed from the current parameters, differentiable."""

    @keeps_parameters
    def forward(self) -> None:
        """Sample one trajectory at the model's sites, as a Pyro program."""
        announce_parameters(self)
        with pyro.settings.context(module_local_params=True):
            blocks = self.blocks()
        run_program(blocks)


def logits_of(name: str, log_probability: torch.Tensor, log_weight: torch.Tensor) -> torch.Tensor:
    """The logits that tilt these weights into these log-probabilities, in nats; the inverse of `tilted`.

    An outcome of probability zero has the logit −inf, or 0 where the weight is zero as well.

    Raises:
        InvalidGuide: if the block has another shape, a row is not normalised, or it has mass where the weight is zero;
            the message names the block.
    """
    if log_probability.shape != log_weight.shape:
        raise InvalidGuide(
            f"`blocks.{name}` must have shape {tuple(log_weight.shape)} for this guide, but has "
            f"{tuple(log_probability.shape)}. Take the blocks of a guide or a posterior of the same model."
        )
    off = row_error(log_probability)
    if not off <= (1e-6 if log_probability.dtype == torch.float64 else 1e-4):
        raise InvalidGuide(
            f"`blocks.{name}` must hold normalised log-probabilities, but a row sums to 1 ± {off:.3g} after "
            "exp. Pass it through torch.log_softmax(…, -1)."
        )
    logits, is_outside = untilted(log_probability, log_weight)
    if is_outside:
        outside = torch.isneginf(log_weight) & (log_probability > -torch.inf)
        where = tuple(outside.nonzero()[0].tolist())
        raise InvalidGuide(
            f"`blocks.{name}` must be −inf where this guide has no mass, but is {float(log_probability[where]):.4g} at "
            f"{where}. Take the blocks of a guide, or of a posterior, with the same optimism."
        )
    return logits

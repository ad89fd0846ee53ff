"""The abstract guide of a tabular model: blocks in, a Pyro program out."""

import abc
from collections.abc import Callable
from typing import Self

import pyro
import torch
from pyro.nn import PyroModule

from pgm_control.errors import InvalidGuide
from pgm_control.inference.variational.parameters import announce_parameters
from pgm_control.runtime.moving import Place, moved, place_of
from pgm_control.trajectories.blocks import Blocks, MarkovModel, require_model
from pgm_control.trajectories.program import run_program


class AbstractPyroModule(type(PyroModule), abc.ABCMeta):
    """PyroModule has a metaclass of its own; this one also refuses to build an abstract class."""


class TabularGuide(PyroModule, abc.ABC, metaclass=AbstractPyroModule):
    """A guide of a tabular model: it holds the model whose sites it samples, and moves with it.

    `guide.to(device=…, dtype=…)`, `guide.float()` and the like move the parameters in place, as those of any module of
    torch, and with them what else the guide holds: tensors, blocks, and the model, which becomes another:
    `guide.model`. Fit and score the guide with that.
    """

    def __init__(self, model: MarkovModel) -> None:
        """Remember the model whose sites this guide samples."""
        require_model(model)
        super().__init__()
        self.model = model

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Self:
        """What `to` does, and all other methods of torch that move a module."""
        old = self.model
        like = fn(old.mdp.initial)
        place = place_of(like, like.device, like.dtype)
        model = moved(old, place)
        if Place.of(model.mdp.initial) != place:
            raise InvalidGuide(
                f"`model` must have a method `to(device, dtype)` for its guide to be moved, but {type(model).__name__} "
                "has none that moves it. Build the guide of a model that is there."
            )
        for each in self.modules():
            if isinstance(each, TabularGuide) and each.model is old:
                each.model = model
        for name, value in list(vars(self).items()):
            if name not in _OWN:
                tied = value.replace(mdp=model.mdp) if isinstance(value, Blocks) else value
                setattr(self, name, moved(tied, place))
        return super()._apply(fn, recurse)


_OWN = frozenset(vars(PyroModule()))  # attributes of every module: parameters, buffers, hooks


class MarkovGuide(TabularGuide):
    r"""A distribution over trajectories that factors as the model does.

    $$q = q(s_0) \prod_t \pi_t(a_t \mid s_t)\, q_t(k_t \mid s_t, a_t)$$

    To write one, inherit, keep parameters as `torch.nn.Parameter` (or any `torch.nn.Module`), call
    `super().__init__(model)` first, and return normalised log-probabilities from `blocks()`. The sites, the order
    within a step and the enumeration are then right by construction. `ClampedGuide` is the example to read. The
    parameters belong to the guide: nothing enters Pyro's global parameter store, so two guides never share by name.
    """

    @abc.abstractmethod
    def blocks(self) -> Blocks:
        """The factors as normalised log-probabilities, freshly computed from the parameters, differentiable."""

    def forward(self) -> None:
        """Sample one trajectory at the model's sites."""
        announce_parameters(self)
        with pyro.settings.context(module_local_params=True):
            blocks = self.blocks()
        run_program(blocks)


def logits_of(name: str, log_probability: torch.Tensor, log_weight: torch.Tensor) -> torch.Tensor:
    """The inverse of `tilted`: the logits that tilt these weights into these log-probabilities, in nats.

    A face of probability zero has a logit of −inf, or 0 where the weight is zero as well.

    Raises:
        InvalidGuide: naming the block, if its shape is another, a row is not normalised, or it puts mass where the
            weight is zero.
    """
    if log_probability.shape != log_weight.shape:
        raise InvalidGuide(
            f"`blocks.{name}` must have shape {tuple(log_weight.shape)} for this guide, but has "
            f"{tuple(log_probability.shape)}. Take the blocks of a guide or a posterior of the same model."
        )
    off = (log_probability.exp().sum(-1) - 1).abs().max()
    if not off <= (1e-6 if log_probability.dtype == torch.float64 else 1e-4):
        raise InvalidGuide(
            f"`blocks.{name}` must hold normalised log-probabilities, but a row sums to 1 ± {float(off):.3g} after "
            "exp. Pass it through torch.log_softmax(…, -1)."
        )
    possible = log_weight > -torch.inf
    outside = ~possible & (log_probability > -torch.inf)
    if outside.any():
        where = tuple(outside.nonzero()[0].tolist())
        raise InvalidGuide(
            f"`blocks.{name}` must be −inf where this guide has no mass, but is {float(log_probability[where]):.4g} at "
            f"{where}. Take the blocks of a guide, or of a posterior, with the same optimism."
        )
    return torch.where(possible, log_probability - log_weight, torch.zeros_like(log_weight))

"""The abstract guide of a tabular model: blocks in, a Pyro program out."""

import abc

import pyro
import torch
from pyro.nn import PyroModule

from pgm_control._blocks import Blocks, MarkovModel
from pgm_control._parameters import announce_parameters
from pgm_control._program import run_program


class _AbstractPyroModule(type(PyroModule), abc.ABCMeta):
    """PyroModule has a metaclass of its own; this one also refuses to build an abstract class."""


class MarkovGuide(PyroModule, abc.ABC, metaclass=_AbstractPyroModule):
    r"""A distribution over trajectories that factors as the model does.

    $$q = q(s_0) \prod_t \pi_t(a_t \mid s_t)\, q_t(k_t \mid s_t, a_t)$$

    To write one, inherit, keep parameters as `torch.nn.Parameter` (or any `torch.nn.Module`), call
    `super().__init__(model)` first, and return normalised log-probabilities from `blocks()`. The sites, the order
    within a step and the enumeration are then right by construction. `ClampedGuide` is the example to read. The
    parameters belong to the guide: nothing enters Pyro's global parameter store, so two guides never share by name.
    """

    def __init__(self, model: MarkovModel) -> None:
        """Remember the model whose sites this guide samples."""
        super().__init__()
        self.model = model

    @abc.abstractmethod
    def blocks(self) -> Blocks:
        """The factors as normalised log-probabilities, freshly computed from the parameters, differentiable."""

    def forward(self) -> None:
        """Sample one trajectory at the model's sites."""
        announce_parameters(self)
        with pyro.settings.context(module_local_params=True):
            blocks = self.blocks()
        run_program(blocks, self.model.mdp)


def tilted(logits: torch.Tensor, log_weight: torch.Tensor) -> torch.Tensor:
    """Log-probabilities proportional to weight times exp(logits): logits of 0 give the weights, a weight of 0 stays."""
    possible = log_weight > -torch.inf
    return torch.log_softmax(torch.where(possible, log_weight + logits, log_weight), -1)

"""The noise of the gradient of each loss, by repeated gradients of the same guide."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, final

import pyro
import torch
from pyro import poutine
from pyro.infer import RenyiELBO, ReweightedWakeSleep, Trace_ELBO, TraceGraph_ELBO
from pyro.infer.elbo import ELBO
from torch import Tensor

from ...inference.variational.svi_losses import ExactLoss, programs_for
from ...runtime.alone.thread import alone


@final
@dataclass(frozen=True)
class GradientNoise:
    r"""The gradient of one loss with respect to all parameters of a guide.

    Attributes:
        norm: the length of the mean gradient, in nats per unit of a parameter.
        noise: the square root of the trace of the covariance of one gradient, in the same unit; 0 for an exact loss.
        num_gradients: the number of gradients from which both are estimated.
    """

    norm: float
    noise: float
    num_gradients: int

    @property
    def signal_to_noise(self) -> float:
        """Squared norm of the mean gradient over the trace of the covariance; inf without noise."""
        return (self.norm / self.noise) ** 2 if self.noise > 0 else float("inf")

    @property
    def is_clear(self) -> bool:
        """Whether the mean gradient is more than its noise in so many gradients, by two standard errors."""
        return self.signal_to_noise > 2.0 * 2.0**0.5 / self.num_gradients


def default_losses() -> dict[str, ELBO]:
    """The losses of Pyro that suit any guide, each with the fewest particles that it takes."""
    return {
        "Trace_ELBO": Trace_ELBO(),
        "TraceGraph_ELBO": TraceGraph_ELBO(),
        "RenyiELBO(0.5)": RenyiELBO(alpha=0.5, num_particles=2),  # pyright: ignore[reportArgumentType]
        "ReweightedWakeSleep": ReweightedWakeSleep(num_particles=2, vectorize_particles=False),
    }


def gradient_noise(
    model: Callable[[], Any], guide: Callable[[], Any], losses: Mapping[str, ELBO], num_gradients: int
) -> dict[str, GradientNoise]:
    """The noise of the gradient of each loss; parameters and their `.grad` are left as they are."""
    parameters = _parameters(guide)
    found = {}
    with _own_gradients(parameters):
        for name, loss in losses.items() if parameters else ():
            exact = isinstance(loss, ExactLoss)
            pair = programs_for(loss, model, guide)
            rows = torch.stack([_gradient(loss, *pair, parameters) for _ in range(1 if exact else num_gradients)])
            mean = rows.mean(0)
            trace = 0.0 if exact else float(rows.var(0).sum())
            # the mean of N noisy gradients is longer than the gradient by trace/N, on average
            squared = float(mean.square().sum()) - trace / len(rows)
            found[name] = GradientNoise(max(squared, 0.0) ** 0.5, trace**0.5, len(rows))
    return found


def _parameters(guide: Callable[[], Any]) -> list[Tensor]:
    """The tensors that an optimiser would update: those of a module, or of a function in Pyro's store."""
    if isinstance(guide, torch.nn.Module):
        return [each for each in guide.parameters() if each.requires_grad]
    with alone(), poutine.block(), torch.random.fork_rng(devices=[]):
        sites: Any = poutine.trace(guide, param_only=True).get_trace().nodes
    store = dict(pyro.get_param_store().named_parameters())
    return [store[name] for name, site in sites.items() if site["type"] == "param" and name in store]


@contextmanager
def _own_gradients(parameters: list[Tensor]) -> Iterator[None]:
    """Restore the gradients that the parameters have now."""
    before = [each.grad for each in parameters]
    try:
        yield
    finally:
        for parameter, gradient in zip(parameters, before, strict=True):
            parameter.grad = gradient


def _gradient(loss: ELBO, model: Any, guide: Any, parameters: list[Tensor]) -> Tensor:
    for parameter in parameters:
        parameter.grad = None
    with alone(), torch.enable_grad(), poutine.block():
        loss.loss_and_grads(model, guide)  # pyright: ignore[reportAttributeAccessIssue]
    parts = [torch.zeros_like(each) if each.grad is None else each.grad for each in parameters]
    return torch.cat([part.detach().flatten().double() for part in parts])

"""Optimisers of torch that start without torch's compiler."""

import inspect
from collections.abc import Callable
from typing import Any, final

import torch
from torch.optim import Optimizer

_step_of_adam = inspect.unwrap(torch.optim.Adam.step)


class _Uncompiled:
    """The methods of `torch.optim.Optimizer` without the wrapper that hides them from `torch.compile`.

    The first call of a wrapped method imports `torch._dynamo`: 800 modules, 1.5 s.
    """

    add_param_group = inspect.unwrap(Optimizer.add_param_group)
    zero_grad = inspect.unwrap(Optimizer.zero_grad)
    state_dict = inspect.unwrap(Optimizer.state_dict)
    load_state_dict = inspect.unwrap(Optimizer.load_state_dict)


@final
class Adam(_Uncompiled, torch.optim.Adam):
    """`torch.optim.Adam` for programs that should start quickly: the first use does not import `torch._dynamo` (1.5 s).

    All settings, steps and states are those of `torch.optim.Adam`, bit for bit, so that a state of one can be loaded
    into the other. To compile a step with `torch.compile`, use `torch.optim.Adam`.

    Example:
        >>> weight = torch.nn.Parameter(torch.ones(2))
        >>> optimiser = Adam([weight], lr=0.1)
        >>> weight.square().sum().backward()
        >>> optimiser.step()
        >>> weight.detach()
        tensor([0.9000, 0.9000])
    """

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Make a step, and return what `closure` returns.

        Args:
            closure: computes the loss and its gradients, and returns the loss. Default: none; the gradients are there.
        """
        with torch.set_grad_enabled(self.defaults["differentiable"]):
            return _step_of_adam(self, closure)


@final
class LBFGS(_Uncompiled, torch.optim.LBFGS):
    """`torch.optim.LBFGS`, whose first use does not import `torch._dynamo` either."""

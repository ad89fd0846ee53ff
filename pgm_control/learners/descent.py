"""The Adam optimiser, for networks whose parameters are a few long rows.

Sources:
    [kingma2015] D. P. Kingma and J. Ba, Adam: a method for stochastic optimization. International Conference on
        Learning Representations, 2015. arXiv:1412.6980
"""

from collections.abc import Iterable
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim.adam import adam

from ..runtime.checkpoint_checks import Check, Problem, fields, row, tensor


@final
class Descent:
    """The Adam optimiser: one call is one step, the same as with `torch.optim.Adam` and its defaults.

    It calls the function of torch, in its fused form. For small networks the overhead of torch's class takes as long as
    the step itself, a twentieth of an update of soft actor-critic.

    Attributes:
        rate: the learning rate.

    References:
        [kingma2015]
    """

    def __init__(self, parameters: Iterable[torch.nn.Parameter], rate: float) -> None:
        """Take the parameters to be learned, and the learning rate."""
        self._parameters, self.rate = list(parameters), rate
        self._means = [torch.zeros_like(each, requires_grad=False) for each in self._parameters]
        self._squares = [torch.zeros_like(each, requires_grad=False) for each in self._parameters]
        self._steps = [torch.zeros((), device=each.device) for each in self._parameters]

    def __call__(self, loss: Float[Tensor, ""]) -> None:
        """Make a step. A parameter whose `.grad` is set moves along it; its gradient of the loss is not used."""
        asked = [each for each in self._parameters if each.grad is None]
        found = iter(torch.autograd.grad(loss, asked, allow_unused=True))
        gradients = [next(found) if each.grad is None else each.grad for each in self._parameters]
        used = [i for i, gradient in enumerate(gradients) if gradient is not None]
        parameters, means, squares, steps = (
            [each[i] for i in used] for each in (self._parameters, self._means, self._squares, self._steps)
        )
        with torch.no_grad():
            adam(
                parameters,
                [gradients[i] for i in used],
                means,
                squares,
                [],
                steps,
                fused=True,
                amsgrad=False,
                beta1=0.9,
                beta2=0.999,
                lr=self.rate,
                weight_decay=0.0,
                eps=1e-8,
                maximize=False,
            )
        for each in self._parameters:
            each.grad = None

    def state(self) -> dict[str, Any]:
        """The state of the optimiser, for a checkpoint."""
        return {"means": self._means, "squares": self._squares, "steps": self._steps}

    def check(self, state: Any) -> Problem | None:
        """The problem with a state, or None. Torch's fused operation does not check the sizes of tensors.

        A mean of squares may be infinite after an overflow: its parameter then no longer moves.
        """
        checks: dict[str, list[Check]] = {name: [] for name in self.state()}
        for each in self._parameters:
            checks["means"].append(tensor(each.shape, each.dtype))
            checks["squares"].append(tensor(each.shape, each.dtype, 0.0, infinite=True))
            checks["steps"].append(tensor((), torch.float32, 0.0))
        return fields({name: row(every) for name, every in checks.items()})(state)

    @torch.no_grad()
    def restore(self, state: dict[str, Any]) -> None:
        """Restore a state that `state` returned."""
        for name, mine in self.state().items():
            for here, there in zip(mine, state[name], strict=True):
                here.copy_(there)

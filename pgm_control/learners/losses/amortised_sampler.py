"""A network that turns noise into actions.

Sources:
    [haarnoja2017] T. Haarnoja et al., Reinforcement learning with deep energy-based policies. International Conference
        on Machine Learning, Proceedings of Machine Learning Research 70, pages 1352–1361, 2017. arXiv:1702.08165
    [wang2016] D. Wang and Q. Liu, Learning to draw samples: with application to amortized MLE for generative
        adversarial learning. 2016. arXiv:1611.01722
"""

from collections.abc import Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from ...networks.mlp import Network

_PROBES = 64


@final
class AmortisedSampler(torch.nn.Module):
    r"""A sampler of actions $a = \tanh u$ with $u = \xi + f(\xi, s)$ and $\xi \sim N(0, I)$ of the action's dimension.

    It can be sampled, with one pass of the network per action, but has no density. It can represent distributions of
    any shape, also with several modes. It starts with actions spread over the whole box, because particles that start
    in one place find only one mode.

    References:
        [haarnoja2017], [wang2016]
    """

    probes: Tensor

    def __init__(self, features: int, size: int, hidden: Sequence[int]) -> None:
        """Make the network f, and the fixed noise that `same` uses."""
        super().__init__()
        self.network = Network(features + size, size, hidden)
        self.register_buffer("probes", torch.randn(_PROBES, size))

    def forward(self, features: Float[Tensor, "batch feature"], number: int) -> Float[Tensor, "batch particle action"]:
        """Particles u from new noise, `number` for each state."""
        size = self.probes.shape[-1]
        return self._of(features, torch.randn(len(features), number, size, device=features.device))

    def same(self, features: Float[Tensor, "batch feature"]) -> Float[Tensor, "batch particle action"]:
        """Particles u from the fixed noise."""
        return self._of(features, self.probes.expand(len(features), -1, -1))

    def _of(self, features: Tensor, noise: Float[Tensor, "batch particle action"]) -> Tensor:
        number = noise.shape[1]
        seen = features[:, None].expand(-1, number, -1)
        flat = torch.cat((seen, noise), -1).flatten(0, 1)
        return noise + self.network(flat)[0].unflatten(0, (len(features), number))

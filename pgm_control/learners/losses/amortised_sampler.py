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
    r"""$u = \xi + f(\xi, s)$ with $\xi \sim N(0, I)$ of the dimension of the action, which is $a = \tanh u$.

    It can be sampled, at one pass of the network for an action, but has no density: any shape of distribution is
    within its reach, several modes too. It begins wide, with actions all over the box, because particles that begin in
    one place find one mode only.

    References:
        [haarnoja2017], [wang2016]
    """

    probes: Tensor

    def __init__(self, features: int, size: int, hidden: Sequence[int]) -> None:
        """Make the network f, and the noise that stays the same for those who want the best action, surely."""
        super().__init__()
        self.network = Network(features + size, size, hidden)
        self.register_buffer("probes", torch.randn(_PROBES, size))

    def forward(self, features: Float[Tensor, "batch feature"], number: int) -> Float[Tensor, "batch particle action"]:
        """Particles u, `number` of fresh noise for each state."""
        size = self.probes.shape[-1]
        return self._of(features, torch.randn(len(features), number, size, device=features.device))

    def same(self, features: Float[Tensor, "batch feature"]) -> Float[Tensor, "batch particle action"]:
        """Particles u of noise that is always the same."""
        return self._of(features, self.probes.expand(len(features), -1, -1))

    def _of(self, features: Tensor, noise: Float[Tensor, "batch particle action"]) -> Tensor:
        number = noise.shape[1]
        seen = features[:, None].expand(-1, number, -1)
        flat = torch.cat((seen, noise), -1).flatten(0, 1)
        return noise + self.network(flat)[0].unflatten(0, (len(features), number))

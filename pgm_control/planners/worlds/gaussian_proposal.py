"""Plans of vectors as a proposal: independent Gaussians, within a box where the actions are bounded."""

import functools
import math
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from ...text.one_line import one_line
from .box import Box

_LOG_ROOT = 0.5 * math.log(2 * math.pi)


@final
@dataclass(frozen=True, eq=False)
class GaussianProposal:
    r"""Actions $N(\mu_{t}, \mathrm{diag}\,\sigma_t^2)$, restricted to a box.

    Attributes:
        mean, deviation: μ and σ by episode, step and coordinate, in units of the action.
        box: the box.
    """

    mean: Float[Tensor, "episode step action"]
    deviation: Float[Tensor, "episode step action"]
    box: Box

    __repr__ = one_line

    def draw(self, count: int) -> Float[Tensor, "episode plan step action"]:
        """Plans in pairs whose noises are opposite, which leaves each its distribution and makes means exact sooner."""
        episodes, steps, size = self.mean.shape
        shape = episodes, (count + 1) // 2, steps, size
        mean, deviation = self.mean[:, None], self.deviation[:, None]
        if not self.box.is_bounded:
            half = torch.randn(shape, dtype=self.mean.dtype)
            return mean + deviation * torch.cat((half, -half), 1)[:, :count]
        below, inside = self._masses
        half = torch.rand(shape, dtype=self.mean.dtype)
        share = torch.addcmul(below[:, None], torch.cat((half, 1.0 - half), 1)[:, :count], inside[:, None])
        share.clamp_(1e-300, 1 - 1e-16)
        return torch.addcmul(mean, deviation, torch.special.ndtri(share)).clamp_(*self.box.inside)

    def log_density(self, plans: Float[Tensor, "episode plan step action"]) -> Float[Tensor, "episode plan step"]:
        """The log-density of each action of plans within the box, in nats."""
        unit = (plans - self.mean[:, None]) / self.deviation[:, None]
        highest = -_LOG_ROOT - self.deviation.log()
        if self.box.is_bounded:
            highest = highest - self._masses[1].log()
        return torch.addcmul(highest[:, None], unit, unit, value=-0.5).sum(-1)

    def refitted(self, plans: Tensor, weight: Float[Tensor, "episode plan"], spread: bool) -> "GaussianProposal":
        """The proposal with the weighted mean of plans, and if `spread` their weighted deviation."""
        mean = _weighted(weight, plans)
        if not spread:
            return GaussianProposal(mean, self.deviation, self.box)
        variance = _weighted(weight, (plans - mean[:, None]).square())
        least = 1e-6 * self.deviation  # one plan alone has no spread
        return GaussianProposal(mean, torch.maximum(variance.sqrt(), least), self.box)

    def continued(self, centre: Float[Tensor, "episode kept action"]) -> "GaussianProposal":
        """This proposal, with the steps of an earlier plan, within the box, in the place of its own first ones."""
        kept = centre[:, : self.mean.shape[1]].clamp(self.box.low, self.box.high)
        mean = torch.cat((kept, self.mean[:, kept.shape[1] :]), 1)
        return GaussianProposal(mean, self.deviation, self.box)

    def centre(self) -> Float[Tensor, "episode step action"]:
        """The means."""
        return self.mean

    @functools.cached_property
    def _masses(self) -> tuple[Tensor, Tensor]:
        """The mass of the Gaussian below the box, and inside it."""
        below, up_to = torch.special.ndtr((self.box.bounds - self.mean) / self.deviation).unbind()
        return below, up_to - below


def _weighted(weight: Float[Tensor, "episode plan"], x: Tensor) -> Float[Tensor, "episode step action"]:
    """The weighted sums over plans, as one product of matrices, which starts in a third of the time of an einsum."""
    return (weight[:, None] @ x.flatten(2)).reshape(x.shape[:1] + x.shape[2:])

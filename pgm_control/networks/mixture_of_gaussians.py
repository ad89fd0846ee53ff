r"""Mixtures of diagonal Gaussians whose draws are differentiable.

Sources:
    [figurnov2018] M. Figurnov, S. Mohamed and A. Mnih, Implicit reparameterization gradients. Advances in Neural
        Information Processing Systems 31, 2018. arXiv:1805.08498
"""

import math
from collections.abc import Sequence
from typing import final

import torch
from jaxtyping import Float
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints

_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
_ONE = torch.Size()  # a single sample


@final
class MixtureOfGaussians(TorchDistribution):
    r"""The distribution with the density $\sum_k w_k \prod_i N(x_i; \mu_{ki}, \sigma_{ki})$ over vectors.

    Draws have gradients by implicit differentiation of the conditional distribution functions $F_i$ of a coordinate
    given those before it [figurnov2018]: $dx_i = -dF_i / f_i$, in which the weights of the components depend on the
    coordinates before.

    Attributes:
        loc, log_scale: μ and log σ by component and coordinate.
        log_weight: log w by component, normalised.

    References:
        [figurnov2018]
    """

    has_rsample = True

    def __init__(
        self,
        loc: Float[Tensor, "*batch component coordinate"],
        log_scale: Float[Tensor, "*batch component coordinate"],
        logits: Float[Tensor, "*batch component"],
    ) -> None:
        """Take means, logarithms of standard deviations, and the logarithms of weights, not necessarily normalised."""
        self.loc, self.log_scale, self.log_weight = loc, log_scale, logits.log_softmax(-1)
        super().__init__(loc.shape[:-2], loc.shape[-1:], validate_args=False)

    @property
    def arg_constraints(self) -> dict[str, constraints.Constraint]:
        """The constraints of the parameters, which torch requires."""
        return {name: constraints.independent(constraints.real, 2) for name in ("loc", "log_scale")}

    @property
    def support(self) -> constraints.Constraint:
        """All vectors."""
        return constraints.real_vector

    @property
    def mean(self) -> Float[Tensor, "*batch coordinate"]:
        """The mean."""
        return (self.log_weight.exp()[..., None] * self.loc).sum(-2)

    @property
    def variance(self) -> Float[Tensor, "*batch coordinate"]:
        """The variance of each coordinate."""
        square = self.log_scale.exp().square() + self.loc.square()
        return (self.log_weight.exp()[..., None] * square).sum(-2) - self.mean.square()

    def expand(self, batch_shape: Sequence[int], _instance: None = None) -> "MixtureOfGaussians":
        """The same distribution, expanded to a larger batch."""
        batch = torch.Size(batch_shape)
        loc, log_scale = (each.expand(batch + each.shape[-2:]) for each in (self.loc, self.log_scale))
        wider = MixtureOfGaussians(loc, log_scale, self.log_weight.expand(batch + self.log_weight.shape[-1:]))
        wider.has_rsample = self.has_rsample
        return wider

    def sample(self, sample_shape: Sequence[int] = _ONE) -> Float[Tensor, "*sample coordinate"]:
        """Samples that are not differentiable."""
        with torch.no_grad():
            return self._drawn(sample_shape)

    def rsample(self, sample_shape: Sequence[int] = _ONE) -> Float[Tensor, "*sample coordinate"]:
        """Samples, differentiable in the parameters of the distribution."""
        drawn = self.sample(sample_shape)
        if not torch.is_grad_enabled() or not any(x.requires_grad for x in (self.loc, self.log_scale, self.log_weight)):
            return drawn
        log_weight, found = self.log_weight, list[Tensor]()
        for i in range(drawn.shape[-1]):
            x, loc, log_scale = drawn[..., i, None], self.loc[..., i], self.log_scale[..., i]
            z = (x - loc) * (-log_scale).exp()
            weight = log_weight.softmax(-1)
            below = (weight * torch.special.ndtr(z)).sum(-1)
            log_density = -0.5 * z.square() - log_scale - _HALF_LOG_2PI
            density = (weight * log_density.exp()).sum(-1).detach().clamp_min(torch.finfo(drawn.dtype).tiny)
            found.append(drawn[..., i] - (below - below.detach()) / density)
            moved = (found[-1][..., None] - loc) * (-log_scale).exp()
            log_weight = log_weight - 0.5 * moved.square() - log_scale
        return torch.stack(found, -1)

    def log_prob(self, value: Float[Tensor, "*sample coordinate"]) -> Float[Tensor, "*sample"]:
        """The log-density, in nats."""
        z = (value[..., None, :] - self.loc) * (-self.log_scale).exp()
        each = (-0.5 * z.square() - self.log_scale - _HALF_LOG_2PI).sum(-1)
        return (self.log_weight + each).logsumexp(-1)

    def _drawn(self, sample_shape: Sequence[int]) -> Tensor:
        shape = torch.Size(sample_shape) + self.batch_shape
        log_weight = self.log_weight.expand(shape + self.log_weight.shape[-1:])
        gumbel = -torch.log(-torch.log(torch.rand(log_weight.shape, dtype=self.loc.dtype, device=self.loc.device)))
        kind = (log_weight + gumbel).argmax(-1)[..., None, None].expand(*shape, 1, self.loc.shape[-1])
        whole = shape + self.loc.shape[-2:]
        loc, log_scale = (each.expand(whole).gather(-2, kind).squeeze(-2) for each in (self.loc, self.log_scale))
        noise = torch.randn(loc.shape, dtype=loc.dtype, device=loc.device)
        return loc + log_scale.exp() * noise

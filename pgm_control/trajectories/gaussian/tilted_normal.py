"""A Gaussian in the units of another one's noise, whose covariance may be singular; differentiable."""

from typing import Any, final

import pyro.distributions as dist
import torch
from pyro.distributions import constraints
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor

from .distributions import OFF

_LOG_ROOT = 0.9189385332046727  # log √2π


def tilted_normal(mean: Tensor, noise_root: Tensor, factor: Tensor, inside: Tensor | None) -> Any:
    """N(mean, LC(LC)') of vectors.

    Args:
        mean: the means.
        noise_root: L: a lower triangle; or, with `inside`, orthogonal columns, of length 0 outside of the range.
        factor: C, a lower triangle with a positive diagonal.
        inside: which columns of L are not 0; None if L is a lower triangle with a positive diagonal.
    """
    if inside is not None:
        return TiltedSingularNormal(mean, noise_root, factor, inside)
    scale = noise_root @ factor
    if scale.shape[-1] == 1:
        return dist.Normal(mean, scale[..., 0].expand_as(mean), validate_args=False).to_event(1)
    return dist.MultivariateNormal(mean, scale_tril=scale, validate_args=False)


@final
class TiltedSingularNormal(TorchDistribution):
    """N(mean, LC(LC)') where L has orthogonal columns, of which some are 0: its density is that on the range of L.

    It has a density ratio to the `SingularNormal` of covariance LL', and gradients in the mean and in C.
    """

    arg_constraints: Any = {}  # noqa: RUF012 - an attribute of the base class
    support: Any = constraints.real_vector
    has_rsample: Any = True

    def __init__(self, mean: Tensor, noise_root: Tensor, factor: Tensor, inside: Tensor) -> None:
        """Store the parts."""
        self._mean, self._root, self._factor, self._inside = mean, noise_root, factor, inside
        super().__init__(mean.shape[:-1], mean.shape[-1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """The mean."""
        return self._mean

    def expand(self, batch_shape: Any, _instance: Any = None) -> "TiltedSingularNormal":
        """The distribution with other batch axes."""
        mean = self._mean.expand((*batch_shape, *self.event_shape))
        return TiltedSingularNormal(mean, self._root, self._factor, self._inside)

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008
        """Draw, with gradients by reparameterisation."""
        noise = torch.randn(self._extended_shape(torch.Size(sample_shape)), dtype=self._mean.dtype)
        return self._mean + (self._root @ (self._factor @ noise[..., None]))[..., 0]

    def log_prob(self, value: Tensor) -> Tensor:
        """The log-density on the range; −inf off it."""
        lengths = self._root.norm(dim=-2)
        off = value - self._mean
        units = (self._root.mT @ off[..., None])[..., 0] / torch.where(self._inside, lengths, 1.0).square()
        beyond = (off - (self._root @ units[..., None])[..., 0]).detach().abs().amax(-1)
        white = torch.linalg.solve_triangular(self._factor, units[..., None], upper=False)[..., 0]
        spread = torch.where(self._inside, lengths * self._factor.diagonal(dim1=-2, dim2=-1), 1.0).log()
        each = torch.where(self._inside, -0.5 * white.square() - spread - _LOG_ROOT, 0.0).sum(-1)
        size = 1.0 + value.abs().amax(-1) + self._mean.abs().amax(-1)
        return torch.where(beyond > OFF * size.detach(), -torch.inf, each)

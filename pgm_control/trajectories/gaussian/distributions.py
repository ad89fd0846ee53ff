"""Distributions of Pyro for Gaussian sites: diagonal, full, singular, and Lebesgue measure."""

from typing import Any, final

import pyro.distributions as dist
import torch
from pyro.distributions import constraints
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor

from ...errors import InvalidProblem

_RANK = 1e-12  # an eigenvalue of a covariance, relative to the largest, that counts as 0
OFF = 1e-7  # how far a value may be from the range of a singular covariance by rounding, relative to the values


def gaussian(mean: Tensor, covariance: Tensor) -> Any:
    """N(mean, covariance) as a distribution of vectors; the covariance may be singular, and zero."""
    variance = covariance.diagonal(dim1=-2, dim2=-1)
    if bool((variance > 0).all()) and bool((covariance - torch.diag_embed(variance) == 0).all()):
        return dist.Normal(mean, variance.sqrt().expand_as(mean), validate_args=False).to_event(1)
    factor, failed = torch.linalg.cholesky_ex(covariance)
    least = factor.diagonal(dim1=-2, dim2=-1).square().amin(-1)
    if not bool(failed.any()) and bool((least > _RANK * variance.amax(-1)).all()):
        return dist.MultivariateNormal(mean, scale_tril=factor, validate_args=False)
    return SingularNormal(mean, covariance)


@final
class SingularNormal(TorchDistribution):
    """A Gaussian whose covariance has no inverse: its density is that on the subspace that it can reach.

    The log-probability is −inf off the subspace. Two such distributions with the same range have a density ratio.
    """

    arg_constraints: Any = {}  # noqa: RUF012 - an attribute of the base class
    support: Any = constraints.real_vector
    has_rsample = True

    def __init__(self, mean: Tensor, covariance: Tensor) -> None:
        """Decompose the covariance."""
        eigenvalues, vectors = torch.linalg.eigh(covariance)
        inside = eigenvalues > _RANK * eigenvalues[..., -1:].clamp(min=torch.finfo(mean.dtype).tiny)
        self._mean, self._vectors, self._inside = mean, vectors, inside
        self._deviation = torch.where(inside, eigenvalues, 0.0).sqrt()
        super().__init__(mean.shape[:-1], mean.shape[-1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """The mean."""
        return self._mean

    @property
    def covariance_matrix(self) -> Tensor:
        """The covariance."""
        half = self._vectors * self._deviation[..., None, :]
        return half @ half.mT

    def expand(self, batch_shape: Any, _instance: Any = None) -> "SingularNormal":
        """The distribution with other batch axes."""
        new: Any = self._get_checked_instance(SingularNormal, _instance)
        new._mean = self._mean.expand((*batch_shape, *self.event_shape))
        new._vectors, new._inside, new._deviation = self._vectors, self._inside, self._deviation
        TorchDistribution.__init__(new, torch.Size(batch_shape), self.event_shape, validate_args=False)
        return new

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008
        """Draw, with gradients by reparameterisation."""
        noise = torch.randn(self._extended_shape(torch.Size(sample_shape)), dtype=self._mean.dtype)
        return self._mean + (self._vectors @ (self._deviation * noise)[..., None])[..., 0]

    def log_prob(self, value: Tensor) -> Tensor:
        """The log-density on the subspace; −inf off it."""
        along = (self._vectors.mT @ (value - self._mean)[..., None])[..., 0]
        scale = torch.where(self._inside, self._deviation, 1.0)
        each = -0.5 * (along / scale).square() - scale.log() - 0.9189385332046727  # log √2π
        inside = torch.where(self._inside, each, 0.0).sum(-1)
        size = 1.0 + value.abs().amax(-1, keepdim=True) + self._mean.abs().amax(-1, keepdim=True)
        off = (~self._inside & (along.abs() > OFF * size)).any(-1)
        return torch.where(off, -torch.inf, inside)


@final
class LebesgueMeasure(TorchDistribution):
    """The improper prior of vectors with density 1: its log-probability is 0, and it cannot be sampled."""

    arg_constraints: Any = {}  # noqa: RUF012 - an attribute of the base class
    support: Any = constraints.real_vector
    has_rsample = True

    def __init__(self, size: int, batch_shape: Any = torch.Size()) -> None:  # noqa: B008
        """The measure of vectors of this size."""
        super().__init__(torch.Size(batch_shape), torch.Size([size]), validate_args=False)

    def expand(self, batch_shape: Any, _instance: Any = None) -> "LebesgueMeasure":
        """The measure with other batch axes."""
        return LebesgueMeasure(self.event_shape[0], batch_shape)

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008
        """Refuse: there is no such draw."""
        raise InvalidProblem(
            "`action_prior` must be a distribution to draw actions from the model, but is Lebesgue measure, which is "
            "improper. Pass a covariance, action_prior=U, or draw from a guide or a posterior."
        )

    def log_prob(self, value: Tensor) -> Tensor:
        """Zero."""
        return value.new_zeros(value.shape[:-1])

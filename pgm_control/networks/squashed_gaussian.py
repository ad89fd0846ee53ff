"""A Gaussian distribution squashed into the box of actions.

Sources:
    [haarnoja2018] T. Haarnoja et al., Soft actor-critic: off-policy maximum entropy deep reinforcement learning with a
        stochastic actor. International Conference on Machine Learning, Proceedings of Machine Learning Research 80,
        pages 1861–1870, 2018. arXiv:1801.01290
"""

import math
from collections.abc import Sequence
from typing import final

import torch
from jaxtyping import Float
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
_LOG_SCALES = (-20.0, 2.0)  # the usual bounds, as wide as in any implementation
_ONE = torch.Size()  # a single sample
_NODES = 257  # the number of nodes in the quadrature of the entropy
_REACH = 9.0  # the range of the quadrature, in scales to either side; the mass beyond is 2e-19


@final
class SquashedGaussian(TorchDistribution):
    r"""The distribution of $a = \tanh u$ in $(-1, 1)^d$, where $u$ is a diagonal Gaussian.

    $$\log p(a) = \sum_i \log N(u_i; \mu_i, \sigma_i) - \log(1 - \tanh^2 u_i), \qquad
    \log(1 - \tanh^2 u) = 2 (\log 2 - u - \log(1 + e^{-2u}))$$

    It is a distribution over vectors: `event_dim` is 1. Arguments are not checked, for speed. With
    `has_rsample_(False)` its samples have no gradients, as a black-box environment requires.

    Near ±1 floats cannot distinguish actions: float32 rounds everything beyond |u| = 9 to 1. Samples are limited to the
    last float before ±1, so that they are inside the box.

    Attributes:
        loc: μ.
        log_scale: log σ.

    References:
        [haarnoja2018]
    """

    has_rsample = True

    def __init__(self, loc: Float[Tensor, "*batch action"], log_scale: Float[Tensor, "*batch action"]) -> None:
        """Take the mean of u and the logarithm of its standard deviation, which must have the same shape."""
        self.loc, self.log_scale = loc, log_scale
        super().__init__(loc.shape[:-1], loc.shape[-1:], validate_args=False)

    @property
    def arg_constraints(self) -> dict[str, constraints.Constraint]:
        """The constraints of the parameters, which torch requires."""
        return {name: constraints.independent(constraints.real, 1) for name in ("loc", "log_scale")}

    @property
    def support(self) -> constraints.Constraint:
        """The box [−1, 1]^d."""
        return constraints.independent(constraints.interval(-1.0, 1.0), 1)

    def expand(self, batch_shape: Sequence[int], _instance: None = None) -> "SquashedGaussian":
        """The same distribution, expanded to a larger batch."""
        shape = torch.Size((*batch_shape, *self.event_shape))
        wider = SquashedGaussian(self.loc.expand(shape), self.log_scale.expand(shape))
        wider.has_rsample = self.has_rsample
        return wider

    @property
    def scale(self) -> Float[Tensor, "*batch action"]:
        """The standard deviation of u, σ."""
        return self.log_scale.exp()

    @property
    def median(self) -> Float[Tensor, "*batch action"]:
        r"""The median $\tanh \mu$ of every coordinate, which a deterministic policy takes."""
        return self.loc.tanh()

    @property
    def mode(self) -> Float[Tensor, "*batch action"]:
        r"""The image $\tanh \mu$ of the Gaussian's mode, as policies use it.

        The density of a itself is largest elsewhere: near ±1 for wide scales.
        """
        return self.median

    def rsample_with_log_prob(
        self, sample_shape: Sequence[int] = _ONE
    ) -> tuple[Float[Tensor, "*sample action"], Float[Tensor, "*sample"]]:
        r"""Samples and their log-densities, computed from the noise and so exact even where the action is rounded.

        Args:
            sample_shape: the shape of the samples, in front of the batch shape.

        Returns:
            Actions, and $\log p(a)$ in nats. Both have gradients.
        """
        noise = torch.randn((*sample_shape, *self.loc.shape), dtype=self.loc.dtype, device=self.loc.device)
        u = torch.addcmul(self.loc, self.scale, noise)
        density = torch.addcmul(self.log_scale, noise, noise, value=0.5) + log_jacobian(u)
        return inside(u.tanh()), -u.shape[-1] * HALF_LOG_2PI - density.sum(-1)

    def rsample(self, sample_shape: Sequence[int] = _ONE) -> Float[Tensor, "*sample action"]:
        """Reparameterised samples, differentiable in the parameters of the distribution."""
        noise = torch.randn((*sample_shape, *self.loc.shape), dtype=self.loc.dtype, device=self.loc.device)
        return inside(torch.addcmul(self.loc, self.scale, noise).tanh())

    def sample(self, sample_shape: Sequence[int] = _ONE) -> Float[Tensor, "*sample action"]:
        """Samples that are not differentiable."""
        with torch.no_grad():
            return self.rsample(sample_shape)

    def log_prob(self, value: Float[Tensor, "*sample action"]) -> Float[Tensor, "*sample"]:
        r"""The log-density of actions, in nats, computed with $u = \operatorname{artanh} a$.

        From the last float before ±1 on, it is the mean density over all values that are rounded to it, from the mass
        of the Gaussian's tail. So the score of a rounded action is correct; the density at any single u would pull
        extreme means inwards. Just before that float, u is known only to a few per cent.

        Args:
            value: actions in [−1, 1].
        """
        # The values rounded to the last float before 1 start half a spacing (eps / 2) before it.
        width = 0.75 * torch.finfo(value.dtype).eps
        edge = 0.5 * math.log((2 - width) / width)
        inner = value.abs() < 1 - 0.5 * torch.finfo(value.dtype).eps
        u = torch.where(inner, value, 0.0).atanh()
        scale = self.scale
        density = -0.5 * ((u - self.loc) / scale).square() - self.log_scale - HALF_LOG_2PI - log_jacobian(u)
        tail = torch.special.log_ndtr((value.sign() * self.loc - edge) / scale) - math.log(width)
        return torch.where(inner, density, tail).sum(-1)

    def entropy(self) -> Float[Tensor, "*batch"]:
        """The differential entropy, in nats, by the trapezoidal rule in every coordinate.

        In float64 it is exact to 1e-6 for scales up to 10, and less exact beyond. The integrand is smooth, so the rule
        converges exponentially. It costs 257 evaluations; for training, use the sampled −log p of
        `rsample_with_log_prob`.
        """
        node = torch.linspace(-_REACH, _REACH, _NODES, dtype=self.loc.dtype, device=self.loc.device)
        weight = torch.softmax(-0.5 * node.square(), 0)
        squashed = log_jacobian(self.loc[..., None] + self.scale[..., None] * node) @ weight
        return (0.5 + HALF_LOG_2PI + self.log_scale + squashed).sum(-1)


def log_jacobian(u: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    r"""$\log \frac{d \tanh u}{d u} = \log(1 - \tanh^2 u)$, without cancellation for large |u|."""
    softplus = torch.nn.functional.softplus(-2 * u, threshold=40)  # by default it is linear from 20 on
    return 2 * math.log(2) - 2 * (u + softplus)


def moments(output: Float[Tensor, "batch both"]) -> tuple[Float[Tensor, "batch action"], Float[Tensor, "batch action"]]:
    """μ and log σ from a network's output: d means, then d logarithms, clamped between bounds."""
    loc, log_scale = output.chunk(2, -1)
    return loc, log_scale.clamp(*_LOG_SCALES)


def inside(action: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """The actions, clamped to the last floats before ±1."""
    edge = 1 - 0.5 * torch.finfo(action.dtype).eps
    return action.clamp(-edge, edge)

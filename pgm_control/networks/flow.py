"""A policy for boxes that can have several modes: a conditional normalising flow of Pyro's splines.

Sources:
    [dolatabadi2020] H. M. Dolatabadi, S. Erfani and C. Leckie, Invertible generative modeling using linear rational
        splines. International Conference on Artificial Intelligence and Statistics, Proceedings of Machine Learning
        Research 108, 2020. arXiv:2001.05168
    [durkan2019] C. Durkan et al., Neural spline flows. Advances in Neural Information Processing Systems 32, 2019.
        arXiv:1906.04032
    [haarnoja2017] T. Haarnoja et al., Reinforcement learning with deep energy-based policies. International Conference
        on Machine Learning, Proceedings of Machine Learning Research 70, pages 1352–1361, 2017. arXiv:1702.08165
"""

from collections.abc import Callable, Sequence
from typing import Any, final

import torch
from jaxtyping import Float
from pyro.distributions import TorchDistribution
from pyro.distributions.transforms import conditional_spline, conditional_spline_autoregressive
from torch import Tensor
from torch.distributions import Distribution, constraints

from ..errors import InvalidArgument
from .mlp import Network
from .squashed_gaussian import HALF_LOG_2PI, inside, log_jacobian, moments

_BINS = 8
_DRAWS = 32  # the number of draws from which the most likely action is taken
_ONE = torch.Size()  # a single sample


@final
class SquashedFlow(TorchDistribution):
    r"""The distribution of $a = \tanh(\mu + \sigma f(z))$ in $(-1, 1)^d$, with $z$ standard normal.

    $$\log p(a) = \sum_i \log N(z_i; 0, 1) - \log \frac{\partial f_i}{\partial z_i} - \log \sigma_i
        - \log(1 - \tanh^2 u_i), \qquad u = \mu + \sigma f(z)$$

    f is an increasing spline in each coordinate, which depends on the coordinates before it. The density has a mode
    where f is flat. If f is the identity, the distribution is a `SquashedGaussian`.

    Attributes:
        loc, log_scale: μ, log σ.

    References:
        [durkan2019], [dolatabadi2020], [haarnoja2017]
    """

    has_rsample = True

    def __init__(
        self,
        spline: Callable[[Tensor], Any],
        context: Float[Tensor, "*batch feature"],
        loc: Float[Tensor, "*batch action"],
        log_scale: Float[Tensor, "*batch action"],
        noise: Float[Tensor, "draw action"],
    ) -> None:
        """Take the spline, its context, and the mean and scale.

        Args:
            spline: a function from a context to f, a transform of Pyro.
            context: the features on which f is conditioned.
            loc: μ.
            log_scale: log σ.
            noise: draws of z, from which `mode` takes the best.
        """
        self._spline, self._context, self._noise = spline, context, noise
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

    def expand(self, batch_shape: Sequence[int], _instance: None = None) -> "SquashedFlow":
        """The same distribution, expanded to a larger batch."""
        context, loc, log_scale = (
            x.expand(*batch_shape, x.shape[-1]) for x in (self._context, self.loc, self.log_scale)
        )
        wider = SquashedFlow(self._spline, context, loc, log_scale, self._noise)
        wider.has_rsample = self.has_rsample
        return wider

    @property
    def median(self) -> Float[Tensor, "*batch action"]:
        """The image of z = 0: the median of the first coordinate, and of each other one given those before it."""
        return self._push(torch.zeros_like(self.loc))[0]

    @property
    def mode(self) -> Float[Tensor, "*batch action"]:
        """The most likely of 33 actions: the median, and the images of 32 fixed draws of z.

        The median of a distribution with two modes can lie between them, where actions may be bad.
        """
        some = torch.cat((torch.zeros_like(self._noise[:1]), self._noise))
        z = some.reshape(len(some), *(1,) * (self.loc.ndim - 1), -1).expand(-1, *self.loc.shape)
        actions, log_prob = self._push(z)
        best = log_prob.argmax(0)[None, ..., None]
        return actions.take_along_dim(best, 0)[0]

    def rsample_with_log_prob(
        self, sample_shape: Sequence[int] = _ONE
    ) -> tuple[Float[Tensor, "*sample action"], Float[Tensor, "*sample"]]:
        r"""Samples and their log-densities, computed from the noise and so exact even where the action is rounded.

        Args:
            sample_shape: the shape of the samples, in front of the batch shape.

        Returns:
            Actions, and $\log p(a)$ in nats. Both have gradients.
        """
        shape = (*sample_shape, *self.loc.shape)
        return self._push(torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device))

    def rsample(self, sample_shape: Sequence[int] = _ONE) -> Float[Tensor, "*sample action"]:
        """Reparameterised samples, differentiable in the parameters of the distribution."""
        return self.rsample_with_log_prob(sample_shape)[0]

    def sample(self, sample_shape: Sequence[int] = _ONE) -> Float[Tensor, "*sample action"]:
        """Samples that are not differentiable."""
        with torch.no_grad():
            return self.rsample(sample_shape)

    def log_prob(self, value: Float[Tensor, "*sample action"]) -> Float[Tensor, "..."]:
        """The log-density of actions, in nats, by the inverse of the flow, which takes d passes of its network.

        Actions at ±1 are replaced by the last float before ±1. Near ±1 u is known only to a few per cent.

        Args:
            value: actions in [−1, 1].
        """
        u = inside(value).atanh().expand(torch.broadcast_shapes(value.shape, self.loc.shape))
        spline = self._conditioned(u)
        z = spline.inv((u - self.loc) / self.log_scale.exp())
        return self._log_density(spline, z, spline(z), u)

    def _push(
        self, z: Float[Tensor, "*sample action"]
    ) -> tuple[Float[Tensor, "*sample action"], Float[Tensor, "*sample"]]:
        """The actions that the noise z gives, and their log-densities."""
        spline = self._conditioned(z)
        moved = spline(z)
        u = torch.addcmul(self.loc, self.log_scale.exp(), moved)
        return inside(u.tanh()), self._log_density(spline, z, moved, u)

    def _conditioned(self, x: Float[Tensor, "*sample action"]) -> Any:
        """The spline f conditioned on the context of each sample, for samples of the shape of x."""
        return self._spline(self._context.expand(*x.shape[:-1], self._context.shape[-1]))

    def _log_density(self, spline: Any, z: Tensor, moved: Tensor, u: Tensor) -> Float[Tensor, "*sample"]:
        slope = spline.log_abs_det_jacobian(z, moved)
        slope = slope.sum(-1) if spline.domain.event_dim == 0 else slope
        density = (0.5 * z.square() + self.log_scale + log_jacobian(u)).sum(-1).neg()
        return density - slope - u.shape[-1] * HALF_LOG_2PI


@final
class FlowPolicy(torch.nn.Module):
    """A `SquashedFlow` whose mean, scale and splines are outputs of networks. It starts near a squashed Gaussian."""

    noise: Tensor

    def __init__(self, features: int, size: int, hidden: Sequence[int]) -> None:
        """Make the networks.

        Raises:
            InvalidArgument: if there is no hidden layer, or one has fewer units than the action has coordinates.
        """
        super().__init__()
        if not hidden or min(hidden) < size:
            raise InvalidArgument(
                f"`hidden` must have at least one layer, and layers of at least {size} units, for a flow over an "
                f"action of {size} numbers, but is {tuple(hidden)!r}. Take (64, 64), say."
            )
        self.network = Network(features, 2 * size, hidden)
        make = conditional_spline if size == 1 else conditional_spline_autoregressive
        self.spline = make(size, features, hidden_dims=list(hidden), count_bins=_BINS)
        self.register_buffer("noise", torch.randn(_DRAWS, size))

    def forward(self, features: Float[Tensor, "batch feature"]) -> Distribution:
        """The `SquashedFlow` of the action in [−1, 1]^d."""
        return SquashedFlow(self.spline.condition, features, *moments(self.network(features)[0]), self.noise)

    def act(self, features: Float[Tensor, "batch feature"], deterministic: bool) -> Float[Tensor, "batch action"]:
        """A sample, or the most likely action of a fixed set of draws."""
        policy = self(features)
        return policy.mode.detach() if deterministic else policy.sample()

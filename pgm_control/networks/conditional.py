r"""Families of distributions over vectors given time and features, relative to a distribution that is given too.

Each starts at the given distribution, or near it: a change of variables that is the identity there. Bounded vectors are
changed in the coordinates of `torch.distributions.biject_to`, in which they have no bounds.

Sources:
    [durkan2019] C. Durkan et al., Neural spline flows. Advances in Neural Information Processing Systems 32, 2019.
        arXiv:1906.04032
"""

import abc
from collections.abc import Sequence
from typing import Any, Literal, final

import torch
from jaxtyping import Float
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor
from torch.distributions import biject_to, constraints
from torch.distributions.transforms import Transform

from ..runtime.arguments import one_of
from ..runtime.randomness import seeded
from .mixture_of_gaussians import MixtureOfGaussians
from .spline import NUM_PARAMETERS, SplineMap
from .time_network import TimeNetwork

Family = Literal["gaussian", "mixture", "flow"]
_LARGEST = 8.0  # of a log-scale, either way: a gradient step too far does not overflow


@final
class Pushed(torch.distributions.TransformedDistribution, TorchDistributionMixin):  # pyright: ignore[reportIncompatibleMethodOverride]  as in Pyro
    """The distribution of draws from another one after a change of variables, as a distribution of Pyro."""


@final
class TriangularMap(Transform):
    """x ↦ c + μ + L (x − c), with a lower triangular L: it makes any Gaussian of another with the mean c."""

    bijective = True
    domain = constraints.real_vector
    codomain = constraints.real_vector

    def __init__(
        self,
        centre: Float[Tensor, "*batch coordinate"],
        shift: Float[Tensor, "*batch coordinate"],
        log_diagonal: Float[Tensor, "*batch coordinate"],
        below: Float[Tensor, "*batch entry"],
    ) -> None:
        """Take c, μ, the logarithms of the diagonal of L, and the entries below it, row by row."""
        super().__init__(cache_size=1)
        self._centre, self._shift, self._log_diagonal, self._below = centre, shift, log_diagonal, below

    def _call(self, x: Tensor) -> Tensor:
        apart = x - self._centre
        moved = self._log_diagonal.exp() * apart
        if self._below.shape[-1]:
            moved = moved + _below_diagonal(self._below, apart)
        return self._centre + self._shift + moved

    def _inverse(self, y: Tensor) -> Tensor:
        due, found, entry = y - self._centre - self._shift, list[Tensor](), 0
        for i in range(y.shape[-1]):
            rest = due[..., i]
            for j in range(i):
                rest = rest - self._below[..., entry] * found[j]
                entry += 1
            found.append(rest * (-self._log_diagonal[..., i]).exp())
        return self._centre + torch.stack(found, -1)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Float[Tensor, "*batch"]:
        """The sum of the logarithms of the diagonal."""
        return self._log_diagonal.sum(-1).expand(x.shape[:-1])


def _below_diagonal(entries: Float[Tensor, "*batch entry"], x: Tensor) -> Tensor:
    """The product of a strictly lower triangular matrix, given row by row, with vectors."""
    rows, entry = [torch.zeros_like(x[..., 0])], 0
    for i in range(1, x.shape[-1]):
        rows.append((entries[..., entry : entry + i] * x[..., :i]).sum(-1))
        entry += i
    return torch.stack(rows, -1)


class ConditionalFamily(torch.nn.Module, abc.ABC):
    """A distribution over vectors for each time and features, relative to a given one."""

    @abc.abstractmethod
    def forward(self, t: int, features: Float[Tensor, "*batch feature"], given: Any) -> Any:
        """The distribution, with the batch shape of the features.

        Args:
            t: the time.
            features: what it is conditioned on.
            given: the distribution relative to which it is, of the same batch shape.
        """


@final
class GaussianFamily(ConditionalFamily):
    """The given distribution, moved and spread: every Gaussian if it is one, squashed if it is bounded."""

    def __init__(
        self, times: int, features: int, size: int, hidden: Sequence[int], seed: int | None, like: Tensor
    ) -> None:
        """Make the network, at the given distribution. `like` is a tensor of the dtype of the parameters."""
        super().__init__()
        self._sizes = (size, size, size * (size - 1) // 2)
        self.network = TimeNetwork(times, features, sum(self._sizes), hidden, seed, like.dtype)

    def forward(self, t: int, features: Float[Tensor, "*batch feature"], given: Any) -> Any:
        """The distribution; see `ConditionalFamily`."""
        return _pushed(given, self.map_of(t, features, *_moments(given, features)))

    def map_of(self, t: int, features: Tensor, centre: Tensor, scale: Tensor) -> list[Transform]:
        """The change of variables, around a centre, in units of a scale."""
        shift, log_diagonal, below = self.network(t, features).split(self._sizes, -1)
        return [TriangularMap(centre, scale * shift, log_diagonal.clamp(-_LARGEST, _LARGEST), below)]


@final
class FlowFamily(ConditionalFamily):
    """The given distribution after a normalising flow: increasing splines, one coordinate after the other [durkan2019],
    and then a `TriangularMap`.

    References:
        [durkan2019]
    """

    def __init__(
        self, times: int, features: int, size: int, hidden: Sequence[int], seed: int | None, like: Tensor
    ) -> None:
        """Make the networks, at the given distribution. `like` is a tensor of the dtype of the parameters."""
        super().__init__()
        seeds = [None if seed is None else seed + 1 + i for i in range(size)]
        self.affine = GaussianFamily(times, features, size, hidden, seed, like)
        self.splines = torch.nn.ModuleList(
            TimeNetwork(times, features + i, NUM_PARAMETERS, hidden, seeds[i], like.dtype) for i in range(size)
        )

    def forward(self, t: int, features: Float[Tensor, "*batch feature"], given: Any) -> Any:
        """The distribution; see `ConditionalFamily`."""
        centre, scale = _moments(given, features)
        units = _Standardised(centre, scale)
        splines = SplineMap(lambda i, before: self._of_spline(t, i, features, before))
        return _pushed(given, [units, splines, units.inv, *self.affine.map_of(t, features, centre, scale)])

    def _of_spline(self, t: int, i: int, features: Tensor, before: Tensor) -> Tensor:
        """The parameters of the spline of coordinate i."""
        return self.splines[i](t, torch.cat((features.expand(*before.shape[:-1], features.shape[-1]), before), -1))


@final
class MixtureFamily(ConditionalFamily):
    """A mixture of diagonal Gaussians around the mean of the given distribution; squashed if that is bounded."""

    def __init__(
        self,
        times: int,
        features: int,
        size: int,
        hidden: Sequence[int],
        seed: int | None,
        like: Tensor,
        components: int = 3,
    ) -> None:
        """Make the network, whose components start around the given mean, slightly apart."""
        super().__init__()
        self._size, self._components = size, components
        self.network = TimeNetwork(times, features, components * (2 * size + 1), hidden, seed, like.dtype)
        with seeded(seed), torch.no_grad():
            apart = 0.5 * torch.randn(components, size, dtype=like.dtype)
            self.network.offset[:, : components * size] = apart.flatten()

    def forward(self, t: int, features: Float[Tensor, "*batch feature"], given: Any) -> Any:
        """The distribution; see `ConditionalFamily`."""
        centre, scale = _moments(given, features)
        found, many = self.network(t, features), (self._components, self._size)
        split = self._components * self._size
        loc = found[..., :split].unflatten(-1, many)
        log_scale = found[..., split : 2 * split].unflatten(-1, many).clamp(-_LARGEST, _LARGEST)
        mixture = MixtureOfGaussians(
            centre[..., None, :] + scale[..., None, :] * loc,
            log_scale + scale[..., None, :].log(),
            found[..., 2 * split :],
        )
        outer = _unbounded(given)
        return mixture if outer is None else Pushed(mixture, [outer])


@final
class _Standardised(Transform):
    """x ↦ (x − c)/σ, coordinate by coordinate."""

    bijective = True
    domain = constraints.real_vector
    codomain = constraints.real_vector

    def __init__(self, centre: Tensor, scale: Tensor) -> None:
        super().__init__(cache_size=1)
        self._centre, self._scale = centre, scale

    def _call(self, x: Tensor) -> Tensor:
        return (x - self._centre) / self._scale

    def _inverse(self, y: Tensor) -> Tensor:
        return self._centre + self._scale * y

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return -self._scale.log().sum(-1).expand(x.shape[:-1])


def family_of(
    family: Family, times: int, features: int, size: int, hidden: Sequence[int], seed: int | None, like: Tensor
) -> ConditionalFamily:
    """The family of this name.

    Args:
        family: "gaussian", "mixture" or "flow".
        times: the number of times.
        features: the number of features.
        size: the number of coordinates of a vector.
        hidden: the number of units of each hidden layer.
        seed: an integer, or None for torch's global generator.
        like: a tensor of the dtype of the parameters.

    Raises:
        InvalidArgument: if there is no such family.
    """
    kinds = {"gaussian": GaussianFamily, "mixture": MixtureFamily, "flow": FlowFamily}
    one_of("family", family, kinds)
    return kinds[family](times, features, size, hidden, seed, like)


def _unbounded(given: Any) -> Transform | None:
    """The map from vectors without bounds to those that the given distribution draws; None if they have no bounds."""
    support = given.support
    inner = support
    while isinstance(inner, constraints.independent):
        inner = inner.base_constraint
    return None if inner in (constraints.real, constraints.real_vector) else biject_to(support).with_cache(1)


def _moments(given: Any, like: Tensor) -> tuple[Tensor, Tensor]:
    """A centre and a scale of the given distribution, in coordinates without bounds; 0 and 1 where they are unknown."""
    if _unbounded(given) is None:
        try:
            return given.mean, given.stddev
        except NotImplementedError:
            pass
    centre = like.new_zeros(given.shape())
    return centre, torch.ones_like(centre)


def _pushed(given: Any, maps: list[Transform]) -> Any:
    """The given distribution after maps of vectors without bounds."""
    outer = _unbounded(given)
    return Pushed(given, maps if outer is None else [outer.inv, *maps, outer])

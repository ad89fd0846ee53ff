"""Normalisation of observations by their running mean and variance.

Sources:
    [chan1983] T. F. Chan, G. H. Golub and R. J. LeVeque, Algorithms for computing the sample variance: analysis and
        recommendations. The American Statistician 37(3):242–247, 1983. doi:10.1080/00031305.1983.10483115
    [welford1962] B. P. Welford, Note on a method for calculating corrected sums of squares and products. Technometrics
        4(3):419–420, 1962. doi:10.1080/00401706.1962.10490022
"""

from collections.abc import Mapping
from typing import Any, final

import torch
from gymnasium import Space, spaces
from jaxtyping import Bool, Float
from torch import Tensor

from ..errors import InvalidArgument
from ..runtime.arguments import flag
from ..runtime.checkpoint_checks import Check, Problem, alike

_CLIP = 10.0  # in standard deviations
_ROUNDING = 1e-12  # of a mean in float64, relative to it
_TINY = 1e-300  # a variance that is not 0


@final
class Normaliser(torch.nn.Module):
    r"""A map from features $x$ to $(x - m) / \sqrt{v}$, limited to ±10, with a running mean m and variance v.

    It does not depend on the units of features. A constant feature becomes 0, and ±10 where it is another number than
    before. Features are in float32, so variations below a ten-millionth of their mean are lost before they come here.

    Mean and variance are those of all features that `update` has seen, computed in float64 without a difference of
    large numbers, a batch at a time: with a count n, a mean m and a sum of squared deviations M of each part,

    $$\delta = m_2 - m_1, \qquad m = m_1 + \delta\, \frac{n_2}{n_1 + n_2}, \qquad
    M = M_1 + M_2 + \delta^2\, \frac{n_1 n_2}{n_1 + n_2}$$

    Features that are no measurement stay as they are: those of Discrete, MultiDiscrete and MultiBinary spaces and
    action masks, which are 0 or 1. So do all of them before two rows were seen.

    Attributes:
        count: the number of rows seen.
        mean: the mean m of each feature.
        deviations: the sum M of squared deviations from it.

    References:
        [welford1962], [chan1983]
    """

    count: Tensor
    mean: Tensor
    deviations: Tensor
    measured: Tensor

    def __init__(self, measured: Bool[Tensor, " feature"]) -> None:
        """Start without observations.

        Args:
            measured: which features are normalised.
        """
        super().__init__()
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(len(measured), dtype=torch.float64))
        self.register_buffer("deviations", torch.zeros(len(measured), dtype=torch.float64))
        self.register_buffer("measured", measured.clone(), persistent=False)

    @property
    def variance(self) -> Float[Tensor, " feature"]:
        """The variance v of each feature; 0 before an observation."""
        return self.deviations / self.count.clamp(min=1)

    def forward(self, features: Float[Tensor, "batch feature"]) -> Float[Tensor, "batch feature"]:
        """The normalised features."""
        if self.count < 2:
            return features
        scale = (self.variance + (_ROUNDING * self.mean).square()).clamp(min=_TINY).sqrt()
        scaled = (features - self.mean) / scale
        return torch.where(self.measured, scaled.clamp(-_CLIP, _CLIP).to(features.dtype), features)

    @torch.no_grad()
    def update(self, features: Float[Tensor, "batch feature"]) -> None:
        """Take a batch of features into the mean and the variance."""
        if len(features) == 0:
            return
        found, number = features.double(), len(features)
        mean, total = found.mean(0), self.count + number
        delta = mean - self.mean
        self.deviations += (found - mean).square().sum(0) + delta.square() * (self.count * number / total)
        self.mean += delta * (number / total)
        self.count.copy_(total)


def normaliser_of(
    config: Mapping[str, Any], space: Space, masks: slice | None, device: torch.device
) -> Normaliser | None:
    """The normaliser of a learner, or None.

    Args:
        config: the arguments of the learner, of which `normalise_observations` and `action_prior` matter.
        space: the space of observations.
        masks: the features that are action masks, or None.
        device: the device of the features.

    Raises:
        InvalidArgument: if an argument does not fit, or there is nothing to normalise.
    """
    if not flag("normalise_observations", config.get("normalise_observations", False)):
        return None
    if callable(config.get("action_prior")):
        raise InvalidArgument(
            "`action_prior` must not be a function with `normalise_observations`: its features would change while the "
            "statistics do. Pass probabilities, or wrap the environment with a fixed scale of observations."
        )
    measured = measured_features(space)
    if masks is not None:
        measured[masks] = False  # a mask may be a Box of 0 and 1
    if not bool(measured.any()):
        raise InvalidArgument(
            f"`normalise_observations` must be False for observations of {space}, which hold no measurement in a Box, "
            "but is True. Leave it out."
        )
    return Normaliser(measured).to(device)


def check_of_normaliser(normaliser: Normaliser) -> Check:
    """The check of a state: names and shapes are the present ones, and counts and sums of squares are not negative."""
    same = alike(normaliser.state_dict())

    def check(found: Any) -> Problem | None:
        problem = same(found)
        if problem is not None:
            return problem
        wrong = [name for name in ("count", "deviations") if bool((found[name] < 0).any())]
        return Problem((wrong[0],), "must be at least 0, but is negative") if wrong else None

    return check


def measured_features(space: Space) -> Bool[Tensor, " feature"]:
    """Which features of an observation are numbers of a Box, in the order of `Observations`."""
    if isinstance(space, spaces.Dict | spaces.Tuple):
        parts = space.spaces.values() if isinstance(space, spaces.Dict) else space.spaces
        return torch.cat([measured_features(part) for part in parts])
    return torch.full((spaces.flatdim(space),), isinstance(space, spaces.Box))


@final
class Normalised(torch.nn.Module):
    """A network of normalised features, which remembers the features that it gets while it is `recording`.

    Attributes:
        network: the network.
        recorded: the batches that it got, in order, or None while it is not recording.
    """

    def __init__(self, normaliser: Normaliser, network: torch.nn.Module) -> None:
        """Take the network; the normaliser, which is saved elsewhere, is not part of this module."""
        super().__init__()
        self._normaliser = [normaliser]  # in a list, so that torch does not register it as a submodule
        self.network = network
        self.recorded: list[Tensor] | None = None

    def forward(self, features: Float[Tensor, "batch feature"]) -> Any:
        """The output of the network."""
        if self.recorded is not None:
            self.recorded.append(features)
        return self.network(self._normaliser[0](features))

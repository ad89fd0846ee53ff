"""The observations and actions of a learner: Gymnasium's spaces as tensors."""

from collections.abc import Mapping, Sequence
from typing import Any, final

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector.utils import batch_space, iterate
from jaxtyping import Float, Num
from torch import Tensor

from ..errors import InvalidArgument, UnsupportedEnvironment
from .membership import Membership

_IMAGE = 3  # an array with this many axes is probably an image
_EDGE = 1 + 1e-6  # the largest coordinate of an action, with rounding


@final
class Observations:
    """A map from batches of observations to rows of features.

    | space | features |
    |---|---|
    | `Discrete`, `MultiDiscrete` | one-hot |
    | `Box`, `MultiBinary` | the numbers, flattened |
    | `Dict`, `Tuple` of these | the features of the parts, concatenated |

    Attributes:
        space: the space of one observation.
        features: the number of features.
    """

    def __init__(self, space: gymnasium.Space) -> None:
        """Check the space.

        Raises:
            UnsupportedEnvironment: if it contains text, graphs, sequences or images, for which there are no networks
                here.
        """
        _require_known(space, "observation")
        self.space = space
        self._membership = Membership(space, is_bounded=False)
        self.features: int = spaces.flatdim(space)

    def __call__(self, observations: Sequence[Any]) -> Float[Tensor, "batch feature"]:
        """The features of several observations, in float32."""
        if isinstance(self.space, spaces.Discrete):
            index = torch.from_numpy(np.array([int(each) for each in observations]) - int(self.space.start))
            return torch.nn.functional.one_hot(index, self.features).to(torch.float32)
        if isinstance(self.space, spaces.Box):
            rows = np.stack([np.asarray(each, dtype=np.float32).reshape(-1) for each in observations])
        else:
            rows = np.stack([np.asarray(spaces.flatten(self.space, each), np.float32) for each in observations])
        return torch.from_numpy(rows)

    def of_batch(self, observations: Any) -> Float[Tensor, "batch feature"]:
        """The features of a batch of observations in the form vector environments return.

        Raises:
            InvalidArgument: if it is not such a batch.
        """
        try:
            number = _length(observations)
            problem = self._membership.problem(observations, (number,))
        except (TypeError, LookupError, StopIteration):  # no batch at all
            number, problem = 0, f"is {observations!r}"
        if problem is not None or number == 0:
            raise InvalidArgument(
                f"`observation` must be of {self.space} and finite in float32, or a batch of such, but "
                f"{problem or 'is an empty batch'}. Pass what the environment of the learner returns; another `env` "
                "must have its spaces."
            )
        return self(list(iterate(batch_space(self.space, number), observations)))

    def of_tensor(self, observations: Num[Tensor, "batch ..."]) -> Float[Tensor, "batch feature"]:
        """The features of many observations of a box, one a row, or of many indices of a `Discrete` space, as a tensor.

        Bounds of boxes do not matter.

        Raises:
            InvalidArgument: if the space is another, or they do not fit it.
        """
        space, shape = self.space, tuple(observations.shape)
        if isinstance(space, spaces.Box) and shape[1:] in (space.shape, (self.features,)):
            rows = observations.detach().reshape(shape[0], self.features).to("cpu", torch.float32)
            if bool(rows.isfinite().all()):
                return rows
        if isinstance(space, spaces.Discrete) and len(shape) == 1 and not observations.is_floating_point():
            index = observations.detach().long().cpu() - int(space.start)
            if bool(((index >= 0) & (index < self.features)).all()):
                return torch.nn.functional.one_hot(index, self.features).to(torch.float32)
        raise InvalidArgument(
            f"`observation` must be a tensor with one row for each observation of {space}, finite in float32, or of "
            f"its indices, but has shape {shape} and dtype {observations.dtype}, or entries that are none."
        )

    def is_single(self, observation: Any) -> bool:
        """Whether `observation` is a single observation and not a batch; the bounds of boxes do not matter."""
        return self._membership.problem(observation) is None


@final
class Actions:
    r"""The actions of an environment: discrete, or points of a box.

    In a box, policies act in $[-1, 1]^d$ and `to_environment` stretches that to the box. Their densities, the action
    prior and entropies are with respect to $[-1, 1]^d$: the uniform prior has $\log \rho = -d \log 2$.

    Attributes:
        space: the space of one action.
        size: the number of discrete actions, or the dimension d of the box.
        is_discrete: whether the actions are discrete.
    """

    def __init__(self, space: gymnasium.Space) -> None:
        """Check the space.

        Raises:
            UnsupportedEnvironment: if it is neither Discrete nor a bounded Box of floats.
        """
        self.space = space
        self.is_discrete = isinstance(space, spaces.Discrete)
        if isinstance(space, spaces.Discrete):
            self.size = int(space.n)
            return
        if not isinstance(space, spaces.Box) or not np.issubdtype(space.dtype, np.floating):
            raise UnsupportedEnvironment(
                f"The action space must be Discrete or a Box of floats, but is {space}. Wrap the environment with "
                "gymnasium.wrappers.TransformAction: number the combinations of a MultiDiscrete, say."
            )
        if not space.is_bounded():
            raise UnsupportedEnvironment(
                f"The action space must be bounded, but is {space}: nothing is uniform on it, so there is no action "
                "prior. Wrap the environment with gymnasium.wrappers.TransformAction(env, f, box), where f maps the "
                "bounded `box` to the actions, such as lambda a: 10 * a on Box(-1, 1, shape)."
            )
        self.size = int(np.prod(space.shape))
        self._low, self._high = (each.astype(np.float64).reshape(1, -1) for each in (space.low, space.high))
        with np.errstate(over="ignore"):
            self._middle, self._half = (self._high + self._low) / 2, (self._high - self._low) / 2
        if self.size == 0 or not ((self._half > 0) & np.isfinite(self._half)).all():
            raise UnsupportedEnvironment(
                f"The action space must have at least one axis, and a positive and finite width along each, but is "
                f"{space}. Leave out the coordinates of an action that are fixed, by "
                "gymnasium.wrappers.TransformAction."
            )

    def __repr__(self) -> str:
        """The space of the environment."""
        return f"Actions({self.space})"

    def to_environment(self, actions: Num[Tensor, "batch ..."]) -> np.ndarray:
        """A batch of actions in the form the environment takes.

        Raises:
            InvalidArgument: if an action is outside $[-1, 1]^d$ or is no index of an action, or has another shape.
        """
        array = actions.detach().cpu().numpy()
        self._require_actions(array)
        if isinstance(self.space, spaces.Discrete):
            return array.astype(self.space.dtype) + self.space.start
        stretched = np.minimum(np.maximum(self._middle + self._half * array, self._low), self._high)
        return stretched.reshape(len(array), *(self.space.shape or ())).astype(self.space.dtype)

    def _require_actions(self, found: np.ndarray) -> None:
        """Refuse actions that are not those of this space; nan passes, because its cause is that learning diverged."""
        if self.is_discrete:
            is_in, wanted = found.ndim == 1 and found.dtype.kind in "iu", f"whole numbers from 0 to {self.size - 1}"
            wrong = (found < 0) | (found >= self.size) if is_in else np.ones(1, bool)
        else:
            is_in, wanted = found.ndim == 2 and found.shape[1] == self.size, f"rows of [-1, 1]^{self.size}"
            wrong = np.abs(found) > _EDGE if is_in else np.ones(1, bool)
        if wrong.any():
            shown = found[wrong.reshape(len(found), -1).any(-1)][0] if is_in else f"an array of shape {found.shape}"
            stretched = "" if self.is_discrete else ", which is stretched to the box of the environment"
            raise InvalidArgument(
                f"Actions must be {wanted}{stretched}, but there is {shown}. Give `policy` or `action_prior` a "
                "distribution on these; in a box a SquashedGaussian, say."
            )

    def from_environment(self, actions: np.ndarray) -> Num[Tensor, "batch ..."]:
        """The inverse of `to_environment`: indices, or points of $[-1, 1]^d$."""
        if isinstance(self.space, spaces.Discrete):
            return torch.from_numpy(np.asarray(actions, np.int64) - int(self.space.start))
        flat = np.asarray(actions, np.float64).reshape(len(actions), -1)
        return torch.from_numpy(((flat - self._middle) / self._half).astype(np.float32))


def _require_known(space: gymnasium.Space, which: str) -> None:
    parts = space.spaces.values() if isinstance(space, spaces.Dict) else getattr(space, "spaces", ())
    if isinstance(space, spaces.Dict | spaces.Tuple):
        for part in parts:
            _require_known(part, which)
        return
    if isinstance(space, spaces.Box) and len(space.shape) >= _IMAGE:
        raise UnsupportedEnvironment(
            f"The {which} space holds arrays of shape {space.shape}, images it seems, and there are no networks for "
            "them here. Wrap the environment with gymnasium.wrappers.TransformObservation or FlattenObservation to "
            "make them rows of features."
        )
    if not isinstance(space, spaces.Box | spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary):
        raise UnsupportedEnvironment(
            f"The {which} space must be made of Box, Discrete, MultiDiscrete and MultiBinary spaces, Dict and Tuple, "
            f"but holds {space}. Wrap the environment with gymnasium.wrappers.TransformObservation."
        )


def _length(observation: Any) -> int:
    while isinstance(observation, Mapping | tuple):
        observation = next(iter(observation.values())) if isinstance(observation, Mapping) else observation[0]
    return len(observation)

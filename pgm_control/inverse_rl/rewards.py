"""Models of the reward with parameters to be learned."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InvalidArgument
from ..problems.mdp import TabularMDP, require_mdp
from ..runtime.arguments import flag, listed, one_of, shown
from ..runtime.array_like import numbers
from ..text.one_line import one_line
from ..text.wording import action_label, state_label

_NOTHING = np.zeros(1)
_AXES = {"state": 1, "state_action": 2, "outcome": 3}


@final
@dataclass(frozen=True, eq=False)
class LinearForm:
    """The linear map from parameters to rewards, and its transpose, in numpy for speed.

    Attributes:
        shape: the shape of the table, (S, A, K).
        axes: the number of axes on which the reward depends: a place is a state, a state and action, or an outcome.
        features: the features of each place; None if each place has its own parameter.
        pays_last: whether the last state is paid like the others.
    """

    shape: tuple[int, ...]
    axes: int
    features: Float[np.ndarray, "place feature"] | None
    pays_last: bool

    __repr__ = one_line

    def tables(self, x: Float[np.ndarray, " parameter"]) -> tuple[Float[np.ndarray, "..."], Float[np.ndarray, "..."]]:
        """Return the rewards of the outcomes and of the last state, in shapes that broadcast to those of the tables."""
        values = x if self.features is None else self.features @ x
        return values.reshape(self._spreading), values if self.pays_last else _NOTHING

    def by_parameters(
        self, by_table: Float[np.ndarray, "state action outcome"], by_last: Float[np.ndarray, " state"]
    ) -> Float[np.ndarray, " parameter"]:
        """Return the derivatives by the parameters, given those by the rewards."""
        found = self.by_place(by_table)
        if self.pays_last:
            found = found + by_last
        return found if self.features is None else found @ self.features

    def by_place(self, table: Float[np.ndarray, "state action outcome"]) -> Float[np.ndarray, " place"]:
        """Return the sums over all outcomes that share a reward."""
        return np.add.reduce(table.reshape(self._places, -1), 1)

    @cached_property
    def _places(self) -> int:
        return math.prod(self.shape[: self.axes])

    @cached_property
    def _spreading(self) -> tuple[int, ...]:
        return self.shape[: self.axes] + (1,) * (3 - self.axes)


class RewardModel(torch.nn.Module):
    """A reward with parameters ψ. A call returns r(s, a, k), in reward units, differentiable in ψ.

    Attributes:
        pays_last: whether a reward of states is paid for the last state as well.
        names: the names of the parameters, if they are one vector; for tables and messages.
    """

    pays_last: bool = False
    names: tuple[str, ...] | None = None

    def forward(self) -> Float[Tensor, "state action outcome"]:
        """Return the table of rewards."""
        raise NotImplementedError

    def last(self) -> Float[Tensor, " state"] | None:
        """Return the reward of the last state, or None if it pays nothing."""
        return None

    @property
    def is_linear(self) -> bool:
        """Whether the table is linear in the parameters; some likelihoods are then concave."""
        return self.linear_form() is not None

    def linear_form(self) -> "LinearForm | None":
        """Return the table as features times the parameters, in numpy; None if it is not linear."""
        return None

    def by_parameters(
        self, by_table: Float[Tensor, "state action outcome"], by_last: Float[Tensor, " state"]
    ) -> Float[Tensor, " parameter"]:
        """Return the derivatives by the parameters, as one vector, given those by the rewards."""
        table, last = self(), self.last()
        outputs, cotangents = ([table], [by_table]) if last is None else ([table, last], [by_table, by_last])
        parameters = [each for each in self.parameters() if each.requires_grad]
        slopes = torch.autograd.grad(outputs, parameters, cotangents, allow_unused=True, materialize_grads=True)
        return torch.cat([each.flatten() for each in slopes])


@final
class LinearReward(RewardModel):
    r"""A reward linear in features, $r_\psi = \psi^\top f$.

    Attributes:
        weight: ψ, in reward units per unit of the feature. It starts at 0.
        features: $f$ of states (S, F), of states and actions (S, A, F) or of outcomes (S, A, K, F).
    """

    features: Tensor

    def __init__(self, mdp: TabularMDP, features: Any, pays_last: bool = False, names: Any = None) -> None:
        """Create the reward with weights of 0.

        Args:
            mdp: the problem.
            features: an array; the last axis is that of the features.
            pays_last: whether features of states are paid for the last state too.
            names: the names of the features.

        Raises:
            InvalidArgument: if the shape does not fit the problem, or a number is not finite.
        """
        super().__init__()
        require_mdp("mdp", mdp)
        array = numbers("features", features, InvalidArgument).to(mdp.probability)
        shape, axes = tuple(mdp.probability.shape), array.ndim - 1
        if axes not in (1, 2, 3) or tuple(array.shape[:-1]) != shape[:axes] or array.shape[-1] == 0:
            raise InvalidArgument(
                f"`features` must have the shape (S, F), (S, A, F) or (S, A, K, F) with (S, A, K) = {shape}, but has "
                f"{tuple(array.shape)}."
            )
        if not bool(array.isfinite().all()):
            raise InvalidArgument(f"`features` must be finite, but {int((~array.isfinite()).sum())} of them are not.")
        pays_last = flag("pays_last", pays_last)
        if pays_last and axes != 1:
            raise InvalidArgument(
                "`pays_last` must be False for features of actions or outcomes: the last state has none. Use features "
                "of states, of shape (S, F)."
            )
        own = None if names is None else tuple(listed("names", names, "strings"))
        if own is not None and len(own) != array.shape[-1]:
            raise InvalidArgument(f"`names` must name {array.shape[-1]} features, but are {len(own)}.")
        self.pays_last, self.names = pays_last, own
        self.register_buffer("features", array)
        self.weight = torch.nn.Parameter(array.new_zeros(array.shape[-1]))
        self._shape = shape

    def forward(self) -> Float[Tensor, "state action outcome"]:
        """Return the table of rewards."""
        return _spread(self.features @ self.weight, self._shape)

    def last(self) -> Float[Tensor, " state"] | None:
        """Return the reward of the last state, or None if it pays nothing."""
        return self.features @ self.weight if self.pays_last else None

    def by_parameters(self, by_table: Tensor, by_last: Tensor) -> Tensor:
        """Return the derivatives by the weights, by sums over the features."""
        return _gathered(by_table, by_last, self.features.ndim - 1, self.pays_last).flatten() @ self.features.flatten(
            0, -2
        )

    def linear_form(self) -> "LinearForm":
        """Return the linear form with these features."""
        matrix = self.features.numpy(force=True).astype(np.float64, copy=False)
        return LinearForm(self._shape, self.features.ndim - 1, matrix.reshape(-1, matrix.shape[-1]), self.pays_last)


@final
class TabularReward(RewardModel):
    """A reward with one parameter for each state, state and action, or outcome.

    Attributes:
        weight: ψ, in reward units. It starts at 0.
    """

    def __init__(self, mdp: TabularMDP, of: str = "state", pays_last: bool = False) -> None:
        """Create a table of zeros.

        Raises:
            InvalidArgument: if `of` is unknown, or `pays_last` is True for a reward that is not of states.
        """
        super().__init__()
        require_mdp("mdp", mdp)
        one_of("of", of, tuple(_AXES))
        axes, pays_last = _AXES[of], flag("pays_last", pays_last)
        if pays_last and of != "state":
            raise InvalidArgument(f'`pays_last` must be False for a reward of a {of}. Use of="state".')
        self.pays_last, self._shape = pays_last, tuple(mdp.probability.shape)
        self.weight = torch.nn.Parameter(torch.zeros_like(mdp.probability[(..., *[0] * (3 - axes))]))
        self.names = tuple(place_label(mdp, place) for place in np.ndindex(*self.weight.shape))

    def forward(self) -> Float[Tensor, "state action outcome"]:
        """Return the table of rewards."""
        return _spread(self.weight, self._shape)

    def last(self) -> Float[Tensor, " state"] | None:
        """Return the reward of the last state, or None if it pays nothing."""
        return self.weight if self.pays_last else None

    def by_parameters(self, by_table: Tensor, by_last: Tensor) -> Tensor:
        """Return the derivatives by the parameters, by sums over the outcomes that share one."""
        return _gathered(by_table, by_last, self.weight.ndim, self.pays_last).flatten()

    def linear_form(self) -> "LinearForm":
        """Return the linear form without features."""
        return LinearForm(self._shape, self.weight.ndim, None, self.pays_last)


@final
class NetworkReward(RewardModel):
    """A reward computed by any module from features.

    Attributes:
        module: maps (…, F) to (…) or (…, 1).
        features: as for `LinearReward`.
    """

    features: Tensor

    def __init__(self, mdp: TabularMDP, features: Any, module: torch.nn.Module, pays_last: bool = False) -> None:
        """Create the reward; the module is converted to the dtype and device of the problem.

        Raises:
            InvalidArgument: if the shapes do not fit.
        """
        super().__init__()
        linear = LinearReward(mdp, features, pays_last)  # for its checks
        if not isinstance(module, torch.nn.Module):
            raise InvalidArgument(
                f"`module` must be a torch.nn.Module that maps features to rewards, but is {shown(module)}."
            )
        self.pays_last, self._shape = pays_last, tuple(mdp.probability.shape)
        self.register_buffer("features", linear.features)
        self.module = module.to(mdp.probability)
        try:
            with torch.no_grad():
                found = tuple(self.module(linear.features).shape)
        except Exception as problem:  # a module of one's own may raise anything
            raise InvalidArgument(
                f"`module` must map features {tuple(linear.features.shape)} to rewards, but raises {problem!r}."
            ) from problem
        wanted = tuple(linear.features.shape[:-1])
        if found not in (wanted, (*wanted, 1)):
            raise InvalidArgument(
                f"`module` must map features {tuple(linear.features.shape)} to rewards {wanted}, but gives {found}. "
                "Let its last layer have one output."
            )

    def forward(self) -> Float[Tensor, "state action outcome"]:
        """Return the table of rewards."""
        return _spread(self._values(), self._shape)

    def last(self) -> Float[Tensor, " state"] | None:
        """Return the reward of the last state, or None if it pays nothing."""
        return self._values() if self.pays_last else None

    def _values(self) -> Tensor:
        return self.module(self.features).reshape(self.features.shape[:-1])


def place_label(mdp: TabularMDP, place: Sequence[int]) -> str:
    """The name of a state, a state and action, or an outcome: `(3, 0), up, to (2, 0)`."""
    words = [state_label(mdp, place[0])]
    if len(place) > 1:
        words.append(action_label(mdp, place[1]))
    if len(place) > 2:
        words.append(f"to {state_label(mdp, int(mdp.successor[tuple(place)]))}")
    return ", ".join(words)


def _spread(values: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return the values, broadcast to `shape`: (states, actions, outcomes)."""
    return values.reshape(*values.shape, *[1] * (3 - values.ndim)).expand(shape)


def _gathered(by_table: Tensor, by_last: Tensor, axes: int, pays_last: bool) -> Tensor:
    """Return the transpose of `_spread`: sums over the broadcast axes, plus the derivatives of the last state."""
    found = by_table.sum(tuple(range(axes, 3))) if axes < 3 else by_table
    return found + by_last if pays_last else found

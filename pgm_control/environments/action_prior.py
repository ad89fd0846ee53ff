"""The action prior ρ of an environment: the policy pays for its divergence from it."""

import math
from collections.abc import Callable, Sequence
from typing import Any, final

import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, Space, flatdim
from jaxtyping import Float, Num
from pyro.distributions import Categorical, TorchDistribution
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.types import _size

from ..errors import InvalidArgument
from ..runtime.array_like import numbers
from ..runtime.programs import require_callable
from .spaces import Actions, Observations

MASK, OBSERVATION = "action_mask", "observation"
"""The parts of an observation that holds the mask of its discrete actions."""

Chooser = Callable[[Tensor], Distribution]
PriorSource = Callable[[Tensor], Any] | Sequence[float] | Sequence[Sequence[float]] | Tensor | None
_ONCE = torch.Size()


@final
class ActionPrior:
    r"""The action prior ρ(a|s); default: uniform. In a box its density is with respect to $[-1, 1]^d$.

    Where observations are {"action_mask": mask, "observation": …}, it is restricted to the actions that the mask
    allows, and normalised.

    Attributes:
        is_uniform: whether the prior is uniform.
        most_entropy: a bound on the entropy of a policy, in nats, wherever it is: log of the largest known number of
            possible actions, or d log 2 in a box.
    """

    def __init__(self, prior: PriorSource, actions: Actions, observations: Observations, device: torch.device) -> None:
        """Store the prior, and check its shape and normalisation.

        Args:
            prior: None for the uniform prior. For discrete actions: A probabilities, the same in all states, or one row
                of them for each state of a discrete observation space. Or a function from features (batch, feature) to
                a distribution over actions (in a box: over [−1, 1]^d, with one event axis) or, for discrete actions, to
                probabilities (batch, A).
            actions: the action space of the environment.
            observations: its observation space.
            device: the device of the features.

        Raises:
            InvalidArgument: if `prior` is not a prior over these actions.
        """
        self._actions = actions
        self._choose: Callable[[Tensor], Any] = action_prior_of(prior, actions, observations, device)
        self.is_uniform = prior is None and mask_columns(observations.space, actions) is None
        self._constant = -math.log(actions.size) if actions.is_discrete else -actions.size * math.log(2)
        self.most_entropy = -self._constant
        if prior is not None and not callable(prior):
            self.most_entropy = math.log(int((numbers("action_prior", prior) > 0).sum(-1).max()))

    def log_probabilities(self, features: Float[Tensor, "batch feature"]) -> Float[Tensor, "batch action"]:
        """The log-probabilities of all discrete actions, in nats; −inf for a masked action."""
        shape = (len(features), self._actions.size)
        if self.is_uniform:
            return features.new_full(shape, self._constant)
        found = self._choose(features).logits
        if found.shape != shape:
            raise InvalidArgument(
                f"`action_prior` must give probabilities of shape {shape}, but gave {tuple(found.shape)}. It gets the "
                "features of a batch of observations."
            )
        return found

    def log_density(
        self, features: Float[Tensor, "batch feature"], actions: Float[Tensor, "batch action"]
    ) -> Float[Tensor, " batch"] | float:
        """The log-densities of actions in the box, in nats."""
        return self._constant if self.is_uniform else self._choose(features).log_prob(actions)

    def entropy(self, features: Float[Tensor, "batch feature"]) -> Float[Tensor, ""] | float:
        """The mean entropy of the prior, in nats; in a box an estimate, from one action for each row of features."""
        if self.is_uniform:
            return -self._constant
        if not self._actions.is_discrete:
            return -torch.as_tensor(self.log_density(features, self.sample(features))).mean()
        log_p = self.log_probabilities(features)
        return -torch.where(log_p > -torch.inf, log_p.exp() * log_p, 0.0).sum(-1).mean()

    def sample(self, features: Float[Tensor, "batch feature"]) -> Num[Tensor, "batch ..."]:
        """Return actions sampled from the prior, one for each row of features."""
        return self._choose(features).sample()


def mask_columns(space: Space, actions: Actions) -> slice | None:
    """The features that are the mask of the actions, if observations are {"action_mask": mask, "observation": …}.

    Args:
        space: the space of observations.
        actions: the action space. A mask is `MultiBinary(A)`, or a Box of whole numbers from 0 to 1 of shape (A,).
    """
    if not isinstance(space, Dict) or set(space.spaces) != {MASK, OBSERVATION} or not actions.is_discrete:
        return None
    mask = space.spaces[MASK]
    is_box = (
        isinstance(mask, Box) and mask.dtype.kind in "biu" and bool((mask.low == 0).all() and (mask.high == 1).all())
    )
    if mask.shape != (actions.size,) or not (isinstance(mask, MultiBinary) or is_box):
        return None
    begin = 0 if next(iter(space.spaces)) == MASK else flatdim(space.spaces[OBSERVATION])
    return slice(begin, begin + actions.size)


def _masked(choose: Chooser, columns: slice | None) -> Chooser:
    """The same prior, restricted to the allowed actions; where none is, as after the end of an episode, as it is."""
    if columns is None:
        return choose

    def allowed(observation: Tensor) -> Distribution:
        found: Any = choose(observation)
        mask = observation[..., columns] > 0
        logits = found.logits.masked_fill(~(mask | ~mask.any(-1, keepdim=True)), -torch.inf)
        if bool((logits == -torch.inf).all(-1).any()):
            raise InvalidArgument(
                "`action_prior` must give a probability to an action that the mask allows, but gives none in some "
                "state. Leave it out for the uniform prior over allowed actions."
            )
        return Categorical(logits=logits)

    return allowed


def action_prior_of(
    given: Any,
    actions: Actions,
    observations: Observations,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
) -> Chooser:
    """The uniform or the given prior, restricted to the actions that a mask in the observation allows.

    Args and errors are those of `unmasked_prior_of`; see `mask_columns` for masks.
    """
    return _masked(
        unmasked_prior_of(given, actions, observations, device, dtype), mask_columns(observations.space, actions)
    )


def unmasked_prior_of(
    given: Any,
    actions: Actions,
    observations: Observations,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
) -> Chooser:
    """The uniform or the given prior, as a function from features of observations to a distribution.

    Args:
        given: probabilities, in one row or one row per state; or a function from features to a Pyro distribution or,
            for discrete actions, probabilities; None for uniform.
        actions: the action space of the environment.
        observations: its observation space.
        device, dtype: those of the table.

    Raises:
        InvalidArgument: if the prior does not fit the spaces, or is not normalised.
    """
    if callable(given) or isinstance(given, type):
        require_callable("action_prior", given, "features", remedy="Or pass probabilities.")
        return lambda observation: _distribution(given(observation))
    if given is None:
        if not actions.is_discrete:
            return lambda observation: UniformBox(observation, actions.size)
        return lambda observation: Categorical(logits=observation.new_zeros(*observation.shape[:-1], actions.size))
    if isinstance(given, str):
        raise InvalidArgument(
            f"`action_prior` must be probabilities, a function, or None for uniform, but is {given!r}. An environment "
            "has the same actions in all states, so that their count differs from the uniform prior by log A in each "
            "step: leave it out."
        )
    p = numbers("action_prior", given, InvalidArgument).to(device, dtype)
    is_by_state = isinstance(observations.space, Discrete)
    allowed = [(actions.size,), (observations.features, actions.size)][: 1 + is_by_state] if actions.is_discrete else []
    if tuple(p.shape) not in allowed:
        wanted = " or ".join(map(str, allowed)) or "a function: the actions are not Discrete"
        raise InvalidArgument(
            f"`action_prior` must have shape {wanted}, but has {tuple(p.shape)}. A function from observations to a "
            "Pyro distribution is always possible."
        )
    if not bool((p >= 0).all()) or not bool(((p.sum(-1) - 1).abs() < 1e-5).all()):
        raise InvalidArgument(
            f"`action_prior` must be probabilities that sum to 1, but sums to {p.sum(-1).flatten()[0]:.6g} and is at "
            f"least {float(p.min()):.6g}. Divide each row by its sum."
        )
    logits = p.log()
    if p.ndim == 1:
        return lambda observation: Categorical(logits=logits.expand(*observation.shape[:-1], -1))
    return lambda observation: Categorical(logits=logits[observation.argmax(-1)])


def _distribution(found: Any) -> Distribution:
    return Categorical(logits=found.log()) if isinstance(found, Tensor) else found


@final
class UniformBox(TorchDistribution):
    """The uniform distribution on [−1, 1]^d, both ends included."""

    has_rsample = False

    def __init__(self, like: Float[Tensor, "batch feature"], size: int) -> None:
        """Take the batch shape, dtype and device from `like`, and d from `size`."""
        self._like = like
        super().__init__(like.shape[:-1], torch.Size((size,)), validate_args=False)

    @property
    def arg_constraints(self) -> dict[str, constraints.Constraint]:
        """An empty dictionary: there are no parameters."""
        return {}

    @property
    def support(self) -> constraints.Constraint:
        """The box [−1, 1]^d."""
        return constraints.independent(constraints.interval(-1.0, 1.0), 1)

    def sample(self, sample_shape: _size = _ONCE) -> Float[Tensor, "*sample action"]:
        """Actions sampled uniformly from the box."""
        return 2 * torch.rand((*sample_shape, *self.shape()), dtype=self._like.dtype, device=self._like.device) - 1

    def log_prob(self, value: Float[Tensor, "*sample action"]) -> Float[Tensor, "*sample"]:
        """The log-density in nats: −d log 2 in the box, −inf outside."""
        density = value.new_full(value.shape[:-1], -value.shape[-1] * math.log(2))
        return density.masked_fill((value.abs() > 1).any(-1), -torch.inf)

"""The abstract guide of a program over vectors: the program itself, with some of its distributions changed."""

import abc
import re
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import pyro
import torch
from jaxtyping import Float
from pyro.nn import PyroModule
from torch import Tensor

from pgm_control.errors import InvalidArgument, InvalidGuide
from pgm_control.inference.variational.parameters import announce_parameters
from pgm_control.problems.continuous.batched import is_point
from pgm_control.programs.changed import run_changed, score_changed
from pgm_control.programs.own_parameters import keeps_parameters
from pgm_control.runtime.arguments import shown
from pgm_control.runtime.programs import require_callable
from pgm_control.runtime.randomness import seeded

from .markov import AbstractPyroModule

_SITE = re.compile(r"(state|action)_(\d+)")
_DRAWS = 256  # of the model, from which the scale of states and actions is known
MEMBER = "member"


@runtime_checkable
class HasActionPrior(Protocol):
    """A model whose action prior can be asked for."""

    def action_prior(self, t: int, state: Tensor) -> Any:
        """ρ_t(a|s), a distribution with the batch shape of the states."""
        ...


class Layout(NamedTuple):
    """What the draws of a program show.

    Attributes:
        horizon: T.
        state_mean, state_scale, action_mean, action_scale: the mean and the standard deviation of each coordinate over
            all times of the prior; a scale is 1 where nothing varies.
        start_is_point: whether the start is a fixed state.
        members: the number of members of the site `member`, or 0 without one.
    """

    horizon: int
    state_mean: Float[Tensor, " state"]
    state_scale: Float[Tensor, " state"]
    action_mean: Float[Tensor, " action"]
    action_scale: Float[Tensor, " action"]
    start_is_point: bool
    members: int


class ContinuousGuide(PyroModule, abc.ABC, metaclass=AbstractPyroModule):
    r"""A distribution over trajectories of vectors with the factorisation of the model.

    $$q = q(s_0) \prod_t \pi_t(a_t \mid s_t)\, q_t(s_{t+1} \mid s_t, a_t)$$

    The guide runs the model and draws a site from another distribution where one of its methods returns one, so that
    what is not changed is the model's own by construction. It is for any program with the sites `state_0`, then
    `action_t` and `state_{t+1}`, vectors, such as `ContinuousModel`. To write one, inherit, call
    `super().__init__(model)` first, keep parameters as `torch.nn.Parameter` or modules, and define `policy_given` and,
    for a guide that may change chance, `start_given` and `dynamics_given`:

        class Steady(ContinuousGuide):
            def __init__(self, model):
                super().__init__(model)
                self.gain = torch.nn.Parameter(torch.zeros(()))

            def policy_given(self, t, state, given):
                return dist.Normal(self.gain * state, 1.0).to_event(1)

    The parameters belong to the guide: none enters Pyro's global parameter store.

    Attributes:
        model: the program.
        layout: its horizon, and the scales of states and actions.
    """

    def __init__(self, model: Any) -> None:
        """Store the model, and read its layout from draws; torch's generators are left as they were.

        Raises:
            InvalidArgument: if the model is no program with this layout.
        """
        require_callable("model", model, remedy="Pass a program over vectors, such as ContinuousModel(…).")
        super().__init__()
        self.model = model
        self.layout = _layout(model)

    @abc.abstractmethod
    def policy_given(self, t: int, state: Float[Tensor, "*batch state"], given: Any) -> Any:
        """π_t(a|s), a distribution with the batch shape of the states; `given` is the model's action prior there."""

    def start_given(self, given: Any) -> Any:
        """q(s_0), or None for the model's; `given` is the model's."""
        return None

    def dynamics_given(
        self, t: int, state: Float[Tensor, "*batch state"], action: Float[Tensor, "*batch action"], given: Any
    ) -> Any:
        """q_t(s'|s, a), or None for the model's; `given` is the model's."""
        return None

    def member_given(self, given: Any) -> Any:
        """The distribution of the member of an ensemble, or None for the model's; `given` is the model's."""
        return None

    def change(self, site: str, distribution: Any, values: Mapping[str, Tensor]) -> Any:
        """The distribution that the guide draws a site from, or None for the model's own; see `ChangesSites`."""
        match = _SITE.fullmatch(site)
        if match is None:
            return self.member_given(distribution) if site == MEMBER else None
        t = int(match[2])
        if match[1] == "action":
            return self.policy_given(t, values[f"state_{t}"], distribution)
        if t == 0:
            return None if self.layout.start_is_point else self.start_given(distribution)
        return self.dynamics_given(t - 1, values[f"state_{t - 1}"], values[f"action_{t - 1}"], distribution)

    def policy(self, t: int, state: Float[Tensor, "*batch state"]) -> Any:
        """π_t(a|s), a distribution with the batch shape of the states, for `with_prior` and for playing.

        Raises:
            InvalidGuide: if the model cannot be asked for its action prior.
        """
        if not isinstance(self.model, HasActionPrior):
            raise InvalidGuide(
                f"`model` must have a method `action_prior(t, state)` for its guide to have a policy, but "
                f"{type(self.model).__name__} has none. ContinuousModel has one."
            )
        return self.policy_given(t, state, self.model.action_prior(t, state))

    @keeps_parameters
    def forward(self) -> None:
        """Sample one trajectory at the model's sites, as a Pyro program."""
        announce_parameters(self)
        with pyro.settings.context(module_local_params=True):
            run_changed(self.model, self.change)

    def state_features(self, state: Float[Tensor, "*batch state"]) -> Float[Tensor, "*batch state"]:
        """States in units of their spread under the model."""
        return (state - self.layout.state_mean) / self.layout.state_scale

    def both_features(
        self, state: Float[Tensor, "*batch state"], action: Float[Tensor, "*batch action"]
    ) -> Float[Tensor, "*batch feature"]:
        """States and actions in units of their spread under the model."""
        scaled = (action - self.layout.action_mean) / self.layout.action_scale
        return torch.cat((self.state_features(state), scaled), -1)


def _layout(model: Any) -> Layout:
    """What draws of the program show.

    Raises:
        InvalidArgument: if its sites are others.
    """
    known = dict[str, Any]()

    def note(site: str, distribution: Any, values: Mapping[str, Tensor]) -> None:
        known[site] = distribution

    try:
        with seeded(0), torch.no_grad():
            drawn = score_changed(model, note, _DRAWS).latent
    except Exception as problem:  # of the user's program
        raise InvalidArgument(
            f"`model` must be a program over vectors that runs for many trajectories side by side, but raises "
            f"{type(problem).__name__}: {problem}. ContinuousModel is one."
        ) from problem
    horizon = sum(name.startswith("action_") for name in drawn)
    due = ["state_0", *(name for t in range(horizon) for name in (f"action_{t}", f"state_{t + 1}"))]
    found = [name for name in drawn if name != MEMBER]
    if found != due or not horizon or any(drawn[name].ndim != 2 for name in found):
        raise InvalidArgument(
            "`model` must have the sites state_0, then action_t and state_{t+1} for each t, each a vector, but has "
            f"{shown(found[:5])}. Write it as a ContinuousModel."
        )
    states = torch.cat([drawn[f"state_{t}"] for t in range(horizon + 1)])
    actions = torch.cat([drawn[f"action_{t}"] for t in range(horizon)])
    if not bool(states.isfinite().all() and actions.isfinite().all()):
        raise InvalidArgument("`model` must draw finite states and actions, but draws nan or an infinity.")
    members = known[MEMBER].logits.shape[-1] if MEMBER in known else 0
    spread = (*_spread(states), *_spread(actions))
    return Layout(horizon, *spread, is_point(known["state_0"]), members)


def _spread(values: Float[Tensor, "draw coordinate"]) -> tuple[Tensor, Tensor]:
    scale = values.std(0)
    return values.mean(0), torch.where(scale > 0, scale, 1.0)

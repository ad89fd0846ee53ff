r"""The optimum of an objective whose tables of all steps do not fit into memory: V is kept, the rest is made by step.

A step of a problem is a problem of one step whose final reward is $V_{t+1}$, so that the sweeps of whole problems solve
it: the same recursion gives `v`, `value` and every table.
"""

import copy
from functools import cached_property
from types import ModuleType
from typing import Any, final

from jaxtyping import Float
from torch import Tensor

from ....chance.optimality import ExponentialOptimality
from ....chance.optimism import Optimism
from ....kernels.backend import kernels_for
from ....kernels.bundles import Settings
from ....problems.timed import at_time
from ....runtime.memory import require_room
from ....runtime.moving import Place, moved
from ....trajectories.betas import Betas
from ....trajectories.blocks import MarkovModel
from ....trajectories.steps import is_timed, last_worth, prior_at, tables_of, temperature_at, worth_at
from .batch import solved
from .many_settings import tensor_of
from .messages import Messages, by_compiled, by_one_setting, by_torch, settings_of
from .one_setting import OneSetting, one_setting, values_of
from .prepared import array_of
from .recursion import Chances, backward


@final
class MessagesByStep:
    """The backward messages of a problem, of which V and the start are kept.

    Attributes:
        v: the soft state values, in reward units.
        value: L of V_0 over the start, in reward units.
        log_initial: the optimal log-probabilities of the start.
    """

    def __init__(self, model: MarkovModel, beta: Optimism) -> None:
        """Compute V, last step first.

        Raises:
            InvalidArgument: if V does not fit into memory.
        """
        mdp = model.mdp
        self.model, self.beta = model, beta
        entries = (mdp.horizon + 1) * mdp.num_states
        require_room("model", f"the values of {mdp.horizon:,} steps", entries, 8, "Shorten the horizon.")
        self.v: Float[Tensor, "time_and_last state"] = mdp.initial.new_empty(mdp.horizon + 1, mdp.num_states)
        self.v[mdp.horizon] = last_worth(model)
        for t in reversed(range(1, mdp.horizon)):
            self.v[t] = self._v(t)
        first = self.at(0)
        self.v[0] = first.v[0]
        self.value, self.log_initial = first.value, first.factors().log_initial

    def at(self, t: int) -> Messages:
        """The messages of step t alone, with an axis of time of length 1."""
        model, after = self._step(t), self._after(t)
        if self._one is not None:
            return by_one_setting(self._one, after)
        if self._kernels is not None and self._betas.is_whole:
            return by_compiled(self._kernels, model, self._betas, after)
        return by_torch(model, self._betas_at(t), None, after)

    def moved(self, model: MarkovModel, place: Place) -> "MessagesByStep":
        """A copy for the model at another place, with rounded values."""
        found = copy.copy(self)
        found.__dict__ = {name: moved(getattr(self, name), place) for name in ("beta", "v", "value", "log_initial")}
        found.model = model
        return found

    def _v(self, t: int) -> Float[Tensor, " state"]:
        """V_t, without the other tables."""
        model, after = self._step(t), self._after(t)
        if self._one is not None:
            return tensor_of(values_of(self._one, self._one.own.reward, array_of(after))[0][1][0], model)
        if self._kernels is not None and self._betas.is_whole:
            found = solved(self._kernels, model.mdp, settings_of(model, self._betas, after))
            return tensor_of(found.v[0, 0], model)
        reward, _, prior, temperature, probability, initial = tables_of(model)
        given = Settings(reward, after, prior, temperature, *self._betas_at(t))
        return backward(model.mdp, Chances(probability, initial), given)[1][0]

    def _after(self, t: int) -> Float[Tensor, " state"]:
        """V_{t+1} in the unit of step t."""
        if not is_timed(self.model):
            return self.v[t + 1]
        return self.v[t + 1] * (temperature_at(self.model, t) / temperature_at(self.model, t + 1))

    def _step(self, t: int) -> MarkovModel:
        return _model_of_step(self.model, t) if is_timed(self.model) else self._same

    @cached_property
    def _same(self) -> MarkovModel:
        """The model of every step, if they are the same: the arrays that are prepared for one serve all."""
        return _model_of_step(self.model, 0)

    @cached_property
    def _kernels(self) -> ModuleType | None:
        """The compiled loops, where they would not have to be prepared for each step."""
        mdp = self.model.mdp
        return None if is_timed(self.model) else kernels_for(mdp.probability, mdp.horizon)

    @cached_property
    def _one(self) -> OneSetting | None:
        return None if self._kernels is None else one_setting(self._kernels, self._same, self.beta)

    @cached_property
    def _betas(self) -> Betas:
        return Betas.of(self.model.mdp, self.beta, self.model.temperature)

    def _betas_at(self, t: int) -> Betas:
        dynamics, initial, survival = self._betas
        return Betas([_at(each, t) for each in dynamics], initial, _at(survival, t))


def _model_of_step(model: MarkovModel, t: int) -> MarkovModel:
    """The model of step t alone, with the reward that stands for its likelihood of optimality."""
    mdp = model.mdp
    tables = {"probability": at_time(mdp.probability, t, 3), "reward": worth_at(model, t)}
    numbers = {"temperature": temperature_at(model, t), "action_prior": prior_at(model, t)}
    plain = {"optimality": ExponentialOptimality(), "observed": None}
    return _changed(model, {"mdp": _changed(mdp, {"horizon": 1, **tables}), **numbers, **plain})


def _changed(owner: Any, changes: dict[str, Any]) -> Any:
    """A copy with changed attributes, which are known to fit: checking the tables of each step would take longer."""
    found = copy.copy(owner)
    for name, value in changes.items():
        object.__setattr__(found, name, value)
    return found


def _at(beta: Any, t: int) -> Any:
    return beta[t : t + 1] if isinstance(beta, Tensor) else beta

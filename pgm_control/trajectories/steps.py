r"""The steps of a model whose tables, temperature or optimality may depend on time.

In the unit of its own step, $\tau_t \log p(O_t = 1 \mid s, a, k)$ takes the place of the reward of step t, and
the value of the next step enters as $\tau_t V_{t+1} / \tau_{t+1}$, since messages are added in nats.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..chance.optimality import ExponentialOptimality, Optimality
from ..errors import InvalidArgument
from ..problems.mdp import TabularMDP
from ..problems.timed import REMEDY, at_time, by_time

_EXPONENTIAL = ExponentialOptimality()


def optimality_of(model: Any) -> Optimality:
    """The likelihood of optimality; exponential for models that do not say."""
    return getattr(model, "optimality", _EXPONENTIAL)


def observed_of(model: Any) -> Tensor | None:
    """Which optimality variables are observed, by time and last; None for all."""
    return getattr(model, "observed", None)


def is_timed(model: Any) -> bool:
    """Whether something depends on time: a table, the temperature, or which optimality variables are observed."""
    axes = model.mdp.probability.ndim, model.mdp.reward.ndim, model.action_prior.ndim + 1
    timed = isinstance(model.temperature, Tensor) or observed_of(model) is not None or max(axes) > 3
    return timed or optimality_of(model).is_timed


def is_plain(model: Any) -> bool:
    r"""Whether each step has the same tables and the factor $\exp(r/\tau)$."""
    return not is_timed(model) and is_exponential(model)


def require_plain(model: Any, name: str = "model") -> None:
    """Refuse a model whose steps differ, or whose likelihood of optimality is not exponential.

    Raises:
        InvalidArgument: with what is different, and the remedy.
    """
    mdp, causes = model.mdp, []
    causes += [f"the {each}" for each in ("probability", "reward") if getattr(mdp, each).ndim > 3]
    causes += ["the action prior"] if model.action_prior.ndim > 2 else []
    causes += ["the temperature"] if isinstance(model.temperature, Tensor) else []
    if causes or optimality_of(model).is_timed:
        what = " and ".join(causes) or "the likelihood of optimality"
        raise InvalidArgument(f"`{name}` must be constant in time here, but {what} depends on time. {REMEDY}")
    if observed_of(model) is not None:
        raise InvalidArgument(
            f"`{name}` must have all its optimality variables observed here, but `observed` leaves some out. {REMEDY}"
        )
    if not is_exponential(model):
        raise InvalidArgument(
            f"`{name}` must have the likelihood exp(r/τ) here, but has {optimality_of(model)}. Put τ times "
            "its logarithm into the reward of a TabularMDP, or use infer, fit, evaluate or ledger, which accept it."
        )


def temperature_at(model: Any, t: int) -> float:
    """The temperature of step t, or of the last state, in reward units per nat."""
    return float(model.temperature[t]) if isinstance(model.temperature, Tensor) else model.temperature


def temperature_words(model: Any) -> str:
    """The temperature, or its range if it depends on time."""
    if not isinstance(model.temperature, Tensor):
        return f"{model.temperature:g}"
    return f"{float(model.temperature.min()):g} to {float(model.temperature.max()):g} by time"


def temperatures_of(model: Any) -> list[float] | None:
    """The temperature by time and last; None if it is one number and nothing else depends on time."""
    return [temperature_at(model, t) for t in range(model.mdp.horizon + 1)] if is_timed(model) else None


def prior_at(model: Any, t: int) -> Float[Tensor, "state action"]:
    """The action prior of step t."""
    return at_time(model.action_prior, t, 2)


def is_observed(model: Any, t: int) -> bool:
    """Whether the optimality variable of step t, or of the last state, is observed."""
    observed = observed_of(model)
    return observed is None or bool(observed[t])


def worth_at(model: Any, t: int) -> Float[Tensor, "state action outcome"]:
    r"""$\tau_t \log p(O_t = 1 \mid s, a, k)$, in reward units: the reward if that is exponential, 0 if not observed."""
    reward, optimality = at_time(model.mdp.reward, t, 3), optimality_of(model)
    if not is_observed(model, t):
        return torch.zeros_like(reward)
    if isinstance(optimality, ExponentialOptimality):
        return reward
    temperature = temperature_at(model, t)
    return temperature * at_time(optimality.log_likelihood(reward, temperature), t, 3)


def last_worth(model: Any) -> Float[Tensor, " state"]:
    r"""$\tau_T \log p(O_T = 1 \mid s)$, in reward units: the final reward if that is exponential, 0 without one."""
    mdp: TabularMDP = model.mdp
    steps, optimality = mdp.horizon, optimality_of(model)
    if not has_last_factor(model) or not is_observed(model, steps):
        return torch.zeros_like(mdp.initial)
    if isinstance(optimality, ExponentialOptimality) and mdp.final_reward is not None:
        return mdp.final_reward
    temperature = temperature_at(model, steps)
    found = optimality.final_log_likelihood(mdp.final_reward, temperature)
    return torch.zeros_like(mdp.initial) if found is None else temperature * found.to(mdp.initial)


def has_last_factor(model: Any) -> bool:
    """Whether the model has an optimality variable of the last state."""
    found = optimality_of(model).final_log_likelihood(model.mdp.final_reward, 1.0)
    return found is not None


def worth_by_time(model: Any) -> Float[Tensor, "time state action outcome"]:
    """`worth_at` at each time; expanded without a copy if it is the same."""
    if _differs(model):
        mdp = model.mdp
        if mdp.reward.ndim > 3 and observed_of(model) is None and is_exponential(model):
            return mdp.reward
        if not is_exponential(model) or observed_of(model) is not None:
            return torch.stack([worth_at(model, t) for t in range(mdp.horizon)])
    return by_time(worth_at(model, 0), model.mdp.horizon, 3)


def log_likelihood(model: Any) -> Float[Tensor, "*time state action outcome"]:
    r"""$\log p(O_t = 1 \mid s, a, k)$, in nats; with an axis of time only if it depends on it."""
    if _differs(model):
        return torch.stack([worth_at(model, t) / temperature_at(model, t) for t in range(model.mdp.horizon)])
    return worth_at(model, 0) / temperature_at(model, 0)


def is_exponential(model: Any) -> bool:
    r"""Whether the likelihood of optimality is $\exp(r/\tau)$."""
    return isinstance(optimality_of(model), ExponentialOptimality)


def _differs(model: Any) -> bool:
    """Whether the likelihood of optimality depends on time; the dynamics and the prior may depend on it alone."""
    observed = observed_of(model)
    if model.mdp.reward.ndim > 3 or optimality_of(model).is_timed:
        return True
    return isinstance(model.temperature, Tensor) or (observed is not None and not bool(observed[:-1].all()))

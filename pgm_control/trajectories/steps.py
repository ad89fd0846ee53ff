r"""The steps of a model whose tables, temperature or optimality may depend on time.

In the unit of its own step, $\tau_t \log p(O_t = 1 \mid s, a, k)$ takes the place of the reward of step t, and
the value of the next step enters as $\tau_t V_{t+1} / \tau_{t+1}$, since messages are added in nats.
"""

from typing import Any, NamedTuple

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
    mdp, tau = model.mdp, model.temperature
    if (type(tau) is not float and isinstance(tau, Tensor)) or observed_of(model) is not None:  # Tensor's check is slow
        return True
    return (
        mdp.probability.ndim > 3 or mdp.reward.ndim > 3 or model.action_prior.ndim > 2 or optimality_of(model).is_timed
    )


def is_plain(model: Any) -> bool:
    r"""Whether each step has the same tables and the factor $\exp(r/\tau)$."""
    return not is_timed(model) and is_exponential(model)


def require_plain(model: Any, name: str = "model") -> None:
    """Refuse a model whose steps differ, or whose likelihood of optimality is not exponential.

    Raises:
        InvalidArgument: with what is different, and the remedy.
    """
    if is_plain(model):
        return
    mdp, causes = model.mdp, []
    causes += [f"the {each}" for each in ("probability", "reward") if getattr(mdp, each).ndim > 3]
    causes += ["the action prior"] if model.action_prior.ndim > 2 else []
    causes += ["the temperature"] if isinstance(model.temperature, Tensor) else []
    if causes or optimality_of(model).is_timed:
        what = " and ".join(causes) or "the likelihood of optimality"
        depend = "depend" if len(causes) > 1 else "depends"
        raise InvalidArgument(f"`{name}` must be constant in time here, but {what} {depend} on time. {REMEDY}")
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
    tau = model.temperature
    return tau if type(tau) is float or not isinstance(tau, Tensor) else float(tau[t])


def temperatures_of(model: Any) -> list[float]:
    """The temperature by time and last, in reward units per nat."""
    return [temperature_at(model, t) for t in range(model.mdp.horizon + 1)]


def temperature_words(model: Any) -> str:
    """The temperature, or its range if it depends on time."""
    if not isinstance(model.temperature, Tensor):
        return f"{model.temperature:g}"
    return f"between {float(model.temperature.min()):g} and {float(model.temperature.max()):g} by time"


def prior_at(model: Any, t: int) -> Float[Tensor, "state action"]:
    """The action prior of step t."""
    return at_time(model.action_prior, t, 2)


def is_observed(model: Any, t: int) -> bool:
    """Whether the optimality variable of step t, or of the last state, is observed."""
    observed = observed_of(model)
    return observed is None or bool(observed[t])


def worth_at(model: Any, t: int) -> Float[Tensor, "state action outcome"]:
    r"""$\tau_t \log p(O_t = 1 \mid s, a, k)$, in reward units: the reward if that is exponential, 0 if not observed."""
    return worth_of(model, t, at_time(model.mdp.reward, t, 3), temperature_at(model, t))


def worth_of(model: Any, t: int, reward: Tensor, temperature: float | Tensor) -> Tensor:
    """`worth_at` for another reward and temperature, which may have axes of a batch in front."""
    if not is_observed(model, t):
        return torch.zeros_like(reward)
    if is_exponential(model):
        return reward
    found = optimality_of(model).log_likelihood(reward, temperature).to(reward)
    return temperature * (found.select(-4, t) if optimality_of(model).is_timed else found)


def last_worth(model: Any) -> Float[Tensor, " state"]:
    r"""$\tau_T \log p(O_T = 1 \mid s)$, in reward units: the final reward if that is exponential, 0 without one."""
    mdp: TabularMDP = model.mdp
    return last_worth_of(model, mdp.final_reward, temperature_at(model, mdp.horizon))


def last_worth_of(model: Any, reward: Tensor | None, temperature: float | Tensor) -> Tensor:
    """`last_worth` for another final reward and temperature, which may have axes of a batch in front."""
    nothing = torch.zeros_like(model.mdp.initial if reward is None else reward)
    if not is_observed(model, model.mdp.horizon):
        return nothing
    if is_exponential(model):
        return nothing if reward is None else reward
    found = optimality_of(model).final_log_likelihood(reward, temperature)
    return nothing if found is None else temperature * found.to(nothing)


def has_last_factor(model: Any) -> bool:
    """Whether the model has an optimality variable of the last state."""
    found = optimality_of(model).final_log_likelihood(model.mdp.final_reward, 1.0)
    return found is not None


def forbids(model: Any) -> bool:
    """Whether a log-likelihood of −inf forbids some outcome or last state."""
    steps = range(model.mdp.horizon if is_timed(model) else 1)
    return any(bool(torch.isneginf(each).any()) for each in (last_worth(model), *(worth_at(model, t) for t in steps)))


class Tables(NamedTuple):
    """What a backward sweep reads. If something depends on time, everything but the last two has an axis of time."""

    reward: Tensor  # `worth_at`
    last: Tensor  # `last_worth`
    action_prior: Tensor
    temperature: float | list[float]  # the list has T + 1 entries
    probability: Tensor
    initial: Tensor


def tables_of(model: Any) -> Tables:
    """The tables of a model; what does not depend on time is expanded over it without copies."""
    mdp, last = model.mdp, last_worth(model)
    if not is_timed(model):
        return Tables(worth_at(model, 0), last, model.action_prior, model.temperature, mdp.probability, mdp.initial)
    taus, steps = temperatures_of(model), mdp.horizon
    prior, probability = by_time(model.action_prior, steps, 2), by_time(mdp.probability, steps, 3)
    return Tables(worth_by_time(model, mdp.reward), last, prior, taus, probability, mdp.initial)


def worth_by_time(model: Any, reward: Tensor) -> Float[Tensor, "*batch time state action outcome"]:
    """`worth_of` this reward at each time; it depends on time if that of the problem does. Expanded where possible."""
    steps, depends = model.mdp.horizon, model.mdp.reward.ndim > 3
    if is_exponential(model) and observed_of(model) is None:
        return reward if depends else reward.unsqueeze(-4).expand(*reward.shape[:-3], steps, *reward.shape[-3:])
    each = [reward.select(-4, t) if depends else reward for t in range(steps)]
    worth = [worth_of(model, t, each[t], temperature_at(model, t)) for t in range(steps)]
    return torch.stack(torch.broadcast_tensors(*worth), -4)  # a table of log-likelihoods has no axes of a batch


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

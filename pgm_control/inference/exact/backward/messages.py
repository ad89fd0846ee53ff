"""The backward sweep of exact inference, compiled if possible, else in torch; and the forward messages.

Sources:
    [levine2018] S. Levine, Reinforcement learning and control as probabilistic inference: tutorial and review. 2018.
        arXiv:1805.00909
"""

import math
from collections.abc import Callable
from types import ModuleType
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ....chance.operators import certainty_equivalent, tilt
from ....chance.optimism import Optimism
from ....chance.risk import unit
from ....errors import InvalidArgument
from ....kernels.backend import kernels_for
from ....kernels.bundles import Logs, Plain, Settings
from ....problems.mdp import TabularMDP, last_reward
from ....problems.timed import at_time, by_time
from ....runtime.memory import has_room, require_room
from ....trajectories.betas import Betas, same
from ....trajectories.blocks import MarkovModel
from ....trajectories.steps import is_plain, prior_at, tables_of, temperature_at, temperatures_of, worth_at
from .batch import solved
from .evidence import Evidence
from .many_settings import tensor_of
from .one_setting import OneSetting, logs_of, one_setting, tensors_of, values_by_step, values_of
from .prepared import array_of, own_tables
from .recursion import Chances, backward

_SMALL = 200_000  # entries of (time, state, action, outcome): a hard sweep in torch then takes far less than compiling
_SHARE = 0.6  # of the free memory that whole tables may take: the other processes, and copies, need the rest
_FAR = 1e5  # nats: the rounding of larger values shows in the sums of the tilted probabilities


class Factors(NamedTuple):
    """The optimal log-probabilities of start, policy, dynamics and survival, as `Blocks` takes them."""

    log_initial: Float[Tensor, " state"]
    log_policy: Float[Tensor, "time state action"]
    log_dynamics: Float[Tensor, "time state action outcome"]
    log_survival: Float[Tensor, "time next_state"] | None = None  # None if survival is clamped


class Messages(NamedTuple):
    """Soft values, in reward units, and a function that makes the factors, which are most of the numbers."""

    q: Float[Tensor, "time state action"]
    v: Float[Tensor, "time_and_last state"]
    value: float  # L of V_0 over the start
    factors: Callable[[], Factors]

    @classmethod
    def of(cls, q: Tensor, v: Tensor, value: float, factors: Factors) -> "Messages":
        """Messages whose factors are known."""
        return cls(q, v, value, lambda: factors)


def backward_messages(model: MarkovModel, beta: Optimism, evidence: Evidence | None = None) -> Messages:
    r"""The backward messages, last step first: $Q_t = L_\beta[r + V_{t+1}]$ and $V_t$, the soft maximum of $Q_t$.

    With a discount, $V_{t+1}$ is first replaced by $L$ over surviving and ending, which is worth 0. Evidence adds
    τ times the logarithms of its factors. See `infer`.
    """
    mdp = model.mdp
    kernels = kernels_for(mdp.probability, mdp.horizon) if evidence is None else None
    one = None if kernels is None else one_setting(kernels, model, beta)
    if one is not None:
        require_room_for_messages(mdp, clamped=not one.free)
        return by_one_setting(one) if is_plain(model) else by_one_setting_and_step(one)
    kernels = kernels if is_plain(model) else None
    betas = Betas.of(mdp, beta, model.temperature)
    require_room_for_messages(mdp, clamped=same([*betas.dynamics, 0.0]))
    is_small_and_hard = (
        kernels is not None and model.temperature == 0 and mdp.horizon * mdp.probability.numel() <= _SMALL
    )
    if kernels is None or not betas.is_whole or is_small_and_hard:
        return by_torch(model, betas, evidence)
    return by_compiled(kernels, model, betas)


def messages_fit(model: MarkovModel, beta: Optimism) -> bool:
    """Whether the tables of all steps fit into memory, and leave some of it for what is computed from them."""
    if has_room(int(_entries(model.mdp, clamped=False) / _SHARE), 8):
        return True
    clamped = same([*Betas.of(model.mdp, beta, model.temperature).dynamics, 0.0])
    return clamped and has_room(int(_entries(model.mdp, clamped) / _SHARE), 8)


def require_room_for_messages(mdp: TabularMDP, clamped: bool) -> None:
    """Refuse a problem whose values and policies, or tilted dynamics, do not fit into memory."""
    dynamics = "" if clamped else " and the believed dynamics"
    require_room(
        "model", f"the values, the policy{dynamics} of {mdp.horizon:,} steps", _entries(mdp, clamped), 8,
        "infer(model, optimism).at(t) holds those of one step; or shorten the horizon, mdp.replace(horizon=…), or use "
        "value_iteration, which has none.",
    )  # fmt: skip


def _entries(mdp: TabularMDP, clamped: bool) -> int:
    """The numbers in the tables of all steps."""
    states, actions, outcomes = mdp.num_states, mdp.num_actions, mdp.num_outcomes
    return mdp.horizon * states * (2 * actions + 1 if clamped else actions * (2 + outcomes) + 1)


def by_torch(model: MarkovModel, betas: Betas, evidence: Evidence | None, last: Tensor | None = None) -> Messages:
    """The messages by the recursion in torch; `last` stands for V at the end, if it is not the final reward."""
    mdp, like, rows = model.mdp, model.mdp.initial, (model.mdp.num_states, model.mdp.num_actions)
    steps, clamped, frees = mdp.horizon, same([*betas.dynamics, 0.0]), betas.frees_survival
    logs = Logs(
        policy=like.new_empty(steps, *rows),
        dynamics=like.new_empty(0 if clamped else steps, *rows, mdp.num_outcomes),
        survival=like.new_empty(steps if frees else 0, mdp.num_states),
        start=torch.empty_like(like),
    )
    reward, end, prior, temperature, probability, initial = tables_of(model)
    given = Settings(reward, end if last is None else last, prior, temperature, *betas)
    q, v, value = backward(mdp, Chances(probability, initial), given, logs, evidence)
    log_dynamics = _of_model(mdp) if clamped else logs.dynamics
    factors = Factors(logs.start, logs.policy, log_dynamics, logs.survival if frees else None)
    return Messages.of(q, v, float(value), factors)


def by_one_setting(one: OneSetting, last: Tensor | None = None) -> Messages:
    """The messages by the compiled loops for blocks that are clamped or free; `last` as in `by_torch`."""
    found = _by_one_setting(one, last)
    return found if last is not None else found._replace(factors=lambda: _of_same(one, found))


def _by_one_setting(one: OneSetting, last: Tensor | None = None) -> Messages:
    found, messages = values_of(one, one.own.reward, one.own.last if last is None else array_of(last))
    q, v, value, _ = tensors_of(one, found, messages)
    tables = found[0], found[1], messages[1]

    def factors() -> Factors:
        logs, discount = logs_of(one), one.model.mdp.discount
        one.kernels.factors_of_one(one.own.single, one.own.reward, discount, one.temperature, *tables, logs)
        return _factors(one, logs, v, one.temperature)

    return Messages(q, v, float(value), factors)


def _of_same(one: OneSetting, found: Messages) -> Factors:
    """The factors, if neither the tables of the model nor its values were changed in place since.

    Raises:
        InvalidArgument: if they were.
    """
    values, own = (found.q, found.v), own_tables(one.model)
    if own is one.own and not any(each.is_inference() or each._version for each in values):
        return found.factors()
    again = _by_one_setting(one._replace(own=own))
    if found.value != again.value or not all(map(torch.equal, values, again[:2])):
        raise InvalidArgument(
            "`model` and the tables of its posterior must not be changed in place before the policy and the dynamics "
            "are asked for, but something was. Call infer again; a changed problem is mdp.replace(…)."
        )
    return again.factors()


def by_one_setting_and_step(one: OneSetting) -> Messages:
    """The messages of a model that depends on time, by the compiled loops for blocks that are clamped or free."""
    model, mdp = one.model, one.model.mdp
    shape, logs = (mdp.horizon, mdp.num_actions, mdp.num_states), logs_of(one._replace(free_start=False))
    q, v = values_by_step(one, logs)
    q, v = tensor_of(q.reshape(shape).swapaxes(1, 2), model), tensor_of(v, model)
    log_initial, start = mdp.initial.log(), (temperature_at(model, 0), float(one.free_start))
    factors = _factors(one, logs, v, min(temperatures_of(model)))
    factors = factors._replace(log_initial=tilt(v[0], log_initial, *start))
    return Messages.of(q, v, float(certainty_equivalent(v[0], log_initial, *start)), factors)


def _factors(one: OneSetting, logs: Plain, v: Tensor, temperature: float) -> Factors:
    """The factors as tensors."""
    mdp, (states, actions, outcomes) = one.model.mdp, one.model.mdp.successor.shape
    log_policy, log_dynamics, _, log_start = (tensor_of(each, one.model) for each in logs)
    log_dynamics = log_dynamics.reshape(-1, states, actions, outcomes)
    return Factors(
        log_start if len(log_start) else mdp.initial.log(),
        log_policy.reshape(-1, actions, states).swapaxes(1, 2),
        _normalised(log_dynamics, v, temperature) if one.free else _of_model(mdp),
    )


def _normalised(log_dynamics: Tensor, v: Tensor, temperature: float) -> Tensor:
    """The believed dynamics; rows of values so large that their rounding shows are normalised again."""
    most = max(abs(float(bound)) if math.isfinite(bound) else math.inf for bound in v.aminmax())
    far = most > _FAR * temperature and bool((v.abs() > _FAR * temperature).logical_and(v.isfinite()).any())
    return torch.log_softmax(log_dynamics, -1) if far else log_dynamics


def _of_model(mdp: TabularMDP) -> Tensor:
    """The true dynamics, the same at every time."""
    return by_time(mdp.probability.log(), mdp.horizon, 3)


def settings_of(model: MarkovModel, betas: Betas, last: Tensor) -> Settings:
    """One setting as the compiled loops take it."""
    tables = model.mdp.reward, last, model.action_prior
    reward, end, prior = (array_of(each)[None] for each in tables)
    tau, dynamics, initial = (np.full(1, float(b)) for b in (model.temperature, betas.dynamics[0], betas.initial[0]))
    return Settings(reward, end, prior, tau, dynamics, initial, float(betas.survival))


def by_compiled(kernels: ModuleType, model: MarkovModel, betas: Betas, last: Tensor | None = None) -> Messages:
    """The messages by the compiled loops for one β per block; `last` as in `by_torch`."""
    mdp, tau = model.mdp, model.temperature
    of_dynamics, of_initial = float(betas.dynamics[0]), float(betas.initial[0])
    steps, (states, actions, outcomes) = mdp.horizon, mdp.probability.shape
    frees = betas.frees_survival
    logs = Logs(
        policy=np.empty((steps, actions * states)),
        dynamics=np.full((0 if of_dynamics == 0 else steps, states * actions * outcomes), -np.inf),
        survival=np.empty((steps, states if frees else 0)),
        start=np.empty(0 if of_initial == 0 else states),
    )
    given = settings_of(model, betas, last_reward(mdp) if last is None else last)
    found = solved(kernels, mdp, given, logs=logs)
    arrays = (
        found.q[0].swapaxes(-1, -2),
        found.v[0],
        logs.policy.reshape(steps, actions, states).swapaxes(-1, -2),
        logs.dynamics.reshape(-1, states, actions, outcomes),
        logs.survival,
        logs.start,
    )
    q, v, log_policy, log_dynamics, log_survival, log_start = (
        torch.from_numpy(each).to(mdp.probability.dtype) for each in arrays
    )
    log_dynamics = _of_model(mdp) if of_dynamics == 0 else _normalised(log_dynamics, v, tau)
    log_initial = mdp.initial.log() if of_initial == 0 else log_start
    factors = Factors(log_initial, log_policy, log_dynamics, log_survival if frees else None)
    return Messages.of(q, v, float(found.objective[0]) * unit(tau), factors)


def forward_messages(model: MarkovModel, evidence: Evidence | None = None) -> Float[Tensor, "time_and_last state"]:
    r"""The log forward messages of the model, $\log \alpha_t(s) = \log p(s_t = s,\ O_0, \dots, O_{t-1})$, in nats.

    $$\alpha_{t+1}(s') = \sum_{(s,a,k) \to s'} \alpha_t(s)\, \rho(a \mid s)\, p(k \mid s,a)\, \gamma \exp(r/\tau)$$

    They are exact in every state, since each sum is shifted by its own largest term. Evidence on earlier sites is part
    of them, that on `state_t` itself only for t = 0.

    References:
        [levine2018]
    """
    mdp = model.mdp
    here = mdp.initial.log() if evidence is None else evidence.log_start + evidence.log_mass
    messages = [here]
    for t in range(mdp.horizon):
        here, choice, tau = messages[-1], prior_at(model, t).log(), temperature_at(model, t)
        lived, paid = at_time(mdp.probability, t, 3).log() + math.log(mdp.discount), worth_at(model, t)
        if evidence is not None:
            choice = evidence.actions(t, choice, 1.0)
            paid = evidence.outcomes(t, evidence.paid(t, paid, tau), tau)
            here = evidence.states(t, here, 1.0)
        terms = (here[:, None, None] + choice[..., None] + lived + paid / tau).flatten()
        messages.append(_scatter_logsumexp(terms, mdp.successor.flatten(), mdp.num_states))
    return torch.stack(messages)


def _scatter_logsumexp(terms: Float[Tensor, " term"], target: Tensor, size: int) -> Float[Tensor, " state"]:
    """`log Σ exp` of the terms that share a target."""
    highest = terms.new_full((size,), -torch.inf).scatter_reduce(0, target, terms, "amax")
    shift = torch.where(highest.isfinite(), highest, torch.zeros_like(highest))
    return torch.zeros_like(shift).index_add(0, target, (terms - shift[target]).exp()).log() + shift

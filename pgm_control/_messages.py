"""The backward sweep of exact inference, compiled where it can be, else in torch."""

from types import ModuleType
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ._backend import kernels_for
from ._blocks import MarkovModel
from ._factors import Number, conditionals, nested
from ._operators import certainty_equivalent, tilt
from ._optimism import Optimism
from ._prices import Prices, same, sizes_of
from ._settings import Logs, Settings, solved


class Messages(NamedTuple):
    """Values, in reward units, and what attains them, as log-probabilities."""

    q: Float[Tensor, "time state action"]
    v: Float[Tensor, "time_and_last state"]
    log_policy: Float[Tensor, "time state action"]
    log_dynamics: Float[Tensor, "time state action outcome"]
    log_survival: Float[Tensor, "time next_state"] | None  # None where survival is clamped
    value: float  # L of the start
    log_initial: Float[Tensor, " state"]


def backward_messages(model: MarkovModel, beta: Optimism) -> Messages:
    r"""From the last step to the first: $Q_t = L_\beta[r + V_{t+1}]$ and $V_t$, the soft maximum of $Q_t$.

    With a discount, $V_{t+1}$ is first replaced by $L$ over living on and ending with nothing. See `infer`.
    """
    prices = Prices.of(model.mdp, beta, model.temperature)
    kernels = kernels_for(model.mdp.probability, model.mdp.horizon) if prices.is_whole else None
    return _by_torch(model, prices) if kernels is None else _compiled(kernels, model, prices)


def _by_torch(model: MarkovModel, beta: Prices) -> Messages:
    mdp, temperature, steps = model.mdp, model.temperature, model.mdp.horizon
    log_p, log_prior = mdp.probability.log(), model.action_prior.log()
    dice = conditionals(log_p, sizes_of(mdp.factors, mdp.num_outcomes, beta.dynamics))
    clamped = same([*beta.dynamics, 0.0])
    q = log_p.new_empty(steps, *log_prior.shape)
    v = q.new_zeros(steps + 1, mdp.num_states)
    if mdp.final_reward is not None:
        v[steps] = mdp.final_reward
    log_policy = torch.empty_like(q)
    log_dynamics = log_p.expand(steps, *log_p.shape) if clamped else q.new_empty(steps, *log_p.shape)
    survival = q.new_tensor([mdp.discount, 1.0 - mdp.discount]).log()  # faces: live on, or end with nothing
    log_survival = q.new_empty(steps, mdp.num_states) if beta.frees_survival else None
    for t in reversed(range(steps)):
        fate = torch.stack((v[t + 1], torch.zeros_like(v[t + 1])), -1)
        of_survival = _at(beta.survival, t)
        ahead = certainty_equivalent(fate, survival.expand_as(fate), temperature, of_survival)
        if log_survival is not None:
            log_survival[t] = tilt(fate, survival.expand_as(fate), temperature, of_survival)[..., 0]
        x = mdp.reward + ahead[mdp.successor]
        q[t], thrown = nested(x, dice, temperature, [_at(each, t) for each in beta.dynamics])
        v[t] = certainty_equivalent(q[t], log_prior, temperature, 1.0)
        log_policy[t] = tilt(q[t], log_prior, temperature, 1.0)
        if not clamped:
            log_dynamics[t] = thrown
    log_start = mdp.initial.log()
    start = conditionals(log_start, sizes_of(mdp.initial_factors, mdp.num_states, beta.initial))
    value, log_initial = nested(v[0], start, temperature, beta.initial)
    return Messages(q, v, log_policy, log_dynamics, log_survival, float(value), log_initial)


def _at(beta: Number, t: int) -> Number:
    return beta[t] if isinstance(beta, Tensor) else beta


def _compiled(kernels: ModuleType, model: MarkovModel, prices: Prices) -> Messages:
    mdp, tau = model.mdp, model.temperature
    of_dynamics, of_initial, of_survival = (
        float(each) for each in (prices.dynamics[0], prices.initial[0], prices.survival)
    )
    steps, (states, actions, outcomes) = mdp.horizon, mdp.probability.shape
    frees, last = prices.frees_survival, mdp.final_reward
    logs = Logs(
        policy=np.empty((steps, actions * states)),
        dynamics=np.full((0 if of_dynamics == 0 else steps, states * actions * outcomes), -np.inf),
        survival=np.empty((steps, states if frees else 0)),
        start=np.empty(0 if of_initial == 0 else states),
    )
    tables = (mdp.reward, torch.zeros_like(mdp.initial) if last is None else last, model.action_prior)
    reward, end, prior = (np.ascontiguousarray(each.detach().numpy(), dtype=np.float64)[None] for each in tables)
    heat, dynamics, initial = (np.full(1, each) for each in (tau, of_dynamics, of_initial))
    given = Settings(reward, end, prior, heat, dynamics, initial, of_survival)
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
    if of_dynamics == 0:
        log_dynamics = mdp.probability.log().expand(steps, states, actions, outcomes)
    value = float(found.objective[0]) * (tau if tau > 0 else 1.0)
    log_initial = mdp.initial.log() if of_initial == 0 else log_start
    return Messages(q, v, log_policy, log_dynamics, log_survival if frees else None, value, log_initial)

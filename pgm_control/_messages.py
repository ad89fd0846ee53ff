"""The backward sweep of exact inference, compiled where it can be, else in torch."""

from types import ModuleType
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ._backend import kernels_for
from ._blocks import MarkovModel
from ._operators import certainty_equivalent, tilt
from ._optimism import Optimism
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

    With a discount, $V_{t+1}$ is first replaced by $L$ over living on and ending with nothing. See `infer`, which has
    set to 0 any β that is as good as 0.
    """
    kernels = kernels_for(model.mdp.probability, model.mdp.horizon)
    return _by_torch(model, beta) if kernels is None else _compiled(kernels, model, beta)


def _by_torch(model: MarkovModel, beta: Optimism) -> Messages:
    mdp, temperature, steps = model.mdp, model.temperature, model.mdp.horizon
    log_p, log_prior = mdp.probability.log(), model.action_prior.log()
    q = log_p.new_empty(steps, *log_prior.shape)
    v = q.new_zeros(steps + 1, mdp.num_states)
    if mdp.final_reward is not None:
        v[steps] = mdp.final_reward
    log_policy = torch.empty_like(q)
    log_dynamics = log_p.expand(steps, *log_p.shape) if beta.dynamics == 0 else q.new_empty(steps, *log_p.shape)
    survival = q.new_tensor([mdp.discount, 1.0 - mdp.discount]).log()  # faces: live on, or end with nothing
    log_survival = q.new_empty(steps, mdp.num_states) if _frees_survival(model, beta) else None
    for t in reversed(range(steps)):
        fate = torch.stack((v[t + 1], torch.zeros_like(v[t + 1])), -1)
        ahead = certainty_equivalent(fate, survival.expand_as(fate), temperature, beta.survival)
        if log_survival is not None:
            log_survival[t] = tilt(fate, survival.expand_as(fate), temperature, beta.survival)[..., 0]
        x = mdp.reward + ahead[mdp.successor]
        q[t] = certainty_equivalent(x, log_p, temperature, beta.dynamics)
        v[t] = certainty_equivalent(q[t], log_prior, temperature, 1.0)
        log_policy[t] = tilt(q[t], log_prior, temperature, 1.0)
        if beta.dynamics != 0:
            log_dynamics[t] = tilt(x, log_p, temperature, beta.dynamics)
    start = (v[0], mdp.initial.log(), temperature, beta.initial)
    value = float(certainty_equivalent(*start))
    return Messages(q, v, log_policy, log_dynamics, log_survival, value, tilt(*start))


def _compiled(kernels: ModuleType, model: MarkovModel, beta: Optimism) -> Messages:
    mdp, tau = model.mdp, model.temperature
    steps, (states, actions, outcomes) = mdp.horizon, mdp.probability.shape
    frees, last = _frees_survival(model, beta), mdp.final_reward
    logs = Logs(
        policy=np.empty((steps, actions * states)),
        dynamics=np.full((0 if beta.dynamics == 0 else steps, states * actions * outcomes), -np.inf),
        survival=np.empty((steps, states if frees else 0)),
        start=np.empty(0 if beta.initial == 0 else states),
    )
    tables = (mdp.reward, torch.zeros_like(mdp.initial) if last is None else last, model.action_prior)
    reward, end, prior = (np.ascontiguousarray(each.detach().numpy(), dtype=np.float64)[None] for each in tables)
    heat, dynamics, initial = (np.full(1, each) for each in (tau, beta.dynamics, beta.initial))
    given = Settings(reward, end, prior, heat, dynamics, initial, beta.survival)
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
    if beta.dynamics == 0:
        log_dynamics = mdp.probability.log().expand(steps, states, actions, outcomes)
    value = float(found.objective[0]) * (tau if tau > 0 else 1.0)
    log_initial = mdp.initial.log() if beta.initial == 0 else log_start
    return Messages(q, v, log_policy, log_dynamics, log_survival if frees else None, value, log_initial)


def _frees_survival(model: MarkovModel, beta: Optimism) -> bool:
    return model.mdp.discount < 1 and beta.survival != 0

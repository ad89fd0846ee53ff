"""The backward sweep of exact inference, compiled where it can be, else in torch."""

from types import ModuleType
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ._backend import kernels_for
from ._blocks import MarkovModel
from ._operators import certainty_equivalent, tilt
from ._optimism import Optimism


class Messages(NamedTuple):
    """Values, in reward units, and what attains them, as log-probabilities."""

    q: Float[Tensor, "time state action"]
    v: Float[Tensor, "time_and_last state"]
    log_policy: Float[Tensor, "time state action"]
    log_dynamics: Float[Tensor, "time state action outcome"]
    log_survival: Float[Tensor, "time next_state"] | None  # None where survival is clamped


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
    return Messages(q, v, log_policy, log_dynamics, log_survival)


def _compiled(kernels: ModuleType, model: MarkovModel, beta: Optimism) -> Messages:
    mdp, temperature = model.mdp, model.temperature
    log_p, prior = mdp.probability.log(), model.action_prior
    last = torch.zeros_like(mdp.initial) if mdp.final_reward is None else mdp.final_reward
    survival = log_p.new_tensor([mdp.discount, 1.0 - mdp.discount])
    tables = (mdp.reward, mdp.probability, log_p, mdp.successor, prior, prior.log(), survival, last)
    found = kernels.backward_messages(
        *(table.detach().numpy() for table in tables),
        mdp.horizon,
        temperature,
        0.0 if beta.dynamics == 0 else beta.dynamics / temperature,
        0.0 if beta.survival == 0 else beta.survival / temperature,
    )
    q, v, log_policy, log_dynamics, log_survival = (torch.from_numpy(table) for table in found)
    if beta.dynamics == 0:
        log_dynamics = log_p.expand(mdp.horizon, *log_p.shape)
    return Messages(q, v, log_policy, log_dynamics, log_survival if _frees_survival(model, beta) else None)


def _frees_survival(model: MarkovModel, beta: Optimism) -> bool:
    return model.mdp.discount < 1 and beta.survival != 0

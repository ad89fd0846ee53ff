"""Other implementations of exact inference with a horizon; each returns (objective, gradient by the reward).

All Q and V are computed on the way. Every implementation uses its own kind of array and prepares its constants
beforehand. The reward is (S, A, K), and there are two optima: free (β = 1) and clamped (β = 0).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pgm_control import TabularModel

from .harness import jax_in_float64, optional

Solve = Callable[[], tuple[Any, Any]]


def numpy_loop(model: TabularModel, free: bool) -> Solve:
    """Numpy, vectorised over states, actions and outcomes, with the gradient by hand."""
    mdp, tau = model.mdp, model.temperature
    p, reward, initial = mdp.probability.numpy(), mdp.reward.numpy(), mdp.initial.numpy()
    successor, prior, steps = mdp.successor.numpy(), model.action_prior.numpy(), mdp.horizon
    states, actions = prior.shape

    def solve() -> tuple[float, np.ndarray]:
        gain = reward / tau
        q, w, flow = np.empty((steps, states, actions)), np.zeros((steps + 1, states)), np.empty((steps, *p.shape))
        for t in reversed(range(steps)):
            x = gain + w[t + 1][successor]
            if free:
                top = x.max(-1, keepdims=True)
                share = p * np.exp(x - top)
                total = share.sum(-1, keepdims=True)
                share /= total
                q[t] = (top + np.log(total))[..., 0]
            else:
                share = p
                q[t] = (p * x).sum(-1)
            top = q[t].max(-1, keepdims=True)
            policy = prior * np.exp(q[t] - top)
            total = policy.sum(-1, keepdims=True)
            w[t] = (top + np.log(total))[:, 0]
            flow[t] = (policy / total)[..., None] * share
        here, objective = initial, float(initial @ w[0])
        if free:
            top = w[0].max()
            here = initial * np.exp(w[0] - top)
            objective = float(top + np.log(here.sum()))
            here = here / here.sum()
        gradient = np.zeros_like(p)
        for t in range(steps):
            sent = here[:, None, None] * flow[t]
            gradient += sent
            here = np.bincount(successor.ravel(), sent.ravel(), states)
        q *= tau
        w *= tau
        return objective, gradient / tau

    return solve


def torch_loop(model: TabularModel, free: bool) -> Solve:
    """A loop over time in torch, with autograd."""
    mdp, tau = model.mdp, model.temperature
    log_p, log_prior, log_initial = mdp.probability.log(), model.action_prior.log(), mdp.initial.log()

    def solve() -> tuple[Tensor, Tensor | None]:
        reward = mdp.reward.clone().requires_grad_()
        gain, w = reward / tau, mdp.initial.new_zeros(mdp.num_states)
        values, qs = [w], []
        for _ in range(mdp.horizon):
            x = gain + w[mdp.successor]
            q = torch.logsumexp(log_p + x, -1) if free else (mdp.probability * x).sum(-1)
            w = torch.logsumexp(log_prior + q, -1)
            qs.append(q)
            values.append(w)
        objective = torch.logsumexp(log_initial + w, -1) if free else mdp.initial @ w
        _ = torch.stack(qs).detach() * tau, torch.stack(values).detach() * tau
        objective.backward()
        return objective.detach(), reward.grad

    return solve


def jax_scan(model: TabularModel, free: bool) -> Solve | None:
    """JAX: `value_and_grad` of `lax.scan`, jitted."""
    jax = jax_in_float64()
    if jax is None:
        return None
    solve = jax.jit(jax.value_and_grad(jax_objective(jax, model), argnums=0, has_aux=True), static_argnums=2)
    reward, tau = jax.numpy.asarray(model.mdp.reward.numpy()), model.temperature

    def call() -> tuple[Any, Any]:
        (objective, _), gradient = jax.block_until_ready(solve(reward, tau, free))
        return objective, gradient

    return call


def jax_objective(jax: Any, model: TabularModel) -> Callable[..., Any]:
    """The function of reward, temperature and optimism (True: free, False: clamped, or β ≥ 0): objective and (Q, V)."""
    np_, mdp, average = jax.numpy, model.mdp, jax.nn.logsumexp
    p, successor = np_.asarray(mdp.probability.numpy()), np_.asarray(mdp.successor.numpy())
    prior, initial = np_.asarray(model.action_prior.numpy()), np_.asarray(mdp.initial.numpy())

    def equivalent(x: Any, weight: Any, optimism: Any) -> Any:
        if isinstance(optimism, bool):
            return average(x, axis=-1, b=weight) if optimism else (weight * x).sum(-1)
        scale = np_.where(optimism == 0, 1.0, optimism)
        return np_.where(optimism == 0, (weight * x).sum(-1), average(scale * x, axis=-1, b=weight) / scale)

    def objective(reward: Any, tau: Any, optimism: Any) -> tuple[Any, tuple[Any, Any]]:
        gain = reward / tau

        def step(w: Any, _: None) -> tuple[Any, tuple[Any, Any]]:
            q = equivalent(gain + w[successor], p, optimism)
            now = average(q, axis=-1, b=prior)
            return now, (q * tau, now * tau)

        w, tables = jax.lax.scan(step, np_.zeros(mdp.num_states), None, length=mdp.horizon, reverse=True)
        return equivalent(w, initial, optimism), tables

    return objective


def numba_loop(model: TabularModel, free: bool) -> Solve | None:
    """Numba: plain loops over states, actions and outcomes."""
    numba = optional("numba", "fast")
    if numba is None:
        return None
    mdp, tau, steps = model.mdp, model.temperature, model.mdp.horizon
    given = [each.contiguous().numpy() for each in (mdp.probability, mdp.successor, model.action_prior, mdp.initial)]
    compiled = numba.njit(fastmath=True)(_loops)

    def solve() -> tuple[float, np.ndarray]:
        return compiled(mdp.reward.numpy(), *given, tau, steps, free)[2:]

    return solve


def _loops(
    reward: Any, p: Any, successor: Any, prior: Any, initial: Any, tau: float, steps: int, free: bool
) -> tuple[Any, Any, float, Any]:
    states, actions, outcomes = p.shape
    q, w = np.empty((steps, states, actions)), np.zeros((steps + 1, states))
    flow, gradient = np.empty((steps, states, actions, outcomes)), np.zeros((states, actions, outcomes))
    for t in range(steps - 1, -1, -1):
        for s in range(states):
            best = -np.inf
            for a in range(actions):
                top, total, mean = -np.inf, 0.0, 0.0
                for k in range(outcomes):
                    x = reward[s, a, k] / tau + w[t + 1, successor[s, a, k]]
                    flow[t, s, a, k] = x
                    mean += p[s, a, k] * x
                    top = max(top, x) if p[s, a, k] > 0 else top
                for k in range(outcomes):
                    share = p[s, a, k]
                    if free and share > 0:
                        share *= np.exp(flow[t, s, a, k] - top)
                    flow[t, s, a, k] = share
                    total += share
                for k in range(outcomes):
                    flow[t, s, a, k] /= total
                q[t, s, a] = top + np.log(total) if free else mean
                best = max(best, q[t, s, a])
            total = 0.0
            for a in range(actions):
                chosen = prior[s, a] * np.exp(q[t, s, a] - best)
                total += chosen
                for k in range(outcomes):
                    flow[t, s, a, k] *= chosen
            w[t, s] = best + np.log(total)
            for a in range(actions):
                for k in range(outcomes):
                    flow[t, s, a, k] /= total
    here, objective = initial.copy(), 0.0
    if free:
        top = w[0].max()
        here *= np.exp(w[0] - top)
        objective = top + np.log(here.sum())
        here /= here.sum()
    else:
        objective = (initial * w[0]).sum()
    for t in range(steps):
        following = np.zeros(states)
        for s in range(states):
            for a in range(actions):
                for k in range(outcomes):
                    sent = here[s] * flow[t, s, a, k]
                    gradient[s, a, k] += sent
                    following[successor[s, a, k]] += sent
        here = following
    return q * tau, w * tau, objective, gradient / tau


def pyro_enumeration(model: TabularModel) -> Solve:
    """log p(O) only (no Q, no V) by `TraceEnum_ELBO`: two sites and a factor a step, outcomes summed out beforehand."""
    import pyro
    import pyro.distributions as dist
    from pyro.infer import TraceEnum_ELBO, config_enumerate
    from pyro.ops.indexing import Vindex

    mdp, tau = model.mdp, model.temperature
    states, actions = mdp.num_states, mdp.num_actions
    log_prior = model.action_prior.log()
    dense = torch.zeros(states, actions, states, dtype=torch.float64).scatter_add_(-1, mdp.successor, mdp.probability)
    log_dense, loss = dense.log(), TraceEnum_ELBO(max_plate_nesting=0)

    @config_enumerate
    def program(factor: Tensor) -> None:
        state = pyro.sample("state_0", dist.Categorical(logits=mdp.initial.log()))
        for t in pyro.markov(range(mdp.horizon)):
            action = pyro.sample(f"action_{t}", dist.Categorical(logits=Vindex(log_prior)[state]))
            following = pyro.sample(f"state_{t + 1}", dist.Categorical(logits=Vindex(log_dense)[state, action]))
            pyro.factor(f"optimality_{t}", Vindex(factor)[state, action, following])
            state = following

    def solve() -> tuple[Tensor, Tensor | None]:
        reward = mdp.reward.clone().requires_grad_()
        tilted = torch.zeros_like(dense).scatter_add(-1, mdp.successor, mdp.probability * (reward / tau).exp())
        possible = dense > 0
        factor = torch.where(
            possible, torch.where(possible, tilted, 1.0).log() - torch.where(possible, log_dense, 0.0), 0.0
        )
        found = -loss.differentiable_loss(program, lambda factor: None, factor)  # pyright: ignore[reportOperatorIssue]
        found.backward()
        return found.detach(), reward.grad

    return solve

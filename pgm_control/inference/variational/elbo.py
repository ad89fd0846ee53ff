"""The exact objective of a Markov guide, such as the ELBO, by a differentiable recursion, compiled or in torch.

Sources:
    [howard1972] R. A. Howard and J. E. Matheson, Risk-sensitive Markov decision processes. Management Science
        18(7):356–369, 1972. doi:10.1287/mnsc.18.7.356
    [levine2018] S. Levine, Reinforcement learning and control as probabilistic inference: tutorial and review. 2018.
        arXiv:1805.00909
"""

from collections.abc import Iterable
from types import ModuleType
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...chance.factors import Number, charges, conditionals, is_steep
from ...chance.log_space import expect, relative, weighted
from ...chance.optimism import Optimism
from ...kernels.backend import kernels_for
from ...kernels.bundles import GuideTables, ModelTables, ToGo
from ...trajectories.betas import Betas, sizes_of
from ...trajectories.blocks import Blocks, MarkovModel

FREE = Optimism(1.0, 1.0, 1.0)


def elbo(model: MarkovModel, blocks: Blocks) -> Float[Tensor, ""]:
    r"""The exact evidence lower bound of a trajectory distribution, in nats: its objective with every block free.

    References:
        [levine2018]
    """
    return objective_of(model, blocks, FREE)


def objective_of(model: MarkovModel, blocks: Blocks, optimism: Optimism) -> Float[Tensor, ""]:
    r"""The objective $J_\beta$ of a trajectory distribution, in nats, exactly.

    $$W_t(s) = \sum_a \pi_t \Bigl[-\log\tfrac{\pi_t}{\rho}
        + \sum_k q_t(k) \bigl(\tfrac{r}{\tau} - \tfrac1\beta \log\tfrac{q_t(k)}{p(k)} + \gamma W_{t+1}(s')\bigr)\Bigr]$$

    and $J_\beta = \sum_s q(s_0)\,(W_0 - \tfrac1{\beta_0} \log q(s_0)/p(s_0))$. If survival is free, its KL from γ is
    charged too. Each factor of an event is charged at its own price. A block with β = 0 must be the model's, and is not
    charged. $J_\beta$ is differentiable in the blocks. An outcome of probability zero contributes nothing, for any
    reward.

    References:
        [levine2018], [howard1972]
    """
    prior, weights = model.blocks(), _weights(model, optimism)
    kernels = _kernels_for(model, blocks, weights)
    if kernels is None or not weights.is_whole:
        ahead = _recursion(model, blocks, prior, weights)[0][0]
    else:
        tables = _once(blocks.log_policy), _once(blocks.log_dynamics)
        ahead = _Compiled.apply(kernels, model, prior, weights, *tables)
    sizes = sizes_of(model.mdp.initial_factors, model.mdp.num_states, weights.initial)
    start, true = conditionals(blocks.log_initial, sizes), conditionals(prior.log_initial, sizes)
    return expect(blocks.log_initial, ahead - charges(start, true, weights.initial))


def values_to_go(
    model: MarkovModel, blocks: Blocks, optimism: Optimism = FREE
) -> tuple[Float[Tensor, "time_and_last state"], Float[Tensor, "time state action"]]:
    r"""The objective-to-go $W_t$, and the advantage $\sum_k q_t(k)(\dots) - \log \pi_t/\rho$ of each action.

    In nats, without derivatives; see `objective_of`.
    """
    prior, weights = model.blocks(), _weights(model, optimism)
    kernels = _kernels_for(model, blocks, weights)
    if kernels is None or not weights.is_whole:
        return _recursion(model, blocks, prior, weights)
    guide, true = _tables(model, prior, _once(blocks.log_policy), _once(blocks.log_dynamics))
    numbers = model.mdp.discount, model.mdp.horizon, float(weights.dynamics[0])
    ahead, advantage = kernels.elbo_to_go(_arrays(guide), _arrays(true), *numbers)
    return torch.from_numpy(ahead), torch.from_numpy(advantage)


def _weights(model: MarkovModel, optimism: Optimism) -> Betas:
    return Betas.of(model.mdp, optimism, model.temperature).weights()


def _kernels_for(model: MarkovModel, blocks: Blocks, weights: Betas) -> ModuleType | None:
    """The compiled loops, or None where there are none; they do not support free survival and a β near 0."""
    if blocks.log_survival is not None or any(is_steep(each) for each in weights.dynamics):
        return None
    return kernels_for(blocks.log_policy, model.mdp.horizon)


def _tables(
    model: MarkovModel, prior: Blocks, log_policy: Tensor, log_dynamics: Tensor
) -> tuple[GuideTables, ModelTables]:
    """The tables that the compiled loops read."""
    mdp, guide = model.mdp, GuideTables(log_policy.exp(), log_policy, log_dynamics.exp(), log_dynamics)
    true = prior.log_policy[0], prior.log_dynamics[0]
    return guide, ModelTables(*true, mdp.reward / model.temperature, mdp.successor, _last(model))


def _arrays(tables: Iterable[Tensor]) -> tuple[np.ndarray, ...]:
    return tuple([table.detach().numpy() for table in tables])


def _recursion(
    model: MarkovModel, blocks: Blocks, prior: Blocks, weights: Betas
) -> tuple[Float[Tensor, "time_and_last state"], Float[Tensor, "time state action"]]:
    """`values_to_go` in torch, for any device, any derivative and free survival."""
    mdp = model.mdp
    forbidden, doomed = torch.isneginf(mdp.reward), torch.isneginf(_last(model))
    # −inf is kept out of the sums, where it would make gradients nan, even those of outcomes that are never reached.
    reward = torch.where(forbidden, 0.0, mdp.reward)
    sizes = sizes_of(mdp.factors, mdp.num_outcomes, weights.dynamics)
    chain, true = conditionals(blocks.log_dynamics, sizes), conditionals(prior.log_dynamics, sizes)
    worth = reward / model.temperature - charges(chain, true, weights.dynamics)
    gain = expect(blocks.log_dynamics, worth) - relative(blocks.log_policy, prior.log_policy)
    policy, dynamics = blocks.log_policy.exp(), blocks.log_dynamics.exp()
    survival, price = blocks.replace(mdp=mdp).survival, _survival_cost(blocks, mdp.discount, weights.survival)
    ahead = torch.where(doomed, 0.0, _last(model))
    values, advantages = [_last(model)], []
    any_forbidden = bool(forbidden.any() or doomed.any())
    for t in reversed(range(mdp.horizon)):
        next_gain = weighted(survival[t], ahead) - price[t]
        advantage = gain[t] + weighted(dynamics[t], next_gain[mdp.successor]).sum(-1)
        ahead = weighted(policy[t], advantage).sum(-1)
        value = ahead
        if any_forbidden:
            dead_end = (dynamics[t] > 0) & (forbidden | (doomed & (survival[t] > 0))[mdp.successor])
            advantage = torch.where(dead_end.any(-1), -torch.inf, advantage)
            doomed = ((policy[t] > 0) & dead_end.any(-1)).any(-1)
            value = torch.where(doomed, -torch.inf, ahead)
        values.append(value)
        advantages.append(advantage)
    return torch.stack(values[::-1]), torch.stack(advantages[::-1])


class _Compiled(torch.autograd.Function):
    """W_0 by compiled loops: a backward sweep for the value, a forward sweep for its derivatives."""

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any,
        kernels: Any,
        model: MarkovModel,
        prior: Blocks,
        weights: Betas,
        log_policy: Tensor,
        log_dynamics: Tensor,
    ) -> Tensor:
        guide, true = _tables(model, prior, log_policy, log_dynamics)
        numbers = model.mdp.discount, model.mdp.horizon, float(weights.dynamics[0])
        to_go = ToGo(*kernels.elbo_to_go(_arrays(guide), _arrays(true), *numbers))
        ctx.kernels, ctx.model, ctx.prior, ctx.weights, ctx.to_go = kernels, model, prior, weights, to_go
        ctx.save_for_backward(*guide, *true)
        return torch.from_numpy(to_go.ahead[0])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        tables, wanted = ctx.saved_tensors, ctx.needs_input_grad[4:]
        guide, true = GuideTables(*tables[:4]), ModelTables(*tables[4:])
        log_policy, log_dynamics = guide.log_policy, guide.log_dynamics
        if torch.is_grad_enabled():  # second derivatives are wanted: the recursion in torch has them
            steps = ctx.model.mdp.horizon
            policy, dynamics = (table.expand(steps, *table.shape[1:]) for table in (log_policy, log_dynamics))
            blocks = ctx.prior.replace(log_policy=policy, log_dynamics=dynamics)
            ahead = _recursion(ctx.model, blocks, ctx.prior, ctx.weights)[0][0]
            inputs = [table for table, want in zip((log_policy, log_dynamics), wanted, strict=True) if want]
            found = iter(torch.autograd.grad(ahead, inputs, grad, create_graph=True))
            return None, None, None, None, *(next(found) if want else None for want in wanted)
        bundles = _arrays(guide), _arrays(true), tuple(ctx.to_go)
        numbers = ctx.model.mdp.discount, float(ctx.weights.dynamics[0])
        found = ctx.kernels.elbo_gradients(grad.contiguous().numpy(), *bundles, *numbers, wanted[1])
        return (
            *(None, None, None, None),
            *(
                torch.from_numpy(each if len(table) > 1 else each.sum(0, keepdims=True)) if want else None
                for each, table, want in zip(found, (log_policy, log_dynamics), wanted, strict=True)
            ),
        )


def _last(model: MarkovModel) -> Float[Tensor, " state"]:
    """The final reward over τ, in nats; 0 if the problem has none."""
    final = model.mdp.final_reward
    return model.mdp.initial.new_zeros(model.mdp.num_states) if final is None else final / model.temperature


def _once(table: Tensor) -> Tensor:
    """The table, reduced to one step if it is expanded over time."""
    return (table[:1] if table.stride(0) == 0 else table).contiguous()


def _survival_cost(blocks: Blocks, discount: float, weight: Number) -> Float[Tensor, "time next_state"]:
    """The cost of the guide's survival, its KL from γ over β, by the state that the step leads to."""
    if blocks.log_survival is None:
        return torch.zeros_like(blocks.log_policy[..., 0])
    continuation = torch.stack((blocks.log_survival, torch.log1p(-blocks.log_survival.exp())), -1)
    truth = continuation.new_tensor([discount, 1.0 - discount]).log().expand_as(continuation)
    kl = expect(continuation, relative(continuation, truth))
    return torch.where(kl == torch.inf, kl, weight * kl)  # infinite if the guide can end where the model cannot

"""The exact objective of a Markov guide, such as the ELBO, by a differentiable recursion, compiled or in torch.

Sources:
    [howard1972] R. A. Howard and J. E. Matheson, Risk-sensitive Markov decision processes. Management Science
        18(7):356–369, 1972. doi:10.1287/mnsc.18.7.356
    [levine2018] S. Levine, Reinforcement learning and control as probabilistic inference: tutorial and review. 2018.
        arXiv:1805.00909
"""

from collections.abc import Iterable, Iterator, Sequence
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
from ...kernels.bundles import GuideTables, ModelTables
from ...problems.gradients import graphs_of
from ...problems.timed import at_time
from ...trajectories.action_measure import log_measure
from ...trajectories.betas import Betas, sizes_of
from ...trajectories.blocks import Blocks, MarkovModel, require_model
from ...trajectories.remembered import prior_of, remembered
from ...trajectories.steps import is_timed, last_worth, log_likelihood, temperature_at

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
    charged. $J_\beta$ is differentiable in the blocks, and in those tables of the model that require gradients. An
    outcome of probability zero contributes nothing, for any reward.

    References:
        [levine2018], [howard1972]
    """
    require_model(model, in_nats=True, timed=True, graph=True)
    weights = remembered(model, weights_of, optimism)
    kernels = kernels_of(model, blocks, weights)
    if kernels is None or (torch.is_grad_enabled() and graphs_of(model.mdp, model.action_prior)):
        return _by_recursion(model, blocks, weights)
    tables = _tables_of(blocks)
    if torch.is_grad_enabled() and any(each.requires_grad for each in tables):
        return _Compiled.apply(kernels, model, weights, *tables)
    return tables[1].new_tensor(kernels.elbo_to_go(_arrays(tables), _arrays_of(model), *_numbers(model, weights))[0])


def values_to_go(
    model: MarkovModel, blocks: Blocks, optimism: Optimism = FREE
) -> tuple[Float[Tensor, "time_and_last state"], Float[Tensor, "time state action"]]:
    r"""The objective-to-go $W_t$, and the advantage $\sum_k q_t(k)(\dots) - \log \pi_t/\rho$ of each action.

    In nats, without derivatives; see `objective_of`.
    """
    require_model(model, in_nats=True, timed=True, graph=True)
    weights = remembered(model, weights_of, optimism)
    kernels = kernels_of(model, blocks, weights)
    if kernels is None:
        return _recursion(model, blocks, weights)
    _, ahead, advantage = kernels.elbo_to_go(_arrays(_tables_of(blocks)), _arrays_of(model), *_numbers(model, weights))
    return torch.from_numpy(ahead), torch.from_numpy(advantage)


def natural_step(
    kernels: ModuleType, model: MarkovModel, blocks: Blocks, betas: Betas, step_size: float
) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
    """The compiled step of the natural gradient on these blocks; see `improved`."""
    return kernels.natural_step(_arrays(_tables_of(blocks)), _arrays_of(model), *_numbers(model, betas), step_size)


def betas_of(model: MarkovModel, optimism: Optimism) -> Betas:
    """β of each block."""
    return Betas.of(model.mdp, optimism, model.temperature)


def weights_of(model: MarkovModel, optimism: Optimism) -> Betas:
    """The price of a nat of change of each block, 1/β."""
    return betas_of(model, optimism).weights()


def kernels_of(model: MarkovModel, blocks: Blocks, weights: Betas) -> ModuleType | None:
    """The compiled loops, or None where there are none; they support neither free survival nor parts of a block.

    Nor do they support a model that depends on time, nor a β near 0, whose price loses digits in them.
    """
    if blocks.log_survival is not None or is_timed(model) or not weights.is_whole or _is_steep(weights):
        return None
    return kernels_for(blocks.log_policy, model.mdp.horizon)


def _is_steep(weights: Betas) -> bool:
    return any(is_steep(each) for each in (*weights.dynamics, *weights.initial))


def _arrays_of(model: MarkovModel) -> tuple[np.ndarray, ...]:
    return remembered(model, _model_arrays)


def _model_arrays(model: MarkovModel) -> tuple[np.ndarray, ...]:
    """The tables of the model that the compiled loops read. Unsigned indices need no test for negative ones."""
    mdp, prior = model.mdp, model.blocks()  # of their own: nobody else can change them
    true = prior.log_initial, log_measure(model, prior)[0], prior.log_dynamics[0]
    found = ModelTables(*_arrays((*true, log_likelihood(model), mdp.successor, _last(model))))
    return tuple(found._replace(successor=found.successor.astype(np.uint32)))


def _tables_of(blocks: Blocks) -> GuideTables:
    """The tables of the guide that the compiled loops read."""
    return GuideTables(blocks.log_initial, _once(blocks.log_policy), _once(blocks.log_dynamics))


def _numbers(model: MarkovModel, weights: Betas) -> tuple[float, int, tuple[float, float]]:
    """The discount, the horizon, and the numbers of start and dynamics."""
    return model.mdp.discount, model.mdp.horizon, (weights.initial[0], float(weights.dynamics[0]))


def _arrays(tables: Iterable[Tensor]) -> tuple[np.ndarray, ...]:
    """The tables in one order in memory, since the loops are compiled for each order."""
    return tuple([table.detach().contiguous().numpy() for table in tables])


def _by_recursion(model: MarkovModel, blocks: Blocks, weights: Betas) -> Float[Tensor, ""]:
    """`objective_of` in torch."""
    ahead = _recursion(model, blocks, weights)[0][0]
    sizes = sizes_of(model.mdp.initial_factors, model.mdp.num_states, weights.initial)
    start, true = conditionals(blocks.log_initial, sizes), conditionals(prior_of(model).log_initial, sizes)
    return expect(blocks.log_initial, ahead - charges(start, true, weights.initial))


def _recursion(
    model: MarkovModel, blocks: Blocks, weights: Betas
) -> tuple[Float[Tensor, "time_and_last state"], Float[Tensor, "time state action"]]:
    """`values_to_go` in torch, for any device, any derivative and free survival."""
    mdp, prior = model.mdp, prior_of(model)
    paid = log_likelihood(model)
    forbidden, doomed = torch.isneginf(paid), torch.isneginf(_last(model))
    # −inf is kept out of the sums, where it would make gradients nan, even those of outcomes that are never reached.
    paid = torch.where(forbidden, 0.0, paid)
    sizes = sizes_of(mdp.factors, mdp.num_outcomes, weights.dynamics)
    chain, true = conditionals(blocks.log_dynamics, sizes), conditionals(prior.log_dynamics, sizes)
    worth = paid - charges(chain, true, weights.dynamics)
    gain = expect(blocks.log_dynamics, worth) - relative(blocks.log_policy, log_measure(model, prior))
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
            dead_end = (dynamics[t] > 0) & (at_time(forbidden, t, 3) | (doomed & (survival[t] > 0))[mdp.successor])
            advantage = torch.where(dead_end.any(-1), -torch.inf, advantage)
            doomed = ((policy[t] > 0) & dead_end.any(-1)).any(-1)
            value = torch.where(doomed, -torch.inf, ahead)
        values.append(value)
        advantages.append(advantage)
    return torch.stack(values[::-1]), torch.stack(advantages[::-1])


class _Compiled(torch.autograd.Function):
    """The objective by compiled loops: a backward sweep for the value, a forward sweep for its derivatives."""

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any,
        kernels: Any,
        model: MarkovModel,
        weights: Betas,
        log_initial: Tensor,
        log_policy: Tensor,
        log_dynamics: Tensor,
    ) -> Tensor:
        guide = log_initial, log_policy, log_dynamics
        true, numbers = _arrays_of(model), _numbers(model, weights)
        value, *to_go = kernels.elbo_to_go(_arrays(guide), true, *numbers)
        ctx.kernels, ctx.model, ctx.weights = kernels, model, weights
        ctx.true, ctx.numbers, ctx.to_go = true, numbers, tuple(to_go)
        ctx.save_for_backward(*guide)
        return log_policy.new_tensor(value)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        tables, wanted = ctx.saved_tensors, ctx.needs_input_grad[3:]
        if torch.is_grad_enabled():  # second derivatives are wanted: the recursion in torch has them
            return None, None, None, *_derivatives(ctx.model, ctx.weights, tables, wanted, grad)
        discount, _, weights = ctx.numbers
        found = ctx.kernels.elbo_gradients(
            float(grad), _arrays(tables), ctx.true, ctx.to_go, discount, weights, wanted[2]
        )
        return (
            *(None, None, None),
            *(
                torch.from_numpy(each if len(table) == len(each) else each.sum(0, keepdims=True)) if want else None
                for each, table, want in zip(found, tables, wanted, strict=True)
            ),
        )


def _derivatives(
    model: MarkovModel, weights: Betas, tables: Sequence[Tensor], wanted: Sequence[bool], grad: Tensor
) -> Iterator[Tensor | None]:
    """The derivatives of the objective by log-probabilities, as functions that can be differentiated."""
    tables = [table.view_as(table) for table in tables]  # one may be a function of another: not through that
    prior, steps = prior_of(model), model.mdp.horizon
    log_initial, *rest = tables
    policy, dynamics = (table.expand(steps, *table.shape[1:]) for table in rest)
    blocks = prior.replace(log_initial=log_initial, log_policy=policy, log_dynamics=dynamics)
    value = _by_recursion(model, blocks, weights)
    inputs = [table for table, want in zip(tables, wanted, strict=True) if want]
    found = iter(torch.autograd.grad(value, inputs, grad, create_graph=True))
    return (next(found) if want else None for want in wanted)


def _last(model: MarkovModel) -> Float[Tensor, " state"]:
    """The log-likelihood of the last state, the final reward over τ, in nats; 0 if the problem has none."""
    return last_worth(model) / temperature_at(model, model.mdp.horizon)


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

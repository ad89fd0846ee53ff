"""The exact ELBO of a Markov guide, by a differentiable recursion: compiled where it can be, else in torch."""

from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from pyro.infer.elbo import ELBO
from torch import Tensor

from ._backend import kernels_for
from ._blocks import Blocks, HasBlocks, MarkovModel
from ._errors import InvalidGuide
from ._forward import survival_probability
from ._parameters import announce_parameters


def elbo(model: MarkovModel, blocks: Blocks) -> Float[Tensor, ""]:
    r"""The exact evidence lower bound of a trajectory distribution, in nats.

    $$W_t(s) = \sum_a \pi_t \Bigl[-\log\tfrac{\pi_t}{\rho}
        + \sum_k q_t(k) \bigl(\tfrac{r}{\tau} - \log\tfrac{q_t(k)}{p(k)} + \gamma W_{t+1}(s')\bigr)\Bigr]$$

    and the ELBO is $\sum_s q(s_0)\,(W_0 - \log q(s_0)/p(s_0))$. Where survival is freed its KL from γ is paid too.
    Differentiable in the blocks. A face of probability zero contributes nothing, whatever its reward.

    References:
        [levine2018]
    """
    prior, kernels = model.blocks(), _kernels_for(model, blocks)
    if kernels is None:
        ahead = _recursion(model, blocks, prior)[0][0]
    else:
        ahead = _Compiled.apply(kernels, model, prior, _once(blocks.log_policy), _once(blocks.log_dynamics))
    return expect(blocks.log_initial, ahead - relative(blocks.log_initial, prior.log_initial))


def values_to_go(
    model: MarkovModel, blocks: Blocks
) -> tuple[Float[Tensor, "time_and_last state"], Float[Tensor, "time state action"]]:
    r"""$W_t$, the ELBO still to come, and the advantage $\sum_k q_t(k)(\dots) - \log \pi_t/\rho$ of each action.

    In nats, without derivatives; see `elbo`.
    """
    prior, kernels = model.blocks(), _kernels_for(model, blocks)
    if kernels is None:
        return _recursion(model, blocks, prior)
    tables = _tables(model, prior, _once(blocks.log_policy), _once(blocks.log_dynamics))
    ahead, advantage = kernels.elbo_to_go(*_arrays(tables), model.mdp.discount, model.mdp.horizon)
    return torch.from_numpy(ahead), torch.from_numpy(advantage)


def _kernels_for(model: MarkovModel, blocks: Blocks) -> ModuleType | None:
    """The compiled loops have no survival of their own."""
    return None if blocks.log_survival is not None else kernels_for(blocks.log_policy, model.mdp.horizon)


def _tables(model: MarkovModel, prior: Blocks, log_policy: Tensor, log_dynamics: Tensor) -> tuple[Tensor, ...]:
    """What the compiled loops read: policy, dice and rewards."""
    mdp, policy, dynamics = model.mdp, log_policy.exp(), log_dynamics.exp()
    chance = (dynamics, log_dynamics, prior.log_dynamics[0], mdp.reward / model.temperature, mdp.successor)
    return policy, log_policy, prior.log_policy[0], *chance, _last(model)


def _arrays(tables: Iterable[Tensor]) -> list[np.ndarray]:
    return [table.detach().numpy() for table in tables]


def _recursion(
    model: MarkovModel, blocks: Blocks, prior: Blocks
) -> tuple[Float[Tensor, "time_and_last state"], Float[Tensor, "time state action"]]:
    """`values_to_go`, by torch: any device, any derivative, freed survival."""
    mdp = model.mdp
    forbidden, doomed = torch.isneginf(mdp.reward), torch.isneginf(_last(model))
    # −inf is kept out of the sums, where it would make gradients nan even of faces that are never met.
    reward = torch.where(forbidden, 0.0, mdp.reward)
    faces = reward / model.temperature - relative(blocks.log_dynamics, prior.log_dynamics)
    gain = expect(blocks.log_dynamics, faces) - relative(blocks.log_policy, prior.log_policy)
    policy, dynamics = blocks.log_policy.exp(), blocks.log_dynamics.exp()
    survival, price = survival_probability(blocks, mdp), _survival_price(blocks, mdp.discount)
    ahead = torch.where(doomed, 0.0, _last(model))
    values, advantages = [_last(model)], []
    any_forbidden = bool(forbidden.any() or doomed.any())
    for t in reversed(range(mdp.horizon)):
        next_gain = _product(survival[t], ahead) - price[t]
        advantage = gain[t] + _product(dynamics[t], next_gain[mdp.successor]).sum(-1)
        ahead = _product(policy[t], advantage).sum(-1)
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
    """W_0, by compiled loops: backwards for the value, forwards for its derivatives."""

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, kernels: Any, model: MarkovModel, prior: Blocks, log_policy: Tensor, log_dynamics: Tensor
    ) -> Tensor:
        tables = _tables(model, prior, log_policy, log_dynamics)
        sweep = kernels.elbo_to_go(*_arrays(tables), model.mdp.discount, model.mdp.horizon)
        ctx.kernels, ctx.model, ctx.prior, ctx.sweep = kernels, model, prior, sweep
        ctx.save_for_backward(log_policy, log_dynamics, tables[0], *tables[3:-1])
        return torch.from_numpy(sweep[0][0])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        log_policy, log_dynamics, *tables = ctx.saved_tensors
        wanted = ctx.needs_input_grad[3:]
        if torch.is_grad_enabled():  # derivatives of derivatives are wanted: the recursion in torch has them
            steps = ctx.model.mdp.horizon
            expanded = [table.expand(steps, *table.shape[1:]) for table in (log_policy, log_dynamics)]
            ahead = _recursion(ctx.model, Blocks(ctx.prior.log_initial, *expanded), ctx.prior)[0][0]
            inputs = [table for table, want in zip((log_policy, log_dynamics), wanted, strict=True) if want]
            found = iter(torch.autograd.grad(ahead, inputs, grad, create_graph=True))
            return None, None, None, *(next(found) if want else None for want in wanted)
        arrays = _arrays(tables)
        found = ctx.kernels.elbo_gradients(
            grad.contiguous().numpy(), *arrays, ctx.model.mdp.discount, *ctx.sweep, wanted[1]
        )
        return (
            None,
            None,
            None,
            *(
                torch.from_numpy(each if len(table) > 1 else each.sum(0, keepdims=True)) if want else None
                for each, table, want in zip(found, arrays[:2], wanted, strict=True)
            ),
        )


def _last(model: MarkovModel) -> Float[Tensor, " state"]:
    """What the last state is worth, in nats."""
    final = model.mdp.final_reward
    return model.mdp.initial.new_zeros(model.mdp.num_states) if final is None else final / model.temperature


def _once(table: Tensor) -> Tensor:
    """A table that is the same at all times, as an expanded one is, once."""
    return (table[:1] if table.stride(0) == 0 else table).contiguous()


def relative(log_q: Float[Tensor, "*table"], log_p: Float[Tensor, "*table"]) -> Float[Tensor, "*table"]:
    """log q/p, in nats, and 0 where q is 0."""
    possible = log_q > -torch.inf
    zero = torch.zeros_like(log_q)
    return torch.where(possible, log_q, zero) - torch.where(possible, log_p, zero)


def expect(log_q: Float[Tensor, "*batch face"], x: Float[Tensor, "*#batch face"]) -> Float[Tensor, "*batch"]:
    """Σ q x over the last axis; a face of probability zero contributes nothing, even where x is infinite."""
    return _product(log_q.exp(), x).sum(-1)


def _product(probability: Tensor, x: Tensor) -> Tensor:
    return probability * torch.where(probability > 0, x, torch.zeros_like(x))


def _survival_price(blocks: Blocks, discount: float) -> Float[Tensor, "time next_state"]:
    """KL of the guide's survival from γ, by the state that the step leads to."""
    if blocks.log_survival is None:
        return torch.zeros_like(blocks.log_policy[..., 0])
    fate = torch.stack((blocks.log_survival, torch.log1p(-blocks.log_survival.exp())), -1)
    truth = fate.new_tensor([discount, 1.0 - discount]).log().expand_as(fate)
    return expect(fate, relative(fate, truth))


class MarkovELBO(ELBO):
    """A Pyro loss for tabular pairs: the exact ELBO and its exact gradient, without sampling or tracing.

    Use it as any other: `SVI(model, guide, optim, loss=MarkovELBO())`. It equals `TraceEnum_ELBO` on the same pair.
    """

    def loss(self, model: MarkovModel, guide: Callable[[], Any], *args: Any, **kwargs: Any) -> float:
        """−ELBO, in nats."""
        with torch.no_grad():
            return float(self.differentiable_loss(model, guide))

    def differentiable_loss(self, model: MarkovModel, guide: Callable[[], Any], *args: Any, **kwargs: Any) -> Tensor:
        """−ELBO, in nats, with its gradient."""
        if not isinstance(guide, HasBlocks):
            raise InvalidGuide(
                "MarkovELBO needs a guide with `blocks()`, such as a MarkovGuide. For any other take Trace_ELBO or "
                "TraceEnum_ELBO."
            )
        if isinstance(guide, torch.nn.Module):
            announce_parameters(guide)
        return -elbo(model, guide.blocks())

    def loss_and_grads(self, model: MarkovModel, guide: Callable[[], Any], *args: Any, **kwargs: Any) -> float:
        """−ELBO, in nats; adds its gradient to the guide's parameters."""
        loss = self.differentiable_loss(model, guide)
        if loss.requires_grad:
            loss.backward()
        return float(loss.detach())

    def _get_trace(self, model: Any, guide: Any, args: Any, kwargs: Any) -> Any:
        raise NotImplementedError("MarkovELBO integrates over trajectories exactly and never traces one.")

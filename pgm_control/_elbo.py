"""The exact ELBO of a Markov guide, by a differentiable recursion."""

from typing import Any

import torch
from jaxtyping import Float
from pyro.infer.elbo import ELBO
from torch import Tensor

from ._blocks import Blocks, HasBlocks, MarkovModel
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
    mdp, prior = model.mdp, model.blocks()
    surplus = mdp.reward / model.temperature - relative(blocks.log_dynamics, prior.log_dynamics)
    gain = expect(blocks.log_dynamics, surplus) - relative(blocks.log_policy, prior.log_policy)
    policy, dynamics = blocks.log_policy.exp(), blocks.log_dynamics.exp()
    survival, price = survival_probability(blocks, mdp), _survival_price(blocks, mdp.discount)
    ahead = torch.zeros_like(blocks.log_initial)
    if mdp.final_reward is not None:
        ahead = mdp.final_reward / model.temperature
    for t in reversed(range(mdp.horizon)):
        next_gain = _product(survival[t], ahead) - price[t]
        future = _product(dynamics[t], next_gain[mdp.successor]).sum(-1)
        ahead = _product(policy[t], gain[t] + future).sum(-1)
    return expect(blocks.log_initial, ahead - relative(blocks.log_initial, prior.log_initial))


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

    def loss(self, model: MarkovModel, guide: HasBlocks, *args: Any, **kwargs: Any) -> float:
        """−ELBO, in nats."""
        with torch.no_grad():
            return -float(elbo(model, guide.blocks()))

    def differentiable_loss(self, model: MarkovModel, guide: HasBlocks, *args: Any, **kwargs: Any) -> Tensor:
        """−ELBO, in nats, with its gradient."""
        if isinstance(guide, torch.nn.Module):
            announce_parameters(guide)
        return -elbo(model, guide.blocks())

    def loss_and_grads(self, model: MarkovModel, guide: HasBlocks, *args: Any, **kwargs: Any) -> float:
        """−ELBO, in nats; adds its gradient to the guide's parameters."""
        loss = self.differentiable_loss(model, guide)
        if loss.requires_grad:
            loss.backward()
        return float(loss.detach())

    def _get_trace(self, model: Any, guide: Any, args: Any, kwargs: Any) -> Any:
        raise NotImplementedError("MarkovELBO integrates over trajectories exactly and never traces one.")

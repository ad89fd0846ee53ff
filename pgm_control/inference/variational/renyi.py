"""Rényi bounds of the evidence: optimism for a clamped guide, whose dynamics are those of the model.

Sources:
    [howard1972] R. A. Howard and J. E. Matheson, Risk-sensitive Markov decision processes. Management Science
        18(7):356–369, 1972. doi:10.1287/mnsc.18.7.356
    [li2016] Y. Li and R. E. Turner, Rényi divergence variational inference. Advances in Neural Information Processing
        Systems 29, 2016. arXiv:1602.02311
"""

import torch
from jaxtyping import Float
from torch import Tensor

from ...chance.log_space import relative
from ...chance.operators import certainty_equivalent
from ...errors import InvalidArgument
from ...runtime.arguments import finite
from ...trajectories.action_measure import log_measure
from ...trajectories.blocks import Blocks, HasBlocks, MarkovModel, require_model
from ...trajectories.steps import last_worth, log_likelihood, temperature_at
from ...trajectories.tabulate import tabulate
from .elbo import elbo


def renyi_bound(model: MarkovModel, guide: HasBlocks, order: float) -> float:
    r"""The variational Rényi bound of a guide, in nats, exactly.

    $$\mathcal L_\alpha(q) = \frac1{1-\alpha} \log E_q\Bigl[\Bigl(\frac{\tilde p}{q}\Bigr)^{1-\alpha}\Bigr]$$

    It falls with the order. Order 1 is the ELBO, order 0 is log p(O) if the guide has mass on every trajectory of the
    posterior, and negative orders bound log p(O) from above. For guides with the true start and dynamics, the best
    bound of order 1 − β is `infer(model, Optimism(β, β, β)).objective`: the largest for β < 1, the smallest for β > 1.

    Args:
        model: the tabular model.
        guide: anything with `blocks()`.
        order: α, any real number.

    Raises:
        InvalidArgument: if the order is not a finite number.
        InvalidGuide: if the guide does not fit the model.

    References:
        [li2016], [howard1972]
    """
    require_model(model, in_nats=True, timed=True)
    order = finite("order", order, "number, 1 − β")
    with torch.no_grad():
        return float(renyi(model, tabulate(model, guide), order))


def renyi(model: MarkovModel, blocks: Blocks, order: float) -> Float[Tensor, ""]:
    r"""Return the bound of `renyi_bound` as a tensor, differentiable in the blocks; α is `order`.

    It is computed by a backward recursion:

    $$W_t(s) = \frac1\beta \log \sum_{a,k} \pi_t\, q_t(k)
        \exp \beta\Bigl(\tfrac r\tau - \log\tfrac{\pi_t}\rho - \log\tfrac{q_t(k)}{p(k)} + W_{t+1}(s')\Bigr),
        \qquad \beta = 1 - \alpha$$
    """
    require_model(model, timed=True, graph=True)
    beta, mdp, prior = 1.0 - order, model.mdp, model.blocks()
    if beta == 0:
        return elbo(model, blocks)
    log_weight = (blocks.log_policy[..., None] + blocks.log_dynamics).flatten(-2)
    choice = relative(blocks.log_policy, log_measure(model, prior))
    chance = relative(blocks.log_dynamics, prior.log_dynamics)
    gain = (log_likelihood(model) - choice[..., None] - chance).flatten(-2)
    alive = blocks.replace(mdp=mdp).survival
    continuation = torch.stack((alive, 1.0 - alive), -1).log()
    dearer = relative(continuation, continuation.new_tensor([mdp.discount, 1.0 - mdp.discount]).log())
    zero = torch.zeros_like(blocks.log_initial)
    ahead = last_worth(model) / temperature_at(model, mdp.horizon)
    for t in reversed(range(mdp.horizon)):
        if mdp.discount < 1:
            ahead = certainty_equivalent(torch.stack((ahead, zero), -1) - dearer[t], continuation[t], 1.0, beta)
        ahead = certainty_equivalent(gain[t] + ahead[mdp.successor].flatten(-2), log_weight[t], 1.0, beta)
    start = relative(blocks.log_initial, prior.log_initial)
    return certainty_equivalent(ahead - start, blocks.log_initial, 1.0, beta)


def require_steep(order: float) -> float:
    """The order of a bound that serves as an objective: it must be a finite number, and not 0.

    Raises:
        InvalidArgument: with the reason.
    """
    order = finite("order", order, "number, 1 − β")
    if order == 0:
        raise InvalidArgument(
            "`order` must not be 0, which is β = 1: there the Rényi bound is log p(O) whatever the policy, as long as "
            "it allows every action: nothing can be learned from it. Fit a FreeGuide, or take an order near 0."
        )
    return order

"""The natural gradient of the objective: for tables of log-probabilities it is the advantage.

Sources:
    [geist2019] M. Geist, B. Scherrer and O. Pietquin, A theory of regularized Markov decision processes. International
        Conference on Machine Learning, Proceedings of Machine Learning Research 97, pages 2160–2169, 2019.
        arXiv:1901.11275
    [haarnoja2018] T. Haarnoja et al., Soft actor-critic: off-policy maximum entropy deep reinforcement learning with a
        stochastic actor. International Conference on Machine Learning, Proceedings of Machine Learning Research 80,
        pages 1861–1870, 2018. arXiv:1801.01290
    [kakade2001] S. M. Kakade, A natural policy gradient. Advances in Neural Information Processing Systems
        14:1531–1538, 2001.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from ...chance.factors import Number, aligned, conditionals, joint
from ...chance.log_space import expect, relative
from ...chance.optimism import Optimism
from ...trajectories.betas import Betas, sizes_of
from ...trajectories.blocks import Blocks, MarkovModel, require_model
from ...trajectories.remembered import prior_of, remembered
from ...trajectories.steps import log_likelihood
from .elbo import FREE, betas_of, kernels_of, natural_step, values_to_go, weights_of


@torch.no_grad()
def improved(model: MarkovModel, blocks: Blocks, step_size: float, optimism: Optimism = FREE) -> tuple[Blocks, float]:
    r"""The blocks after one step along the natural gradient of $J_\beta$, by one backward sweep.

    With the objective-to-go $W_t$ of the old blocks (the recursion of `objective_of`), in nats,

    $$x_t(s,a,k) = \tfrac{r}{\tau} + \gamma W_{t+1}(s'), \qquad
        G_t(s,a) = \sum_k q_t(k) \bigl(x_t - \tfrac1\beta \log\tfrac{q_t(k)}{p(k)}\bigr)$$

    a step of size η gives

    $$\pi_t \propto \pi_t^{1-\eta} (\rho\, e^{G_t})^\eta, \qquad
        q_t(k) \propto q_t(k)^{1-\eta} (p(k)\, e^{\beta x_t})^\eta, \qquad
        q(s_0) \propto q(s_0)^{1-\eta} (p(s_0)\, e^{\beta_0 W_0})^\eta$$

    The Fisher information of a row of a softmax is weighted by how often the row is visited, which cancels the visits
    in the gradient. What is left is the advantage, $G_t - \log \pi_t/\rho$ minus its mean, even in states that the
    guide never visits. The step is mirror descent: for any η in (0, 1], and no β negative, the objective-to-go falls in
    no state. η = 1 is soft policy iteration. It is exact after T steps if the dynamics are clamped and after 2T + 1 if
    they are free, since the dynamics and then the policy become exact time step by time step, the last first; it is
    close much earlier. A free survival is stepped in the same way, and its KL is charged in x. Factored events are
    stepped factor by factor: the value of a factor is the expected value over the later ones.

    Args:
        model: the true dynamics and the rewards.
        blocks: the current blocks of the guide. An outcome of probability zero stays impossible unless η = 1, which
            discards the old blocks. All blocks are stepped: a guide takes those that it may change.
        step_size: η in (0, 1].
        optimism: β of each block; a block with β = 0 becomes the model's.

    Returns:
        The new blocks, and the objective of the old ones, in nats. A row of which every outcome is forbidden stays.

    References:
        [kakade2001], [haarnoja2018], [geist2019]
    """
    require_model(model, in_nats=True, timed=True)
    betas = remembered(model, betas_of, optimism)
    kernels = kernels_of(model, blocks, remembered(model, weights_of, optimism))
    if kernels is None or blocks.log_policy.dtype != torch.float64:
        return _in_torch(model, blocks, step_size, optimism, betas)
    mdp, prior, found = model.mdp, prior_of(model), natural_step(kernels, model, blocks, betas, step_size)
    value, (start, policy, dynamics) = found[0], map(torch.from_numpy, found[1:])
    return Blocks(
        mdp,
        start[0] if len(start) else prior.log_initial,
        policy,
        dynamics.view(prior.log_dynamics.shape) if len(dynamics) else prior.log_dynamics,
    ), value


def _in_torch(
    model: MarkovModel, blocks: Blocks, step_size: float, optimism: Optimism, betas: Betas
) -> tuple[Blocks, float]:
    """`improved` in torch, for any device, parts of blocks and free survival."""
    mdp, prior = model.mdp, prior_of(model)
    truth, continuation = _continuations(blocks, mdp.discount)
    ahead, _ = values_to_go(model, blocks, optimism)
    after = torch.stack((ahead[1:], torch.zeros_like(ahead[1:])), -1)  # survive, or end with value 0
    weight = aligned(betas.weights().survival, 1)
    ahead_of_outcome = expect(continuation, after - _times(weight, relative(continuation, truth)))
    dynamics, gain = _stepped_in_parts(
        blocks.log_dynamics,
        prior.log_dynamics,
        log_likelihood(model) + ahead_of_outcome[:, mdp.successor],
        (betas.dynamics, betas.weights().dynamics),
        sizes_of(mdp.factors, mdp.num_outcomes, betas.dynamics),
        step_size,
    )
    start, value = _stepped_in_parts(
        blocks.log_initial,
        prior.log_initial,
        ahead[0],
        (betas.initial, betas.weights().initial),
        sizes_of(mdp.initial_factors, mdp.num_states, betas.initial),
        step_size,
    )
    survival = None
    if blocks.log_survival is not None:
        survival = _stepped(continuation, truth, after, betas.survival, step_size)[..., 0]
    policy = _stepped(blocks.log_policy, prior.log_policy, gain, 1.0, step_size)
    return Blocks(mdp, start, policy, dynamics, survival), float(value)


def _stepped_in_parts(
    log_q: Float[Tensor, "*row outcome"],
    log_p: Float[Tensor, "*row outcome"],
    x: Float[Tensor, "*row outcome"],
    betas: tuple[Sequence[Number], Sequence[Number]],
    sizes: Sequence[int],
    step_size: float,
) -> tuple[Float[Tensor, "*row outcome"], Float[Tensor, "*row"]]:
    """The event after a step of each factor, given their β and 1/β; and the value of the old event minus its KL."""
    old, true = conditionals(log_q, sizes), conditionals(log_p, sizes)
    x, new = x.unflatten(-1, tuple(sizes)), []
    for i in reversed(range(len(sizes))):
        beta, weight = (aligned(each[i], i + 1) for each in betas)
        new.append(_stepped(old[i], true[i], x, beta, step_size))
        x = expect(old[i], x - _times(weight, relative(old[i], true[i])))
    return joint(new[::-1]), x


def _stepped(
    log_q: Float[Tensor, "*row outcome"],
    log_p: Float[Tensor, "*row outcome"],
    x: Float[Tensor, "*row outcome"],
    beta: Number,
    step_size: float,
) -> Float[Tensor, "*row outcome"]:
    """q^(1−η) (p exp βx)^η, normalised. A row of forbidden outcomes stays as it was."""
    none = torch.full_like(log_q, -torch.inf)  # for such outcomes, where 0·(−inf) would be nan
    # A full step discards the old probabilities: 0^0 = 1.
    possible, kept = (log_p > -torch.inf, 0.0) if step_size == 1.0 else (log_q > -torch.inf, (1.0 - step_size) * log_q)
    gain = torch.where(possible, _times(beta, x), none)
    highest = gain.amax(-1, keepdim=True)
    gain = torch.where(highest == torch.inf, torch.where(gain == torch.inf, 0.0, none), gain)  # the adversarial choice
    weight = torch.where(possible, kept + step_size * (log_p + gain), none)
    is_left = (weight > -torch.inf).any(-1, keepdim=True)
    return torch.where(is_left, torch.log_softmax(weight, -1), log_q)


def _times(beta: Number, x: Tensor) -> Tensor:
    """β x, and 0 where β is 0 even if x is infinite."""
    if isinstance(beta, Tensor):
        return torch.where(beta == 0, 0.0, beta * torch.where((beta == 0) & ~x.isfinite(), 0.0, x))
    return torch.zeros_like(x) if beta == 0 else beta * x


def _continuations(
    blocks: Blocks, discount: float
) -> tuple[Float[Tensor, "time state 2"], Float[Tensor, "time state 2"]]:
    """Log-probabilities of surviving and of ending, by the state that a step leads to: the model's and the guide's."""
    truth = blocks.log_policy.new_tensor([discount, 1.0 - discount]).log().expand(*blocks.log_policy.shape[:2], 2)
    if blocks.log_survival is None:
        return truth, truth
    return truth, torch.stack((blocks.log_survival, torch.log1p(-blocks.log_survival.exp())), -1)

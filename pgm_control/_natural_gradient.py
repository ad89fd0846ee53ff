"""The natural gradient of the ELBO: for tables of log-probabilities it is the advantage."""

import torch
from jaxtyping import Float
from torch import Tensor

from ._blocks import Blocks, MarkovModel
from ._elbo import expect, relative, values_to_go


@torch.no_grad()
def improved(model: MarkovModel, blocks: Blocks, step_size: float) -> tuple[Blocks, float]:
    r"""The blocks after one step along the natural gradient of the ELBO, by one backward sweep.

    With the ELBO-to-go $W_t$ of the old blocks (the recursion of `elbo`), in nats,

    $$x_t(s,a,k) = \tfrac{r}{\tau} + \gamma W_{t+1}(s'), \qquad
        G_t(s,a) = \sum_k q_t(k) \bigl(x_t - \log\tfrac{q_t(k)}{p(k)}\bigr)$$

    a step of size η makes

    $$\pi_t \propto \pi_t^{1-\eta} (\rho\, e^{G_t})^\eta, \qquad q_t(k) \propto q_t(k)^{1-\eta} (p(k)\, e^{x_t})^\eta,
        \qquad q(s_0) \propto q(s_0)^{1-\eta} (p(s_0)\, e^{W_0})^\eta$$

    The Fisher information of a row of a softmax, weighed by how often the row is visited, cancels the visits in the
    gradient. What is left is the advantage, $G_t - \log \pi_t/\rho$ less its mean, also where the guide never comes.
    The step is mirror descent: for any η in (0, 1] no state's ELBO-to-go falls. η = 1 is soft policy iteration. It is
    exact after T steps where the dice are clamped and 2T + 1 where they are free, since from the last turn back to the
    first the dice settle, then the policy; it is near long before. A freed survival steps likewise, its KL paid by x.

    Args:
        model: what is true, with its rewards.
        blocks: the guide as it is. A face of probability zero stays impossible. All blocks are stepped: a guide takes
            those that it may change.
        step_size: η in (0, 1].

    Returns:
        The new blocks, and the ELBO of the old ones, in nats. A row of which every face is forbidden stays as it was.

    References:
        [kakade2001], [haarnoja2018], [geist2019]
    """
    mdp, prior = model.mdp, model.blocks()
    reward = mdp.reward / model.temperature
    truth, fate = _fates(blocks, mdp.discount)
    choice, start = relative(blocks.log_policy, prior.log_policy), relative(blocks.log_initial, prior.log_initial)
    ahead, gain = values_to_go(model, blocks)
    after = torch.stack((ahead[1:], torch.zeros_like(ahead[1:])), -1)  # living on, or ending with nothing
    lived = expect(fate, after - relative(fate, truth))
    new = Blocks(
        _stepped(blocks.log_initial, prior.log_initial, ahead[0], step_size),
        _stepped(blocks.log_policy, prior.log_policy, gain + choice, step_size),
        _stepped(blocks.log_dynamics, prior.log_dynamics, reward + lived[:, mdp.successor], step_size),
        None if blocks.log_survival is None else _stepped(fate, truth, after, step_size)[..., 0],
    )
    return new, float(expect(blocks.log_initial, ahead[0] - start))


def _stepped(
    log_q: Float[Tensor, "*row face"],
    log_p: Float[Tensor, "*row face"],
    x: Float[Tensor, "*row face"],
    step_size: float,
) -> Float[Tensor, "*row face"]:
    """q^(1−η) (p exp x)^η, normalised. An impossible face stays so, and a row of forbidden ones stays as it was."""
    none = torch.full_like(log_q, -torch.inf)  # for such faces, where 0·(−inf) would be nan
    weight = torch.where(log_q > -torch.inf, (1.0 - step_size) * log_q + step_size * (log_p + x), none)
    is_left = (weight > -torch.inf).any(-1, keepdim=True)
    return torch.where(is_left, torch.log_softmax(weight, -1), log_q)


def _fates(blocks: Blocks, discount: float) -> tuple[Float[Tensor, "time state 2"], Float[Tensor, "time state 2"]]:
    """Log-probabilities of living on and of ending, by the state that a step leads to: the model's and the guide's."""
    truth = blocks.log_policy.new_tensor([discount, 1.0 - discount]).log().expand(*blocks.log_policy.shape[:2], 2)
    if blocks.log_survival is None:
        return truth, truth
    return truth, torch.stack((blocks.log_survival, torch.log1p(-blocks.log_survival.exp())), -1)

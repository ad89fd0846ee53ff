r"""The exact auxiliary bound of a guide with a discrete latent variable, by one sweep over (s, z).

Sources:
    [agakov2004] F. V. Agakov and D. Barber, An auxiliary variational method. Neural Information Processing, 2004.
    [ranganath2016] R. Ranganath, D. Tran and D. M. Blei, Hierarchical variational models. International Conference on
        Machine Learning, 2016. arXiv:1511.02386
"""

import torch
from jaxtyping import Float
from torch import Tensor

from ...chance.log_space import expect, relative, weighted
from ...problems.timed import at_time
from ...trajectories.action_measure import log_measure
from ...trajectories.blocks import MarkovModel, require_model
from ...trajectories.remembered import prior_of
from ...trajectories.steps import last_worth, log_likelihood, temperature_at
from .latent_blocks import LatentBlocks

Reverse = Float[Tensor, "time state action outcome later latent"]


def auxiliary_elbo(model: MarkovModel, blocks: LatentBlocks, log_reverse: Reverse | None = None) -> Float[Tensor, ""]:
    r"""The exact auxiliary bound with a reverse model that factorises along time, in nats.

    $$E_q\Bigl[\log \tilde p(\tau) - \log q(\tau, z) + \sum_t \log r_t(z_t \mid z_{t+1}, s_t, a_t, k_t)\Bigr]$$

    It is at most the marginal ELBO $E_q[\log \tilde p(\tau) - \log q(\tau)]$: by the KL of $q(z \mid \tau)$ from r,
    which is 0 only if z given the trajectory depends on the past through s_t and z_t alone. The outcome k_t determines
    s_{t+1}; for dynamics that do not depend on z it says no more about z_t than s_{t+1} does.

    Args:
        model: the tabular model.
        blocks: the factors of the guide.
        log_reverse: log r by time, s_t, a_t, k_t, z_{t+1} and z_t, normalised over z_t; the index Z of z_{t+1} is that
            there is none, after the last action or the end of the episode. Default: the best, `best_reverse(blocks)`.

    Raises:
        InvalidArgument: if the model is not tabular, or at temperature 0.

    References:
        [agakov2004], [ranganath2016]
    """
    require_model(model, in_nats=True, timed=True)
    prior, mdp = prior_of(model), model.mdp
    paid, measure, target = log_likelihood(model), log_measure(model, prior), mdp.successor.long()
    here = blocks.log_initial.exp()[:, None] * blocks.log_first.exp()
    start = expect(blocks.log_initial, relative(blocks.log_initial, prior.log_initial))
    total, joint = -start - weighted(here, blocks.log_first).sum(), here.new_zeros(*target.shape, blocks.num_latents)
    for t in range(mdp.horizon):
        joint = blocks.joint(t, here)
        policy = relative(blocks.log_policy[t], measure[t][:, None])[..., None]
        dynamics = relative(blocks.log_dynamics[t], prior.log_dynamics[t][:, None])
        gain = at_time(paid, t, 3)[..., None] - (policy + dynamics).movedim(1, -1)
        joined = blocks.joined(t, joint)
        log_r = conditional(joined) if log_reverse is None else log_reverse[t]
        total = total + weighted(joint, gain).sum() + weighted(joined.transpose(-1, -2), log_r).sum()
        if t + 1 < mdp.horizon:
            total = total - weighted(joined[..., :-1], blocks.log_next[t][target]).sum()
        here = blocks.arrived(joined)
    last = last_worth(model) / temperature_at(model, mdp.horizon)
    return total + mdp.discount * weighted(joint.sum(-1), last[target]).sum()


@torch.no_grad()
def best_reverse(blocks: LatentBlocks) -> Reverse:
    r"""The reverse model with the largest auxiliary bound, $\log q(z_t \mid z_{t+1}, s_t, a_t, k_t)$, in nats.

    It is the best one for every model. The derivative of the bound by the guide is therefore the same whether r is held
    fixed or follows the guide. Rows of probability 0 are uniform.
    """
    here, found = blocks.log_initial.exp()[:, None] * blocks.log_first.exp(), []
    for t in range(blocks.mdp.horizon):
        joined = blocks.joined(t, blocks.joint(t, here))
        found.append(conditional(joined))
        here = blocks.arrived(joined)
    return torch.stack(found)


def conditional(
    joined: Float[Tensor, "state action outcome latent later"],
) -> Float[Tensor, "state action outcome later latent"]:
    """The log-probabilities of the latent variable given everything else, held fixed; uniform in rows without mass."""
    joined = joined.detach().transpose(-1, -2)
    total = joined.sum(-1, keepdim=True)
    return torch.where(total > 0, joined / torch.where(total > 0, total, 1.0), 1.0 / joined.shape[-1]).log()

r"""The exact auxiliary bound of a guide with a discrete latent variable, by one sweep over (s, z).

Sources:
    [agakov2004] F. V. Agakov and D. Barber, An auxiliary variational method. Neural Information Processing, Lecture
        Notes in Computer Science 3316, pages 561–566, 2004. doi:10.1007/978-3-540-30499-9_86
    [ranganath2016] R. Ranganath, D. Tran and D. M. Blei, Hierarchical variational models. International Conference on
        Machine Learning, pages 324–333, 2016. arXiv:1511.02386
"""

import torch
from jaxtyping import Float
from torch import Tensor

from ...chance.log_space import expect, relative, weighted
from ...errors import InvalidArgument
from ...problems.timed import at_time
from ...runtime.arguments import shown
from ...trajectories.action_measure import log_measure
from ...trajectories.blocks import MarkovModel, require_model
from ...trajectories.remembered import prior_of
from ...trajectories.steps import last_worth, log_likelihood, temperature_at
from .latent_blocks import HasLatentBlocks, latent_blocks_of

Reverse = Float[Tensor, "time state action outcome later latent"]


def auxiliary_elbo(model: MarkovModel, guide: HasLatentBlocks, log_reverse: Reverse | None = None) -> Float[Tensor, ""]:
    r"""The exact auxiliary bound with a reverse model that factorises along time, in nats.

    $$E_q\Bigl[\log \tilde p(\tau) - \log q(\tau, z) + \sum_t \log r_t(z_t \mid z_{t+1}, s_t, a_t, k_t)\Bigr]$$

    It is at most the marginal ELBO $E_q[\log \tilde p(\tau) - \log q(\tau)]$: by the KL of $q(z \mid \tau)$ from r,
    which is 0 only if z given the trajectory depends on the past through s_t and z_t alone. The outcome k_t determines
    s_{t+1}; for dynamics that do not depend on z it says no more about z_t than s_{t+1} does.

    Args:
        model: the tabular model.
        guide: a guide with a latent variable at each step, such as `OptionGuide`.
        log_reverse: log r by time, s_t, a_t, k_t, z_{t+1} and z_t, normalised over z_t; the index Z of z_{t+1} is that
            there is none, after the last action or the end of the episode. Default: the best, `best_reverse(guide)`.

    Raises:
        InvalidArgument: if the model is not tabular, at temperature 0, or if `log_reverse` has another shape.
        InvalidGuide: if the factors of the guide are not normalised, or do not fit the model.

    References:
        [agakov2004], [ranganath2016]
    """
    require_model(model, in_nats=True, timed=True)
    prior, mdp = prior_of(model), model.mdp
    blocks = latent_blocks_of(guide, mdp)
    due = mdp.horizon, *mdp.successor.shape, blocks.num_latents + 1, blocks.num_latents
    if log_reverse is not None and (not isinstance(log_reverse, Tensor) or log_reverse.shape != due):
        raise InvalidArgument(
            f"`log_reverse` must be a tensor of shape {due}, as best_reverse(guide) returns it, but is "
            f"{shown(log_reverse)}."
        )
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
def best_reverse(guide: HasLatentBlocks) -> Reverse:
    r"""The reverse model with the largest auxiliary bound, $\log q(z_t \mid z_{t+1}, s_t, a_t, k_t)$, in nats.

    It is the best one for every model. The derivative of the bound by the guide is therefore the same whether r is held
    fixed or follows the guide. Rows of probability 0 are uniform.

    Raises:
        InvalidGuide: if the factors of the guide are not normalised.
    """
    blocks = latent_blocks_of(guide)
    each = enumerate(blocks.marginals())
    return torch.stack([conditional(blocks.joined(t, blocks.joint(t, here))) for t, here in each])


def conditional(
    joined: Float[Tensor, "state action outcome latent later"],
) -> Float[Tensor, "state action outcome later latent"]:
    """The log-probabilities of the latent variable given everything else, held fixed; uniform in rows without mass."""
    joined = joined.detach().transpose(-1, -2)
    total = joined.sum(-1, keepdim=True)
    return torch.where(total > 0, joined / torch.where(total > 0, total, 1.0), 1.0 / joined.shape[-1]).log()

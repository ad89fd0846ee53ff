"""Exact inference by backward messages, for any optimism."""

import torch

from ._blocks import Blocks, MarkovModel
from ._errors import InvalidArgument
from ._operators import certainty_equivalent, tilt
from ._optimism import Optimism
from ._posterior import Posterior


def infer(model: MarkovModel, optimism: float | Optimism = 1.0) -> Posterior:
    r"""The exact optimum of the objective $J_\beta$, by one backward sweep of log-space messages.

    $$J_\beta(q) = E_q\Bigl[\sum_t \tfrac{r_t}{\tau} - \log\tfrac{\pi_t}{\rho}
        - \tfrac1\beta \log\tfrac{q_t(k)}{p(k)}\Bigr] - \tfrac1{\beta_0} KL(q(s_0) \| p(s_0))$$

    $$Q_t(s,a) = L_\beta[r + \gamma V_{t+1}(s')], \qquad V_t(s) = \tau \log \sum_a \rho(a \mid s) \exp(Q_t(s,a)/\tau)$$

    with $L_\beta[x] = (\tau/\beta) \log \sum_k p(k) \exp(\beta x_k/\tau)$ and $V_T$ the final reward. β = 1 is
    sum-product message passing, the exact posterior given that every step was optimal; β = 0 is soft value iteration,
    the max-ent policy; β < 0 plans against the dice.

    Args:
        model: a tabular model, such as `TabularModel(mdp, temperature)`. Its temperature may be 0 if no block has any
            optimism: then this is hard value iteration.
        optimism: β of the start and the dynamics, or an `Optimism` with one number a block.

    Returns:
        The optimal distribution over trajectories with its values, in reward units, and its objective, in nats.

    Raises:
        InvalidArgument: if the temperature is 0 and a block is not clamped.

    References:
        [levine2018], [ziebart2010], [howard1972]
    """
    beta = Optimism.of(optimism)
    mdp, temperature = model.mdp, model.temperature
    if temperature == 0 and beta != Optimism(0.0, 0.0, 0.0):
        raise InvalidArgument(
            f"`optimism` must be 0 when the model's temperature is 0, but is {optimism}. With temperature 0 only hard "
            "value iteration is defined: pass optimism=0, or a positive temperature."
        )
    log_p, log_prior, log_start = mdp.probability.log(), model.action_prior.log(), mdp.initial.log()
    steps = mdp.horizon
    q = torch.empty((steps, *log_prior.shape), dtype=log_p.dtype, device=log_p.device)
    v = q.new_zeros(steps + 1, mdp.num_states)
    if mdp.final_reward is not None:
        v[steps] = mdp.final_reward
    log_policy = torch.empty_like(q)
    log_dynamics = log_p.expand(steps, *log_p.shape) if beta.dynamics == 0 else q.new_empty(steps, *log_p.shape)
    survival = q.new_tensor([mdp.discount, 1.0 - mdp.discount]).log()  # faces: live on, or end with nothing
    frees_survival = mdp.discount < 1 and beta.survival != 0
    log_survival = q.new_empty(steps, mdp.num_states) if frees_survival else None
    for t in reversed(range(steps)):
        fate = torch.stack((v[t + 1], torch.zeros_like(v[t + 1])), -1)
        ahead = certainty_equivalent(fate, survival.expand_as(fate), temperature, beta.survival)
        if log_survival is not None:
            log_survival[t] = tilt(fate, survival.expand_as(fate), temperature, beta.survival)[..., 0]
        x = mdp.reward + ahead[mdp.successor]
        q[t] = certainty_equivalent(x, log_p, temperature, beta.dynamics)
        v[t] = certainty_equivalent(q[t], log_prior, temperature, 1.0)
        log_policy[t] = tilt(q[t], log_prior, temperature, 1.0)
        if beta.dynamics != 0:
            log_dynamics[t] = tilt(x, log_p, temperature, beta.dynamics)
    return Posterior(
        model=model,
        optimism=beta,
        q=q,
        v=v,
        value=float(certainty_equivalent(v[0], log_start, temperature, beta.initial)),
        factors=Blocks(tilt(v[0], log_start, temperature, beta.initial), log_policy, log_dynamics, log_survival),
    )

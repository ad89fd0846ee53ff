"""Exact inference by backward messages, for any optimism.

Sources:
    [howard1972] R. A. Howard and J. E. Matheson, Risk-sensitive Markov decision processes. Management Science
        18(7):356–369, 1972. doi:10.1287/mnsc.18.7.356
    [levine2018] S. Levine, Reinforcement learning and control as probabilistic inference: tutorial and review. 2018.
        arXiv:1805.00909
    [ziebart2010] B. D. Ziebart, Modeling purposeful adaptive behavior with the principle of maximum causal entropy.
        Carnegie Mellon University, 2010.
"""

import sys

import torch

from ...chance.optimism import Optimism, OptimismLike
from ...errors import InvalidArgument
from ...trajectories.blocks import Blocks, MarkovModel, require_model
from .messages import backward_messages
from .posterior import Posterior


def infer(model: MarkovModel, optimism: OptimismLike) -> Posterior:
    r"""The exact optimum of the objective $J_\beta$, by one backward sweep of log-space messages.

    $$J_\beta(q) = E_q\Bigl[\sum_t \tfrac{r_t}{\tau} - \log\tfrac{\pi_t}{\rho}
        - \tfrac1\beta \log\tfrac{q_t(k)}{p(k)}\Bigr] - \tfrac1{\beta_0} KL(q(s_0) \| p(s_0))$$

    $$Q_t(s,a) = L_\beta[r + \gamma V_{t+1}(s')], \qquad V_t(s) = \tau \log \sum_a \rho(a \mid s) \exp(Q_t(s,a)/\tau)$$

    with $L_\beta[x] = (\tau/\beta) \log \sum_k p(k) \exp(\beta x_k/\tau)$ and $V_T$ the final reward. 1/β is the price
    of a nat of change of a block. β = 1 is sum-product message passing, the exact posterior given that every step was
    optimal; β = 0 is soft value iteration, the max-ent policy; β < 0 plans against adversarial dynamics.

    Args:
        model: a tabular model, such as `TabularModel(mdp, temperature)`. Temperature 0 is the hard maximum over
            actions: hard value iteration, or with a `Risk` risk-sensitive control [howard1972].
        optimism: β of the start and the dynamics; a `Risk`, which stands for β = θτ and is the only choice but 0 at
            temperature 0; or an `Optimism`: one of these per block, or several within a block, by state, by state and
            action, by time, by factor.

    Returns:
        The optimal distribution over trajectories with its values, in reward units, and its objective, in nats, which
        is None at temperature 0.

    Raises:
        InvalidArgument: if the temperature is 0 and a β is neither 0 nor a `Risk`; if values overflow; if parts of
            `optimism` do not fit the model.

    References:
        [levine2018], [ziebart2010], [howard1972]
    """
    require_model(model)
    beta = Optimism.of(optimism)
    mdp, temperature = model.mdp, model.temperature
    found = backward_messages(model, beta)
    # 1/τ overflows for the smallest τ, which the compiled loops do not detect
    wider = "" if mdp.probability.dtype == torch.float64 else ", or use mdp.to(dtype=torch.float64)"
    if 0 < temperature < 1 / sys.float_info.max or not (found.v < torch.inf).all():
        raise InvalidArgument(
            f"`model` has rewards that, divided by its temperature {temperature:g} or times the optimism {optimism}, "
            f"exceed the range of {mdp.probability.dtype}. Raise the temperature, or scale the rewards{wider}."
        )
    return Posterior(
        model=model,
        optimism=beta,
        q=found.q,
        v=found.v,
        value=found.value,
        distribution=Blocks(mdp, found.log_initial, found.log_policy, found.log_dynamics, found.log_survival),
    )

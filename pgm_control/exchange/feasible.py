"""The action prior that excludes infeasible actions."""

import torch
from jaxtyping import Float
from torch import Tensor

from ..problems.mdp import TabularMDP, require_mdp


def feasible_prior(mdp: TabularMDP) -> Float[Tensor, "state action"]:
    r"""Return the uniform action prior over the feasible actions, those with an outcome that is not forbidden.

    $$\rho(a \mid s) = \frac{[a \in A(s)]}{|A(s)|}$$

    Layouts with sets of feasible actions, such as QuantEcon's, become problems in which all other actions are forbidden
    by a reward of −inf. The uniform prior over all A actions gives the forbidden ones a share, which costs
    log(A / |A(s)|) nats in s and therefore shifts the soft values of states against each other. This prior does not. At
    temperature 0 both priors give the same values.

        model = TabularModel(mdp, temperature=1.0, action_prior=feasible_prior(mdp))

    Args:
        mdp: the problem.

    Returns:
        Probabilities; uniform over all actions in states without a feasible action.
    """
    require_mdp("mdp", mdp)
    exists = ((mdp.probability > 0) & (mdp.reward > -torch.inf)).any(-1).to(mdp.probability.dtype)
    exists = torch.where(exists.sum(-1, keepdim=True) > 0, exists, torch.ones_like(exists))
    return exists / exists.sum(-1, keepdim=True)

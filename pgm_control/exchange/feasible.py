"""Actions that are not there: the prior that leaves them out."""

import torch
from jaxtyping import Float
from torch import Tensor

from ..problems.mdp import TabularMDP


def feasible_prior(mdp: TabularMDP) -> Float[Tensor, "state action"]:
    r"""The uniform action prior over the actions that exist in a state, those with an outcome that is not forbidden.

    $$\rho(a \mid s) = \frac{[a \in A(s)]}{|A(s)|}$$

    Layouts with sets of feasible actions, such as QuantEcon's, become problems in which all others are forbidden by a
    reward of −inf. Under the uniform prior over all A actions a forbidden one keeps its share of the prior, which
    costs log(A / |A(s)|) nats in s and so shifts the soft values of states against each other; this prior does not. At
    temperature 0 both give the same.

        model = TabularModel(mdp, temperature=1.0, action_prior=feasible_prior(mdp))

    Args:
        mdp: the problem.

    Returns:
        Probabilities; uniform over all actions where none is feasible.
    """
    exists = ((mdp.probability > 0) & (mdp.reward > -torch.inf)).any(-1).to(mdp.probability.dtype)
    exists = torch.where(exists.sum(-1, keepdim=True) > 0, exists, torch.ones_like(exists))
    return exists / exists.sum(-1, keepdim=True)

"""The action prior that excludes infeasible actions.

Sources:
    [ziebart2008] B. D. Ziebart et al., Maximum entropy inverse reinforcement learning. AAAI Conference on Artificial
        Intelligence, pages 1433–1438, 2008.
"""

from jaxtyping import Float
from torch import Tensor

from ..problems.feasible import counting_measure
from ..problems.mdp import TabularMDP, require_mdp


def feasible_prior(mdp: TabularMDP) -> Float[Tensor, "state action"]:
    r"""Return the uniform action prior over the feasible actions, those with an outcome that is not forbidden.

    $$\rho(a \mid s) = \frac{[a \in A(s)]}{|A(s)|}$$

    Layouts with sets of feasible actions, such as QuantEcon's, become problems in which all other actions are forbidden
    by a reward of −inf. The action prior decides how the numbers of actions of the states are compared; at temperature
    0 it makes no difference.

    | `action_prior` | weight of a path besides exp(Σ r/τ) |
    |---|---|
    | `"count"` | 1: the maximum entropy of the literature, over actions or, with free dynamics, over paths |
    | None | 1/A for each step: the same distributions as `"count"`; values are lower by τ log A for each step |
    | `feasible_prior(mdp)` | Π 1/\|A(s)\|: paths with few alternatives weigh more (label bias [ziebart2008]) |

    With rewards of 0 all policies of this prior are uniform: where one path leads through A alone and two more branch
    off at C, the paths have ½, ¼ and ¼, and `"count"` gives ⅓ to each.

        model = TabularModel(mdp, temperature=1.0, action_prior=feasible_prior(mdp))

    Args:
        mdp: the problem.

    Returns:
        Probabilities; uniform over all actions in states without a feasible action.

    References:
        [ziebart2008]
    """
    require_mdp("mdp", mdp)
    counts = counting_measure(mdp)
    return counts / counts.sum(-1, keepdim=True)

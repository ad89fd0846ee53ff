r"""The action prior as a measure: probabilities, or with the prior "count" the number 1 for each action of A(s).

A measure is its probabilities times its mass, $\rho(a \mid s) = \bar\rho(a \mid s)\, e^{m(s)}$. Programs draw from the
probabilities and add the factor $m(s)$ in each step: $m = 0$ for probabilities, and $m(s) = \log |A(s)|$ for counts.
"""

from jaxtyping import Float
from torch import Tensor

from ..chance import log_space
from .blocks import Blocks, MarkovModel


def log_mass(model: MarkovModel) -> Float[Tensor, "*time state"]:
    r"""$\log \sum_a \rho(a \mid s)$, in nats: 0 for a prior of probabilities, $\log |A(s)|$ for one that counts."""
    return log_space.log_mass(model.action_prior)


def log_measure(model: MarkovModel, prior: Blocks) -> Float[Tensor, "time state action"]:
    r"""$\log \rho(a \mid s)$ at each step, in nats, for the ratio $\pi_t / \rho$; `prior` is `model.blocks()`."""
    mass = log_mass(model)
    return prior.log_policy + mass[..., None] if bool(mass.any()) else prior.log_policy


def counts_actions(model: MarkovModel) -> bool:
    """True if the action prior counts actions, so that log p(O) is a log partition function."""
    return bool(log_mass(model).any())


def evidence_name(model: MarkovModel) -> str:
    """The name of log p(O) in tables and sentences."""
    return "log partition function" if counts_actions(model) else "log p(O)"

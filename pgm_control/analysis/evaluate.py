"""Exact evaluation: the return that a guide imagines, and the return of its policy in the true world."""

import math
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..chance.log_space import expect, weighted
from ..chance.optimism import Optimism, OptimismLike
from ..errors import InvalidArgument
from ..inference.variational.elbo import elbo, objective_of
from ..problems.mdp import TabularMDP
from ..trajectories.betas import Betas
from ..trajectories.blocks import Blocks, HasBlocks, MarkovModel, require_model
from ..trajectories.policy import TabularPolicy
from ..trajectories.samples import Occupancy
from ..trajectories.tabulate import tabulate
from .clamped import leaves_the_model


@final
@dataclass(frozen=True)
class Evaluation:
    """The exact evaluation of a guide or a policy.

    Attributes:
        elbo: the guide's ELBO, in nats.
        imagined_return: $E_q[Σ_t γ^t r_t]$, the return under the guide's own start and dynamics, in reward units; it
            includes the final reward.
        true_return: the same for its policy in the true world, $E_{p, π}[Σ_t γ^t r_t]$.
        policy_entropy: the entropy of the policy, summed over the steps of true trajectories, in nats.
    """

    elbo: float
    imagined_return: float
    true_return: float
    policy_entropy: float

    @property
    def delusion(self) -> float:
        """Imagined minus true return, in reward units; 0 if they are equal, even if both are −inf."""
        equal = self.imagined_return == self.true_return
        return 0.0 if equal else self.imagined_return - self.true_return


def evaluate(
    model: MarkovModel,
    guide: HasBlocks | TabularPolicy | Float[Tensor, "..."] | Float[np.ndarray, "..."],
) -> Evaluation:
    """Evaluate a guide, a posterior or a bare policy exactly, by forward sweeps.

    Args:
        model: the tabular model, which defines the true world.
        guide: anything with `blocks()`, or a policy: a `TabularPolicy` or probabilities of shape
            (time, state, action) or (state, action). A bare policy comes with the true start and dynamics, so its
            delusion is 0.

    Raises:
        InvalidGuide: if the factors do not fit the model or are not log-probabilities.
        InvalidArgument: if the temperature is 0, where the ELBO is not defined.
    """
    require_model(model, in_nats=True)
    with torch.no_grad():
        believed = tabulate(model, guide)
        visits = _true_visits(model.mdp, believed.log_policy)
        entropy = -expect(believed.log_policy, believed.log_policy)
        return Evaluation(
            true_return=_expected_return(model.mdp, visits),
            imagined_return=_expected_return(model.mdp, believed.marginals()),
            policy_entropy=float((visits.state[:-1] * entropy).sum()),
            elbo=float(elbo(model, believed)),
        )


def true_return(mdp: TabularMDP, log_policy: Float[Tensor, "time state action"]) -> float:
    """The return of a policy in this MDP, $E_{p, π}[Σ_t γ^t r_t]$, in reward units."""
    return _expected_return(mdp, _true_visits(mdp, log_policy))


def _true_visits(mdp: TabularMDP, log_policy: Float[Tensor, "time state action"]) -> Occupancy:
    log_p = mdp.probability.log()
    return Blocks(mdp, mdp.initial.log(), log_policy, log_p.expand(mdp.horizon, *log_p.shape)).marginals()


def objective(model: MarkovModel, guide: HasBlocks, optimism: OptimismLike | None = None) -> float:
    r"""The exact objective $J_\beta$ of a guide, in nats; `infer(model, optimism)` maximises it.

    Args:
        model: the tabular model.
        guide: anything with `blocks()`.
        optimism: β, a number or an `Optimism` (default: the guide's own). A block with β = 0 must be the model's:
            otherwise the objective is −inf.

    Raises:
        InvalidArgument: if the guide has no attribute `optimism` and none is given.
        InvalidGuide: if the guide does not fit the model.
    """
    require_model(model, in_nats=True)
    given = getattr(guide, "optimism", None) if optimism is None else optimism
    if given is None:
        raise InvalidArgument(
            f"`optimism` must be given, because {type(guide).__name__} does not define its own. 1.0 gives the ELBO."
        )
    beta = Optimism.of(given)
    with torch.no_grad():
        blocks, weights = tabulate(model, guide), Betas.of(model.mdp, beta, model.temperature).weights()
        if leaves_the_model(model.mdp, blocks, model.blocks(), weights):
            return -math.inf
        return float(objective_of(model, blocks, beta))


def _expected_return(mdp: TabularMDP, visits: Occupancy) -> float:
    """The expected return: the sum of probability times reward; outcomes of probability 0 add 0."""
    total = float(weighted(visits.outcome, mdp.reward).sum())
    if mdp.final_reward is None:
        return total
    return total + float(weighted(visits.state[-1], mdp.final_reward).sum())

"""Values without a horizon of an agent that may change its survival.

Sources:
    [levine2018] S. Levine, Reinforcement learning and control as probabilistic inference: tutorial and review. 2018.
        arXiv:1805.00909
    [todorov2007] E. Todorov, Linearly-solvable Markov decision problems. Advances in Neural Information Processing
        Systems 19:1369–1376, 2007.
"""

import math
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from ...chance.log_space import split_mass
from ...chance.operators import certainty_equivalent
from ...errors import InvalidArgument
from ...runtime.arguments import positive, whole
from ...runtime.loop import Loop
from ...runtime.progress import Progress, silent
from ...runtime.status import Status
from ...trajectories.blocks import MarkovModel, require_model
from .average_reward import GainStatus
from .growth_rate import growth_rate


class SurvivalStatus(Status):
    """Whether the values have a limit."""

    bounded = "The values converge: in the long run each step costs more than surviving it can earn."
    unbounded = (
        "The values grow without bound: from some state the rewards of a step outweigh the risk of terminating in it, "
        "so an agent that may change its survival never terminates. Clamp it, `Optimism(survival=0)`, or lower the "
        "rewards."
    )
    out_of_steps = "The values have a limit but had not converged: the growth is too close to 0. Raise `tolerance`."
    interrupted = "Interrupted by Ctrl-C: `growth` is final, but the values had not converged."


@final
@dataclass(frozen=True, eq=False, repr=False)
class FreedSurvival:
    """The result of exact inference without a horizon with every block free, including survival.

    Attributes:
        v: the limit of $V_0$ as the horizon grows, in reward units; +inf where there is none.
        growth: the growth per step of the log evidence of never terminating, from each state, in nats. The values have
            a limit where it is negative.
        status: whether the values have a limit; `status.message` explains it.
    """

    v: Float[Tensor, " state"]
    growth: Float[Tensor, " state"]
    status: SurvivalStatus

    def __repr__(self) -> str:
        """A line with the fastest growth and the message."""
        return f"FreedSurvival(growth at most {float(self.growth.max()):.6g} nats per step. {self.status.message})"


def freed_survival(
    model: MarkovModel,
    tolerance: float = 1e-10,
    *,
    max_sweeps: int = 100_000,
    progress: Progress = silent,
) -> FreedSurvival:
    r"""The values without a horizon of an agent that may change every block, including its survival.

    $$e^{V(s)/\tau} = \sum_a \rho(a \mid s) \sum_k p(k \mid s,a)\, e^{r/\tau}
        \bigl(\gamma\, e^{V(s')/\tau} + 1 - \gamma\bigr)$$

    The right side is linear in $e^{V/\tau}$. With the tilted operator M of `growth_rate`, a finite solution exists
    where γ times the spectral radius of M, restricted to the reachable states, is below 1. With a reward of −1 per
    step, τ = 1 and γ = .9 the agent infers that it terminates early: V = −2.90, while clamped survival gives −10. With
    a reward of .2 there is no limit.

    Args:
        model: a tabular model with a discount below 1; its horizon and final reward are ignored.
        tolerance: the largest change of a value in the last sweep, in nats.
        max_sweeps: the maximum number of sweeps.
        progress: called after every sweep with the largest change, in nats; before, with the bounds of the growth.

    Raises:
        InvalidArgument: if the discount is 1, so that survival is certain.

    References:
        [levine2018], [todorov2007]
    """
    require_model(model, in_nats=True)
    tolerance, max_sweeps = positive("tolerance", tolerance, "number of nats"), whole("max_sweeps", max_sweeps)
    mdp, tau = model.mdp, model.temperature
    if mdp.discount == 1:
        raise InvalidArgument(
            "`model` must have a discount below 1, since with 1 survival is certain and cannot be freed. "
            "TabularModel(mdp.replace(discount=0.9), temperature) has one; the growth of the evidence of this model is "
            "growth_rate(model)."
        )
    evidence = growth_rate(model, progress=progress)
    if evidence.status is GainStatus.interrupted:  # its bounds would be read as the answer
        raise KeyboardInterrupt
    growth = evidence.by_state + math.log(mdp.discount)
    endless = growth >= 0
    (log_prior, log_mass), log_p = split_mass(model.action_prior), mdp.probability.log()
    continuation = mdp.initial.new_tensor([mdp.discount, 1.0 - mdp.discount]).log()
    v = torch.zeros_like(mdp.initial)
    loop = Loop(SurvivalStatus.out_of_steps, limit=max_sweeps, progress=progress)
    with loop:
        for _ in loop:
            known = torch.where(endless, 0.0, v)  # a state that can reach one without a limit has none either
            ends = torch.stack((known, torch.zeros_like(known)), -1)
            ahead = certainty_equivalent(ends, continuation.expand_as(ends), tau, 1.0)
            q = certainty_equivalent(mdp.reward + ahead[mdp.successor], log_p, tau, 1.0)
            new = certainty_equivalent(q, log_prior, tau, 1.0) + tau * log_mass
            moved = torch.where(endless | (new == v), 0.0, (new - v).abs())
            v = new
            change = float(moved.max()) / tau
            loop.report({"change": change}, ending=SurvivalStatus.bounded if change <= tolerance else None)
    status = loop.status
    if bool(endless.any()) and status is not SurvivalStatus.interrupted:
        status = SurvivalStatus.unbounded
    return FreedSurvival(torch.where(endless, torch.inf, v), growth, status)

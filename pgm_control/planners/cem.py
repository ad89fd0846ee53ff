r"""The cross-entropy method: plans are refitted to the best ones.

Sources:
    [deboer2005] P.-T. de Boer et al., A tutorial on the cross-entropy method. Annals of Operations Research 134:19–67,
        2005. doi:10.1007/s10479-005-5724-z
"""

import math
from typing import Any, NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor

from ..chance.risk import Risk
from ..errors import InvalidArgument
from ..runtime.arguments import fraction, whole
from ..runtime.array_like import ArrayLike
from .planner import Found, Planner
from .rolling import roll_out
from .terminal import TerminalValue
from .weights import ESS, Scores, largest_noise, require_weight, score
from .worlds.world import Proposal


@final
class CEM(Planner):
    r"""The cross-entropy method [deboer2005] for plans, with the optimism as an argument.

    In each sweep K plans are drawn, M noises for each, and the proposal takes the mean and the deviation of the plans
    with the best scores $\hat L_\beta[R]$, the certainty equivalent of the M returns. It looks for the plan with the
    best score, not for a posterior: there is no entropy and no action prior but as the first proposal, and τ is the
    unit of β alone.

    Little of it depends on luck even with one draw: each sweep draws noise anew, and the mean over the best plans
    averages over their noises. So one draw is not free here, as it is for `MPPI`.

    Attributes:
        num_sweeps: the sweeps of a decision.
        elite_fraction: the share of the plans that the proposal is refitted to.

    References:
        [deboer2005]
    """

    def __init__(
        self,
        model: Any,
        *,
        optimism: float | Risk = 0.0,
        num_plans: int = 256,
        num_noise_samples: int = 16,
        horizon: int | None = None,
        temperature: float | ESS | None = None,
        terminal_value: TerminalValue | None = None,
        spread: ArrayLike | None = None,
        num_sweeps: int = 3,
        elite_fraction: float = 0.1,
        seed: int | torch.Generator | None = None,
    ) -> None:
        """Define the planner.

        Args:
            model: as in `MPPI`.
            optimism: β of the noise, or a `Risk`.
            num_plans: K, in each sweep.
            num_noise_samples: M, the draws of the noise for each plan.
            horizon: H, the steps of a plan; default: all that are left.
            temperature: τ, the unit of β; default: that of the model. An `ESS` is refused: the best plans have equal
                weights, and `elite_fraction` says how many they are.
            terminal_value: as in `MPPI`.
            spread: the deviation of the first plans by coordinate; default: as in `MPPI`.
            num_sweeps: the sweeps of a decision.
            elite_fraction: the share of the plans that the proposal is refitted to, at least two of them; of these the
                ones that are not forbidden.
            seed: an integer, a generator, or None for torch's global generator, of which one number is drawn.

        Raises:
            InvalidArgument: if an argument does not fit; the message names it.
            InvalidProblem: if the model is a batch of problems.
        """
        super().__init__(
            model, optimism, num_plans, num_noise_samples, horizon, temperature, terminal_value, spread, seed
        )
        if isinstance(self.temperature, ESS):
            raise InvalidArgument(
                "`temperature` must be a number for CEM, the unit of β, but is an ESS: the best plans have equal "
                "weights. Pass elite_fraction."
            )
        self.num_sweeps = whole("num_sweeps", num_sweeps)
        self.elite_fraction = fraction("elite_fraction", elite_fraction)

    def _proposal_temperature(self) -> float:
        """That of the model: τ is the unit of β alone."""
        return self.world.temperature

    def _search(self, t: int, state: Tensor, proposal: Proposal, steps: int) -> Found:
        """The best plans of the last sweep, with equal weights."""
        best = min(max(2, round(self.elite_fraction * self.num_plans)), self.num_plans)
        assert isinstance(self.temperature, float)
        tau = torch.full((len(state),), self.temperature, dtype=torch.float64)
        swept = self._sweep(t, state, proposal, tau, best)
        for _ in range(self.num_sweeps - 1):
            swept = self._sweep(t, state, swept.proposal, tau, best)
        size = (swept.weight > 0).double().sum(-1)
        share = largest_noise(swept.found, tau, self.optimism, swept.weight)
        steps_made = self.num_sweeps * steps * swept.plans.shape[0] * swept.plans.shape[1] * self.num_noise_samples
        return Found(
            swept.plans, swept.weight.log(), size, 1.0 / size, share, tau, torch.full_like(tau, math.nan),
            swept.proposal.centre(), steps_made,
        )  # fmt: skip

    def _sweep(self, t: int, state: Tensor, proposal: Proposal, tau: Tensor, best: int) -> "_Swept":
        plans = proposal.draw(self.num_plans)
        found = roll_out(self.world, t, state, plans, self.num_noise_samples, self.terminal_value)
        found = Scores(found.returns, self._allowed(found.log_prior))
        elite = score(found, tau, self.optimism).topk(best, -1)
        require_weight(elite.values[:, 0], t, self.num_plans)
        allowed = (~torch.isneginf(elite.values)).double()
        weight = torch.zeros(plans.shape[:2], dtype=torch.float64)
        weight = weight.scatter(-1, elite.indices, allowed / allowed.sum(-1, keepdim=True))
        return _Swept(plans, found, weight, proposal.refitted(plans, weight, True))

    @staticmethod
    def _allowed(log_prior: Tensor) -> Tensor:
        """0 for plans that the prior allows, −inf for others: its density does not count."""
        return torch.where(torch.isneginf(log_prior), log_prior, 0.0)


class _Swept(NamedTuple):
    """What a sweep finds, and the proposal of the next one."""

    plans: Tensor
    found: Scores
    weight: Float[Tensor, "episode plan"]
    proposal: Proposal

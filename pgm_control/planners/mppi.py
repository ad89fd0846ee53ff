r"""Model predictive path integral control: plans weighted by the exponential of their score.

Sources:
    [williams2017] G. Williams, A. Aldrich and E. A. Theodorou, Model predictive path integral control: from theory to
        parallel computation. Journal of Guidance, Control, and Dynamics 40(2):344–357, 2017. doi:10.2514/1.G001921
"""

import math
from typing import Any, NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor

from ..chance.risk import Risk
from ..runtime.arguments import flag, whole
from ..runtime.array_like import ArrayLike
from .planner import Found, Planner
from .rolling import roll_out
from .terminal import TerminalValue
from .weights import ESS, Scores, largest_noise, require_weight, score, temperature_for
from .worlds.world import Proposal


@final
class MPPI(Planner):
    r"""Model predictive path integral control [williams2017], with the optimism as an argument.

    K plans are drawn from a Gaussian around the plan of the step before, M noises are drawn for each, and a plan has
    the weight

    $$w \propto \exp\bigl(\hat L_\beta[R]/\tau\bigr) \cdot \rho/q, \qquad
        \hat L_\beta[R] = \tfrac\tau\beta \log \tfrac1M \sum_m e^{\beta R_m/\tau}$$

    The weighted plans approximate the optimum of $J_\beta$ among guides whose actions do not see later states. *Where
    the average over the noise stands is the dial*: with optimism 0 the returns of a plan are averaged before the
    exponential, and the planner is clamped, up to a bias of order 1/M, since the mean of M draws is the optimism 1/M.
    With `num_noise_samples=1`, the usual setting of MPPI, it is free whatever the optimism is called: it counts on the
    luck of its best draws.

        >>> from pgm_control import LinearQuadratic, LinearQuadraticModel
        >>> from pgm_control.planners import MPPI
        >>> problem = LinearQuadratic.from_cost(0.9, 0.5, 1.0, 0.2, 0.3, horizon=6, initial_mean=1.0)
        >>> planner = MPPI(LinearQuadraticModel(problem), optimism=0.0, num_plans=512, num_noise_samples=32, seed=0)
        >>> planner.act([1.0]).shape
        torch.Size([1])

    Attributes:
        num_sweeps: how often plans are drawn for one decision.
        adapts_spread: whether a sweep takes the deviation of the weighted plans, and not only their mean.

    References:
        [williams2017]
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
        num_sweeps: int = 1,
        adapts_spread: bool = False,
        seed: int | torch.Generator | None = None,
    ) -> None:
        """Define the planner.

        Args:
            model: a `LinearQuadraticModel` of one problem, a `PlanarModel`, a `LineModel`, a `ContinuousModel`, a
                `TabularModel`, or a `Simulator`.
            optimism: β of the noise: 1 free, 0 clamped, below 0 robust; or a `Risk`.
            num_plans: K.
            num_noise_samples: M, the draws of the noise for each plan. Deterministic dynamics need one.
            horizon: H, the steps of a plan; default: all that are left.
            temperature: τ, in reward units per nat; default: that of the model. `ESS(0.3)` solves it for an effective
                sample size of 30 % of the plans at each decision, and reports it.
            terminal_value: the value of the states after the last step of a plan, in reward units, where the model goes
                on: a function of t and states (row, coordinate), or a posterior that has one, as `infer` gives it. That
                of a `GridPosterior` is constant beyond the edge of its grid, which should hold all states that plans
                reach. For a table also one value for each time 0 to T and state. Or the critic of a learner, such as
                `SAC`, whose observations are the states; it is the value of a discounted problem without end.
            spread: the deviation of the first plans around their mean, by coordinate; default: that of the action
                prior, and for Lebesgue measure that of exp(r/τ) as a function of the action alone, with the τ of the
                model for an `ESS`.
            num_sweeps: the sweeps of a decision; each draws K plans around the weighted mean of the one before.
            adapts_spread: whether each sweep also takes the deviation of the weighted plans.
            seed: an integer, a generator, or None for torch's global generator, of which one number is drawn.

        Raises:
            InvalidArgument: if an argument does not fit; the message names it.
            InvalidProblem: if the model is a batch of problems.
        """
        super().__init__(
            model, optimism, num_plans, num_noise_samples, horizon, temperature, terminal_value, spread, seed
        )
        self.num_sweeps = whole("num_sweeps", num_sweeps)
        self.adapts_spread = flag("adapts_spread", adapts_spread)

    def _search(self, t: int, state: Tensor, proposal: Proposal, steps: int) -> Found:
        """The weighted plans of the last sweep."""
        swept = self._sweep(t, state, proposal, self.num_sweeps > 1)
        for left in reversed(range(self.num_sweeps - 1)):
            swept = self._sweep(t, state, swept.proposal, left > 0)
        tau, weight = swept.temperature, swept.weight
        value = tau * (swept.log_total - math.log(self.num_plans))
        share = largest_noise(swept.found, tau, self.optimism, weight)
        steps_made = self.num_sweeps * steps * swept.plans.shape[0] * swept.plans.shape[1] * self.num_noise_samples
        return Found(
            swept.plans, swept.log_weight, 1.0 / weight.square().sum(-1), weight.amax(-1), share, tau, value,
            swept.proposal.centre(), steps_made,
        )  # fmt: skip

    def _sweep(self, t: int, state: Tensor, proposal: Proposal, is_followed: bool) -> "_Swept":
        plans = proposal.draw(self.num_plans)
        log_proposal = proposal.log_density(plans).sum(-1)
        found = roll_out(self.world, t, state, plans, self.num_noise_samples, self.terminal_value)
        if isinstance(self.temperature, ESS):
            tau = temperature_for(found, log_proposal, self.optimism, self.temperature.fraction)
        else:
            tau = found.returns.new_full((len(state),), self.temperature)
        log_weight = score(found, tau, self.optimism) / tau[:, None] - log_proposal
        total = torch.logsumexp(log_weight, -1)
        require_weight(total, t, self.num_plans)
        log_weight = log_weight - total[:, None]
        weight = log_weight.exp()
        refitted = proposal.refitted(plans, weight, self.adapts_spread and is_followed)
        return _Swept(plans, found, log_weight, weight, total, tau, refitted)


class _Swept(NamedTuple):
    """What a sweep finds, and the proposal of the next one."""

    plans: Tensor
    found: Scores
    log_weight: Float[Tensor, "episode plan"]
    weight: Float[Tensor, "episode plan"]
    log_total: Float[Tensor, " episode"]
    temperature: Float[Tensor, " episode"]
    proposal: Proposal

r"""Planning by sequential Monte Carlo over states and actions, free or clamped by its weights.

Sources:
    [piche2019] A. Piché et al., Probabilistic planning with sequential Monte Carlo methods. International Conference on
        Learning Representations, 2019.
"""

import math
from collections.abc import Callable
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from ..chance.operators import certainty_equivalent
from ..chance.risk import Risk, beta_of
from ..errors import InvalidArgument
from ..inference.sampling.particles import share
from ..inference.sampling.resampling import effective_sample_size, log_mean, systematic
from ..runtime.array_like import ArrayLike
from .open_loop_breakdown import Edge
from .planner import Found, Planner
from .rolling import require_rewards, valued
from .terminal import TerminalValue
from .weights import ESS, require_weight, shares
from .worlds.simulated import SimulatorWorld
from .worlds.world import Proposal

ActionValue = Callable[[int, Tensor, Tensor], Tensor]


@final
class SMCPlanner(Planner):
    r"""Planning by sequential Monte Carlo, with the optimism as an argument.

    K particles, each a state with its first action, move on by a step, are weighted, and are resampled where fewer than
    half of them are effective. With M draws of the next state and of $x = r + V_{t+1}(s')$, a step has the weight

    $$w = \exp\bigl((\hat L_\beta[x] - V_t(s))/\tau\bigr) \cdot \rho/q, \qquad
        \hat L_\beta[x] = \tfrac\tau\beta \log \tfrac1M \sum_m e^{\beta x_m/\tau}$$

    and goes on from one of the draws, chosen with probability ∝ $e^{\beta x_m/\tau}$.

    At β = 1 and M = 1 that is $r + V' - V$ [piche2019]. Its product telescopes to exp(R/τ), so it is *free for any V*.
    At β = 0 the weight is $Q - V$ with $Q = r + E\,V'$, in which the drawn state does not occur: *clamped*, exactly so
    when V is the clamped value, up to a bias of order 1/M unless `action_value` gives Q itself. Averaging step weights
    over worlds that the particles share does not make it clamped.

    Attributes:
        threshold: the effective share of particles below which they are resampled.

    References:
        [piche2019]
    """

    def __init__(
        self,
        model: Any,
        *,
        optimism: float | Risk = 0.0,
        num_plans: int = 1024,
        num_noise_samples: int = 16,
        horizon: int | None = None,
        temperature: float | ESS | None = None,
        terminal_value: TerminalValue | None = None,
        action_value: ActionValue | None = None,
        spread: ArrayLike | None = None,
        threshold: float = 0.5,
        seed: int | torch.Generator | None = None,
    ) -> None:
        """Define the planner.

        Args:
            model: as in `MPPI`.
            optimism: β of the noise, or a `Risk`.
            num_plans: K, the particles.
            num_noise_samples: M, the draws of the next state in each step of a particle.
            horizon: H, the steps of a plan; default: all that are left.
            temperature: τ; default: that of the model. An `ESS` is refused: each step would have a τ of its own.
            terminal_value: V, the value at *all* steps, in reward units: a function of t and states, or a posterior.
                Any optimism but 1 needs it, that of `infer(model, optimism)` or an approximation of it.
            action_value: Q, a function of t, states (row, coordinate) and actions (row, coordinate) that returns reward
                units, in the place of the average over M draws; default: the average.
            spread: the deviation of the actions that are proposed; default: as in `MPPI`.
            threshold: the effective share of particles below which they are resampled; at 1 always, which leaves one
                ancestor for the first action.
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
                "`temperature` must be a number for SMCPlanner, but is an ESS, which would give each step another one."
            )
        beta = float(beta_of(self.optimism, self.temperature))
        if self.terminal_value is None and beta != 1.0:
            raise InvalidArgument(
                f"`terminal_value` must be given for the optimism {self.optimism}: without values of all steps the "
                "product of the weights is exp(R/τ), which is free. Pass infer(model, optimism), an approximation of "
                "its value, or optimism=1.0."
            )
        if isinstance(action_value, type) or not (action_value is None or callable(action_value)):
            raise InvalidArgument(
                f"`action_value` must be a function of t, states and actions that returns reward units, but is "
                f"{action_value!r}."
            )
        if action_value is not None and isinstance(self.world, SimulatorWorld):
            action_value = self.world.going_on(action_value)
        self.action_value, self.threshold = action_value, share("threshold", threshold)
        if beta != 1.0:  # a policy answers the noise, so that each step has an edge of its own
            self._edge = Edge(model, 1, terminal_value, "a policy with this `terminal_value`")

    def _search(self, t: int, state: Tensor, proposal: Proposal, steps: int) -> Found:
        """The particles after the last step, each with the actions of its ancestors."""
        episodes, count, draws = len(state), self.num_plans, self.num_noise_samples
        assert isinstance(self.temperature, float)
        tau, beta = self.temperature, float(beta_of(self.optimism, self.temperature))
        plans = proposal.draw(count)
        log_proposal = proposal.log_density(plans)
        at = state[:, None].expand(episodes, count, *state.shape[1:])
        here = self._value(t, at)
        begin = here[:, 0]
        log_weight, evidence = plans.new_zeros(episodes, count, dtype=torch.float64), begin / tau
        first = torch.arange(count).expand(episodes, count)
        line, largest, uniform = first, torch.zeros(episodes), torch.full((draws,), -math.log(draws))
        uniform = uniform.double()
        for k in range(steps):
            again = effective_sample_size(log_weight) < self.threshold * count if k > 0 else torch.zeros(episodes) > 0
            if bool(again.any()):
                evidence = evidence + torch.where(again, log_mean(log_weight), 0.0)
                line = torch.where(again[:, None], systematic(log_weight, None), torch.arange(count))
                log_weight = torch.where(again[:, None], 0.0, log_weight)
                at, here, first = _taken(at, line), _taken(here, line), _taken(first, line)
                plans[:, :, :k] = _taken(plans[:, :, :k], line)
            action = plans[:, :, k, None]
            many = at[:, :, None].expand(episodes, count, draws, *at.shape[2:])
            prior = self.world.log_prior(t + k, many[:, :, :1], action)[..., 0]
            ahead, reward = self.world.move(t + k, many, action)
            there = self._value(t + k + 1, ahead)
            x = reward + there
            require_rewards(x, t + k)
            q = (
                self._action_value(t + k, at, plans[:, :, k])
                if self.action_value is not None
                else (x[..., 0] if draws == 1 else certainty_equivalent(x, uniform, tau, beta))
            )
            tilted = shares(x, beta / tau)
            chosen = torch.multinomial(tilted.flatten(0, 1), 1).view(episodes, count, 1)
            at = ahead.gather(
                2, chosen.view(episodes, count, 1, *[1] * (ahead.ndim - 3)).expand(-1, -1, 1, *ahead.shape[3:])
            )[:, :, 0]
            lost = torch.isneginf(q) | torch.isneginf(here)
            step = torch.where(lost, -torch.inf, (q - here) / tau) + prior - log_proposal[:, :, k]
            log_weight = log_weight + step
            require_weight(torch.logsumexp(log_weight, -1), t, count)
            share_of_one = (torch.softmax(log_weight, -1) * tilted.amax(-1)).sum(-1)
            largest = torch.maximum(largest, share_of_one)
            here = there.gather(2, chosen)[..., 0]
        total = torch.logsumexp(log_weight, -1)
        weight = (log_weight - total[:, None]).exp()
        families = torch.zeros_like(weight).scatter_add(-1, first, weight)
        centre = proposal.refitted(plans, weight, False).centre()
        return Found(
            plans, log_weight - total[:, None], 1.0 / families.square().sum(-1), families.amax(-1), largest,
            weight.new_full((episodes,), tau), tau * (evidence + log_mean(log_weight)), centre,
            steps * episodes * count * draws,
        )  # fmt: skip

    def _value(self, t: int, state: Tensor) -> Tensor:
        """V_t, 0 at the end of the model, whose final reward is in that of the last step, and where none is given."""
        front = state.shape[: state.ndim - (self.world.state_axes)]
        if self.terminal_value is None or t >= self.world.horizon:
            return torch.zeros(front, dtype=torch.float64)
        return valued(self.terminal_value, t, state, front)

    def _action_value(self, t: int, state: Tensor, action: Tensor) -> Float[Tensor, "episode plan"]:
        assert self.action_value is not None
        front = state.shape[:2]
        found = self.action_value(t, state.flatten(0, 1), action.flatten(0, 1))
        if not isinstance(found, Tensor) or tuple(found.shape) != (front.numel(),) or bool(found.isnan().any()):
            raise InvalidArgument(
                f"`action_value` must return a tensor with one number for each of the {front.numel()} pairs of state "
                "and action, in reward units."
            )
        return found.detach().double().view(front)


def _taken(values: Tensor, line: Tensor) -> Tensor:
    """The values of the ancestors."""
    index = line.view(*line.shape, *[1] * (values.ndim - 2)).expand(-1, -1, *values.shape[2:])
    return values.gather(1, index)

"""The growth of the evidence with the horizon, from the communicating classes of the tilted dynamics.

Sources:
    [todorov2007] E. Todorov, Linearly-solvable Markov decision problems. Advances in Neural Information Processing
        Systems 19:1369–1376, 2007.
    [wielandt1950] H. Wielandt, Unzerlegbare, nicht negative Matrizen. Mathematische Zeitschrift 52:642–648, 1950.
        doi:10.1007/BF02230720
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...chance.optimism import Optimism
from ...kernels.backend import sweeps_for
from ...runtime.loop import Loop
from ...runtime.progress import Progress, silent
from ...trajectories.blocks import MarkovModel, require_model
from .average_reward import LAZY, GainStatus
from .believed import believed_dynamics, believed_start, reward_per_step
from .operators import sweeps as torch_sweeps
from .problem import InfiniteHorizonProblem, limits, optimal_policy


@final
@dataclass(frozen=True, eq=False, repr=False)
class GrowthRate:
    r"""The rate at which the evidence that every step was optimal grows with the horizon.

    Its posterior far from the end is stationary, the Doob transform of the tilted dynamics M of `growth_rate`:

    $$\pi(a \mid s) = \frac{\rho(a \mid s)}{\lambda(s) z(s)} \sum_k p\, e^{r/\tau} z(s'), \qquad
        q(k \mid s,a) \propto p\, e^{r/\tau} z(s'), \qquad z = \lim_n \lambda^{-n} M^n 1,$$

    where λ(s) is the exponential of `by_state`, and z(s') counts as 0 where λ(s') < λ(s). It is computed when `bias`,
    `initial`, `policy`, `dynamics`, `imagined_return`, `true_return` or `residual` are first read.

    Attributes:
        rate: lim (1/T) log p(O) from the start distribution of the MDP, in nats per step.
        by_state: the same from each state; −inf at dead ends.
        error_bound: a bound on the error of `rate` and of every finite entry of `by_state`, in nats per step.
        communicating_class: the class of each state. Two states are in one class if each reaches the other by possible
            transitions.
        num_sweeps: the number of sweeps.
        status: how the iteration ended; `status.message` explains it.
        model: the model that was solved.
    """

    rate: float
    by_state: Float[Tensor, " state"]
    error_bound: float
    communicating_class: Int[Tensor, " state"]
    num_sweeps: int
    status: GainStatus
    model: MarkovModel

    @property
    def bias(self) -> Float[Tensor, " state"]:
        """τ log z, in reward units: the right eigenvector of the tilted dynamics; −inf at dead ends."""
        return self._posterior.bias

    @property
    def policy(self) -> Float[Tensor, "state action"]:
        """The policy of the posterior far from the end, as probabilities: the Perron policy."""
        return self._posterior.policy

    @property
    def residual(self) -> float:
        """The error of the equation of the eigenvector, $\\max_s |\\log (M z)/(λ z)|$, in nats per step.

        It is of the size of `error_bound`, and larger only where classes with the same rate follow one another.
        """
        return self._posterior.residual

    @property
    def initial(self) -> Float[Tensor, " state"]:
        """The believed start, $q(s_0) ∝ p(s_0) z(s_0)$, on the states with the largest rate."""
        leading = self.by_state == self.rate
        bias = torch.where(leading, self.bias, -torch.inf)
        return believed_start(self.model.mdp, Optimism(1.0, 1.0), self.model.temperature, bias)

    @property
    def dynamics(self) -> Float[Tensor, "state action outcome"]:
        """The believed dynamics.

        Raises:
            InvalidArgument: if the table does not fit into memory; the message says how large it is.
        """
        return believed_dynamics(_leading(self.model, self.by_state), self.bias)

    @property
    def imagined_return(self) -> float:
        r"""The reward per step under the believed dynamics, in their stationary distribution, in reward units.

        It is the derivative of `rate` by 1/τ.

        Raises:
            InvalidArgument: if a large chain mixes too slowly, or the tables do not fit into memory.
        """
        return reward_per_step(_problem(self.model), self.policy, self.dynamics, self.initial)

    @property
    def true_return(self) -> float:
        """The reward per step of the policy under the true dynamics, in their stationary distribution, in reward units.

        Raises:
            InvalidArgument: as for `imagined_return`.
        """
        return reward_per_step(_problem(self.model), self.policy)

    @cached_property
    def _posterior(self) -> "_Posterior":
        return _posterior(self.model, self.by_state, self.error_bound)

    def __repr__(self) -> str:
        """A line with the rate and the message."""
        return f"GrowthRate({self.rate:.9g} ± {self.error_bound:.2g} nats per step. {self.status.message})"


def growth_rate(
    model: MarkovModel,
    tolerance: float = 1e-9,
    *,
    max_sweeps: int = 100_000,
    progress: Progress = silent,
) -> GrowthRate:
    r"""The growth of the evidence with the horizon, $\lim_T \frac1T \log p(O_{1:T})$: a log Perron root.

    The evidence is $p(s_0) M^T 1$ with the tilted operator $M(s, s') = \sum_a \rho \sum_{k \to s'} p \exp(r/\tau)$. In
    each communicating class its spectral radius lies between the smallest and the largest $(M z)(s)/z(s)$ for any
    z > 0 (Collatz and Wielandt); power iteration on log z closes this interval. The rate from a state is the log of the
    largest radius among the classes that it can reach. Multiplied by τ it is the gain per step under free inference.

    Args:
        model: a tabular model of positive temperature; the horizon, final reward and discount of its problem are
            ignored.
        tolerance: the error bound at which to stop, in nats per step.
        max_sweeps: the maximum number of sweeps.
        progress: called after every sweep.

    Returns:
        A `GrowthRate`, in nats per step.

    Raises:
        InvalidArgument: if an argument is invalid; the message names it and the remedy.

    References:
        [todorov2007], [wielandt1950]
    """
    require_model(model, in_nats=True)
    problem = _problem(model)
    tolerance, max_sweeps = limits(tolerance, max_sweeps)
    mdp = problem.mdp
    kernels = sweeps_for(torch.empty(0)) or torch_sweeps  # the classes are found on the CPU
    starts, targets = _edges(problem)
    classes = torch.from_numpy(kernels.strong_components(starts.numpy(), targets.numpy())).to(mdp.reward.device)
    here = classes[:, None, None].expand_as(mdp.successor)
    inside = mdp.replace(
        reward=torch.where(classes[mdp.successor] == here, mdp.reward, torch.full_like(mdp.reward, -torch.inf))
    )
    by_class = replace(problem, mdp=inside, optimism=1.0)
    h, many = problem.value("initial_value", None), int(classes.max()) + 1
    middle, error = h.new_full((many,), -torch.inf), math.inf
    out, loop = torch.empty_like(h), Loop(GainStatus.out_of_steps, limit=max_sweeps, progress=progress)
    with by_class.bellman(1) as bellman, loop:
        dead = torch.zeros_like(h, dtype=torch.bool) if bellman.tables.dead is None else bellman.tables.dead
        for _ in loop:
            bellman.sweep(h, out)
            step = out - h
            lower = h.new_full((many,), torch.inf).scatter_reduce_(0, classes[~dead], step[~dead], "amin")
            upper = h.new_full((many,), -torch.inf).scatter_reduce_(0, classes[~dead], step[~dead], "amax")
            lower = torch.where(upper > -torch.inf, lower, upper)
            middle = 0.5 * (lower + upper)
            wide = float(torch.where(middle > -torch.inf, upper - lower, torch.zeros_like(middle)).max())
            error = (0.5 * wide + bellman.rounding(h)) / problem.temperature
            loop.report({"error_bound": error}, ending=GainStatus.converged if error <= tolerance else None)
            if loop.over:
                break
            h += torch.where(dead, torch.zeros_like(h), LAZY * (step - middle[classes]))
    own = torch.div(middle, problem.temperature).cpu().numpy()
    best = kernels.best_reachable(starts.numpy(), targets.numpy(), classes.cpu().numpy(), own)
    by_state = torch.from_numpy(best).to(h.device)
    rate = float(by_state[mdp.initial > 0].max())
    return GrowthRate(rate, by_state, error, classes, loop.steps, loop.status, model)


def _problem(model: MarkovModel) -> InfiniteHorizonProblem:
    return InfiniteHorizonProblem.of(model, optimism=1.0, discount=1.0)


def _leading(model: MarkovModel, by_state: Tensor) -> InfiniteHorizonProblem:
    """The problem without the transitions to states whose evidence grows more slowly: they are negligible."""
    problem = _problem(model)
    mdp = problem.mdp
    ahead = by_state[mdp.successor] == by_state[:, None, None]
    return replace(problem, mdp=mdp.replace(reward=torch.where(ahead, mdp.reward, -torch.inf)))


class _Posterior(NamedTuple):
    bias: Float[Tensor, " state"]
    policy: Float[Tensor, "state action"]
    residual: float


def _posterior(model: MarkovModel, by_state: Tensor, error_bound: float, max_sweeps: int = 100_000) -> _Posterior:
    """The eigenvector by power iteration from 1, which also finds its scale in classes that do not communicate."""
    problem, tau = _leading(model, by_state), model.temperature
    dead, residual = by_state == -torch.inf, math.inf
    h, rate = problem.value("bias", None), torch.where(dead, 0.0, tau * by_state)
    out, q = torch.empty_like(h), h.new_empty(problem.num_states, problem.num_actions)
    with problem.bellman(1) as bellman:
        for _ in range(max_sweeps):
            bellman.sweep(h, out, q=q)
            step = torch.where(dead, 0.0, (out - h - rate) / tau)
            residual = float(step.abs().max())
            if residual <= 2 * error_bound + bellman.rounding(h) / tau:
                break
            h += tau * torch.log1p(LAZY * torch.expm1(step))  # a share of each step of z, as LAZY is of h
    bias = torch.where(dead, -torch.inf, h)
    return _Posterior(bias, optimal_policy(q, problem.prior, problem.temperature), residual)


def _edges(problem: InfiniteHorizonProblem) -> tuple[Tensor, Tensor]:
    """The possible and allowed transitions: the offset at which each state's transitions start, and the successors."""
    mdp = problem.mdp
    real = (mdp.probability > 0) & (mdp.reward > -torch.inf) & (problem.prior > 0)[..., None]
    counts = real.reshape(mdp.num_states, -1).sum(-1)
    starts = torch.cat((counts.new_zeros(1), counts.cumsum(0)))
    return starts.cpu(), mdp.successor[real].long().cpu()

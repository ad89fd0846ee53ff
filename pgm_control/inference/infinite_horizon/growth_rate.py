"""The growth of the evidence with the horizon, from the communicating classes of the tilted dynamics.

Sources:
    [todorov2007] E. Todorov, Linearly-solvable Markov decision problems. Advances in Neural Information Processing
        Systems 19:1369–1376, 2007.
    [wielandt1950] H. Wielandt, Unzerlegbare, nicht negative Matrizen. Mathematische Zeitschrift 52:642–648, 1950.
        doi:10.1007/BF02230720
"""

import math
from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...kernels.backend import sweeps_for
from ...runtime.loop import Loop
from ...runtime.progress import Progress, silent
from ...trajectories.blocks import MarkovModel, require_model
from . import sweeps as torch_sweeps
from .average_reward import LAZY, GainStatus
from .problem import InfiniteHorizonProblem, limits


@final
@dataclass(frozen=True, eq=False, repr=False)
class GrowthRate:
    """The rate at which the evidence that every step was optimal grows with the horizon.

    Attributes:
        rate: lim (1/T) log p(O) from the start distribution of the MDP, in nats per step.
        by_state: the same from each state; −inf at dead ends.
        error_bound: a bound on the error of `rate` and of every finite entry of `by_state`, in nats per step.
        communicating_class: the class of each state. Two states are in one class if each reaches the other by possible
            transitions.
        num_sweeps: the number of sweeps.
        status: how the iteration ended; `status.message` explains it.
    """

    rate: float
    by_state: Float[Tensor, " state"]
    error_bound: float
    communicating_class: Int[Tensor, " state"]
    num_sweeps: int
    status: GainStatus

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
    problem = InfiniteHorizonProblem.of(model, optimism=1.0, discount=1.0)
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
    return GrowthRate(rate, by_state, error, classes, loop.steps, loop.status)


def _edges(problem: InfiniteHorizonProblem) -> tuple[Tensor, Tensor]:
    """The possible and allowed transitions: the offset at which each state's transitions start, and the successors."""
    mdp = problem.mdp
    real = (mdp.probability > 0) & (mdp.reward > -torch.inf) & (problem.prior > 0)[..., None]
    counts = real.reshape(mdp.num_states, -1).sum(-1)
    starts = torch.cat((counts.new_zeros(1), counts.cumsum(0)))
    return starts.cpu(), mdp.successor[real].long().cpu()

"""The exact distribution of the return of a policy in the true world.

Sources:
    [sobel1982] M. J. Sobel, The variance of discounted Markov decision processes. Journal of Applied Probability
        19(4):794–802, 1982. doi:10.2307/3213832
"""

from typing import Any, NamedTuple, overload

import numpy as np
import torch
from torch import Tensor

from ..errors import InvalidArgument
from ..models import TabularModel
from ..problems.mdp import TabularMDP
from ..problems.timed import at_time
from ..runtime.arguments import positive, whole
from ..runtime.randomness import require_seed
from ..trajectories.blocks import MarkovModel, require_model
from ..trajectories.gaussian.blocks import GaussianBlocks, HasGaussianBlocks
from ..trajectories.gaussian.model import GaussianModel, is_gaussian, one_problem
from ..trajectories.gaussian.objective import expected_return, true_blocks
from ..trajectories.gaussian.terms import gaussian_blocks, is_exact_here
from ..trajectories.program import is_program
from ..trajectories.tabulate import Tabulable, tabulate
from .continuous.moments import return_variance
from .continuous.returns import GaussianReturns, return_law
from .continuous.sampled_returns import SampledReturns, sampled_returns
from .scores.atoms import ReturnDistribution

_AT_ONCE = 2_000_000  # pairs of a state and a sum that are processed at a time
_SAME = 1e-10  # times the largest possible return: sums of rewards that differ by less are one atom


@overload
def return_distribution(  # pyright: ignore[reportOverlappingOverload]  # the last one is for all other models
    model: GaussianModel, guide: HasGaussianBlocks | GaussianBlocks, *, num_samples: None = None
) -> GaussianReturns: ...
@overload
def return_distribution(
    model: MarkovModel | TabularMDP, guide: Tabulable, *, resolution: float | None = None, max_atoms: int = 500_000,
) -> ReturnDistribution: ...  # fmt: skip
@overload
def return_distribution(
    model: Any, guide: Any, *, num_samples: int | None = None, seed: int | torch.Generator | None = None
) -> SampledReturns: ...
def return_distribution(
    model: MarkovModel | TabularMDP | GaussianModel | Any,
    guide: Tabulable | Any,
    *,
    resolution: float | None = None,
    max_atoms: int = 500_000,
    num_samples: int | None = None,
    seed: int | torch.Generator | None = None,
) -> ReturnDistribution | GaussianReturns | SampledReturns:
    r"""The exact distribution of the return of a policy in the true world, by a forward sweep over (state, sum so far).

    $$P_{t+1}(s', g) = \sum_{s,a,k} P_t(s, g - r)\, \pi_t(a \mid s)\, p(k \mid s,a)\, [s'(s,a,k) = s']$$

    The policy of a guide is evaluated under the model's own start and dynamics, not under those of the guide. With a
    discount the episode ends after each step with probability 1 − γ, so the mean is `evaluate(…).true_return`. Sums of
    rewards that differ by less than 1e-10 of the largest possible sum are one atom.

    Of a linear-quadratic model the return is a quadratic form of normal noises, and its distribution comes from the
    characteristic function with bounds of the error (`GaussianReturns`). Of any other continuous model it is sampled.

    Args:
        model: the tabular model, the MDP alone, or a continuous model.
        guide: as in `evaluate`; of a continuous model that is sampled, as in `estimate`.
        resolution: rewards are first rounded to multiples of it, in reward units (default: no rounding). This changes
            every return, and so mean, quantiles and CVaR, by at most T/2 times the resolution, (T + 1)/2 times with a
            final reward.
        max_atoms: the maximum number of pairs of a state and a sum.
        num_samples: of a continuous model, the number of episodes; default: none for a linear-quadratic model and a
            guide with affine-Gaussian factors, 10,000 for others.
        seed: of the episodes: an integer, a generator, or None for torch's global generator.

    Raises:
        InvalidArgument: if there are more pairs, or `resolution` or `max_atoms` is not a positive number; if
            `num_samples` is given for tables, or `resolution` for a continuous model.
        InvalidGuide: if the policy does not fit the model.
    """
    if is_gaussian(model) or is_program(model):
        if resolution is not None:
            raise InvalidArgument("`resolution` must be left out for a continuous model: its returns are not rounded.")
        return _continuous(model, guide, num_samples, seed)
    if num_samples is not None:
        raise InvalidArgument("`num_samples` must be left out for tables, whose distribution is exact.")
    mdp, policy = _in_the_true_world(model, guide)
    if resolution is not None:
        remedy = "Rewards are rounded to its multiples; None rounds nothing."
        resolution = positive("resolution", resolution, "number of reward units", remedy=remedy)
    max_atoms = whole("max_atoms", max_atoms, remedy="Leave it out for half a million.")

    def rounded(table: Tensor) -> np.ndarray:
        rewards = table.double().cpu().numpy()
        return rewards if resolution is None else np.rint(rewards / resolution) * resolution

    p, reward, successor = mdp.probability.double().cpu().numpy(), rounded(mdp.reward), mdp.successor.cpu().numpy()
    start, is_timed = mdp.initial.double().cpu().numpy(), max(p.ndim, reward.ndim) > 3
    all_steps = [
        _Steps.of(p[t] if p.ndim > 3 else p, reward[t] if reward.ndim > 3 else reward, successor)
        for t in range(mdp.horizon if is_timed else 1)
    ]
    last = np.zeros(mdp.num_states) if mdp.final_reward is None else rounded(mdp.final_reward)
    largest = max(np.abs(steps.reward).max(initial=0.0) for steps in all_steps)
    scale = mdp.horizon * largest + np.abs(last[np.isfinite(last)]).max(initial=0.0)
    gap = _SAME * float(scale)
    here = np.flatnonzero(start)
    now, ended, lost = _Atoms(here, np.zeros(len(here)), start[here]), _Atoms.none(), 0.0
    for t in range(mdp.horizon):
        steps = all_steps[t if is_timed else 0]
        lost += float((now.mass * (policy[t] * steps.forbidden).sum(-1)[now.state]).sum())
        now = _moved(steps, policy[t], now, gap, max_atoms, f"{t + 1} of {mdp.horizon} steps")
        if mdp.discount < 1:
            gone = _Atoms(np.zeros_like(now.state), now.value, (1.0 - mdp.discount) * now.mass)
            ended, now = _merged([ended, gone], gap), now._replace(mass=mdp.discount * now.mass)
    forbidden = np.isneginf(last[now.state])
    lost += float(now.mass[forbidden].sum())
    now = _Atoms(*(column[~forbidden] for column in now))
    done = _merged([ended, _Atoms(np.zeros_like(now.state), now.value + last[now.state], now.mass)], gap)
    doomed = [lost] if lost > 0 else []
    values, mass = np.append([-np.inf] * len(doomed), done.value), np.append(doomed, done.mass)
    return ReturnDistribution(torch.from_numpy(values), torch.from_numpy(mass / mass.sum()))


def _continuous(model: Any, guide: Any, num_samples: int | None, seed: Any) -> GaussianReturns | SampledReturns:
    require_seed(seed)
    if is_gaussian(model):
        one_problem(model, "the distribution of the return")
        if num_samples is None and is_exact_here(model, guide):
            return return_law(model.problem, true_blocks(model, gaussian_blocks(model, guide)))
    return sampled_returns(model, guide, 10_000 if num_samples is None else num_samples, seed)


class Moments(NamedTuple):
    """The mean and the variance of the return, in reward units and squared reward units."""

    mean: float
    variance: float


def return_moments(model: MarkovModel | TabularMDP | GaussianModel | Any, guide: Tabulable | Any) -> Moments:
    r"""The mean and the variance of the return of a policy in the true world, by one backward sweep without atoms.

    $$D_t(s) = E\bigl[(r + \ell\, V_{t+1}(s') - V_t(s))^2 + \ell\, D_{t+1}(s')\bigr]$$

    Here $\ell$ = 1 if the step is survived, which has probability γ. The recursion does not subtract squares, so it is
    precise. The variance is nan if a return of −inf is possible.

    For a linear-quadratic model both are closed forms, and with a discount those of $\sum_t \gamma^t r_t$: survival is
    averaged, not drawn.

    References:
        [sobel1982]
    """
    if is_gaussian(model):
        true = true_blocks(model, gaussian_blocks(model, guide))
        one_problem(model, "the moments of the return")
        mean = expected_return(model.problem, true.marginals())
        return Moments(float(mean), float(return_variance(model.problem, true)))
    tabular: Any = model
    mdp, table = _in_the_true_world(tabular, guide)
    policy = torch.from_numpy(table).to(mdp.probability.device)
    gamma = mdp.discount
    v = torch.zeros_like(mdp.initial).double() if mdp.final_reward is None else mdp.final_reward.double()
    spread = torch.zeros_like(v)
    for t in reversed(range(mdp.horizon)):
        r, weight = at_time(mdp.reward, t, 3).double(), policy[t][..., None] * at_time(mdp.probability, t, 3).double()
        after, deviation = v[mdp.successor], spread[mdp.successor]
        x = torch.where(weight > 0, r + gamma * after, 0.0)
        v = (weight * x).sum((1, 2))
        centre = v[:, None, None]
        each = gamma * (deviation + (r + after - centre) ** 2) + (1.0 - gamma) * (r - centre) ** 2
        spread = (weight * torch.where(weight > 0, each, 0.0)).sum((1, 2))
    start = mdp.initial.double()
    reached = start > 0
    mean = (start[reached] * v[reached]).sum()
    return Moments(float(mean), float((start[reached] * (spread[reached] + (v[reached] - mean) ** 2)).sum()))


def _in_the_true_world(model: MarkovModel | TabularMDP, guide: Tabulable) -> tuple[TabularMDP, np.ndarray]:
    """The problem, and the checked policy as an array (time, state, action)."""
    if isinstance(model, TabularMDP):
        model = TabularModel(model)
    require_model(model, timed=True)
    with torch.no_grad():
        return model.mdp, tabulate(model, guide).log_policy.exp().double().cpu().numpy()


class _Atoms(NamedTuple):
    """Pairs of a state and a sum so far, in reward units, and the probability of each."""

    state: np.ndarray
    value: np.ndarray
    mass: np.ndarray

    @classmethod
    def none(cls) -> "_Atoms":
        return cls(np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros(0))


class _Steps(NamedTuple):
    """The transitions of one step: rows of (state, successor, reward), sorted by state, that pool outcomes."""

    state: np.ndarray
    successor: np.ndarray
    reward: np.ndarray
    row: np.ndarray  # the row of every outcome that is possible and not forbidden
    pair: tuple[np.ndarray, np.ndarray]  # its (state, action)
    probability: np.ndarray  # its probability
    forbidden: np.ndarray  # (state, action): probability of a reward of −inf

    @classmethod
    def of(cls, p: np.ndarray, reward: np.ndarray, successor: np.ndarray) -> "_Steps":
        bad = np.isneginf(reward)
        state, action, _ = where = np.nonzero((p > 0) & ~bad)
        columns = np.stack((state, successor[where], reward[where]))  # indices are exact in float64
        order = np.lexsort(columns[::-1])
        first = np.ones(len(order), dtype=bool)
        first[1:] = (np.diff(columns[:, order]) != 0).any(0)
        row = np.empty(len(order), dtype=np.int64)
        row[order] = np.cumsum(first) - 1
        (start, end), pay = columns[:2, order[first]].astype(np.int64), columns[2, order[first]]
        return cls(start, end, pay, row, (state, action), p[where], np.where(bad, p, 0.0).sum(-1))


def _moved(steps: _Steps, policy: np.ndarray, now: _Atoms, gap: float, most: int, when: str) -> _Atoms:
    """The pairs after one step, computed a few million at a time to bound memory."""
    weight = np.bincount(steps.row, policy[steps.pair] * steps.probability, minlength=len(steps.state))
    row = np.flatnonzero(weight)
    width = np.bincount(steps.state[row], minlength=len(policy))
    first = np.cumsum(width) - width
    many = width[now.state]
    piece = np.cumsum(many) // _AT_ONCE
    found = _Atoms.none()
    for each in np.unique(piece):
        inside = piece == each
        state, value, mass = (column[inside] for column in now)
        source = np.repeat(np.arange(len(state)), width[state])
        within = np.arange(len(source)) - np.repeat(np.cumsum(width[state]) - width[state], width[state])
        to = row[first[state[source]] + within]
        after = _Atoms(steps.successor[to], value[source] + steps.reward[to], mass[source] * weight[to])
        found = _merged([found, after], gap)
        if len(found.state) > most:
            raise InvalidArgument(
                f"`max_atoms` is {most}, but after {when} there are {len(found.state)} pairs of a state and a sum of "
                "rewards, or more. Raise it, or pass `resolution`, to which rewards are rounded; return_moments gives "
                "mean and variance without atoms."
            )
    return found


def _merged(parts: list[_Atoms], gap: float) -> _Atoms:
    """The atoms, sorted by state and sum; sums closer than `gap` are merged, atoms of probability 0 are dropped."""
    state, value, mass = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    order = np.lexsort((value, state))
    order = order[mass[order] > 0]
    state, value, mass = state[order], value[order], mass[order]
    if not len(order):
        return _Atoms.none()
    first = np.ones(len(order), dtype=bool)
    first[1:] = (np.diff(state) > 0) | (np.diff(value) > gap)
    return _Atoms(state[first], value[first], np.add.reduceat(mass, np.flatnonzero(first)))

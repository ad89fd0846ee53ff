"""Slow, obvious reference answers in plain Python, which share no code with the library.

Trajectories are enumerated one at a time where that is possible. Recursions are loops over the definitions, in decimals
of fifty digits and any exponent, so that no sum needs to be shifted or centred.
"""

import decimal
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

import numpy as np

FIFTY_DIGITS = decimal.Context(prec=50, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN)


@dataclass(frozen=True)
class Problem:
    """A model in plain numpy arrays. `temperature` in reward units per nat, `final_reward` zeros if there is none."""

    initial: np.ndarray
    probability: np.ndarray
    successor: np.ndarray
    reward: np.ndarray
    horizon: int
    temperature: float
    prior: np.ndarray
    final_reward: np.ndarray
    discount: float = 1.0

    @property
    def ended(self) -> int:
        """The index that stands for "ended" in a trajectory."""
        return len(self.initial)

    def outcomes(self, s: int, a: int) -> list[tuple[int, float, int, float]]:
        """(k, probability, successor, reward) of the possible outcomes."""
        rows = zip(self.probability[s, a], self.successor[s, a], self.reward[s, a], strict=True)
        return [(k, float(p), int(n), float(r)) for k, (p, n, r) in enumerate(rows) if p > 0]

    def choices(self, s: int) -> list[tuple[int, float]]:
        """(a, prior) of the allowed actions."""
        return [(a, float(p)) for a, p in enumerate(self.prior[s]) if p > 0]


class Path(NamedTuple):
    """A trajectory, its prior probability, and its sum of rewards."""

    states: tuple[int, ...]
    actions: tuple[int, ...]
    outcomes: tuple[int, ...]
    probability: float
    total: float

    def log_weight(self, temperature: float) -> float:
        """log p~, in nats."""
        return math.log(self.probability) + self.total / temperature


def paths(problem: Problem) -> Iterator[Path]:
    """Yield every possible trajectory. Each step is survived with probability γ; after the end nothing happens."""

    def extend(path: Path) -> Iterator[Path]:
        s = path.states[-1]
        if len(path.actions) == problem.horizon:
            last = 0.0 if s == problem.ended else float(problem.final_reward[s])
            yield path._replace(total=path.total + last)
        elif s == problem.ended:
            yield from extend(Path((*path.states, s), (*path.actions, 0), (*path.outcomes, 0), *path[3:]))
        else:
            for a, rho in problem.choices(s):
                for k, p, n, r in problem.outcomes(s, a):
                    for arrived, probability in ((n, problem.discount), (problem.ended, 1.0 - problem.discount)):
                        if probability > 0:
                            yield from extend(
                                Path(
                                    (*path.states, arrived),
                                    (*path.actions, a),
                                    (*path.outcomes, k),
                                    path.probability * rho * p * probability,
                                    path.total + r,
                                )
                            )

    for s, p in enumerate(problem.initial):
        if p > 0:
            yield from extend(Path((s,), (), (), float(p), 0.0))


class Enumeration(NamedTuple):
    """The exact posterior, summed over all trajectories. With a discount the marginals are those of being alive."""

    log_evidence: float
    state: np.ndarray
    outcome: np.ndarray
    log_best: float


def enumerate_posterior(problem: Problem) -> Enumeration:
    """log p(O), the marginals given O, and the log p~ of the most probable trajectory."""
    weighed = [(path, path.log_weight(problem.temperature)) for path in paths(problem)]
    best = max(weight for _, weight in weighed)
    state = np.zeros((problem.horizon + 1, problem.ended + 1))
    outcome = np.zeros((problem.horizon, problem.ended + 1, *problem.probability.shape[1:]))
    if best == -math.inf:
        return Enumeration(best, state[:, :-1], outcome[:, :-1], best)
    total = math.fsum(math.exp(weight - best) for _, weight in weighed)
    for path, weight in weighed:
        share = math.exp(weight - best) / total
        for t, s in enumerate(path.states):
            state[t, s] += share
        for t, (s, a, k) in enumerate(zip(path.states, path.actions, path.outcomes, strict=False)):
            outcome[t, s, a, k] += share
    return Enumeration(best + math.log(total), state[:, :-1], outcome[:, :-1], best)


Numbers = Sequence[Decimal]


def certainty_equivalent(x: Numbers, weight: Numbers, temperature: Decimal, optimism: Decimal) -> Decimal:
    """(τ/β) log Σ w exp(β x/τ), its limit Σ w x at β = 0, and its limits max and min at τ = 0."""
    outcomes = [(w, each) for w, each in zip(weight, x, strict=True) if w > 0]
    if optimism == 0:
        return sum((w * each for w, each in outcomes), Decimal(0))
    if temperature == 0:
        return (max if optimism > 0 else min)(each for _, each in outcomes)
    total = sum((w * (optimism * each / temperature).exp() for w, each in outcomes), Decimal(0))
    return temperature / optimism * total.ln()


def tilt(x: Numbers, weight: Numbers, temperature: Decimal, optimism: Decimal) -> list[Decimal]:
    """The probabilities that attain L, w exp(β (x − L)/τ); where L is −inf or τ = 0, the outcomes with x = L share."""
    if optimism == 0:
        return list(weight)
    best = certainty_equivalent(x, weight, temperature, optimism)
    if temperature == 0 or not best.is_finite():
        equal = [w if w > 0 and each == best else Decimal(0) for w, each in zip(weight, x, strict=True)]
        return [w / sum(equal) for w in equal]
    return [
        w * (optimism * (each - best) / temperature).exp() if w > 0 else w for w, each in zip(weight, x, strict=True)
    ]


def exact(x: np.ndarray) -> np.ndarray:
    """The same numbers as decimals."""
    return np.vectorize(lambda each: Decimal(float(each)), otypes=[object])(x)


def exact_shares(x: np.ndarray) -> np.ndarray:
    """The same weights as decimals, divided by the total in normalised rows, because floats cannot hold 1/3 exactly.

    Rows that do not sum to 1 are left unchanged.
    """
    weights = exact(x)
    total = weights.sum(-1, keepdims=True)
    return np.where(abs(total - 1) < Decimal("1e-6"), weights / total, weights)


class Solution(NamedTuple):
    """Values in reward units, probabilities, and the survival probability of the solution, by successor."""

    q: np.ndarray
    v: np.ndarray
    value: float
    initial: np.ndarray
    policy: np.ndarray
    dynamics: np.ndarray
    survival: np.ndarray


def solve(
    problem: Problem, dynamics: float | np.ndarray, initial: float | None = None, survival: float | np.ndarray = 0.0
) -> Solution:
    """The backward recursion for any β of the dynamics, β₀ of the start and β of survival, straight from the equations.

    β of the dynamics may be an array (T, S, A), that of survival one of (T, S).
    """
    with decimal.localcontext(FIFTY_DIGITS):
        p, rho, start = map(exact_shares, (problem.probability, problem.prior, problem.initial))
        r, tau, one = exact(problem.reward), Decimal(problem.temperature), Decimal(1)
        betas = exact(np.broadcast_to(dynamics, (problem.horizon, *problem.probability.shape[:2])))
        survives = exact(np.broadcast_to(survival, (problem.horizon, problem.ended)))
        beta_start = Decimal(dynamics if initial is None else initial)
        probability = [Decimal(problem.discount), one - Decimal(problem.discount)]
        states, actions, outcomes = problem.probability.shape
        q = np.empty((problem.horizon, states, actions), object)
        policy, chance = q.copy(), np.empty((problem.horizon, states, actions, outcomes), object)
        alive = np.empty((problem.horizon, states), object)
        v = np.empty((problem.horizon + 1, states), object)
        v[-1] = exact(problem.final_reward)
        for t in reversed(range(problem.horizon)):
            ahead = [
                certainty_equivalent([v[t + 1, n], one * 0], probability, tau, survives[t, n]) for n in range(states)
            ]
            for n in range(states):
                alive[t, n] = tilt([v[t + 1, n], one * 0], probability, tau, survives[t, n])[0]
            for s in range(states):
                for a in range(actions):
                    x = [reward + ahead[n] for reward, n in zip(r[s, a], problem.successor[s, a], strict=True)]
                    q[t, s, a] = certainty_equivalent(x, p[s, a], tau, betas[t, s, a])
                    chance[t, s, a] = tilt(x, p[s, a], tau, betas[t, s, a])
                v[t, s] = certainty_equivalent(q[t, s], rho[s], tau, one)
                policy[t, s] = tilt(q[t, s], rho[s], tau, one)
        value = certainty_equivalent(v[0], start, tau, beta_start)
        arrays = (q, v, tilt(v[0], start, tau, beta_start), policy, chance, alive)
        q, v, first, policy, chance, alive = (np.asarray(each, dtype=np.float64) for each in arrays)
        return Solution(q, v, float(value), first, policy, chance, alive)


def objective(problem: Problem, solution: Solution, dynamics: float, initial: float, survival: float = 0.0) -> float:
    r"""τ J_β of a guide, from its definition: E_q[Σ r − τ log π/ρ − (τ/β) log q/p] − (τ/β₀) KL of the start.

    The start, the dynamics and survival are charged their KL from the model; at β = 0 the block must be the model's.
    """
    tau = problem.temperature

    def price(q: float, p: float, optimism: float) -> float:
        return 0.0 if optimism == 0 or q == 0 else tau / optimism * math.log(q / p)

    value = problem.final_reward
    for t in reversed(range(problem.horizon)):
        ahead = np.zeros(problem.ended)
        for n, alive in enumerate(solution.survival[t]):
            for probability, true, after in (
                (alive, problem.discount, value[n]),
                (1 - alive, 1 - problem.discount, 0.0),
            ):
                ahead[n] += probability * (after - price(probability, true, survival)) if true > 0 else 0.0
        here = np.zeros(problem.ended)
        for s in range(problem.ended):
            for a, rho in problem.choices(s):
                chosen = solution.policy[t, s, a]
                here[s] -= chosen * price(chosen, rho, 1.0)
                for k, p, n, r in problem.outcomes(s, a):
                    believed = solution.dynamics[t, s, a, k]
                    here[s] += chosen * believed * (r + ahead[n] - price(believed, p, dynamics))
        value = here
    return sum(
        q * (value[s] - price(q, p, initial))
        for s, (q, p) in enumerate(zip(solution.initial, problem.initial, strict=True))
        if p > 0
    )


def true_return(problem: Problem, policy: np.ndarray) -> float:
    """The expected sum of rewards of a policy under the true dynamics, by backward evaluation."""
    value = problem.final_reward
    for t in reversed(range(problem.horizon)):
        here = np.zeros(problem.ended)
        for s in range(problem.ended):
            for a in range(policy.shape[-1]):
                for _, p, n, r in problem.outcomes(s, a) if policy[t, s, a] > 0 else ():
                    here[s] += policy[t, s, a] * p * (r + problem.discount * value[n])
        value = here
    return float(problem.initial @ value)


def best_return(problem: Problem) -> float:
    """The largest expected sum of rewards, by hard value iteration."""
    outcomes = {(s, a): problem.outcomes(s, a) for s in range(problem.ended) for a, _ in problem.choices(s)}
    value = problem.final_reward
    for _ in range(problem.horizon):
        value = [
            max(
                sum(p * (r + problem.discount * value[n]) for _, p, n, r in outcomes[s, a])
                for a, _ in problem.choices(s)
            )
            for s in range(problem.ended)
        ]
    return float(sum(p * value[s] for s, p in enumerate(problem.initial) if p > 0))


def log_desirability(state_reward: np.ndarray, passive: np.ndarray, horizon: int, temperature: float) -> np.ndarray:
    """log z_0 of the linearly solvable MDP of Todorov: z_t = exp(r/τ) P̄ z_{t+1}, z_T = 1."""
    z = np.ones(len(state_reward))
    for _ in range(horizon):
        z = np.exp(state_reward / temperature) * (passive @ z)
    return np.log(z)

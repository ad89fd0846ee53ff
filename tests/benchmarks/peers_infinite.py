"""Other implementations for problems without a horizon: one Bellman sweep, or a whole solution to a tolerance.

Each function returns the call to time, or None if the library is missing or has no such method. Sweeps return the new
values.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from pgm_control import TabularMDP, TabularModel, value_iteration
from pgm_control.inference.infinite_horizon.problem import InfiniteHorizonProblem

from .harness import jax_in_float64, optional
from .limit.sweep import SweepLimit
from .problems_infinite import Arrays

Sweep = Callable[[], Any]
Solve = Callable[[], Any]
MPI_STEPS = 20


def limit(problem: Arrays) -> SweepLimit:
    return SweepLimit(problem.p, problem.successor, problem.reward, problem.discount)


def limit_sweep(problem: Arrays, v: np.ndarray, temperature: float, threads: int = 1) -> Sweep:
    kernel, out = limit(problem), np.empty_like(v, problem.p.dtype)
    given = v.astype(problem.p.dtype)

    def sweep() -> np.ndarray:
        kernel.sweep(given, out, temperature, threads)
        return out

    return sweep


def our_sweep(mdp: TabularMDP, v: np.ndarray, temperature: float, threads: int = 1) -> Sweep:
    """The operator that `value_iteration` repeats, with the bounds on its change."""
    bellman = InfiniteHorizonProblem.of(TabularModel(mdp, temperature), 0.0).bellman(threads)
    given = torch.from_numpy(v)
    out = torch.empty_like(given)

    def sweep() -> torch.Tensor:
        bellman.sweep(given, out)
        return out

    return sweep


def maximum(q: np.ndarray, temperature: float) -> np.ndarray:
    """The maximum over the last axis, hard, or soft with a uniform prior."""
    top = q.max(-1)
    if temperature == 0:
        return top
    return top + temperature * np.log(np.exp((q - top[:, None]) / temperature).mean(-1))


def scipy_sweep(problem: Arrays, v: np.ndarray, temperature: float) -> Sweep | None:
    sparse = optional("scipy.sparse")
    if sparse is None:
        return None
    matrix = csr(sparse, problem)
    return lambda: maximum(problem.reward + problem.discount * (matrix @ v).reshape(-1, 4), temperature)


def csr(sparse: Any, problem: Arrays) -> Any:
    states, width = problem.states, problem.p.shape[-1]
    rows = np.arange(0, states * 4 * width + 1, width, dtype=np.int32)
    return sparse.csr_matrix((problem.p.ravel(), problem.successor.ravel(), rows), (states * 4, states))


def torch_sweep(problem: Arrays, v: np.ndarray, temperature: float) -> Sweep:
    p, successor = torch.from_numpy(problem.p), torch.from_numpy(problem.successor)
    reward, given = torch.from_numpy(problem.reward), torch.from_numpy(v)

    def sweep() -> torch.Tensor:
        q = reward + problem.discount * (p * given[successor]).sum(-1)
        if temperature == 0:
            return q.amax(-1)
        return temperature * (torch.logsumexp(q / temperature, -1) - np.log(4))

    return sweep


def jax_sweep(problem: Arrays, v: np.ndarray, temperature: float) -> Sweep | None:
    jax = jax_in_float64()
    if jax is None:
        return None
    p, successor, reward, given = (jax.numpy.asarray(x) for x in (problem.p, problem.successor, problem.reward, v))

    @jax.jit
    def operator(p: Any, successor: Any, reward: Any, v: Any) -> Any:
        q = reward + problem.discount * (p * v[successor]).sum(-1)
        if temperature == 0:
            return q.max(-1)
        return temperature * (jax.nn.logsumexp(q / temperature, axis=-1) - np.log(4))

    return lambda: jax.block_until_ready(operator(p, successor, reward, given))


def quantecon_problem(problem: Arrays) -> Any:
    sparse, markov = optional("scipy.sparse"), optional("quantecon.markov")
    if sparse is None or markov is None:
        return None
    states = np.repeat(np.arange(problem.states), 4)
    actions = np.tile(np.arange(4), problem.states)
    return markov.DiscreteDP(problem.reward.ravel(), csr(sparse, problem), problem.discount, states, actions)


def quantecon_sweep(problem: Arrays, v: np.ndarray) -> Sweep | None:
    found = quantecon_problem(problem)
    return None if found is None else lambda: found.bellman_operator(v)


def ours(mdp: TabularMDP, tolerance: float, method: Any = "auto", temperature: float = 0.0, threads: int = 1) -> Solve:
    model = TabularModel(mdp, temperature)
    return lambda: value_iteration(model, 0.0, tolerance, method=method, num_threads=threads, max_sweeps=10**6).v


def quantecon(problem: Arrays, tolerance: float, method: str) -> Solve | None:
    """quantecon: value iteration stops by the largest change, modified policy iteration by the span."""
    found = quantecon_problem(problem)
    options = {"k": MPI_STEPS} if method == "modified_policy_iteration" else {}
    if found is None:
        return None
    return lambda: found.solve(method, epsilon=tolerance, max_iter=10**6, v_init=np.zeros(problem.states), **options).v


class MdpSolver:
    """mdpsolver, with Python lists. A solved object restarts from its old values, so each call makes a new one."""

    def __init__(self, problem: Arrays, tolerance: float, algorithm: str) -> None:
        self.lists = problem.reward.tolist(), problem.p.tolist(), problem.successor.tolist()
        self.tolerance, self.algorithm, self.discount = tolerance, algorithm, problem.discount
        self.seconds = 0.0  # the time of the solver itself, without reading the lists

    def __call__(self) -> np.ndarray:
        model = optional("mdpsolver").model()
        model.mdp(
            discount=self.discount, rewards=self.lists[0], tranMatProbs=self.lists[1], tranMatColumns=self.lists[2]
        )
        model.solve(algorithm=self.algorithm, tolerance=self.tolerance, parallel=False)
        self.seconds = model.getRuntime() / 1e3
        return np.asarray(model.getValueVector())


def hiive(problem: Arrays, tolerance: float) -> Solve | None:
    """hiive: the call includes its constructor, which is quadratic in S; its values are right up to a constant."""
    sparse, toolbox = optional("scipy.sparse"), optional("hiive.mdptoolbox.mdp")
    if sparse is None or toolbox is None:
        return None
    states, width = problem.states, problem.p.shape[-1]
    rows = np.arange(0, states * width + 1, width)
    matrices = [
        sparse.csr_matrix((problem.p[:, a].ravel(), problem.successor[:, a].ravel(), rows), (states, states))
        for a in range(4)
    ]

    def solve() -> np.ndarray:
        solver = toolbox.ValueIteration(matrices, problem.reward, problem.discount, epsilon=tolerance, skip_check=True)
        solver.run()
        return np.asarray(solver.V)

    return solve

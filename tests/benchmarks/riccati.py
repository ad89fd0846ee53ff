"""Time of many linear-quadratic problems, T = 100, four states, two actions, each with its own matrices.

Each contestant computes all P, K, Haa⁻¹ and log-determinants. Ours computes linear terms and values too, which the
others leave out. The gradients are those of the objectives by all tables.

python -m tests.benchmarks.riccati [--problems N] [--rounds N]
"""

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pgm_control.kernels.quadratic import riccati
from pgm_control.kernels.quadratic.bundles import QuadraticProblem, QuadraticStart

from .harness import jax_in_float64, race, require_close, versions
from .limit.compiled import available
from .limit.riccati import RiccatiLimit

HORIZON, STATES, ACTIONS = 100, 4, 2
Array = np.ndarray


class Matrices(NamedTuple):
    """The problems without linear terms; the problem is the first axis."""

    transition: Any  # [A B]
    root: Any  # of the noise
    hessian: Any
    last: Any
    theta: Any


def matrices(count: int, optimism: float) -> Matrices:
    """Random problems that are a little unstable, with rewards that are concave in state and action together."""
    random = np.random.default_rng(0)
    a = np.eye(STATES) + 0.1 * random.normal(size=(count, STATES, STATES))
    b = random.normal(size=(count, STATES, ACTIONS))
    root = np.tril(0.3 * random.normal(size=(count, STATES, STATES)))
    x = random.normal(size=(count, STATES + ACTIONS, STATES + ACTIONS))
    y = random.normal(size=(count, STATES, STATES))
    hessian = x @ x.swapaxes(1, 2) / 6 + 0.1 * np.eye(STATES + ACTIONS)
    return Matrices(np.concatenate((a, b), -1), root, hessian, y @ y.swapaxes(1, 2) / 4, np.full(count, optimism))


def with_linear_terms(given: Matrices) -> QuadraticProblem:
    """The problems as our kernel takes them, with all linear terms and constants 0 but present."""
    count = len(given.theta)
    return QuadraticProblem(
        transition=given.transition[:, None].copy(),
        drift=np.zeros((count, 1, STATES)),
        noise_root=given.root[:, None].copy(),
        hessian=given.hessian[:, None].copy(),
        gradient=np.zeros((count, 1, STATES + ACTIONS)),
        constant=np.zeros((count, 1)),
        final_hessian=given.last.copy(),
        final_gradient=np.zeros((count, STATES)),
        final_constant=np.zeros(count),
        theta=given.theta[:, None].copy(),
        temperature=np.ones(count),
        discount=np.ones(count),
    )


def in_numpy(given: Matrices) -> tuple[Array, Array, Array]:
    """P, K and Haa⁻¹ of all times, all problems at once."""
    transition, root, hessian, p, theta = given
    soft, found = bool(np.any(theta != 0)), []
    for _ in range(HORIZON):
        noisy = root.swapaxes(1, 2) @ p
        if soft:
            m = np.eye(STATES) + theta[:, None, None] * noisy @ root
            np.linalg.slogdet(m)
            p = p - theta[:, None, None] * noisy.swapaxes(1, 2) @ np.linalg.solve(m, noisy)
        else:
            np.trace(noisy @ root, axis1=1, axis2=2)
        h = hessian + transition.swapaxes(1, 2) @ p @ transition
        np.linalg.slogdet(h[:, STATES:, STATES:])
        inverse = np.linalg.inv(h[:, STATES:, STATES:])
        gain = inverse @ h[:, STATES:, :STATES]
        p = h[:, :STATES, :STATES] - h[:, :STATES, STATES:] @ gain
        p = 0.5 * (p + p.swapaxes(1, 2))  # otherwise rounding grows with every step, to 1 in some problems
        found.append((p, gain, inverse))
    p, gain, inverse = (np.stack(each[::-1], 1) for each in zip(*found, strict=True))
    return p, gain, inverse


def in_torch(given: Matrices) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """P, K, Haa⁻¹ and v_0, all problems at once, differentiable."""
    transition, root, hessian, p, theta = given
    soft, found, v, one = bool((theta != 0).any()), [], torch.zeros(len(theta), dtype=torch.float64), torch.eye(STATES)
    for _ in range(HORIZON):
        noisy = root.mT @ p
        if soft:
            chol = torch.linalg.cholesky(one.double() + theta[:, None, None] * noisy @ root)
            v = v + chol.diagonal(dim1=1, dim2=2).log().sum(-1) / theta
            half = torch.linalg.solve_triangular(chol, noisy, upper=False)
            p = p - theta[:, None, None] * half.mT @ half
        else:
            v = v + 0.5 * (noisy * root.mT).sum((1, 2))
        h = hessian + transition.mT @ p @ transition
        chol = torch.linalg.cholesky(h[:, STATES:, STATES:])
        v = v + chol.diagonal(dim1=1, dim2=2).log().sum(-1)
        gain = torch.cholesky_solve(h[:, STATES:, :STATES], chol)
        p = h[:, :STATES, :STATES] - h[:, :STATES, STATES:] @ gain
        p = 0.5 * (p + p.mT)
        found.append((p, gain, torch.cholesky_inverse(chol)))
    p, gain, inverse = (torch.stack(each[::-1], 1) for each in zip(*found, strict=True))
    return p, gain, inverse, v


def torch_gradient(given: Matrices) -> Callable[[], Any]:
    def call() -> Any:
        leaves = Matrices._make((*(each.clone().requires_grad_() for each in given[:4]), given.theta))
        p, _, _, v = in_torch(leaves)
        objective = -(0.5 * p[:, 0].diagonal(dim1=1, dim2=2).sum(-1) + v).sum()
        return torch.autograd.grad(objective, leaves[:4])

    return call


def jax_by_rows(jax: Any, soft: bool) -> Callable[..., Any]:
    """The objectives, and P, K, Haa⁻¹ and log-determinants; the problem is the last axis, small loops are unrolled."""
    numpy = jax.numpy

    def product(a: Any, b: Any) -> Any:
        return sum(a[:, k, None] * b[None, k] for k in range(a.shape[1]))

    def step(given: Matrices, carry: Any) -> Any:
        transition, root, hessian, _, theta = given
        p, v = carry
        noisy = product(root.swapaxes(0, 1), p)
        if soft:
            identity = numpy.eye(STATES)[:, :, None]
            rows = list(numpy.concatenate((identity + theta * product(noisy, root), noisy), 1))
            for j in range(STATES):
                for i in range(j + 1, STATES):
                    rows[i] = rows[i] - rows[i][j] / rows[j][j] * rows[j]
            p = p - sum(row[STATES:, None] * row[None, STATES:] * (theta / row[j]) for j, row in enumerate(rows))
            log_noise = sum(numpy.log(row[j]) for j, row in enumerate(rows))
            v = v + log_noise / (2 * theta)
        else:
            log_noise = (noisy * root.swapaxes(0, 1)).sum((0, 1))
            v = v + 0.5 * log_noise
        h = hessian + product(product(transition.swapaxes(0, 1), p), transition)
        a = h[STATES:, STATES:]
        det = a[0, 0] * a[1, 1] - a[0, 1] * a[1, 0]
        inverse = numpy.stack((numpy.stack((a[1, 1], -a[0, 1])), numpy.stack((-a[1, 0], a[0, 0])))) / det
        gain = product(inverse, h[STATES:, :STATES])
        p = h[:STATES, :STATES] - product(h[:STATES, STATES:], gain)
        p = 0.5 * (p + p.swapaxes(0, 1))
        return (p, v + 0.5 * numpy.log(det)), (p, gain, inverse, log_noise, numpy.log(det))

    def solve(given: Matrices) -> Any:
        start = (given.last, numpy.zeros(given.theta.shape))
        (p, v), found = jax.lax.scan(lambda carry, _: step(given, carry), start, None, length=HORIZON, reverse=True)
        return -(v + 0.5 * sum(p[i, i] for i in range(STATES))).sum(), found

    return solve


def jax_of_one(jax: Any, soft: bool) -> Callable[..., Any]:
    """As `jax_by_rows`, for one problem, with the functions of `jax.numpy.linalg`: to be mapped over problems."""
    numpy = jax.numpy

    def step(given: Matrices, carry: Any) -> Any:
        transition, root, hessian, _, theta = given
        p, v = carry
        noisy = root.T @ p
        if soft:
            chol = numpy.linalg.cholesky(numpy.eye(STATES) + theta * noisy @ root)
            half = jax.scipy.linalg.solve_triangular(chol, noisy, lower=True)
            p, log_noise = p - theta * half.T @ half, 2 * numpy.log(numpy.diagonal(chol)).sum()
            v = v + log_noise / (2 * theta)
        else:
            log_noise = numpy.trace(noisy @ root)
            v = v + 0.5 * log_noise
        h = hessian + transition.T @ p @ transition
        chol = numpy.linalg.cholesky(h[STATES:, STATES:])
        inverse = jax.scipy.linalg.cho_solve((chol, True), numpy.eye(ACTIONS))
        gain, log_action = inverse @ h[STATES:, :STATES], 2 * numpy.log(numpy.diagonal(chol)).sum()
        p = h[:STATES, :STATES] - h[:STATES, STATES:] @ gain
        p = 0.5 * (p + p.T)
        return (p, v + 0.5 * log_action), (p, gain, inverse, log_noise, log_action)

    def solve(*tables: Any) -> Any:
        given = Matrices(*tables)
        start = (given.last, numpy.zeros(()))
        return jax.lax.scan(lambda carry, _: step(given, carry), start, None, length=HORIZON, reverse=True)[1]

    return solve


def of_jax(given: Matrices, soft: bool) -> dict[str, Callable[[], Any]]:
    """The contestants of JAX, compiled."""
    jax = jax_in_float64()
    if jax is None:
        return {}
    rows, last = jax_by_rows(jax, soft), Matrices(*(jax.numpy.asarray(np.moveaxis(each, 0, -1)) for each in given))
    first = tuple(map(jax.numpy.asarray, given))
    solve, many = jax.jit(rows), jax.jit(jax.vmap(jax_of_one(jax, soft)))
    slopes = jax.jit(jax.grad(lambda some, theta: rows(Matrices._make((*some, theta))), has_aux=True))
    return {
        "JAX, scan, problem last": lambda: jax.block_until_ready(solve(last))[1],
        "JAX, vmap of scan, its linear algebra": lambda: jax.block_until_ready(many(*first)),
        "JAX, problem last, gradient": lambda: jax.block_until_ready(slopes(last[:4], last.theta))[0],
    }


def check(given: Matrices, limit: RiccatiLimit | None, found: dict[str, Callable[[], Any]]) -> None:
    """Compare the answers of all contestants with numpy, relative to their size."""
    p, gain, inverse = in_numpy(given)
    size = np.abs(p).max()

    def same(name: str, one: Any, two: Any, three: Any) -> None:
        require_close(f"P of {name}", np.asarray(one) / size, p / size)
        require_close(f"K of {name}", two, gain)
        require_close(f"Haa^-1 of {name}", three, inverse)

    problem = with_linear_terms(given)
    ours = riccati.solve(problem, len(given.theta), HORIZON)
    same("our kernel", ours.hessian[:, :-1], ours.gain, ours.inverse)
    if limit is not None:
        limit.solve()
        same("C", limit.by_problem(limit.p)[:, :-1], limit.by_problem(limit.gain), limit.by_problem(limit.inverse))
    same("torch", *in_torch(Matrices(*map(torch.from_numpy, given)))[:3])
    expected = torch_gradient(Matrices(*map(torch.from_numpy, given)))()
    slopes = riccati.slopes(problem, ours, believed(len(given.theta)))
    for name, theirs, mine in (("[A B]", expected[0], slopes.transition), ("C", expected[2], slopes.hessian)):
        symmetric = 0.5 * (theirs + theirs.mT) if name == "C" else theirs
        require_close(f"slope by {name}", mine[:, 0] / symmetric.abs().max(), symmetric / symmetric.abs().max())
    for name, call in found.items():
        if "gradient" not in name:
            axis = -1 if "last" in name else 0
            same(name, *(np.moveaxis(np.asarray(each), axis, 0) for each in call()[:3]))
        else:
            theirs = np.moveaxis(np.asarray(call()[0]), -1, 0)
            require_close(f"slope of {name}", theirs / np.abs(theirs).max(), expected[0] / np.abs(theirs).max())


def believed(count: int) -> QuadraticStart:
    """The start N(0, I)."""
    return QuadraticStart(np.zeros((1, STATES)), np.eye(STATES)[None], np.ones(count))


def run(count: int, optimism: float, rounds: int) -> None:
    """Check and time all contestants with this many problems."""
    given, soft = matrices(count, optimism), optimism != 0
    problem, tensors = with_linear_terms(given), Matrices(*map(torch.from_numpy, given))
    limit = RiccatiLimit(HORIZON, *given) if available("riccati") else None
    values, peers = riccati.solve(problem, count, HORIZON), of_jax(given, soft)
    check(given, limit, peers)

    def both() -> None:
        riccati.solve_into(problem, values)
        riccati.slopes(problem, values, believed(count))

    print(f"{count} problems, T = {HORIZON}, β = {optimism:g}")
    found = {
        **({} if limit is None else {"C (limit)": limit.solve}),
        "our kernel, into given arrays": partial(riccati.solve_into, problem, values),
        "our kernel": partial(riccati.solve, problem, count, HORIZON),
        "our kernel and gradient": both,
        "numpy, all problems at once": partial(in_numpy, given),
        "torch, all problems at once": lambda: in_torch(tensors),
        "torch, gradient": torch_gradient(tensors),
        **peers,
    }
    race(found, rounds, seconds=0.05, again=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problems", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(versions(("numpy", "torch", "jax", "numba")))
    for count in (1, options.problems):
        for optimism in (1.0, 0.0):
            run(count, optimism, options.rounds)


if __name__ == "__main__":
    main()

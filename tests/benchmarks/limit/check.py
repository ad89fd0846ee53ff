"""Comparison of every kernel in C with the library or with numpy.

python -m tests.benchmarks.limit.check
"""

import numpy as np
import torch

from pgm_control import ClampedGuide, FreeGuide, MarkovELBO, TabularModel, infer, soft_values
from pgm_control.models import frozen_lake

from .elbo import ElboLimit
from .finite import CLAMPED, FREE, LINEAR, BatchLimit, Limit
from .riccati import RiccatiLimit
from .sweep import SweepLimit

EXACT = 1e-9


def close(what: str, found: np.ndarray | float, expected: np.ndarray | float, tolerance: float = EXACT) -> None:
    off = float(np.abs(np.asarray(found) - np.asarray(expected)).max())
    if not off <= tolerance:
        raise AssertionError(f"{what} is off by {off:.3g}")
    print(f"  {what}: {off:.1e}")


def finite(model: TabularModel) -> None:
    states = model.mdp.num_states
    for kind, optimism in ((FREE, 1.0), (CLAMPED, 0.0), (LINEAR, 1.0)):
        reward = model.mdp.reward.clone().requires_grad_()
        expected, kernel = soft_values(model, optimism, reward=reward), Limit(model, kind)
        expected.objective.backward()
        assert reward.grad is not None
        close("objective", kernel.solve(model.mdp.reward.numpy()), expected.objective.item())
        close("Q", kernel.q[..., :states].swapaxes(1, 2), expected.q.detach().numpy())
        close("V", kernel.v[..., :states], expected.v.detach().numpy())
        close("gradient", kernel.gradient, reward.grad.numpy())
        marginals = infer(model, optimism).marginals()
        close("marginals from the gradient", kernel.gradient * model.temperature, marginals.outcome.sum(0).numpy())


def elbo(model: TabularModel) -> None:
    states = model.mdp.num_states
    for guide in (ClampedGuide(model), FreeGuide(model)):
        with torch.no_grad():
            for parameter in guide.parameters():
                parameter.normal_(generator=torch.Generator().manual_seed(0))
            if isinstance(guide, FreeGuide):
                guide.initial_logits.zero_()
        expected, free = -MarkovELBO().loss_and_grads(model, guide), isinstance(guide, FreeGuide)
        kernel = ElboLimit(model, free)
        kernel.take(guide.policy_logits, guide.dynamics_logits if isinstance(guide, FreeGuide) else None)
        close("ELBO", kernel.evaluate(), expected)
        assert guide.policy_logits.grad is not None
        close("by policy logits", kernel.by_policy[..., :states].swapaxes(1, 2), -guide.policy_logits.grad.numpy())
        if isinstance(guide, FreeGuide):
            assert guide.dynamics_logits.grad is not None
            found = kernel.by_dynamics[..., :states].transpose(0, 3, 2, 1)
            close("by dynamics logits", found, -guide.dynamics_logits.grad.numpy())


def batch(model: TabularModel, count: int = 32) -> None:
    random = np.random.default_rng(0)
    temperature, optimism = random.uniform(0.05, 1.0, count), random.choice([0.0, 1.0, 0.5, -0.5, 0.01], count)
    scaled = torch.from_numpy(model.mdp.reward.numpy() * random.uniform(0.5, 2.0, (count, 1, 1, 1)))
    kernel = BatchLimit(model, temperature, optimism, scaled.numpy())
    reward, (tau, beta) = scaled.clone().requires_grad_(), map(torch.from_numpy, (temperature, optimism))
    expected = soft_values(model, beta, reward=reward, temperature=tau)
    expected.objective.sum().backward()
    assert reward.grad is not None
    close("objectives", kernel.solve(), expected.objective.detach().numpy())
    close("gradients", np.moveaxis(kernel.gradient, -1, 1).reshape(reward.shape), reward.grad.numpy())
    close("Q", np.moveaxis(kernel.q, -1, 1).reshape(expected.q.shape), expected.q.detach().numpy())
    close("V", np.moveaxis(kernel.v, -1, 1).reshape(expected.v.shape), expected.v.detach().numpy())


def riccati(count: int = 21, horizon: int = 30) -> None:
    """Against the recursion in numpy, problem by problem, with inverses."""
    random, states = np.random.default_rng(0), 4
    for theta in (np.zeros(count), random.uniform(0.1, 1.0, count)):
        transition = random.normal(size=(count, 4, 6)) * 0.5
        root, x = 0.4 * random.normal(size=(count, 4, 4)), random.normal(size=(count, 6, 6))
        hessian = x @ x.swapaxes(1, 2) / 6 + 0.1 * np.eye(6)
        kernel = RiccatiLimit(horizon, transition, root, hessian, hessian[:, :4, :4].copy(), theta)
        kernel.solve()
        p, gain, inverse, logs = map(kernel.by_problem, (kernel.p, kernel.gain, kernel.inverse, kernel.logs))
        for b in range(count):
            after = hessian[b, :4, :4]
            for t in reversed(range(horizon)):
                w, noise = root[b] @ root[b].T, np.trace(root[b] @ root[b].T @ after)
                if theta[b] != 0:
                    noise = np.linalg.slogdet(np.eye(4) + theta[b] * w @ after)[1]
                    after = after @ np.linalg.inv(np.eye(4) + theta[b] * w @ after)
                h = hessian[b] + transition[b].T @ after @ transition[b]
                within = np.linalg.inv(h[states:, states:])
                after = h[:states, :states] - h[:states, states:] @ within @ h[states:, :states]
                after, size = 0.5 * (after + after.T), np.abs(after).max()
                off = (
                    np.abs(p[b, t] - after).max() / size,
                    np.abs(gain[b, t] - within @ h[states:, :states]).max(),
                    np.abs(inverse[b, t] - within).max(),
                    np.abs(logs[b, t] - [noise, np.linalg.slogdet(h[states:, states:])[1]]).max() / (1 + abs(noise)),
                )
                if not max(off) <= EXACT:
                    raise AssertionError(f"P, K, Haa^-1 or logarithms are off by {off}")
        print(f"  P, K, Haa^-1 and logarithms, theta {'0' if not theta.any() else 'positive'}: within {EXACT:g}")


def sweep(states: int = 2000) -> None:
    random = np.random.default_rng(0)
    successor = random.integers(0, states, (states, 4, 5), dtype=np.int32)
    for kind, tolerance in ((np.float64, EXACT), (np.float32, 1e-5)):
        p, reward = random.dirichlet(np.ones(5), (states, 4)).astype(kind), random.normal(size=(states, 4)).astype(kind)
        kernel, v = SweepLimit(p, successor, reward, 0.99), random.normal(size=states).astype(kind)
        for temperature in (0.0, 0.1):

            def operator(v: np.ndarray, temperature: float = temperature) -> np.ndarray:
                q = reward + 0.99 * (p * v[successor]).sum(-1)  # noqa: B023
                top = q.max(-1)
                if temperature == 0:
                    return top
                return top + temperature * np.log(np.exp((q - top[:, None]) / temperature).mean(-1))

            out = np.empty_like(v)
            for threads in (1, 2):
                bounds, change = kernel.sweep(v, out, temperature, threads), operator(v) - v
                close("sweep", out, v + change, tolerance)
                close("bounds", bounds, [change.min(), change.max()], tolerance)
            if kind is np.float64:
                for evaluations in (0, 20) if temperature == 0 else (0,):
                    found, count = kernel.solve(temperature, 1e-9, evaluations, 2)
                    assert count > 0
                    close("Bellman residual", operator(found), found, 2e-9)


def main() -> None:
    for name, steps in (("4x4", 20), ("8x8", 100)):
        for temperature in (0.05, 1.0):
            print(f"FrozenLake {name}, temperature {temperature}")
            model = TabularModel(frozen_lake(name, steps), temperature)
            finite(model)
            elbo(model)
            batch(model)
    print("Linear-quadratic problems")
    riccati()
    print("Bellman sweeps")
    sweep()


if __name__ == "__main__":
    main()

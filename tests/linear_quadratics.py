"""Random linear-quadratic models, and two ways to solve them that share no code with the library."""

import math

import mpmath as mp
import numpy as np

from pgm_control import GaussianPrior, LinearQuadratic, LinearQuadraticModel


def scalar(horizon=6, **changes):
    """The scalar problem of which answers are known to nine digits."""
    return LinearQuadratic.from_cost(0.9, 0.5, 1.0, 0.2, 0.3, horizon=horizon, **({"initial_mean": 1.0} | changes))


def double_integrator():
    """A mass on a line, pushed: position and speed."""
    return LinearQuadratic(
        [[1.0, 0.2], [0.0, 1.0]], [[0.0], [0.2]], np.diag([0.01, 0.05]), np.diag([1.0, 0.1, 0.1]), horizon=20,
        initial_mean=[2.0, 0.0], initial_covariance=0.1 * np.eye(2),
    )  # fmt: skip


def random_model(seed, discounted=True, lebesgue=None, largest=(6, 3, 50)):
    """A model whose tables may depend on time, be affine and coupled, and whose noise may be singular."""
    rng = np.random.default_rng(seed)
    n, m, steps = (int(rng.integers(1, most + 1)) for most in largest)

    def front():
        return (steps,) if rng.random() < 0.4 else ()

    def covariance(size, rank, scale=1.0, timed=True):
        root = scale * rng.normal(size=(*(front() if timed else ()), size, rank)) / math.sqrt(size)
        return root @ root.swapaxes(-1, -2)

    A = rng.normal(size=(*front(), n, n))
    A = 0.95 * A / np.abs(np.linalg.eigvals(A)).max(-1)[..., None, None].clip(0.5)
    C = covariance(n + m, n + m) + np.diag([0.0] * n + [0.2] * m)
    if rng.random() < 0.3:  # a cost that is not positive in every direction
        C = C - 0.1 * np.diag([1.0] * n + [0.0] * m)
    final = (covariance(n, n, timed=False), rng.normal(size=n), rng.normal()) if rng.random() < 0.5 else None
    problem = LinearQuadratic(
        A, rng.normal(size=(*front(), n, m)), covariance(n, int(rng.integers(0, n + 1)) or n, 0.5), C, horizon=steps,
        c=rng.normal(size=(*front(), n + m)) if rng.random() < 0.5 else None,
        k=rng.normal(size=front()), d=0.3 * rng.normal(size=(*front(), n)) if rng.random() < 0.5 else None,
        final_cost=final, initial_mean=rng.normal(size=n),
        initial_covariance=covariance(n, int(rng.integers(0, n + 1)) or 1, timed=False),
        discount=0.9 if discounted and rng.random() < 0.3 else 1.0,
    )  # fmt: skip
    improper = rng.random() < 0.5 if lebesgue is None else lebesgue
    prior = None
    if not improper:
        U = covariance(m, m) + 0.3 * np.eye(m)
        prior = GaussianPrior(0.3 * rng.normal(size=(*front(), m, n)), rng.normal(size=m), U)
    return LinearQuadraticModel(problem, float(rng.choice([0.3, 1.0, 2.0])), prior)


def dense_log_evidence(model):
    """log p(O) as one Gaussian integral over the standard normal noises and the actions of all steps."""
    problem, tau = model.problem, model.temperature
    n, m, steps = problem.num_states, problem.num_actions, problem.horizon
    size = n + steps * (m + n)  # noise of the start, then action and noise by step
    hessian, gradient, constant = np.zeros((size, size)), np.zeros(size), 0.0

    def add(matrix, shift, P, p=None, c=0.0):
        """Add ½ x'Px + p'x + c for x = matrix y + shift."""
        nonlocal hessian, gradient, constant
        hessian = hessian + matrix.T @ P @ matrix
        p = np.zeros(len(P)) if p is None else p
        gradient = gradient + matrix.T @ (P @ shift + p)
        constant = constant + 0.5 * shift @ P @ shift + p @ shift + c

    def numpy(name, t=None):
        value = getattr(problem, name).numpy()
        return value if t is None else value[t]

    def square_root(covariance):
        values, vectors = np.linalg.eigh(covariance)
        return vectors * np.sqrt(values.clip(0.0))

    state, shift = np.zeros((n, size)), numpy("initial_mean")
    state[:, :n] = square_root(numpy("initial_covariance"))
    unit = np.eye(size)
    normalisers = 0.0
    for t in range(steps):
        at = n + t * (m + n)
        action = unit[at : at + m]
        z, moved = np.vstack((state, action)), np.concatenate((shift, np.zeros(m)))
        add(z, moved, numpy("C", t) / tau, numpy("c", t) / tau, numpy("k", t) / tau)
        if model.action_prior is not None:
            G, g, U = (
                each.numpy()
                for each in (model.action_prior.gain, model.action_prior.offset, model.action_prior.covariance)
            )
            G, g, U = (each[min(t, len(each) - 1)] for each in (G, g, U))
            add(action - G @ state, -G @ shift - g, np.linalg.inv(U))
            normalisers -= 0.5 * np.linalg.slogdet(2 * math.pi * U)[1]
        state = numpy("A", t) @ state + numpy("B", t) @ action
        state[:, at + m : at + m + n] += square_root(numpy("W", t))
        shift = numpy("A", t) @ shift + numpy("d", t)
    add(state, shift, numpy("final_P") / tau, numpy("final_p") / tau, numpy("final_v") / tau)
    noise = [i for i in range(size) if i < n or (i - n) % (m + n) >= m]
    hessian[noise, noise] += 1.0
    normalisers -= 0.5 * len(noise) * math.log(2 * math.pi)
    sign, logarithm = np.linalg.slogdet(hessian)
    assert sign > 0
    inner = gradient @ np.linalg.solve(hessian, gradient)
    return normalisers - constant + 0.5 * inner + 0.5 * (size * math.log(2 * math.pi) - logarithm)


def precise_objective(model, dynamics, initial, digits=50):
    """The objective in nats by a recursion in many digits that inverts I + θWP, which the library never forms."""
    with mp.workdps(digits):
        return _precise(model, mp.mpf(dynamics), mp.mpf(initial))


def _precise(model, dynamics, initial):
    problem, tau = model.problem, mp.mpf(model.temperature)
    n, m, gamma = problem.num_states, problem.num_actions, mp.mpf(problem.discount)

    def exact(name, t=None):
        value = getattr(problem, name)
        value = value if t is None else value[t]
        rows = value.tolist()
        return mp.mpf(rows) if value.ndim == 0 else mp.matrix(rows)

    def equivalent(P, p, v, W, theta):
        M = mp.eye(n) + theta * W * P
        inverse = mp.inverse(M)
        ahead = P * inverse
        if theta == 0:
            return P, p, v + sum((W * P)[i, i] for i in range(n)) / 2
        return ahead, inverse.T * p, v + mp.log(mp.det(M)) / (2 * theta) - theta / 2 * (p.T * inverse * W * p)[0]

    P, p, v = exact("final_P"), exact("final_p"), exact("final_v")
    for t in reversed(range(problem.horizon)):
        P, p, v = equivalent(gamma * P, gamma * p, gamma * v, exact("W", t), dynamics / tau)
        A, B, d, C, c, k = (exact(name, t) for name in ("A", "B", "d", "C", "c", "k"))
        Hss, Hsa, Haa = C[:n, :n] + A.T * P * A, C[:n, n:] + A.T * P * B, C[n:, n:] + B.T * P * B
        pulled = P * d + p
        hs, ha = c[:n, :] + A.T * pulled, c[n:, :] + B.T * pulled
        constant = k - tau * m * mp.log(2 * mp.pi * tau) / 2
        if model.action_prior is not None:
            prior = model.action_prior
            G, g, U = (
                mp.matrix(each[min(t, len(each) - 1)].tolist()) for each in (prior.gain, prior.offset, prior.covariance)
            )
            precision = mp.inverse(U) * tau
            Hss, Hsa, Haa = Hss + G.T * precision * G, Hsa - G.T * precision, Haa + precision
            hs, ha = hs + G.T * precision * g, ha - precision * g
            constant += (g.T * precision * g)[0] / 2 + tau * (mp.log(mp.det(U)) + m * mp.log(2 * mp.pi)) / 2
        inverse = mp.inverse(Haa)
        v = (
            constant
            + (d.T * P * d)[0] / 2
            + (p.T * d)[0]
            + v
            - (ha.T * inverse * ha)[0] / 2
            + tau * mp.log(mp.det(Haa)) / 2
        )
        P, p = Hss - Hsa * inverse * Hsa.T, hs - Hsa * inverse * ha
        P = (P + P.T) / 2
    P, p, v = equivalent(P, p, v, exact("initial_covariance"), initial / tau)
    mean = exact("initial_mean")
    return -((mean.T * P * mean)[0] / 2 + (p.T * mean)[0] + v) / tau

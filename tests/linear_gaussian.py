"""A scalar linear-Gaussian program written by hand, and its optimal guides by a backward recursion in plain numbers."""

import math

import pyro
import pyro.distributions as dist

A, B, W, Q, R, STEPS = 0.9, 0.5, 0.3, 1.0, 0.2, 6
START, VARIANCE = 1.0, 0.5
LOG_EVIDENCE, CLAMPED_ELBO = -2.7677273982, -4.3584123900  # of the program, and of the best clamped guide, in nats


def program():
    """s' = a s + b u + w, w ~ N(0, W), action prior N(0, 1), rewards −(q s² + r u²)/2."""
    state = pyro.sample("state_0", dist.Normal(START, math.sqrt(VARIANCE)))
    for t in range(STEPS):
        action = pyro.sample(f"action_{t}", dist.Normal(0.0, 1.0))
        pyro.factor(f"optimality_{t}", -(Q * state**2 + R * action**2) / 2)
        state = pyro.sample(f"state_{t + 1}", dist.Normal(A * state + B * action, math.sqrt(W)))


def certainty_equivalent(optimism, p, variance):
    """The constant of L_β[−½ p s²] over a normal s: log(1 + β W p)/(2β), and ½ W p at β = 0."""
    return math.log1p(optimism * variance * p) / (2 * optimism) if optimism else variance * p / 2


def objective(optimism):
    """The optimum of J_β, in nats: the certainty equivalent of the value of the start."""
    steps, p = gains(optimism)
    cost = sum(certainty_equivalent(optimism, ahead, W) - 0.5 * math.log(variance) for _, variance, ahead, _ in steps)
    spread = VARIANCE / (1 + optimism * VARIANCE * p)
    cost += certainty_equivalent(optimism, p, VARIANCE) + 0.5 * (p - optimism * p * spread * p) * START**2
    return -cost


def gains(optimism):
    """(gain, action variance, curvature of the value of the next state, believed variance) by step, and the curvature
    of the value of the start; temperature 1."""
    steps, p = [], 0.0
    for _ in range(STEPS):
        s = W / (1 + optimism * W * p)
        ahead = p - optimism * p * s * p
        haa, hsa = R + B * B * ahead + 1, A * B * ahead
        steps.append((hsa / haa, 1 / haa, p, s))
        p = Q + A * A * ahead - hsa * hsa / haa
    return steps[::-1], p


def optimal_guide(optimism):
    """The optimum of the objective at this optimism, with the start at the same β, as a Pyro function."""
    steps, p = gains(optimism)
    spread = VARIANCE / (1 + optimism * VARIANCE * p)

    def guide():
        state = pyro.sample("state_0", dist.Normal((1 - optimism * spread * p) * START, math.sqrt(spread)))
        for t, (gain, variance, ahead, s) in enumerate(steps):
            action = pyro.sample(f"action_{t}", dist.Normal(-gain * state, math.sqrt(variance)))
            mean = (1 - optimism * s * ahead) * (A * state + B * action)
            state = pyro.sample(f"state_{t + 1}", dist.Normal(mean, math.sqrt(s)))

    return guide

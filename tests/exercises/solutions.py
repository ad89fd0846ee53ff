"""Solutions of the exercises as a reader would write them: scripts of numpy, which call nothing of the library's
inference."""

SOLUTIONS = {
    1: """
import numpy as np
from pgm_control.models import risky_path

mdp, tau, rho = risky_path(horizon=5), 3.0, np.array([0.8, 0.2])
p, successor, r = (each.numpy() for each in (mdp.probability, mdp.successor, mdp.reward))
v, policies = [np.zeros(4)], []
for t in reversed(range(5)):
    message = (p * np.exp((r + v[0][successor]) / tau)).sum(-1)  # (S, A)
    total = message @ rho
    policies.insert(0, rho * message / total[:, None])
    v.insert(0, tau * np.log(total))
v, policy = np.stack(v), policies[0]
log_evidence = np.log((mdp.initial.numpy() * np.exp(v[0] / tau)).sum())
""",
    2: """
from math import exp, log

ticket, work = log(0.01 * exp(12) + 0.99 * exp(-1)), 3.0
p_ticket = exp(ticket) / (exp(ticket) + exp(work))
p_win = 0.01 * exp(12) / exp(ticket)
break_even = log((exp(3) - 0.99 * exp(-1)) / 0.01)
""",
    3: """
import numpy as np

tau, u = 2.0, np.array([-10.0, 6.0, 8.0])
p = np.array([[0.2, 0.6, 0.2], [0.05, 0.9, 0.05]])
worth = np.exp(p @ u / tau)
policy = worth / worth.sum()
elbo = policy @ (p @ u / tau - np.log(policy / 0.5))
without_outcome = elbo + policy @ (p * np.log(p)).sum(-1)
""",
    4: """
import numpy as np

u, p = np.array([-10.0, 6.0, 8.0]), np.array([[0.2, 0.6, 0.2], [0.05, 0.9, 0.05]])


def worth(beta):
    return p @ u / 2 if beta == 0 else np.log(p @ np.exp(beta * u / 2)) / beta  # over τ = 2: in nats


def solved(beta):
    x = worth(beta)
    value = np.log(0.5 * np.exp(x).sum())
    return value, 0.5 * np.exp(x - value)


robust, _ = solved(-0.5)
low, high = 0.0, 1.0
for _ in range(60):
    flip = (low + high) / 2
    italian, french = worth(flip)
    low, high = (flip, high) if french > italian else (low, flip)
(free, free_policy), (_, clamped_policy) = solved(1.0), solved(0.0)
believed = p * np.exp(u / 2)
believed /= believed.sum(-1, keepdims=True)
dynamics_nats = clamped_policy @ (p * np.log(p / believed)).sum(-1)
policy_nats = clamped_policy @ np.log(clamped_policy / free_policy)
""",
    5: """
import numpy as np

u, p = np.array([-10.0, 6.0, 8.0]), np.array([[0.2, 0.6, 0.2], [0.05, 0.9, 0.05]])
pi = np.array([0.5, 0.5])
pairs = [(a, k) for a in range(2) for k in range(3)]
weight = np.array([pi[a] * p[a, k] for a, k in pairs])
score = np.array([np.eye(2)[a] - pi for a, _ in pairs])
gain = np.array([u[k] - np.log(pi[a] / 0.5) for a, k in pairs])
gradient = (weight * gain) @ score
baseline = weight @ gain


def variance(b):
    x = score[:, 0] * (gain - b)
    return weight @ (x - weight @ x) ** 2


variance_ratio = variance(baseline) / variance(0.0)
fixed_point = 0.0
for _ in range(300):
    fixed_point = np.log((np.exp(1 + 0.9 * fixed_point) + np.exp(0.9 * fixed_point)) / 2)
""",
    6: """
from math import exp, log

odds = 22 / 18
utility_clamped = (log(odds) - ((0.05 * -10 + 0.9 * 6) - (0.2 * -10 + 0.6 * 6))) / (0.05 - 0.2)
french, italian = 0.05 * exp(-10) + 0.9 * exp(6), 0.2 * exp(-10) + 0.6 * exp(6)
utility_free = log((french - odds * italian) / (odds * 0.2 - 0.05))
p_spectacular = 0.2 * exp(utility_free) / (italian + 0.2 * exp(utility_free))


def nats(u):
    gap = (-0.5 + 5.4 + 0.05 * u) - (-2.0 + 3.6 + 0.2 * u)
    return -22 * log(1 + exp(-gap)) - 18 * log(1 + exp(gap))


slope = (nats(8 + 1e-4) - nats(8 - 1e-4)) / 2e-4
""",
}

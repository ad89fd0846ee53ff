"""SAC in both forms: what they find in a small continuous problem whose soft optimum is known.

A point on a line takes 3 steps of at most 1 in wind, and pays its squared distance from 1.5. Quadrature gives the
optimum and the worth of each learned policy. "lost": what a policy lacks of the soft objective, in nats; "critic": what
the learner says of its own policy's value at the start, minus the truth; "entropy": of the policy, and of the optimum
at its τ, along their paths. The best squashed Gaussian, found by search, is not the optimum. Both forms come near to
it, and differ by less than two seeds do; their critics are too low. A target entropy of 0 leads to a τ whose optimum
has .1: SAC counts entropy over its memory, not along its paths. Printed:

                            τ    lost  critic     entropy
optimum                  0.30    0.00         -0.18
best Gaussian            0.30    0.14         -0.23
with V, τ = .3           0.30    0.17   -0.10 -0.24 -0.18
with V, τ = .3           0.30    0.22   -0.10 -0.24 -0.18
two critics, τ = .3      0.30    0.16   -0.05 -0.23 -0.18
two critics, τ = .3      0.30    0.26   -0.21 -0.10 -0.18
two critics, τ learned   0.73    0.11   -0.07  0.08  0.11
two critics, τ learned   0.71    0.23   -0.25  0.19  0.10
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
import tyro
from gymnasium.spaces import Box
from matplotlib.figure import Figure
from scipy.special import rel_entr, softmax

from pgm_control.learners import SAC, OriginalSAC

HORIZON, WIND, MID = 3, 0.2, 100
X, A = np.linspace(-5, 5, 201), (np.arange(100) + 0.5) / 50 - 1
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(9)  # quadrature of the wind
BLOWN = softmax(-0.5 * ((X - X[:, None, None] - A[:, None]) / WIND) ** 2, 2)  # from a point, by an action, to a point
FORMS: dict[str, Any] = {
    "with V, τ = .3": (OriginalSAC, {"temperature": 0.3}), "two critics, τ = .3": (SAC, {"temperature": 0.3}),
    "two critics, τ learned": (SAC, {"target_entropy": 0.0}),
}  # fmt: skip


@dataclass
class Args:
    """Options of the example."""

    picture: Path = Path("39_sac_in_both_forms.png")
    """output file of the picture"""
    smoke: bool = False
    """few steps, to see that it runs"""


class Walk(gymnasium.Env):
    """The problem as an environment, whose observation is the point and the time."""

    observation_space, action_space = Box(-np.inf, np.inf, (2,)), Box(-1.0, 1.0, (1,))

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.seen = np.zeros(2, np.float32)
        return self.seen, {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.seen = self.seen + np.array([action[0] + WIND * self.np_random.normal(), 1], np.float32)
        return self.seen, -float((self.seen[0] - 1.5) ** 2), self.seen[1] == HORIZON, False, {}


def backwards(tau: float, choose: Any) -> tuple[np.ndarray, np.ndarray]:
    """A policy, chosen at each time by its Q, as probabilities of the actions, and its soft value at time 0."""
    policy, v, to = [], np.zeros(len(X)), X[:, None, None] + A[:, None] + WIND * NODES
    for t in reversed(range(HORIZON)):
        q = (-((to - 1.5) ** 2) + 0.99 * np.interp(to, X, v)) @ (WEIGHTS / WEIGHTS.sum())
        policy.insert(0, choose(t, q))
        v = (policy[0] * q - tau * rel_entr(policy[0], 1 / len(A))).sum(1)
    return np.stack(policy), v


def optimum(tau: float) -> tuple[np.ndarray, np.ndarray]:
    return backwards(tau, lambda t, q: softmax(q / tau, 1))


def best_gaussian(tau: float) -> tuple[np.ndarray, np.ndarray]:
    """The best policy of squashed Gaussians, by search over a mean and a scale at each point and time."""
    mean, scale = (each.reshape(-1, 1) for each in np.meshgrid(np.linspace(-3, 3, 121), np.geomspace(0.1, 2, 30)))
    p = softmax(-0.5 * ((np.arctanh(A) - mean) / scale) ** 2 - np.log1p(-(A**2)), 1)
    return backwards(tau, lambda t, q: p[(q @ p.T - tau * rel_entr(p, 1 / len(A)).sum(1)).argmax(1)])


def entropy(policy: np.ndarray) -> float:
    """The mean entropy of the density along the policy's own paths, in nats."""
    here, total = np.eye(len(X))[MID], 0.0
    for p in policy:
        total += np.log(2) - here @ rel_entr(p, 1 / len(A)).sum(1)
        here = np.einsum("x,xa,xay->y", here, p, BLOWN, optimize=True)
    return total / HORIZON


@torch.no_grad()
def read(learner: SAC | OriginalSAC, tau: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The policy of a learner, its soft value at time 0, and what the learner believes this value to be."""
    at = [torch.tensor(np.stack([X, np.full_like(X, t)], 1), dtype=torch.float32) for t in range(HORIZON)]
    acts = [torch.full((len(X), 1), a) for a in A.tolist()]
    log_p = [torch.stack([learner.actor(x).log_prob(a) for a in acts], 1).double() for x in at]
    policy, v = backwards(tau, lambda t, q: log_p[t].softmax(1).numpy())
    if isinstance(learner, OriginalSAC):
        return policy, v, learner.soft_value(at[0])[0, :, 0].numpy()
    q = torch.stack([learner.critics(torch.cat([at[0], a], 1)).amin(0)[:, 0] for a in acts], 1).numpy()
    return policy, v, (policy[0] * q - tau * rel_entr(policy[0], 1 / len(A))).sum(1)


def main(args: Args) -> None:
    """Learn and compare."""
    left, right = (figure := Figure(figsize=(8, 3.6), layout="constrained")).subplots(1, 2)
    print(f"{'':<24}    τ    lost  critic     entropy")
    for name, style, (policy, v) in (("optimum", "k", optimum(0.3)), ("best Gaussian", "k:", best_gaussian(0.3))):
        print(f"{name:<24} 0.30{(optimum(0.3)[1] - v)[MID] / 0.3:8.2f}{entropy(policy):14.2f}")
        left.plot(X, v, style, label=name)
        right.plot(A, policy[0][MID] * len(A) / 2, style)
    for name, (kind, options) in FORMS.items():
        for seed in (0, 1):
            learner = kind(Walk, discount=0.99, hidden=(32, 32), learning_rate=5e-3, batch_size=64, num_envs=8,
                           learning_starts=1000, target_rate=0.05, seed=seed, **options)  # fmt: skip
            learner.learn(1040 if args.smoke else 5800)  # 600 updates
            tau = options.get("temperature") or learner.temperature
            (p, v, said), (best, top) = read(learner, tau), optimum(tau)
            numbers = f"{tau:5.2f}{(top - v)[MID] / tau:8.2f}{(said - v)[MID]:+8.2f}"
            print(f"{name:<24}{numbers}{entropy(p):6.2f}{entropy(best):6.2f}")
            if seed == 0 and "learned" not in name:
                left.plot(X, said, label=name)
                right.plot(A, p[0][MID] * len(A) / 2)
    left.set(xlabel="point", title="value at time 0", xlim=(-3, 4), ylim=(-20, 0))
    right.set(xlabel="action", title="density of the first action at 0", xlim=(0, 1))
    left.legend(frameon=False)
    figure.savefig(args.picture, dpi=110)


if __name__ == "__main__":
    main(tyro.cli(Args))

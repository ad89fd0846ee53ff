"""Exercise 5: a policy gradient by hand, what a baseline does to its variance, and a fixed point."""

import math

import torch
from torch import Tensor

from ..models.restaurant import restaurant
from .exercise import Asked, Exercise

_POLICY = (0.5, 0.5)


def _weights() -> tuple[Tensor, Tensor, Tensor]:
    """The probability of each (action, outcome), its score by the two logits, and its return G in nats."""
    mdp = restaurant()
    policy = torch.tensor(_POLICY, dtype=torch.float64)
    joint = policy[:, None] * mdp.probability[0]
    score = torch.eye(2, dtype=torch.float64) - policy  # d log π(a) / d logit_j
    gain = mdp.reward[0] - (policy / 0.5).log()[:, None]  # r/τ − log π/ρ
    return joint, score[:, None, :].expand(2, 3, 2), gain


def _gradient(shift: float = 0.0) -> Tensor:
    joint, score, gain = _weights()
    return (joint[..., None] * score * (gain - shift)[..., None]).sum((0, 1))


def _baseline() -> float:
    joint, _, gain = _weights()
    return float((joint * gain).sum())


def _variance(baseline: float) -> float:
    joint, score, gain = _weights()
    estimate = score[..., 0] * (gain - baseline)
    return float((joint * estimate.square()).sum() - (joint * estimate).sum().square())


SAMPLES = Exercise(
    chapter=5,
    title="A policy gradient by hand",
    task=(
        "In `restaurant()` at τ = 1 with a uniform prior, a clamped guide has the policy softmax(logits), "
        "with both logits 0. Compute the exact gradient of its ELBO by enumeration of the six pairs (a, k), "
        "as E[∇ log π(a) (G − b)] with G = r/τ − log π(a)/ρ(a). Then compare the variance of one sample of "
        "its first entry, with the baseline b = E[G] and without. Last, an endless problem with one state: its two "
        "actions pay 1 and 0, γ = .9, τ = 1, uniform prior. Find the fixed point V of the soft backup."
    ),
    asked=(
        Asked(
            "gradient",
            "the gradient of the ELBO by the two logits (Italian, French), in nats",
            _gradient,
            1e-9,
            "The score is ∇ log π(a) = onehot(a) − π, and G is averaged with π(a) p(k|a).",
            (
                (lambda: -_gradient(), "This is the gradient of the loss; that of the ELBO has the other sign."),
                (lambda: 2 * _gradient(), "Each pair is weighted by p(k|a); the weight is π(a) p(k|a)."),
            ),
        ),
        Asked(
            "baseline",
            "the baseline E[G], in nats",
            _baseline,
            1e-9,
            "At this policy log π/ρ is 0, so that it is the mean utility under the policy.",
        ),
        Asked(
            "variance_ratio",
            "the variance of one sample of the first entry with the baseline, over that without",
            lambda: _variance(_baseline()) / _variance(0.0),
            1e-6,
            "The variance is E[x²] − E[x]², x = score · (G − b). The mean is the same in both cases.",
            (
                (
                    lambda: _variance(0.0) / _variance(_baseline()),
                    "This is the reciprocal: without baseline over with it.",
                ),
                (
                    lambda: (_variance(_baseline()) / _variance(0.0)) ** 0.5,
                    "This is the ratio of standard deviations.",
                ),
            ),
        ),
        Asked(
            "fixed_point",
            "the soft value V of the endless problem, in reward units",
            lambda: math.log((math.e + 1) / 2) / (1 - 0.9),
            1e-6,
            "Q(a) = r(a) + γ V, and V = τ log of the mean of e^{Q/τ}; γ V leaves the logarithm as a summand.",
            (
                (lambda: 1 / (1 - 0.9), "This is the hard value, with a maximum in place of the soft one."),
                (lambda: math.log(math.e + 1) / (1 - 0.9), "Each action has the prior probability ½: a mean, no sum."),
            ),
        ),
    ),
)

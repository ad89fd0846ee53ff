"""Exercise 3: the ELBO of a clamped guide by hand, and what becomes of it if the dynamics are left out of the guide."""

from typing import Any

import torch

from ..inference.exact.infer import infer
from ..models.restaurant import restaurant
from ..models.tabular import TabularModel
from .exercise import Asked, Exercise

_TEMPERATURE = 2.0


def _posterior(optimism: float = 0.0, temperature: float = _TEMPERATURE) -> Any:
    return infer(TabularModel(restaurant(), temperature), optimism)


def _entropy_of_chance() -> float:
    p = restaurant().probability[0]
    return float(_posterior().policy[0, 0] @ torch.special.entr(p).sum(-1))


MAX_ENTROPY = Exercise(
    chapter=3,
    title="A guide without the outcome",
    task=(
        "In `restaurant()` at τ = 2, with a uniform prior, find the best policy of a guide whose dynamics are "
        "clamped, and its ELBO. Then leave the outcome out of the guide: report E_q[log p~ − log q] with p~ = "
        "ρ(a) p(k|a) exp(r/τ) and q = π(a), for the same policy and for outcomes that follow the true "
        "dynamics. This number looks like an ELBO and is none, because it lacks −log p(k|a)."
    ),
    asked=(
        Asked(
            "policy",
            "the clamped policy (P(Italian), P(French))",
            lambda: _posterior().policy[0, 0],
            1e-6,
            "It is the softmax of the mean utilities over τ.",
            (
                (lambda: _posterior(1.0).policy[0, 0], "This is the free policy: clamped guides value the mean."),
                (lambda: _posterior(0.0, 1.0).policy[0, 0], "This is the policy at τ = 1, but the temperature is 2."),
                (
                    lambda: torch.flip(_posterior().policy[0, 0], (0,)),
                    "The order is Italian, French: that of the actions of the problem.",
                ),
            ),
        ),
        Asked(
            "elbo",
            "the ELBO of that guide, in nats",
            lambda: _posterior().objective,
            1e-6,
            "It is E[r]/τ minus the KL divergence of the policy from the prior.",
            (
                (lambda: _posterior().value, "This is τ times the ELBO, in reward units."),
                (lambda: _posterior(1.0).objective, "This is log p(O), which the clamped guide does not reach."),
                (
                    lambda: _posterior().objective + torch.log(torch.tensor(2.0)).item(),
                    "This has the entropy of the policy; the ELBO has its KL from the prior, log 2 nats lower.",
                ),
            ),
        ),
        Asked(
            "without_outcome",
            "E_q[log p~ − log q] where q lacks the outcome, in nats",
            lambda: _posterior().objective - _entropy_of_chance(),
            1e-6,
            "Only one term changes: E_q[log p(k|a)] is now added and nothing cancels it.",
            (
                (
                    lambda: _posterior().objective + _entropy_of_chance(),
                    "The sign is wrong: log p(k|a) is negative, so the entropy of the dynamics is subtracted.",
                ),
                (lambda: _posterior().objective, "This is the true ELBO, in which the dynamics cancel."),
            ),
        ),
    ),
)

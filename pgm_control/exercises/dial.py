"""Exercise 4: the flip of a preference, one point of the dial, and the two entries of a ledger."""

from typing import Any

from ..analysis.critical_optimism import critical_optimism
from ..analysis.ledgers.ledger import ledger
from ..inference.exact.infer import infer
from ..models.restaurant import restaurant
from ..models.tabular import TabularModel
from .exercise import Asked, Exercise

_TEMPERATURE, _BETA = 2.0, -0.5


def _model() -> TabularModel:
    return TabularModel(restaurant(), _TEMPERATURE)


def _objective(optimism: float) -> Any:
    return infer(_model(), optimism).objective


def _totals() -> Any:
    return ledger(_model(), infer(_model(), 0.0)).totals


DIAL = Exercise(
    chapter=4,
    title="The price of a nat",
    task=(
        "In `restaurant()` at τ = 2, with a uniform prior: solve for any β by L_β[x] = (τ/β) log Σ p exp(βx/τ), find "
        "where the preferred restaurant changes, and decompose the gap between log p(O) and the ELBO of the "
        "clamped optimum by block. Everything fits into twenty lines of numpy; the library may check you on "
        "the way."
    ),
    asked=(
        Asked(
            "robust",
            "the optimum of the objective at β = −1/2, where an adversary chooses the outcomes, in nats",
            lambda: _objective(_BETA),
            1e-6,
            "Each restaurant is worth −4 log Σ p exp(−u/4); V is their soft maximum with prior 1/2, and J is V/τ.",
            (
                (lambda: _objective(-_BETA), "This is the optimum at +1/2. With β < 0 it is lower than at β = 0."),
                (lambda: _objective(0.0), "This is the clamped optimum, β = 0."),
                (lambda: _TEMPERATURE * _objective(_BETA), "This is the value, in reward units. J is in nats."),
            ),
        ),
        Asked(
            "flip",
            "the optimism β at which both restaurants are equally probable",
            lambda: float(critical_optimism(_model(), "hungry")),
            1e-5,
            "Find the root of L_β[French] − L_β[Italian] in (0, 1), by bisection.",
            (
                (
                    lambda: float(critical_optimism(TabularModel(restaurant()), "hungry")),
                    "This is the flip at τ = 1. Only θ = β/τ matters to the order of the two, so it moves with τ.",
                ),
            ),
        ),
        Asked(
            "dynamics_nats",
            "the part of log p(O) − ELBO of the clamped optimum that is due to the dynamics, in nats",
            lambda: _totals().dynamics,
            1e-6,
            "It is E_π KL(p(k|a) ‖ posterior dynamics), with the clamped policy and the true dynamics in front.",
            (
                (
                    lambda: _totals().policy + _totals().dynamics,
                    "This is the whole gap: the policies differ as well.",
                ),
                (lambda: _totals().policy, "This is the entry of the policy."),
                (
                    lambda: float(
                        (
                            infer(_model(), 0.0).policy[0, 0, :, None]
                            * infer(_model(), 1.0).dynamics[0, 0]
                            * (infer(_model(), 1.0).dynamics[0, 0] / restaurant().probability[0]).log()
                        ).sum()
                    ),
                    "The KL divergence is in the wrong direction: the guide comes first, and its dynamics are true.",
                ),
            ),
        ),
        Asked(
            "policy_nats",
            "the part that is due to the policy, in nats",
            lambda: _totals().policy,
            1e-6,
            "It is KL(clamped policy ‖ free policy). Both entries sum to log p(O) − ELBO.",
            ((lambda: _totals().dynamics, "This is the entry of the dynamics."),),
        ),
    ),
)

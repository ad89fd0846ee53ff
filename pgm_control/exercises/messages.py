"""Exercise 1: backward messages of a small problem, by hand."""

from typing import Any

import torch

from ..inference.exact.infer import infer
from ..models.risky_path import risky_path
from ..models.tabular import TabularModel
from .exercise import Asked, Exercise

_TEMPERATURE, _HORIZON = 2.0, 3


def _posterior(prior: str | None = None) -> Any:
    return infer(TabularModel(risky_path(_HORIZON), _TEMPERATURE, action_prior=prior), optimism=1.0)


def _without_temperature() -> Any:
    return infer(TabularModel(risky_path(_HORIZON), 1.0), optimism=1.0)


def _clamped() -> Any:
    return infer(TabularModel(risky_path(_HORIZON), _TEMPERATURE), optimism=0.0)


MESSAGES = Exercise(
    chapter=1,
    title="Messages by hand",
    task=(
        "Take the tables of `mdp = risky_path(horizon=3)`: mdp.initial, mdp.probability, mdp.successor, "
        "mdp.reward; there is no final reward. With the temperature τ = 2 and a uniform action prior, compute the "
        "backward messages in a loop of your own over t = T − 1, …, 0. Do not call `infer`: it is what the "
        "check compares with."
    ),
    asked=(
        Asked(
            "v",
            "V_t(s), the table of shape (T + 1, S) of τ times the log backward messages of the states, in reward units",
            lambda: _posterior().v,
            1e-8,
            "Start from V_T = 0, and compare one step first: V_2 has one action and one outcome to go.",
            (
                (lambda: _posterior().v / _TEMPERATURE, "These are the messages in nats. V is τ times as large."),
                (
                    lambda: _posterior("count").v,
                    "The sum over actions has no prior. The message is a mean: each action has weight 1/A.",
                ),
                (lambda: _without_temperature().v, "These are the values at τ = 1, but the temperature is 2."),
                (
                    lambda: _clamped().v,
                    "Here Q is the mean over outcomes. A message is a sum: log Σ p exp(x/τ), also over outcomes.",
                ),
            ),
        ),
        Asked(
            "log_evidence",
            "log p(O), in nats",
            lambda: _posterior().log_evidence,
            1e-8,
            "It is the logarithm of Σ p(s_0) exp(V_0(s_0)/τ).",
            (
                (lambda: _posterior().value, "This is τ log p(O), in reward units. The evidence is in nats."),
                (lambda: _posterior("count").log_evidence, "The action prior is missing: it costs log A nats a step."),
                (lambda: _clamped().objective, "This is the clamped ELBO, which is a lower bound of log p(O)."),
            ),
        ),
        Asked(
            "policy",
            "π_0(a | s), the policy of the first step given that all steps are optimal, of shape (S, A)",
            lambda: _posterior().policy[0],
            1e-8,
            "It is ρ(a|s) exp((Q_0 − V_0)/τ), and its rows sum to 1.",
            (
                (lambda: _clamped().policy[0], "This is the policy of the clamped problem."),
                (
                    lambda: torch.softmax(_posterior().q[0], -1),
                    "The exponent of the softmax is Q/τ, but here it is Q.",
                ),
            ),
        ),
    ),
)

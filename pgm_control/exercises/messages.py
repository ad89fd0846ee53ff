"""Exercise 1: backward messages of a small problem, by hand."""

from typing import Any

import torch

from ..inference.exact.infer import infer
from ..models.risky_path import risky_path
from ..models.tabular import TabularModel
from .exercise import Asked, Exercise

_HORIZON, _TEMPERATURE, _PRIOR = 5, 3.0, (0.8, 0.2)


def _posterior(optimism: float = 1.0, temperature: float = _TEMPERATURE, prior: Any = _PRIOR) -> Any:
    mdp = risky_path(_HORIZON)
    table = [list(prior)] * mdp.num_states if isinstance(prior, tuple) else prior
    return infer(TabularModel(mdp, temperature, action_prior=table), optimism)


MESSAGES = Exercise(
    chapter=1,
    title="Messages by hand",
    task=(
        "Take the tables of `mdp = risky_path(horizon=5)`: mdp.initial, mdp.probability, mdp.successor, mdp.reward; "
        "there is no final reward. With the temperature τ = 3 and the action prior ρ = (0.8, 0.2) in every state, "
        "compute the backward messages in a loop of your own over t = T − 1, …, 0. Do not call `infer`: it is what the "
        "check compares with."
    ),
    asked=(
        Asked(
            "v",
            "V_t(s), the table of shape (T + 1, S) of τ times the log backward messages of the states, in reward units",
            lambda: _posterior().v,
            1e-8,
            "Start from V_T = 0, and compare one step first: V_4 has one action and one outcome to go.",
            (
                (lambda: _posterior().v / _TEMPERATURE, "These are the messages in nats. V is τ times as large."),
                (
                    lambda: _posterior(prior="count").v,
                    "The sum over actions has no prior. Each action has its weight ρ, here 0.8 or 0.2.",
                ),
                (lambda: _posterior(prior=None).v, "These are the values with a uniform prior; ρ is (0.8, 0.2)."),
                (lambda: _posterior(temperature=1.0).v, "These are the values at τ = 1, but the temperature is 3."),
                (
                    lambda: _posterior(0.0).v,
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
                (lambda: _posterior(prior="count").log_evidence, "The action prior is missing."),
                (lambda: _posterior(prior=None).log_evidence, "This is for a uniform prior; ρ is (0.8, 0.2)."),
                (lambda: _posterior(0.0).objective, "This is the clamped ELBO, which is a lower bound of log p(O)."),
            ),
        ),
        Asked(
            "policy",
            "π_0(a | s), the policy of the first step given that all steps are optimal, of shape (S, A)",
            lambda: _posterior().policy[0],
            1e-8,
            "It is ρ(a|s) exp((Q_0 − V_0)/τ), and its rows sum to 1.",
            (
                (lambda: _posterior(0.0).policy[0], "This is the policy of the clamped problem."),
                (lambda: _posterior(prior=None).policy[0], "This is the policy with a uniform prior; ρ is (0.8, 0.2)."),
                (
                    lambda: torch.softmax(_posterior().q[0] / _TEMPERATURE, -1),
                    "The softmax of Q/τ lacks the prior: each action has the weight ρ exp(Q/τ).",
                ),
                (
                    lambda: torch.softmax(_posterior().q[0] + torch.tensor(_PRIOR).log(), -1),
                    "The exponent is Q/τ, but here it is Q.",
                ),
            ),
        ),
    ),
)

"""Exercise 2: what the exact posterior believes of a lottery, and from which jackpot it buys."""

import math
from typing import Any

from ..inference.exact.infer import infer
from ..models.lottery import lottery
from ..models.tabular import TabularModel
from .exercise import Asked, Exercise

_ODDS, _PRICE, _WAGE = 0.01, 1.0, 3.0


def _posterior(optimism: float = 1.0) -> Any:
    return infer(TabularModel(lottery(jackpot_probability=_ODDS, price=_PRICE, wage=_WAGE)), optimism)


def _break_even() -> float:
    return math.log((math.exp(_WAGE) - (1 - _ODDS) * math.exp(-_PRICE)) / _ODDS)


def _clamped_break_even() -> float:
    return (_WAGE + (1 - _ODDS) * _PRICE) / _ODDS


OPTIMISM = Exercise(
    chapter=2,
    title="A lottery ticket",
    task=(
        "`lottery()` offers a ticket that wins 12 with probability 1/100 and else loses 1, or a day's work "
        "for 3 (τ = 1, uniform prior). Find by hand what the exact posterior does and believes, and the "
        "jackpot from which it prefers the ticket. Any way of computing it is allowed."
    ),
    asked=(
        Asked(
            "p_ticket",
            "the probability that the exact posterior buys the ticket",
            lambda: float(_posterior().policy[0, 0, 0]),
            1e-6,
            "The ticket is worth log E exp(reward), work is worth 3; the policy is the softmax of the two.",
            ((lambda: float(_posterior(0.0).policy[0, 0, 0]), "This is the clamped agent, which values the mean."),),
        ),
        Asked(
            "p_win",
            "the probability of winning, given the ticket, that the exact posterior believes in",
            lambda: float(_posterior().dynamics[0, 0, 0, 0]),
            1e-6,
            "By Bayes' rule it is proportional to the true probability times exp(reward).",
            (
                (lambda: _ODDS, "This is the true probability. The posterior conditions on a good day."),
                (
                    lambda: float(_posterior().dynamics[0, 0, 0, 0] * _posterior().policy[0, 0, 0]),
                    "This is the probability of buying and winning; asked is that of winning given the ticket.",
                ),
            ),
        ),
        Asked(
            "break_even",
            "the jackpot, in reward units, at which the exact posterior is indifferent between ticket and work",
            _break_even,
            1e-4,
            "Solve log(p exp(jackpot) + (1 − p) exp(−1)) = 3 for the jackpot.",
            (
                (_clamped_break_even, "At this jackpot the means are equal: that is the clamped agent."),
                (
                    lambda: _break_even() + _PRICE,
                    "The ticket pays the jackpot or loses 1: the price is not paid of a jackpot.",
                ),
            ),
        ),
    ),
)

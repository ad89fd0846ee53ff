"""Exercise 6: one utility, learned from the same choices under two models of the person who chose."""

import math

import torch

from ..models.restaurant import restaurant
from .exercise import Asked, Exercise

_FRENCH, _ITALIAN = 22, 18  # evenings
_ODDS = _FRENCH / _ITALIAN


def _clamped() -> float:
    (i, f), u = restaurant().probability[0], restaurant().reward[0, 0]
    known = float(f[:2] @ u[:2] - i[:2] @ u[:2])
    return (math.log(_ODDS) - known) / float(f[2] - i[2])


def _free() -> float:
    (i, f), u = restaurant().probability[0], restaurant().reward[0, 0].exp()
    known = float(f[:2] @ u[:2] - _ODDS * (i[:2] @ u[:2]))
    return math.log(known / float(_ODDS * i[2] - f[2]))


def _slope(u: float = 8.0) -> float:
    (i, f), table = restaurant().probability[0], restaurant().reward[0, 0].clone()
    table[2] = u
    share = torch.softmax(torch.stack([i @ table, f @ table]), 0)
    return float(_ITALIAN * i[2] + _FRENCH * f[2] - (_ITALIAN + _FRENCH) * (share @ torch.stack([i[2], f[2]])))


def _believed(utility: float) -> float:
    italian, u = restaurant().probability[0, 0], restaurant().reward[0, 0].clone()
    u[2] = utility
    return float(torch.softmax(italian.log() + u, -1)[2])


BEHAVIOUR = Exercise(
    chapter=6,
    title="The same choices under two models of the person",
    task=(
        f"Of 40 evenings somebody spent {_FRENCH} in the French and {_ITALIAN} in the Italian restaurant of "
        "`restaurant()` (τ = 1, uniform prior). The utilities of a bad and a good dinner are known, −10 and "
        "6; that of a spectacular one is not. Find the utility that makes these choices most probable, if the "
        "person knows the dynamics (clamped), and if the person chooses as the exact posterior does (free). Find "
        "also the derivative of the clamped log-likelihood by this utility where it is 8."
    ),
    asked=(
        Asked(
            "utility_clamped",
            "the utility of a spectacular dinner, if the person is clamped, in reward units",
            _clamped,
            1e-4,
            "The likelihood is largest where P(French) is the observed share, and the difference of means its logit.",
            ((_free, "This is the reading as free; a clamped person compares means."),),
        ),
        Asked(
            "utility_free",
            "the same, if the person is free",
            _free,
            1e-4,
            "Now Σ p exp(u) of French over that of Italian is the observed odds; solve for exp(u).",
            ((_clamped, "This is the reading as clamped; a free person compares log E exp(u)."),),
        ),
        Asked(
            "p_spectacular",
            "P(spectacular | Italian) that the person believes in, according to the free reading",
            lambda: _believed(_free()),
            1e-5,
            "It is p exp(u), normalised over the three outcomes, with the utility of the free reading.",
            (
                (lambda: _believed(_clamped()), "This has the utility of the clamped reading."),
                (
                    lambda: float(restaurant().probability[0, 0, 2]),
                    "This is the true probability, in which a clamped person believes.",
                ),
            ),
        ),
        Asked(
            "slope",
            "the derivative of the clamped log-likelihood of the 40 choices by the utility, at 8, in nats per reward",
            _slope,
            1e-6,
            "Each choice of a adds p(spectacular | a) minus its mean under the policy at that utility.",
            (
                (lambda: _slope(_clamped()), "This is the derivative at the best utility, where it vanishes."),
                (lambda: _slope() / 40, "This is the mean of the 40 choices; their likelihoods multiply."),
            ),
        ),
    ),
)

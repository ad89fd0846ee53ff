"""The warning about a guide whose objective is optimal and whose policy is not."""

import math

from ..inference.variational.elbo import objective_of
from ..text.wording import amount
from ..trajectories.blocks import Assignable, MarkovModel
from .evaluate import true_return

_REACHED = 0.01  # nats below the optimum
_OTHER = 0.05  # of the true return of the optimum


def untrained(model: MarkovModel, name: str, guide: object, earned: float) -> str | None:
    """The sentence to print beside the scores of a guide that is at its optimum, but earns another return.

    An ELBO is an average over the guide's own trajectories: its policy is not trained in states that it does not expect
    to visit, so that the true return depends on where a fit started.

    Args:
        model: the tabular model.
        name: the name of the guide.
        guide: the guide. Only one that knows its own optimum, an `Assignable`, can be judged.
        earned: the true return of its policy, in reward units.

    Returns:
        The sentence, or None if there is nothing to say.
    """
    if not isinstance(guide, Assignable):
        return None
    optimum = guide.optimum()
    best, reached = (float(objective_of(model, each, guide.optimism)) for each in (optimum, guide.blocks()))
    return sentence(
        f'"{name}"', 0.0 if best == reached else best - reached, earned, true_return(model.mdp, optimum.log_policy)
    )


def sentence(name: str, short: float, earned: float, of_optimum: float) -> str | None:
    """The sentence of `untrained`, given the distance from the optimum, in nats, and both true returns."""
    if not short < _REACHED or not abs(earned - of_optimum) > _OTHER * abs(of_optimum):
        return None
    return (
        f"{name} is within {_at_most(short)} nats of its optimum and yet truly earns {amount(earned)}, not "
        f"{amount(of_optimum)}: an ELBO is an average over what the guide imagines, so its policy stays untrained in "
        "states that it never expects."
    )


def _at_most(short: float) -> str:
    """A bound with one digit, since where a fit stops depends on the processor."""
    if short <= 0:
        return "0"
    unit = 10.0 ** math.floor(math.log10(short))
    return f"{math.ceil(short / unit) * unit:.1g}"

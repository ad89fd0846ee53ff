"""Words for probabilities, amounts and the names of an MDP, in sentences and pictures."""

import math
import re
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

_A_MILLIONTH = 1e-6
_DECIMALS = 9  # the most digits of an estimate
_ROUNDING = 1e-12  # share of the largest of several numbers; smaller ones are rounding errors of 0


@runtime_checkable
class HasNames(Protocol):
    """A problem with names, such as `TabularMDP`."""

    def state_name(self, state: int) -> str:
        """The name of a state, or its index."""
        ...

    def action_name(self, action: int) -> str:
        """The name of an action, or its index."""
        ...


def chance(probability: float) -> str:
    """Return a probability as text, never rounded to 0 or 1: "0.711", "0.99960", "less than 1 in a million".

    Exact 0 and 1 are not written as certain either, since floating point may have rounded them.
    """
    if probability < _A_MILLIONTH:
        return "less than 1 in a million"
    if probability > 1 - _A_MILLIONTH:
        return "more than 999,999 in a million"
    rarer = min(probability, 1 - probability)
    return _decimals(probability, max(3, 1 - math.floor(math.log10(rarer))))


def short_chance(probability: float) -> str:
    """A probability with two decimals; only exactly 0 and 1 are written as certain."""
    if 0 < probability < 0.005:
        return "< 0.01"
    return "> 0.99" if 0.995 < probability < 1 else f"{probability:.2f}"


def amount(value: float) -> str:
    """An amount of reward or nats: four digits or more, at least two of them decimals unless the number is shorter."""
    if not math.isfinite(value):
        return "nan" if math.isnan(value) else ("infinity" if value > 0 else "minus infinity")
    size = abs(value)
    if size == 0:
        return "0"
    if not _A_MILLIONTH <= size < 1e6:
        return f"{value:.4g}"
    return _decimals(value, max(2, 3 - math.floor(math.log10(size))))


def above_rounding(value: float, largest: float) -> float:
    """The value, or 0 if it is a rounding error beside `largest`, the largest size of the numbers shown with it."""
    return 0.0 if abs(value) <= _ROUNDING * largest else value


def reward_phrase(reward: float) -> str:
    """The words for a reward: `reward 8`, or `forbidden` for −inf."""
    return "forbidden" if reward == -math.inf else f"reward {amount(reward)}"


def state_phrase(mdp: HasNames, state: int) -> str:
    """A noun phrase for a state, for any kind of name: `state (3, 0)`, `state 5`, `state "at home"`."""
    return _noun("state", mdp.state_name(state), quoted_alone=False)


def action_phrase(mdp: HasNames, action: int) -> str:
    """A noun phrase for an action, for any kind of name: `"pick up"`, `action 2`."""
    return _noun("action", mdp.action_name(action), quoted_alone=True)


def state_label(mdp: HasNames, state: int) -> str:
    """The name of a state, for use without a noun: `(3, 0)`, `at home`, `state 5`."""
    return _alone("state", mdp.state_name(state))


def action_label(mdp: HasNames, action: int) -> str:
    """The name of an action, for use without a noun: `pick up`, `action 2`."""
    return _alone("action", mdp.action_name(action))


def listed(parts: Sequence[str], most: int = 8) -> str:
    """The parts with commas, or semicolons if they contain commas; beyond `most` only their number is given."""
    left, comma = len(parts) - most, "; " if any(", " in each for each in parts) else ", "
    return comma.join(parts[:most]) + (f" and {left} more" if left > 0 else "")


def _alone(kind: str, name: str) -> str:
    return f"{kind} {name}" if name.isdigit() else name


def _noun(kind: str, name: str, quoted_alone: bool) -> str:
    if re.fullmatch(rf"{kind} \S+", name):
        return name
    if name and not any(map(str.isalpha, name)):
        return f"{kind} {name}"
    return f'"{name}"' if quoted_alone else f'{kind} "{name}"'


def _decimals(value: float, digits: int) -> str:
    """A number with fixed decimals; trailing zeros are removed only where no digit is lost."""
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if abs(float(text) - value) <= 1e-12 * max(1.0, abs(value)) else text


def plus_minus(mean: float, error: float) -> str:
    """The mean ± its standard error with two significant digits, such as "-1.234 ± 0.012", or at most nine digits.

    Very large and very small numbers have an exponent. Fewer digits are known than an error near rounding says.
    """
    if error == 0 or not math.isfinite(error) or not math.isfinite(mean):
        return f"{mean:.6g} ± {error:.2g}"
    digits = 1 - math.floor(math.log10(error))
    if -4 <= digits <= _DECIMALS:
        return f"{mean:.{max(0, digits)}f} ± {error:.{max(0, digits)}f}"
    leading = math.floor(math.log10(max(abs(mean), error)))
    return f"{mean:.{min(_DECIMALS, max(1, leading + digits + 1))}g} ± {error:.2g}"

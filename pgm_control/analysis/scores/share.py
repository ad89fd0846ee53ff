"""A share of the probability as an argument."""

from typing import Any

from ...errors import InvalidArgument
from ...runtime.arguments import number, shown


def require_share(name: str, value: Any) -> float:
    """Require a share of the probability, above 0 and at most 1.

    Raises:
        InvalidArgument: if it is not; the message names the argument.
    """
    found = number(value)
    if not 0 < found <= 1:
        raise InvalidArgument(
            f"`{name}` must be a share above 0 and at most 1, but is {shown(value)}; 0.1 is the worst tenth."
        )
    return found

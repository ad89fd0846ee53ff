"""One job of a sweep: a function is called, and answers in plain text, whatever happens."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, final

from ..errors import InvalidArgument
from ..runtime.arguments import shown
from .functions import NotHere
from .json_values import canonical, copied, plain, text_of
from .settings import FAILURE

DONE, FAILED, REFUSED = "done", "failed", "refused"
_LONGEST = 2000  # characters of a reason

Call = Callable[..., Any]


@final
@dataclass(frozen=True)
class Job:
    """A call that is to be made once.

    Attributes:
        key: the key of the result.
        about: what a line of the file says of the job, in plain values of JSON.
        arguments: the keyword arguments of the call; anything that can be sent to a worker.
        size: jobs of a larger size start earlier.
    """

    key: str
    about: Mapping[str, Any]
    arguments: Mapping[str, Any] = field(repr=False)
    size: float = 0.0


class Answer(NamedTuple):
    """The answer of a job: done, with a mapping as JSON; failed, with the reason; or refused by the worker."""

    kind: str
    text: str


def answer(call: Call, arguments: Mapping[str, Any]) -> Answer:
    """Call the function and return its answer. Ctrl-C is passed on; every other end of the function is a failure.

    The function receives copies of lists and mappings: what it changes in them is not seen by other jobs.
    """
    try:
        found = call(**{name: copied(value) for name, value in arguments.items()})
    except NotHere as problem:
        return Answer(REFUSED, str(problem))
    except KeyboardInterrupt:
        raise
    except BaseException as failure:  # sys.exit(), and the ends of other libraries that are no Exception
        return Answer(FAILED, reason_of(failure))
    try:
        return Answer(DONE, _encoded(found, arguments))
    except Exception as problem:  # objects of other libraries can raise anything when they are read
        return Answer(FAILED, reason_of(problem))


def answer_in_worker(call: Call, arguments: Mapping[str, Any]) -> Answer:
    """Call the function in a process or thread of a cluster, where an interruption is a failure of the job."""
    try:
        return answer(call, arguments)
    except KeyboardInterrupt:
        return Answer(FAILED, "KeyboardInterrupt: the worker was interrupted.")


def reason_of(failure: BaseException) -> str:
    """The type and the message of an error in one line."""
    try:
        said = str(failure)
    except Exception:  # the message of an error of another library
        said = "its message cannot be shown"
    text = " ".join(f"{type(failure).__name__}: {said}".split()).encode(errors="replace").decode()
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _encoded(found: Any, arguments: Mapping[str, Any]) -> str:
    if not isinstance(found, Mapping):
        raise InvalidArgument(
            f"The function must return a mapping, such as {{'value': 1.5}}, but returned {_said(found)}."
        )
    result = plain(found, "The mapping that the function returns")
    if FAILURE in result:
        raise InvalidArgument(f"The function must not return the name {FAILURE!r}: it is the column of reasons.")
    for name in result:
        if name in arguments and canonical(result[name]) != canonical(arguments[name]):
            raise InvalidArgument(
                f"The function must not return a name of its setting with another value, but {name!r} is "
                f"{_said(arguments[name])} in the setting and {_said(result[name])} in the result."
            )
    return text_of(result)


def _said(value: Any) -> str:
    return " ".join(shown(value).split())

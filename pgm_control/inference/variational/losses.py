"""What the losses of SVI report: of which objective minus the loss is an estimate, and as which number."""

from collections.abc import Callable
from typing import Any

from pyro.infer import (
    RenyiELBO,
    ReweightedWakeSleep,
    Trace_ELBO,
    TraceEnum_ELBO,
    TraceGraph_ELBO,
    TraceTailAdaptive_ELBO,
)
from pyro.infer.elbo import ELBO
from torch import Tensor

from ...errors import InvalidArgument
from ...runtime.arguments import shown
from ...runtime.programs import require_callable

Loss = ELBO | Callable[..., Any]
# settings of Pyro's losses that do not change their value, or that they change themselves
_NO_MATTER = {"max_plate_nesting", "strict_enumeration_warning", "ignore_jit_warnings", "tail_adaptive_beta"}


def require_loss(loss: object) -> None:
    """Require a Pyro ELBO, or a function of the model and the guide.

    Raises:
        InvalidArgument: if it is neither, or an ELBO that does not compute its value.
    """
    if isinstance(loss, TraceTailAdaptive_ELBO):
        raise InvalidArgument(
            "`loss` must compute its value, but TraceTailAdaptive_ELBO reports infinity at every step, so that neither "
            "convergence nor failure can be seen. Use RenyiELBO, or pyro.infer.SVI directly."
        )
    if not isinstance(loss, ELBO):
        remedy = "Take a Pyro ELBO, such as Trace_ELBO(), or a function that returns a differentiable number."
        require_callable("loss", loss, "the model", "the guide", remedy=remedy)


def objective_name(loss: Loss) -> str:
    """What minus the loss is, or estimates."""
    given = getattr(loss, "objective_name", None)
    if isinstance(given, str):
        return given
    if isinstance(loss, Trace_ELBO | TraceEnum_ELBO | TraceGraph_ELBO):
        return "ELBO"
    if isinstance(loss, RenyiELBO):
        return "Rényi bound"
    if isinstance(loss, ReweightedWakeSleep):
        return "importance-weighted bound" if _has_bound(loss) else "minus the sleep loss"
    return f"minus {_name(loss)}"


def objective_value(loss: Loss, found: Any) -> float:
    """Minus the number that a loss returned; of the two numbers of wake-sleep, the bound if it is computed.

    Raises:
        InvalidArgument: if the loss returned no number.
    """
    value = found
    if isinstance(found, tuple) and found:
        value = found[1] if isinstance(loss, ReweightedWakeSleep) and not _has_bound(loss) else found[0]
    try:
        return -float(value.detach() if isinstance(value, Tensor) else value)  # pyright: ignore[reportArgumentType]
    except (TypeError, ValueError, RuntimeError):
        raise InvalidArgument(f"`loss` must return a number, but {_name(loss)} returns {shown(found)}.") from None


def checked_loss(loss: Loss) -> Loss:
    """The loss; a function as one that raises if it returns no number.

    Raises:
        InvalidArgument: when it is called, if it returns anything else.
    """
    if isinstance(loss, ELBO):
        return loss

    def checked(model: Any, guide: Any) -> Any:
        found = loss(model, guide)
        objective_value(loss, found)
        return found

    return checked


def described_loss(loss: Loss) -> str:
    """The name of a loss and the settings that its value depends on."""
    if not isinstance(loss, ELBO):
        return _name(loss)
    if type(loss).__repr__ is not object.__repr__:
        return repr(loss)
    settings = {name: value for name, value in vars(loss).items() if name not in _NO_MATTER}
    plain = [f"{name}={value!r}" for name, value in settings.items() if isinstance(value, bool | int | float | str)]
    return f"{_name(loss)}({', '.join(plain)})"


def _has_bound(loss: ReweightedWakeSleep) -> bool:
    """Whether the first number is the importance-weighted bound, and not a constant."""
    return loss.model_has_params or loss.insomnia > 0


def _name(loss: Loss) -> str:
    return getattr(loss, "__name__", type(loss).__name__)

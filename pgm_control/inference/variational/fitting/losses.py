"""What the losses of SVI report: of which objective minus the loss is an estimate, and as which number.

Sources:
    [bornschein2015] J. Bornschein and Y. Bengio, Reweighted wake-sleep. International Conference on Learning
        Representations, 2015. arXiv:1406.2751
"""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from pyro.infer import (
    EnergyDistance,
    JitTrace_ELBO,
    JitTraceEnum_ELBO,
    JitTraceGraph_ELBO,
    JitTraceMeanField_ELBO,
    RenyiELBO,
    ReweightedWakeSleep,
    Trace_ELBO,
    TraceEnum_ELBO,
    TraceGraph_ELBO,
    TraceTailAdaptive_ELBO,
    TraceTMC_ELBO,
)
from pyro.infer.autoguide import AutoGuide
from pyro.infer.elbo import ELBO
from torch import Tensor

from ....errors import InvalidArgument
from ....programs.own_parameters import is_in_store
from ....programs.run import run_with, undisturbed
from ....runtime.arguments import shown
from ....runtime.programs import require_callable

Loss = ELBO | Callable[..., Any]
_COMPILED = JitTrace_ELBO, JitTraceEnum_ELBO, JitTraceGraph_ELBO, JitTraceMeanField_ELBO
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


def require_suitable(loss: Loss, model: Callable[[], Any], guide: Callable[[], Any]) -> None:
    """Require a loss that can learn the posterior of this model with this guide.

    The sleep phase of wake-sleep fits the guide to draws from the model, of which it must see the observations
    [bornschein2015]; a reward that enters by `pyro.factor` is not drawn, and the guide would learn the prior.

    Raises:
        InvalidArgument: if a sleep phase or an energy distance has no observations to draw, if the guide does not see
            them, if the gradient of IWAE is 0, or if a compiled loss does not find the parameters of the guide.
    """
    insomnia = loss.insomnia if isinstance(loss, ReweightedWakeSleep) else 1.0
    sleeps = insomnia < 1
    if (sleeps or isinstance(loss, EnergyDistance)) and (factors := _factors(model)):
        raise InvalidArgument(
            f"`loss` must not draw the observations of a model with pyro.factor, such as `{factors[0]}`, but is "
            f"{described_loss(loss)}: a factor cannot be drawn, and the guide would learn the prior. Take an ELBO, "
            "or ReweightedWakeSleep(insomnia=1.0)."
        )
    if sleeps:
        for name, program in (("model", model), ("guide", guide)):
            if not _takes_observations(program):
                raise InvalidArgument(
                    f"`{name}` must take the keyword `observations` for a loss with insomnia={insomnia:g}, whose "
                    "sleep phase draws them from the model and shows them to the guide, but does not. Write def "
                    f"{name}(observations=None), or take insomnia=1.0."
                )
    if isinstance(loss, RenyiELBO) and loss.alpha == 0 and (sites := _by_score(guide)):
        raise InvalidArgument(
            "`loss` must have an order other than 0 for a guide with a site that is not reparameterised, such as "
            f"`{sites[0]}`, but is {described_loss(loss)}. Its gradient is 0 there, because Pyro takes that of "
            "infinitely many particles, where the bound is log p(O) whatever the guide. Take alpha=0.1, or a loss of "
            "your own."
        )
    if isinstance(loss, _COMPILED) and isinstance(guide, torch.nn.Module) and not is_in_store(guide):
        raise InvalidArgument(
            f"`loss` must not be compiled for a guide whose parameters are not in Pyro's store, but is {_name(loss)}, "
            f"and {type(guide).__name__} keeps its own. Take {_name(loss).removeprefix('Jit')}."
        )


def _factors(model: Callable[[], Any]) -> list[str]:
    """The names of the `pyro.factor` statements of a model, which is run."""
    with undisturbed():
        return [name for name, site in run_with(model, {}).items() if site.is_factor]


def _by_score(guide: Callable[[], Any]) -> list[str]:
    """The names of the sites of a guide, which is run, that have parameters and are not reparameterised."""
    with undisturbed():
        sites = run_with(guide, {}).items()
    return [
        name
        for name, site in sites
        if not site.distribution.has_rsample and site.distribution.log_prob(site.value).requires_grad
    ]


def _takes_observations(program: Any) -> bool:
    """Whether a program can be called with `observations`. Pyro's AutoGuides can, and ignore them."""
    if isinstance(program, AutoGuide):
        return False
    taken = inspect.signature(program.forward if isinstance(program, torch.nn.Module) else program).parameters
    return "observations" in taken or any(each.kind is each.VAR_KEYWORD for each in taken.values())


def objective_name(loss: Loss) -> str:
    """What minus the loss is, or estimates."""
    given = getattr(loss, "objective_name", None)
    if isinstance(given, str):
        return given
    if isinstance(loss, Trace_ELBO | TraceEnum_ELBO | TraceGraph_ELBO):
        return "ELBO"
    if isinstance(loss, RenyiELBO):
        return "Rényi bound" if loss.alpha else "importance-weighted bound"
    if isinstance(loss, ReweightedWakeSleep):
        return "importance-weighted bound" if _has_bound(loss) else "minus the sleep loss"
    if isinstance(loss, TraceTMC_ELBO):
        return "tensor Monte Carlo bound"
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

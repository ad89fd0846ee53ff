"""Fitting a guide by stochastic variational inference."""

import enum
import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, final

import torch
from jaxtyping import Float
from pyro.infer import SVI, Trace_ELBO, TraceEnum_ELBO, config_enumerate
from pyro.infer.elbo import ELBO
from pyro.optim import PyroOptim
from torch import Tensor

from ._blocks import HasBlocks
from ._checkpoint import Checkpoint
from ._elbo import MarkovELBO
from ._errors import InvalidArgument
from ._interrupt import deferred_interrupt
from ._progress import Progress, silent

G = TypeVar("G", bound=Callable[[], Any])
_WINDOW = 100  # steps whose mean ELBO is compared with that of the steps before


class Status(enum.Enum):
    """How a fit ended; the value is the message."""

    converged = "The ELBO stopped improving."
    out_of_steps = (
        "`steps` was reached before the ELBO stopped improving. Continue with fit(…, steps=more, resume=this fit), or "
        "raise the learning rate."
    )
    stopped = "A callback asked to stop."
    interrupted = "Interrupted by Ctrl-C. Nothing is lost: continue with fit(…, resume=this fit)."
    not_finite = (
        "The ELBO became nan or infinite; the guide was put back to its last good parameters. Lower the learning rate, "
        "raise the temperature, or check that the guide leaves forbidden outcomes impossible."
    )


@final
@dataclass(frozen=True)
class FitStep:
    """What a callback sees after a step.

    Attributes:
        step: how many steps were made.
        elbo: the estimate that this step reported, in nats.
        seconds: time spent.
        guide: the guide, to look at.
    """

    step: int
    elbo: float
    seconds: float
    guide: Any


Callback = Callable[[FitStep], bool | None]


@final
@dataclass(frozen=True, eq=False, repr=False)
class Fit(Generic[G]):
    """A fitted guide and how it came about.

    Attributes:
        guide: the guide that was passed in, now fitted.
        elbo: what every step reported, in nats: the ELBO of the parameters before that step's update.
        status: how it ended; `status.value` is the message.
        steps: how many steps were made, those before a resume included.
        seconds: how long they took.
        checkpoint: the state from which `fit(…, resume=…)` continues.
    """

    guide: G
    elbo: Float[Tensor, " step"]
    status: Status
    steps: int
    seconds: float
    checkpoint: Checkpoint

    def save(self, path: str | Path) -> None:
        """Write the checkpoint, atomically; `fit(model, guide, resume=path)` continues bit for bit."""
        self.checkpoint.save(path)

    def __repr__(self) -> str:
        """The last number and the message."""
        last = f"ELBO {self.elbo[-1]:.6f} nats" if len(self.elbo) else "no step"
        return f"Fit({last} after {self.steps} steps, {self.seconds:.1f} s. {self.status.value})"


def fit(
    model: Callable[[], Any],
    guide: G,
    loss: ELBO | None = None,
    optim: PyroOptim | None = None,
    *,
    steps: int = 2000,
    tolerance: float = 1e-5,
    seed: int | None = None,
    progress: Progress = silent,
    callbacks: Sequence[Callback] = (),
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 500,
    resume: "Fit[Any] | str | Path | None" = None,
) -> Fit[G]:
    """Fit a guide to a model with `pyro.infer.SVI`.

    Args:
        model: a Pyro model, such as `TabularModel(mdp)`.
        guide: a guide, such as `FreeGuide(model)`; its parameters are changed in place. For a guide function they are
            in Pyro's parameter store.
        loss: any Pyro ELBO. Unless given it is `MarkovELBO()`, exact, if model and guide have `blocks()`, and
            `Trace_ELBO()`, by sampling, if not. With `TraceEnum_ELBO` the sites of the guide are enumerated.
        optim: any Pyro optimiser. Unless given it is Adam with learning rate 0.1 and betas (0.9, 0.9) for the exact
            loss, which soon forgets the size of the first gradients, or (0.9, 0.99) for a loss that samples.
        steps: at most so many steps, those before a resume included.
        tolerance: in nats; converged when the mean ELBO of the last 100 steps differs from that of the 100 before by
            less, with two standard errors of its noise added. 0 never stops early.
        seed: for losses that sample: torch is seeded with it inside, and put back afterwards. None uses torch's
            generator as it stands.
        progress: called after every step, e.g. `PrintEvery(100)`.
        callbacks: called after every step with a `FitStep`; one that returns True stops the fit.
        checkpoint: a path to write to every `checkpoint_every` steps and at the end, however it ends.
        checkpoint_every: in steps.
        resume: a fit, or the path of its checkpoint, to continue as if it had never stopped.

    Returns:
        A `Fit`. Ctrl-C ends it after the step in hand and returns what there is.

    Raises:
        InvalidArgument: naming the argument.
        InvalidCheckpoint: if `resume` cannot be read or belongs to another model, guide or optimiser.
    """
    _check(guide, steps, checkpoint_every, tolerance, seed, resume)
    loss = loss or default_loss(model, guide)
    if optim is None:
        betas = (0.9, 0.9) if isinstance(loss, MarkovELBO) else (0.9, 0.99)
        optim = PyroOptim(torch.optim.Adam, {"lr": 0.1, "betas": betas})
    description = {
        "model": repr(model),
        "guide": getattr(guide, "__name__", type(guide).__name__),
        "loss": type(loss).__name__,
        "optimiser": getattr(optim.pt_optim_constructor, "__name__", "optimiser"),
    }
    svi = SVI(model, config_enumerate(guide) if isinstance(loss, TraceEnum_ELBO) else guide, optim, loss=loss)
    elbo: list[float] = []
    start = time.perf_counter()
    own_randomness = torch.random.fork_rng(devices=[]) if seed is not None or resume is not None else nullcontext()

    def now() -> Checkpoint:
        return Checkpoint.take(guide, optim, elbo, time.perf_counter() - start, description)

    with own_randomness, deferred_interrupt() as interrupted:
        if seed is not None:
            torch.manual_seed(seed)
        if resume is not None:
            past = resume.checkpoint if isinstance(resume, Fit) else Checkpoint.load(resume)
            past.require(description)
            past.restore(guide, optim)
            torch.set_rng_state(past.random)
            elbo, start = past.elbo.tolist(), start - past.seconds
        good, status = now(), Status.out_of_steps
        try:
            while len(elbo) < steps:
                if len(elbo) % _WINDOW == 0:
                    good = now()
                value = -float(svi.step())  # pyright: ignore[reportArgumentType]  a tuple only for wake-sleep
                if not math.isfinite(value):
                    status = Status.not_finite
                    break
                elbo.append(value)
                info = FitStep(len(elbo), value, time.perf_counter() - start, guide)
                progress(info.step, {"elbo": value})
                answers = [callback(info) for callback in callbacks]
                if checkpoint is not None and len(elbo) % checkpoint_every == 0:
                    now().save(checkpoint)
                if True in answers:
                    status = Status.stopped
                    break
                if _has_converged(elbo, tolerance):
                    status = Status.converged
                    break
                if interrupted():
                    status = Status.interrupted
                    break
        except KeyboardInterrupt:
            status = Status.interrupted
        if status is Status.not_finite:
            good.restore(guide, optim)
        else:
            good = now()
    if checkpoint is not None:
        good.save(checkpoint)
    return Fit(guide, good.elbo, status, len(good.elbo), good.seconds, good)


def default_loss(model: object, guide: object) -> ELBO:
    """The exact ELBO where both sides have factors, else one by sampling."""
    return MarkovELBO() if isinstance(model, HasBlocks) and isinstance(guide, HasBlocks) else Trace_ELBO()


def _check(guide: object, steps: Any, every: Any, tolerance: Any, seed: Any, resume: Any) -> None:
    for name, value in (("steps", steps), ("checkpoint_every", every)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InvalidArgument(f"`{name}` must be a whole number, at least 1, but is {value!r}.")
    if not isinstance(tolerance, int | float) or not tolerance >= 0:
        raise InvalidArgument(f"`tolerance` must be a number of nats, 0 or more, but is {tolerance!r}.")
    if isinstance(guide, HasBlocks) and not isinstance(guide, torch.nn.Module):
        raise InvalidArgument(f"`guide` must have parameters, but {guide!r} is exact and needs no fit.")
    if seed is not None and resume is not None:
        raise InvalidArgument("`seed` and `resume` exclude each other: a resumed fit goes on with its own randomness.")


def _has_converged(elbo: list[float], tolerance: float) -> bool:
    """True if the mean of the last window is that of the window before, beyond what noise could hide."""
    if tolerance == 0 or len(elbo) < 2 * _WINDOW:
        return False
    recent = torch.tensor(elbo[-2 * _WINDOW :], dtype=torch.float64)
    change = recent[_WINDOW:].mean() - recent[:_WINDOW].mean()
    # Successive differences see noise but hardly any trend; their mean square is twice the variance of one estimate.
    variance = recent.diff().square().mean() / 2
    return bool(change.abs() + 2 * (2 * variance / _WINDOW).sqrt() < tolerance)

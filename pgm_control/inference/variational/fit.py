"""Fitting a guide to a model, whatever one step of it is."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, final, get_args

import torch
from jaxtyping import Float
from pyro.infer.elbo import ELBO
from pyro.optim import PyroOptim
from torch import Tensor

from ...errors import InvalidArgument, InvalidCheckpoint, InvalidGuide
from ...runtime.arguments import fraction, one_of, whole
from ...runtime.loop import Loop
from ...runtime.progress import Progress, silent
from ...runtime.randomness import require_seed, seeded
from ...runtime.status import Status
from ...text.html import counted, curve, heading
from ...text.one_line import one_line
from ...text.wording import amount
from ...trajectories.blocks import HasBlocks, MarkovModel, require_model
from ...trajectories.tabulate import tabulate
from .checkpoint import Checkpoint, identity
from .elbo import elbo as exact_elbo
from .methods import Method, default_loss, exact, expectation_maximisation, natural_gradient, svi

G = TypeVar("G", bound=Callable[[], Any])
MethodName = Literal["svi", "natural_gradient", "em", "exact"]
_BETWEEN_GOOD = 100  # steps between the copies of the guide to which a fit that breaks goes back


class FitStatus(Status):
    """How a fit ended."""

    converged = "The ELBO stopped improving."
    out_of_steps = (
        "`num_steps` was reached before the ELBO stopped improving. Continue with fit(…, num_steps=more, resume=this "
        "fit), or raise the learning rate or `step_size`. The noise of a loss that samples hides when it stops."
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

    __repr__ = one_line


Callback = Callable[[FitStep], bool | None]


@final
@dataclass(frozen=True, eq=False, repr=False)
class Fit(Generic[G]):
    """A fitted guide and how it came about.

    Attributes:
        guide: the guide that was passed in, now fitted.
        elbo_history: what every step reported, in nats: the ELBO of the parameters before that step's update.
        elbo: the exact ELBO of the guide as it is now, in nats; None if it can only be estimated, because the model or
            the guide has no `blocks()`.
        status: how it ended; `status.message` explains it.
        num_steps: how many steps were made, those before a resume included.
        seconds: how long they took.
        checkpoint: the state from which `fit(…, resume=…)` continues.
    """

    guide: G
    elbo_history: Float[Tensor, " step"]
    elbo: float | None
    status: FitStatus
    num_steps: int
    seconds: float
    checkpoint: Checkpoint

    def save(self, path: str | Path) -> None:
        """Write the checkpoint, atomically; `fit(model, guide, resume=path)` continues bit for bit."""
        self.checkpoint.save(path)

    def __repr__(self) -> str:
        """The last number and the message."""
        last = self._last()
        reached = "no ELBO" if last is None else f"ELBO {last:.6f} nats"
        return f"Fit({reached} after {self.num_steps} steps, {self.seconds:.1f} s. {self.status.message})"

    def _repr_html_(self) -> str:
        """How it ended and the curve of the ELBO, for a notebook."""
        last = self._last()
        kind = "exact" if self.elbo is not None else "last estimate"
        reached = "no ELBO" if last is None else f"ELBO = {amount(last)} nats ({kind})"
        about = f"{counted(self.num_steps, 'step')} in {self.seconds:.1f} s: {self.status.name}. {self.status.message}"
        title = f"Fit of {type(self.guide).__name__}"
        return heading(title, reached, about) + curve(self.elbo_history.tolist(), "ELBO", "nats")

    def _last(self) -> float | None:
        """The exact ELBO, or the last that was reported."""
        return self.elbo if self.elbo is not None or not len(self.elbo_history) else float(self.elbo_history[-1])


def fit(
    model: Callable[[], Any],
    guide: G,
    loss: ELBO | None = None,
    optim: PyroOptim | None = None,
    *,
    method: MethodName = "svi",
    step_size: float = 1.0,
    num_steps: int = 2000,
    tolerance: float = 1e-5,
    seed: int | torch.Generator | None = None,
    progress: Progress = silent,
    callbacks: Sequence[Callback] = (),
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 500,
    resume: "Fit[Any] | str | Path | None" = None,
) -> Fit[G]:
    """Fit a guide to a model: by `pyro.infer.SVI`, by natural gradients, by EM, or exactly.

    Natural gradients and the exact answer are for a tabular model and a guide whose blocks can be assigned, such as
    `FreeGuide`. A step of the natural gradient is one sweep; with step size 1, which is soft policy iteration, a
    handful of them suffice. EM is for guides with blocks that follow from parameters, such as `NeuralGuide`.

    Args:
        model: a Pyro model, such as `TabularModel(mdp)`.
        guide: a guide, such as `FreeGuide(model)`; its parameters are changed in place. For a guide function they are
            in Pyro's parameter store.
        loss: for SVI: any Pyro ELBO. Unless given it is `MarkovELBO()`, exact, if model and guide have `blocks()`, and
            `Trace_ELBO()`, by sampling, if not. With `TraceEnum_ELBO` the sites of the guide are enumerated.
        optim: for SVI: any Pyro optimiser. Unless given it is Adam with learning rate 0.1 and betas (0.9, 0.9) for the
            exact loss, which soon forgets the size of the first gradients, or (0.9, 0.99) for a loss that samples.
        method: "svi"; "natural_gradient", mirror descent on the exact objective; "em", which makes such a step as if
            the guide were a table and lets its parameters follow; or "exact", which in one step sets the guide to
            `guide.optimum()`.
        step_size: η in (0, 1], for the natural gradient and EM. By natural gradients the ELBO never falls, whatever it
            is; where EM cannot follow, a smaller one ends nearer to the best.
        num_steps: at most so many steps, those before a resume included.
        tolerance: in nats. SVI has converged when the mean ELBO of the last 100 steps differs from that of the 100
            before by less, with two standard errors of its noise added; the natural gradient, when one step changes the
            ELBO by less. 0 never stops these two early.
        seed: an integer, a generator, or None for torch's global generator: for losses that sample. Pyro draws from the
            global generators; with an integer, or one drawn from the generator, they are seeded for the time of the
            fit, and put back.
        progress: called after every step, e.g. `PrintEvery(100)`.
        callbacks: called after every step with a `FitStep`; one that returns True stops the fit.
        checkpoint: a path to write to every `checkpoint_every` steps and at the end, however it ends.
        checkpoint_every: in steps.
        resume: a fit, or the path of its checkpoint, to continue as if it had never stopped.

    Returns:
        A `Fit`. Ctrl-C ends it after the step in hand and returns what there is.

    Raises:
        InvalidArgument: naming the argument.
        InvalidCheckpoint: if `resume` cannot be read or belongs to another model, guide, method or optimiser.
    """
    _check_pair(model, guide, loss, optim)
    _check(guide, num_steps, checkpoint_every, tolerance, seed, resume)
    way = _way(method, model, guide, loss, optim, step_size)
    about = {"model": identity(model), "guide": getattr(guide, "__name__", type(guide).__name__), **way.description}
    elbo: list[float] = []
    seconds = 0.0
    own_randomness = seeded(seed) if resume is None else torch.random.fork_rng(devices=[])

    def now() -> Checkpoint:
        return Checkpoint.take(guide, way.optim, elbo, loop.seconds, about)

    def save() -> None:
        if checkpoint is not None:
            now().save(checkpoint)

    with own_randomness:
        if resume is not None:
            past = resume.checkpoint if isinstance(resume, Fit) else Checkpoint.load(resume)
            past.require(about, guide, way.optim, "`resume`" if isinstance(resume, Fit) else resume)
            _restore(past, model, guide, way.optim)
            torch.set_rng_state(past.random)
            elbo, seconds = past.elbo_history.tolist(), past.seconds
        loop = Loop(
            FitStatus.out_of_steps, limit=num_steps, begin=len(elbo), seconds=seconds,
            progress=progress, callbacks=callbacks, save=save, save_every=checkpoint_every,
        )  # fmt: skip
        good = now()
        with loop:
            try:
                for step in loop:
                    if (step - 1) % _BETWEEN_GOOD == 0:
                        good = now()
                    value = way.update()
                    if not math.isfinite(value):
                        loop.end(FitStatus.not_finite)
                        break
                    elbo.append(value)
                    ending = FitStatus.converged if way.has_converged(elbo, tolerance) else None
                    loop.report({"elbo": value}, FitStep(step, value, loop.seconds, guide), ending)
            except KeyboardInterrupt:  # the second Ctrl-C: what there is of the step is kept
                loop.end(FitStatus.interrupted)
            if loop.status is FitStatus.not_finite:
                good.restore(guide, way.optim)
            else:
                good = now()
    if checkpoint is not None:
        good.save(checkpoint)
    return Fit(
        guide, good.elbo_history, _exactly(model, guide), loop.status, len(good.elbo_history), good.seconds, good
    )


def _way(
    method: str, model: Callable[[], Any], guide: Callable[[], Any], loss: ELBO | None, optim: Any, step_size: Any
) -> Method:
    """The method of this name, after checking what it was given."""
    one_of("method", method, get_args(MethodName))
    if method not in ("natural_gradient", "em") and step_size != 1.0:
        raise InvalidArgument(
            f'`step_size` is for method="natural_gradient" and "em", but method is "{method}". Leave it out; the '
            "learning rate of SVI is that of `optim`."
        )
    step_size = fraction("step_size", step_size)
    if method == "svi":
        return svi(model, guide, loss or default_loss(model, guide), optim)
    for name, value in (("loss", loss), ("optim", optim)):
        if value is not None:
            raise InvalidArgument(f'`{name}` is for method="svi", but method is "{method}". Leave it out.')
    if method == "em":
        return expectation_maximisation(model, guide, step_size)
    return exact(model, guide) if method == "exact" else natural_gradient(model, guide, step_size)


def _restore(past: Checkpoint, model: object, guide: Callable[[], Any], optim: PyroOptim | None) -> None:
    """Put a checkpoint back, unless the guide would be no distribution then.

    Raises:
        InvalidCheckpoint: saying why it would not. Guide and optimiser are as before.
    """
    before, fitted = Checkpoint.take(guide, None, [], 0.0, {}), guide
    past.restore(guide, None)
    try:
        if isinstance(model, MarkovModel) and isinstance(fitted, HasBlocks):
            tabulate(model, fitted)
    except (InvalidGuide, RuntimeError, IndexError) as problem:  # a buffer of indices may be out of range
        before.restore(guide, None)
        raise InvalidCheckpoint(
            f"`resume` does not fit this guide: with its parameters {problem} Fit afresh without `resume`."
        ) from problem
    past.restore(guide, optim)


def _exactly(model: object, guide: object) -> float | None:
    """The ELBO of the guide as it is, in nats, if there is an exact one."""
    if not isinstance(model, MarkovModel) or not isinstance(guide, HasBlocks):
        return None
    with torch.no_grad():
        return float(exact_elbo(model, guide.blocks()))


def _check_pair(model: object, guide: object, loss: object, optim: object) -> None:
    if isinstance(guide, MarkovModel):
        raise InvalidArgument("`guide` must be a guide, but is a model. The order is fit(model, guide).")
    for name, value in (("guide", guide), ("loss", loss), ("optim", optim)):
        if isinstance(value, type):
            raise InvalidArgument(f"`{name}` must be an object, but is the class {value.__name__}. Call it first.")
    if optim is not None and not isinstance(optim, PyroOptim):
        raise InvalidArgument(
            f"`optim` must be a Pyro optimiser, but is a {type(optim).__name__}. Write "
            'pyro.optim.PyroOptim(torch.optim.Adam, {"lr": 0.1}).'
        )
    if isinstance(model, MarkovModel):
        require_model(model, in_nats=True)
        if isinstance(guide, HasBlocks):
            tabulate(model, guide)  # that they fit and are normalised: else the ELBO bounds nothing


def _check(guide: object, num_steps: Any, every: Any, tolerance: Any, seed: Any, resume: Any) -> None:
    whole("num_steps", num_steps)
    whole("checkpoint_every", every)
    if not isinstance(tolerance, int | float) or not tolerance >= 0:
        raise InvalidArgument(f"`tolerance` must be a number of nats, 0 or more, but is {tolerance!r}.")
    if isinstance(guide, HasBlocks) and not isinstance(guide, torch.nn.Module):
        raise InvalidArgument(f"`guide` must have parameters, but {guide!r} is exact and needs no fit.")
    require_seed(seed)
    if seed is not None and resume is not None:
        raise InvalidArgument("`seed` and `resume` exclude each other: a resumed fit goes on with its own randomness.")

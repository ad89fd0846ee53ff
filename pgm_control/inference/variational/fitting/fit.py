"""Fit a guide to a model, by any of the methods.

Sources:
    [khan2017] M. E. Khan and W. Lin, Conjugate-computation variational inference: converting variational inference in
        non-conjugate models to inferences in conjugate models. International Conference on Artificial Intelligence and
        Statistics, Proceedings of Machine Learning Research 54, pages 878–887, 2017. arXiv:1703.04265
    [minka2005] T. Minka, Divergence measures and message passing. Microsoft Research, technical report MSR-TR-2005-173,
        2005.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import torch
from pyro.optim import PyroOptim

from ....errors import InvalidArgument, InvalidCheckpoint, InvalidGuide
from ....programs.own_parameters import own_parameters
from ....programs.replay import require_fittable
from ....runtime.alone.thread import alone
from ....runtime.arguments import fraction, number, one_of, shown, whole
from ....runtime.files import path_of
from ....runtime.loop import Loop
from ....runtime.programs import require_callable, without_condition
from ....runtime.progress import Progress, silent
from ....runtime.randomness import require_seed, seeded
from ....trajectories.blocks import Blocks, HasBlocks, MarkovModel, require_model
from ....trajectories.program import is_program, require_program
from ....trajectories.tabulate import tabulate
from ..elbo import elbo as exact_elbo
from ..parameters import together
from .checkpoint import Checkpoint, identity
from .fit_result import Callback, Fit, FitStatus, FitStep
from .gaussian_methods import exact_elbo_of, needs_no_program
from .history import History
from .losses import Loss, require_loss
from .method import Method
from .methods import default_loss, exact, expectation_maximisation, forward, natural_gradient, svi

G = TypeVar("G", bound=Callable[[], Any])
MethodName = Literal["svi", "natural_gradient", "em", "exact", "forward"]
_BETWEEN_GOOD = 100  # steps between the copies of the guide from which a fit that breaks is restored


def fit(
    model: Callable[[], Any],
    guide: G,
    loss: Loss | None = None,
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
    r"""Fit a guide to a model: by `pyro.infer.SVI`, by natural gradients, by EM, exactly, or by moment projection.

    Natural gradients and the exact answer are for a tabular model and a guide whose blocks can be assigned, such as
    `FreeGuide`. A step of the natural gradient is one sweep; with step size 1, which is soft policy iteration, a few
    steps suffice. EM is for guides whose blocks depend on parameters, such as `NeuralGuide`.

    These methods maximise the ELBO, and so minimise $KL(q \| p(\cdot \mid O))$. `method="forward"` is for a tabular
    model and any guide with `blocks()`, and minimises the other KL, exactly [minka2005]:

    $$\arg\min_q KL(p(\cdot \mid O) \| q) = \arg\max_q E_{p(\cdot \mid O)}[\log q]$$

    The policy of the guide is fitted to the actions of the posterior, in the states that the posterior visits. For a
    clamped guide that is the policy of the free posterior, $p(a_t \mid s_t, O)$: clamping the dynamics removes the
    optimism from the ELBO, and the forward KL brings it back. Wake-sleep follows the same KL by samples.

    A Gaussian guide, such as `ClampedGaussianGuide`, of a `LinearQuadraticModel` has the exact loss `GaussianELBO` and
    takes `method="exact"`. Of a model over vectors, such as `ContinuousModel`, it takes `method="natural_gradient"`,
    which averages the rewards over quasi-random points at the marginals of the guide and accepts a step only if the
    objective rises; for a negative β only if the least objective of the policy over Gaussian adversaries rises. The
    history holds the objective at the points of the fit; `Fit.remeasured` that of the fitted guide at others
    [khan2017]. Beyond the breakdown the fit ends with an error.

    Args:
        model: a Pyro model, such as `TabularModel(mdp)`.
        guide: a guide, such as `FreeGuide(model)`; its parameters are changed in place. For a guide function they are
            in Pyro's parameter store.
        loss: for SVI: any Pyro ELBO that computes its value, or a function of the model and the guide. Default: the
            exact `MarkovELBO()` if model and guide have `blocks()`, the exact `GaussianELBO()` if they are
            linear-Gaussian, the exact `AuxiliaryELBO()` if the guide has `latent_blocks()`, the sampled `OnePassELBO()`
            for a guide that changes sites of its model, such as `ClampedNeuralGuide`, otherwise the sampled
            `Trace_ELBO()`. With `TraceEnum_ELBO` the sites of the guide are enumerated; without `pyro.markov` in its
            loop this takes memory that is exponential in T. A guide with a method `reverse` has the auxiliary bound of
            `with_reverse(model, guide)`. A guide that fixes a continuous site at a point, such as Pyro's `AutoDelta`,
            has no ELBO: its history is the log-density at the point, "ELBO with point values", which is no bound.
        optim: for SVI: any Pyro optimiser; a scheduler of learning rates makes a step after every step. Default: Adam
            with learning rate 0.1. Its betas are (0.9, 0.9) for the exact loss, so that the scale of the first
            gradients is soon forgotten, and (0.9, 0.99) for a loss that samples.
        method: "svi"; "natural_gradient", mirror descent on the exact objective; "em", which computes such a step as if
            the guide were a table and fits its parameters to the result; "exact", which in one step sets the guide to
            `guide.optimum()`; or "forward", the moment projection, in one step if the blocks of the guide can be
            assigned, otherwise by L-BFGS. The history of "forward" is the negative forward KL.
        step_size: η in (0, 1], for the natural gradient and EM. With natural gradients the ELBO never falls, for any η;
            if the guide cannot represent the targets of EM, a smaller η ends nearer to the optimum.
        num_steps: the largest number of steps, including those before a resume.
        tolerance: in nats. SVI has converged when the mean ELBO of the last 100 steps differs from that of the 100
            before by less, with two standard errors of its noise added; the other methods, when one step changes their
            objective by less. With 0 these methods never stop early.
        seed: an integer, a generator, or None for torch's global generator: for losses that sample. Pyro draws from the
            global generators; with an integer or a generator they are seeded during the fit and restored afterwards.
        progress: called after every step, e.g. `PrintEvery(100)`.
        callbacks: called after every step with a `FitStep`; one that returns True stops the fit.
        checkpoint: a path, written every `checkpoint_every` steps and when the fit ends, for any reason.
        checkpoint_every: the number of steps between checkpoints.
        resume: a fit, or the path of its checkpoint, to continue as if it had never stopped. The model, the guide, the
            method, the loss, the optimiser and their settings must be the same.

    Returns:
        A `Fit`. Ctrl-C ends the fit after the current step and returns the result so far.

    Raises:
        InvalidArgument: if an argument is invalid; the message names it.
        InvalidGuide: if the guide is no distribution over the model's sites, has an auxiliary site without a reverse
            model, or cannot run to make its parameters.
        InvalidCheckpoint: if `resume` cannot be read, or belongs to another model, guide, method, loss or optimiser.
        OptimismBreakdown: if natural gradients find the objective of a Gaussian guide unbounded at its optimism.
        UsedByAnotherThread: if another thread of this process fits or learns, because Pyro's handlers and parameters
            are one for all threads; but not for exact answers and natural gradients of tables, which do not use Pyro.

    References:
        [minka2005], [khan2017]
    """
    blocks = _check_pair(model, guide, loss)
    num_steps, checkpoint_every = whole("num_steps", num_steps), whole("checkpoint_every", checkpoint_every)
    tolerance = _check(guide, checkpoint, tolerance, seed, resume)
    elbo = History()
    seconds = 0.0
    own_randomness = seeded(seed) if resume is None else torch.random.fork_rng(devices=[])

    def now() -> Checkpoint:
        return Checkpoint.take(learned, way.optim, elbo.taken(), loop.seconds, about)

    def save() -> None:
        if checkpoint is not None:
            now().save(checkpoint)

    with _turn(method, model, guide), own_randomness, own_parameters(guide):
        known = blocks if resume is None else None
        way = _way(method, model, guide, loss, optim, step_size, num_steps, known)
        learned = together(guide, model, loss)
        about = {"model": identity(model), "guide": getattr(guide, "__name__", type(guide).__name__), **way.description}
        if resume is not None:
            past = resume.checkpoint if isinstance(resume, Fit) else Checkpoint.load(resume)
            past.require(about, learned, way.optim, "`resume`" if isinstance(resume, Fit) else resume)
            _restore(past, model, guide, learned, way.optim)
            torch.set_rng_state(past.random)
            elbo, seconds = History(past.elbo_history), past.seconds
        loop = Loop(
            FitStatus.out_of_steps, limit=num_steps, begin=len(elbo), seconds=seconds,
            progress=progress, callbacks=callbacks, save=save, save_every=checkpoint_every,
        )  # fmt: skip
        shown_as = "elbo" if way.objective_name == "ELBO" else way.objective_name
        good = now()
        with loop:
            try:
                for step in loop:
                    if (step - 1) % _BETWEEN_GOOD == 0 and step > len(good.elbo_history) + 1:
                        good = now()
                    value = way.update()
                    if not math.isfinite(value):
                        loop.end(FitStatus.not_finite)
                        break
                    elbo.append(value)
                    ending = FitStatus.converged if way.has_converged(elbo, tolerance) else None
                    loop.report({shown_as: value}, FitStep(step, value, loop.seconds, guide), ending)
            except KeyboardInterrupt:  # a second Ctrl-C: the result of the unfinished step is kept
                loop.end(FitStatus.interrupted)
            except Exception:  # of a loss, a schedule, a callback: what is fitted so far can be resumed
                save()
                raise
            if loop.status is FitStatus.not_finite:
                good.restore(learned, way.optim)
            else:
                good = now()
    if checkpoint is not None:
        good.save(checkpoint)
    exact, history = _exactly(model, guide), good.elbo_history
    again = None if way.remeasured is None else way.remeasured()
    return Fit(guide, history, exact, loop.status, len(history), good.seconds, good, way.objective_name, again)


def _turn(method: object, model: object, guide: object) -> AbstractContextManager[None]:
    """The context of a fit that uses Pyro, which only one thread can, or of one that does not."""
    has_tables = isinstance(model, MarkovModel) and isinstance(guide, HasBlocks)
    return nullcontext() if has_tables and method in ("exact", "natural_gradient") else alone("fit")


def _way(
    method: str, model: Any, guide: Any, loss: Loss | None, optim: Any, step_size: Any, num_steps: int, known: Any
) -> Method:
    """The method of this name, after checking its arguments; `known` are the blocks of the guide now, if not None."""
    one_of("method", method, get_args(MethodName))
    step_size = fraction("step_size", step_size)
    if method not in ("natural_gradient", "em") and step_size != 1.0:
        raise InvalidArgument(
            f'`step_size` is for method="natural_gradient" and "em", but method is "{method}". Leave it out; the '
            "learning rate of SVI is that of `optim`."
        )
    if method == "svi":
        return svi(model, guide, default_loss(model, guide) if loss is None else loss, optim, num_steps)
    for name, value in (("loss", loss), ("optim", optim)):
        if value is not None:
            raise InvalidArgument(f'`{name}` is for method="svi", but method is "{method}". Leave it out.')
    if method == "em":
        return expectation_maximisation(model, guide, step_size)
    if method == "exact":
        return exact(model, guide, known)
    if method == "forward":
        return forward(model, guide)
    return natural_gradient(model, guide, step_size, known)


def _restore(
    past: Checkpoint, model: object, guide: object, learned: Callable[[], Any], optim: PyroOptim | None
) -> None:
    """Restore a checkpoint, unless the guide would no longer be a distribution.

    Raises:
        InvalidCheckpoint: saying why it would not be. The guide and the optimiser are unchanged.
    """
    before = Checkpoint.take(learned, None, History().taken(), 0.0, {})
    past.restore(learned, None)
    try:
        if isinstance(model, MarkovModel) and isinstance(guide, HasBlocks):
            tabulate(model, guide)
    except (InvalidGuide, RuntimeError, IndexError) as problem:  # a buffer of indices may be out of range
        before.restore(learned, None)
        raise InvalidCheckpoint(
            f"`resume` does not fit this guide. The error with its parameters is: {problem} Start a new fit "
            "without `resume`."
        ) from problem
    past.restore(learned, optim)


def _exactly(model: object, guide: object) -> float | None:
    """The exact ELBO of the guide, in nats, or None if it can only be estimated."""
    if not isinstance(model, MarkovModel) or not isinstance(guide, HasBlocks):
        return exact_elbo_of(model, guide)
    with torch.no_grad():
        return float(exact_elbo(model, guide.blocks()))


def _check_pair(model: Any, guide: Any, loss: object) -> Blocks | None:
    """Check that the guide is one of this model; return its blocks, if it has some."""
    if isinstance(guide, MarkovModel):
        raise InvalidArgument("`guide` must be a guide, but is a model. The order is fit(model, guide).")
    inside, known = without_condition(model)
    if known and isinstance(inside, MarkovModel):
        raise InvalidArgument(
            f"`model` must not be conditioned for a fit, but is, on {', '.join(known)}, which a guide of the model "
            "samples. infer(model, optimism, evidence=…) is the exact answer."
        )
    require_callable("model", model, remedy="Pass a Pyro model, such as TabularModel(mdp, temperature).")
    require_callable("guide", guide, remedy="Pass a Pyro guide, such as FreeGuide(model).")
    if loss is not None:
        require_loss(loss)
    if isinstance(model, MarkovModel):
        require_model(model, in_nats=True, timed=True)
        if isinstance(guide, HasBlocks):
            with torch.no_grad():
                return tabulate(model, guide)  # checks that they fit and are normalised: else the ELBO is no bound
        require_program(model, guide)
    elif not needs_no_program(model, guide, loss) and is_program(model):
        require_fittable(model, guide, with_every_site=loss is None)
    return None


def _check(guide: object, checkpoint: Any, tolerance: Any, seed: Any, resume: Any) -> float:
    if not number(tolerance) >= 0:
        raise InvalidArgument(f"`tolerance` must be a number of nats, 0 or more, but is {shown(tolerance)}.")
    if isinstance(guide, HasBlocks) and not isinstance(guide, torch.nn.Module):
        raise InvalidArgument(f"`guide` must have parameters, but {guide!r} is exact and needs no fit.")
    require_seed(seed)
    if checkpoint is not None:
        path_of(checkpoint, "checkpoint")
    if seed is not None and resume is not None:
        raise InvalidArgument("`seed` and `resume` exclude each other: a resumed fit continues its own randomness.")
    return number(tolerance)

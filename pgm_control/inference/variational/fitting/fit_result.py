"""The result of a fit: how it ended, what a callback sees, and the fitted guide with its record."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, final

from jaxtyping import Float
from torch import Tensor

from ....runtime.status import Status
from ....text.html import counted, curve, heading
from ....text.one_line import one_line
from ....text.wording import plus_minus
from .checkpoint import Checkpoint
from .methods import WINDOW, noise

G = TypeVar("G", bound=Callable[[], Any])


class FitStatus(Status):
    """How a fit ended."""

    converged = "The objective stopped improving."
    out_of_steps = (
        "`num_steps` was reached before the objective stopped improving. Continue with fit(…, num_steps=more, resume="
        "this fit), or raise the learning rate or `step_size`. The noise of a loss that samples can hide convergence."
    )
    stopped = "A callback asked to stop."
    interrupted = "Interrupted by Ctrl-C. Nothing is lost: continue with fit(…, resume=this fit)."
    not_finite = (
        "The objective became nan or infinite; the guide was restored to its last good parameters. Lower the learning "
        "rate, raise the temperature, or check that the guide leaves forbidden outcomes impossible."
    )


@final
@dataclass(frozen=True)
class FitStep:
    """What a callback receives after a step.

    Attributes:
        step: the number of steps so far.
        elbo: the estimate that this step reported, in nats.
        seconds: time spent.
        guide: the guide, for inspection.
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
    """A fitted guide and the record of its fit.

    Attributes:
        guide: the guide that was passed in, now fitted.
        elbo_history: the ELBO that each step reported, in nats: that of the parameters before the step's update. For a
            loss that is no ELBO it holds minus the loss, whose name is `objective_name`.
        elbo: the exact ELBO of the fitted guide, in nats; None if it can only be estimated, because the model or the
            guide has no `blocks()`: see `estimate`.
        status: how the fit ended; `status.message` explains it.
        num_steps: the number of steps, including those before a resume.
        seconds: the time they took.
        checkpoint: the state from which `fit(…, resume=…)` continues.
        objective_name: what `elbo_history` holds, such as "ELBO".
        remeasured: what `elbo_history` holds for the fitted guide, in nats, measured at other quasi-random points than
            those of the fit; None for methods without such points.
    """

    guide: G
    elbo_history: Float[Tensor, " step"]
    elbo: float | Any
    status: FitStatus
    num_steps: int
    seconds: float
    checkpoint: Checkpoint
    objective_name: str = "ELBO"
    remeasured: float | None = None

    @property
    def estimate(self) -> tuple[float, float] | None:
        """The mean of the last 100 entries of `elbo_history`, or of all if there are fewer, and its standard error.

        It is an estimate for the fitted guide if the parameters hardly changed in these steps. The error is that of the
        noise, without trends, and infinite for a single entry. None if there is no entry.
        """
        last = self.elbo_history[-WINDOW:]
        if not len(last):
            return None
        return float(last.mean()), float((noise(last) / len(last)).sqrt()) if len(last) > 1 else math.inf

    def save(self, path: str | Path) -> None:
        """Write the checkpoint atomically; `fit(model, guide, resume=path)` continues from it, bit for bit."""
        self.checkpoint.save(path)

    def __repr__(self) -> str:
        """The exact ELBO, or the estimate from the last steps, and the message of the status."""
        return f"Fit({self._reached()} after {self.num_steps} steps, {self.seconds:.1f} s. {self.status.message})"

    def _repr_html_(self) -> str:
        """The status and the curve of the ELBO, for a notebook."""
        about = f"{counted(self.num_steps, 'step')} in {self.seconds:.1f} s: {self.status.name}. {self.status.message}"
        title = f"Fit of {type(self.guide).__name__}"
        return heading(title, self._reached(), about) + curve(self.elbo_history.tolist(), self.objective_name, "nats")

    def _reached(self) -> str:
        """The exact ELBO, or the estimate and where it is from."""
        if self.elbo is not None:
            other = "" if self.objective_name == "ELBO" else f" of a guide fitted to the {self.objective_name}"
            return f"ELBO {self.elbo:.6f} nats{other}"
        if self.remeasured is not None:
            return f"{self.objective_name} {self.remeasured:.4f} nats, measured at other points than those of the fit,"
        found, count = self.estimate, min(WINDOW, len(self.elbo_history))
        if found is None:
            return f"no {self.objective_name}"
        mean = f"{self.objective_name} {plus_minus(*found)} nats"
        return f"{mean}, estimated by the mean of the last {counted(count, 'step')},"

"""Comparison of free and clamped inference on one model: exact, fitted, scored and explained."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final, overload

import torch

from ..guides import ClampedGuide, FreeGuide
from ..inference.exact.infer import infer
from ..inference.exact.posterior import Posterior
from ..inference.variational.fitting.fit import fit
from ..inference.variational.fitting.fit_result import Fit, FitStatus
from ..runtime.arguments import called, whole
from ..runtime.progress import Progress, require_progress, silent
from ..runtime.randomness import require_seed
from ..text.as_json import plain, save_as_json
from ..text.html import bullets, counted, heading
from ..text.wording import amount
from ..trajectories.blocks import HasBlocks, MarkovModel, require_model
from ..trajectories.gaussian.model import GaussianModel, is_gaussian
from ..trajectories.steps import is_plain, temperature_words
from .continuous.meshes import HasMesh, has_mesh
from .continuous_comparison import ContinuousComparison, continuous_comparison
from .explain import Explanation, explain
from .scorecard import Scorecard, scorecard
from .scores.record import record_of

_FORMAT = 1
_SHORT = 1e-2  # nats; a fit that is nearer to its optimum needs no warning


@final
@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """The result of `compare`. Printing it prints the scorecard and the explanation.

    Attributes:
        model: the model.
        name: the name of the problem in titles.
        free, clamped: the exact optimum of each guide.
        fits: the fits of "free" and "clamped", those that were run.
        scorecard: the exact and the fitted guides side by side.
        explanation: why the two guides differ.
        settings: the settings of the call.
        command: the command that reproduces this result, or None.
    """

    model: MarkovModel
    name: str
    free: Posterior
    clamped: Posterior
    fits: Mapping[str, Fit[Any]]
    scorecard: Scorecard
    explanation: Explanation
    settings: Mapping[str, Any]
    command: str | None

    @property
    def untrained(self) -> tuple[str, ...]:
        """The guides whose fit reached the optimal ELBO, but not the true return of the optimum.

        An ELBO is an average over the guide's own trajectories: its policy is not trained in states that it does not
        expect to visit.
        """
        return tuple(name for name in self.fits if f"{name}, fitted" in self.scorecard.untrained)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader of these numbers has to know of the fits, besides the warnings of the scorecard."""
        unfinished = [
            f"The fit of the {name} guide, after {fitted.num_steps} steps, is {amount(self.short_of_optimum(name))} "
            f"nats short of its optimum. {fitted.status.message}"
            for name, fitted in self.fits.items()
            if fitted.status is not FitStatus.out_of_steps
            and (fitted.status is not FitStatus.converged or self.short_of_optimum(name) > _SHORT)
        ]
        far = [
            f"{amount(self.short_of_optimum(name))} nats ({name})"
            for name, fitted in self.fits.items()
            if fitted.status is FitStatus.out_of_steps and not self.short_of_optimum(name) <= _SHORT
        ]
        if far:
            unfinished.append(
                f"Not converged after {self.settings['num_steps']} steps: short of the optimum by {' and '.join(far)}. "
                "Take more steps (`num_steps`)."
            )
        if "clamped" not in self.fits:
            unfinished.append("The clamped guide was not fitted, because the fit of the free one was interrupted.")
        return tuple(unfinished)

    def short_of_optimum(self, name: str) -> float:
        """The exact optimum minus the ELBO of the fit "free" or "clamped", in nats."""
        return self.scorecard.scores[f"{name}, exact"].elbo - self.scorecard.scores[f"{name}, fitted"].elbo

    def to_dict(self) -> dict[str, Any]:
        """Return all results except tables and curves, for JSON. Infinities are the strings "inf" and "-inf"."""
        mdp = self.model.mdp
        explanation = asdict(self.explanation)
        for event in explanation["events"]:
            event["state_name"], event["action_name"] = mdp.state_name(event["state"]), mdp.action_name(event["action"])
            for outcome in event["outcomes"]:
                outcome["successor_name"] = mdp.state_name(outcome["successor"])
        explanation |= {"gap": self.explanation.gap, "price_of_optimism": self.explanation.price_of_optimism}
        for choice in (explanation["at_start"], explanation["choice"]):
            choice["state_name"] = mdp.state_name(choice["state"])
        explanation |= {"action_names": [mdp.action_name(a) for a in range(mdp.num_actions)]}
        found = {
            **record_of(_FORMAT, self.name, self.model, self.settings, self.command, self.scorecard.to_dict()),
            "fits": {name: self._fit_facts(name) for name in self.fits},
            "explanation": explanation,
        }
        return plain(found)

    def save(self, path: str | Path) -> None:
        """Write `to_dict()` as JSON; the file is written completely or not at all.

        Raises:
            InvalidArgument: if the path does not end in .json.
        """
        save_as_json(self.to_dict(), path)

    def _fit_facts(self, name: str) -> dict[str, Any]:
        fitted = self.fits[name]
        return {
            "status": fitted.status.name,
            "message": fitted.status.message,
            "num_steps": fitted.num_steps,
            "seconds": fitted.seconds,
            "short_of_optimum": self.short_of_optimum(name),
        }

    def __str__(self) -> str:
        """The text of the scorecard, of the explanation and of the warnings."""
        return "\n\n".join([str(self.scorecard), str(self.explanation), *self.warnings])

    def __repr__(self) -> str:
        """The headline in one line."""
        return f"Comparison({self.name}: {self.explanation.headline})"

    def _repr_html_(self) -> str:
        """The scorecard, the explanation and the fits as HTML, for a notebook."""
        fits = [
            f"{name}, fitted: {counted(found.num_steps, 'step')} in {found.seconds:.1f} s, "
            f"{amount(self.short_of_optimum(name))} nats below its optimum. {found.status.message}"
            for name, found in self.fits.items()
        ]
        mdp, temperature = self.model.mdp, temperature_words(self.model)
        about = f"{counted(mdp.num_states, 'state')}, horizon T = {mdp.horizon}, τ = {temperature}"
        pages = (each._repr_html_() for each in (self.scorecard, self.explanation))
        return heading(self.name, about) + "".join(pages) + bullets(fits)


@overload
def compare(
    model: GaussianModel | HasMesh, *, num_steps: int = 2000, seed: int | torch.Generator | None = None,
    progress: Progress = silent, name: str = "this problem", command: str | None = None,
) -> ContinuousComparison: ...  # fmt: skip
@overload
def compare(
    model: MarkovModel, *, num_steps: int = 2000, seed: int | torch.Generator | None = None,
    progress: Progress = silent, name: str = "this problem", command: str | None = None,
) -> Comparison: ...  # fmt: skip
def compare(
    model: MarkovModel | GaussianModel | HasMesh,
    *,
    num_steps: int = 2000,
    seed: int | torch.Generator | None = None,
    progress: Progress = silent,
    name: str = "this problem",
    command: str | None = None,
) -> Comparison | ContinuousComparison:
    """Compare the free and the clamped guide on a model: exact optima, fits and an explanation of the difference.

    Of a linear-quadratic model and of a problem in the plane or on a line the exact optima are compared, and nothing is
    fitted; the numbers of a mesh have a stated error.

    Args:
        model: a model of positive temperature: tabular, linear-quadratic, in the plane or on a line.
        num_steps: the maximum number of steps of `fit` for each guide.
        seed: an integer, the same for both fits; a generator; or None for torch's global generator. Without fits it
            is only stored, for the pictures of `report`.
        progress: called after every step with the number of steps of both fits so far and "free_elbo" or
            "clamped_elbo", in nats.
        name: the name of the problem in titles.
        command: the command that reproduces this result, stored with it.

    Returns:
        A `Comparison`, or a `ContinuousComparison`. After Ctrl-C it holds the interrupted fit, and no fit that would
        have come after it.

    Raises:
        InvalidArgument: if the temperature is 0, or an argument is invalid; the message names it.
    """
    require_seed(seed)
    require_progress(progress)
    called("name", name)
    called("command", "" if command is None else command)
    num_steps = whole("num_steps", num_steps)
    if is_gaussian(model) or has_mesh(model):
        return continuous_comparison(model, name, command, None if isinstance(seed, torch.Generator) else seed)
    model = require_model(model, in_nats=True, timed=True)
    explanation = explain(model)
    exact = {"free": infer(model, 1.0), "clamped": infer(model, 0.0)}
    fits: dict[str, Fit[Any]] = {}
    for guide, build in (("free", FreeGuide), ("clamped", ClampedGuide)):
        before = sum(each.num_steps for each in fits.values())
        report = _counted_on(progress, guide, before)
        fits[guide] = fit(model, build(model), num_steps=num_steps, seed=seed, progress=report)
        if fits[guide].status is FitStatus.interrupted:
            break
    rows: dict[str, HasBlocks] = {}
    for guide, posterior in exact.items():
        rows[f"{guide}, exact"] = posterior
        if guide in fits:
            rows[f"{guide}, fitted"] = fits[guide].guide
    return Comparison(
        model=model,
        name=name,
        **exact,
        fits=fits,
        scorecard=scorecard(model, rows),
        explanation=explanation,
        settings={
            "horizon": model.mdp.horizon,
            "temperature": model.temperature if is_plain(model) else temperature_words(model),
            "discount": model.mdp.discount,
            "num_steps": num_steps,
            "seed": None if isinstance(seed, torch.Generator) else seed,
        },
        command=command,
    )


def _counted_on(progress: Progress, guide: str, before: int) -> Progress:
    """The progress of one of several fits: step numbers start after `before`, metrics carry the guide's name."""
    return lambda step, metrics: progress(before + step, {f"{guide}_{name}": value for name, value in metrics.items()})

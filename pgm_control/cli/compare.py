"""The commands `pgm-control compare` and `pgm-control report`."""

import shlex
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal

from ..analysis.compare import Comparison
from ..analysis.compare import compare as compare_guides
from ..analysis.temperature import most_temperatures, temperature_for
from ..errors import InvalidArgument, MissingExtra, PGMControlError
from ..inference.variational.fitting.fit_result import Fit, FitStatus
from ..models import TabularModel
from ..plot.continuous.picture import picture
from ..reports.explorer.page import explorer_page
from ..reports.report import report as write_report
from ..runtime.progress import Progress
from ..text.terminal import fill, folded, note, wrapped
from .compare_continuous import compare_continuous, report_continuous
from .named_problem import CONTINUOUS_NAMES, folder_of, named_model, named_problem, own_temperature, sizes

_ALIKE = 0.01  # difference in probability of an action
_BarOver = Callable[[int, str], AbstractContextManager[Progress]]


def compare(
    name: str,
    horizon: int | None,
    temperature: float | Literal["auto"] | None,
    num_steps: int,
    seed: int,
    out: Path | None,
    say: Callable[[str], None],
    bar_over: _BarOver,
) -> None:
    """Fit, print and write the results, and suggest the next command; the arguments are those of the command."""
    if name in CONTINUOUS_NAMES:
        compare_continuous(name, horizon, temperature, seed, out, say)
        return
    found = _compared("compare", name, horizon, temperature, num_steps, seed, bar_over)
    folder = folder_of(name) if out is None else out
    folder.mkdir(parents=True, exist_ok=True)
    say(_report(found))
    found.save(folder / "comparison.json")
    say(f"\nNumbers: {folder / 'comparison.json'}")
    try:
        picture(found, folder / "comparison.png")
        say(f"Picture: {folder / 'comparison.png'}")
    except MissingExtra as problem:
        say(f"Picture: none. {problem}")
    reason, following = _next(found, name, horizon)
    say(f"\nNext, {reason}:\n  {following}")


def report(
    name: str,
    horizon: int | None,
    temperature: float | Literal["auto"] | None,
    num_steps: int,
    seed: int,
    out: Path | None,
    say: Callable[[str], None],
    bar_over: _BarOver,
) -> None:
    """Fit, and write the results on one page; the arguments are those of the command."""
    if name in CONTINUOUS_NAMES:
        report_continuous(name, horizon, temperature, seed, out, say)
        return
    found = _compared("report", name, horizon, temperature, num_steps, seed, bar_over)
    path = write_report(found, path=folder_of(name) / "report.html" if out is None else out)
    say(f"{found.explanation.headline}.\n\nReport: {path}")
    for warning in _warnings(found):
        note(f"pgm-control: {' '.join(warning.split())}")
    what, shown = ("its settings", f" {shlex.quote(name)}") if _fits_explorer(name) else ("settings of a problem", "")
    say(f"\nNext, change {what}:\n  pgm-control explore{shown}")


def _compared(
    verb: str,
    name: str,
    horizon: int | None,
    temperature: float | Literal["auto"] | None,
    num_steps: int,
    seed: int,
    bar_over: _BarOver,
) -> Comparison:
    model = (
        _at_chosen_temperature(name, horizon, bar_over)
        if temperature == "auto"
        else named_model(name, horizon, temperature)
    )
    said = temperature if temperature == "auto" else f"{model.temperature:g}"
    given = [f"--horizon {model.mdp.horizon}", f"--temperature {said}"]
    given += [f"--num-steps {num_steps}", f"--seed {seed}"]
    command = " ".join([f"pgm-control {verb}", shlex.quote(name), *given])
    with bar_over(2 * num_steps, verb) as bar:
        found = compare_guides(model, num_steps=num_steps, seed=seed, progress=bar, name=name, command=command)
        if not any(fit.status is FitStatus.interrupted for fit in found.fits.values()):
            fill(bar)
    return found


def _at_chosen_temperature(name: str, horizon: int | None, bar_over: _BarOver) -> TabularModel:
    """Return the problem at the temperature that `temperature_for` finds for the clamped guide.

    Raises:
        InvalidArgument: if no temperature can be chosen.
    """
    mdp = named_problem(name, horizon)
    try:
        with bar_over(most_temperatures(mdp), "temperature") as bar:
            found = temperature_for(TabularModel(mdp), optimism=0.0, progress=_share_on(bar))
            fill(bar)
    except InvalidArgument as problem:
        reason = str(problem).partition(". ")[0].replace("`share_of_best`", "the share of the best return, 0.9,")
        raise InvalidArgument(
            f"`temperature` must be a number for {name}, but is auto: {reason}. Give a number."
        ) from problem
    return TabularModel(mdp, found.temperature)


def _share_on(bar: Progress) -> Progress:
    """The progress of `temperature_for` on a bar that has room for one metric."""
    return lambda step, metrics: bar(step, {"share of best": metrics["share of best"]})


def _fits_explorer(name: str) -> bool:
    """Whether `pgm-control explore` accepts a problem, at its own horizon."""
    try:
        explorer_page(name if name in _zoo() else named_model(name, None, None))
    except PGMControlError:  # too large, or without a horizon of its own
        return False
    return True


def _zoo() -> Any:
    from ..models import zoo

    return zoo()


def _report(found: Comparison) -> str:
    """Return the scorecard, the explanation, and remarks on the fits."""
    mdp, temperature = found.model.mdp, found.model.temperature
    lines = [f"{found.name}: {sizes(mdp)}, temperature {temperature:g}", "", folded(str(found.scorecard)), ""]
    lines += [wrapped(sentence, indent=2, first="• ") for sentence in found.explanation.sentences]
    for warning in _warnings(found):
        lines += ["", wrapped(warning)]
    return "\n".join(lines)


def _warnings(found: Comparison) -> Iterator[str]:
    """Yield the warnings, with their remedies in terms of the command line."""
    for warning in found.warnings:
        for fit in found.fits.values():
            warning = warning.replace(fit.status.message, _message(fit))
        # a fit stops when it has converged: too many steps cost nothing
        more = f"Try --num-steps\u00a0{10 * found.settings['num_steps']}."
        yield warning.replace("Take more steps (`num_steps`).", more)


def _message(fit: Fit[Any]) -> str:
    """Return the message of the status, with the remedy in terms of the command line."""
    if fit.status is FitStatus.interrupted:
        return f"{fit.status.message.partition('. ')[0]}. For the whole fit, run the command again."
    return fit.status.message


def _next(found: Comparison, name: str, horizon: int | None) -> tuple[str, str]:
    """Return what to try next, and the command: later in the zoo, or at a lower temperature, so never in a circle."""
    same_length = f" --horizon {horizon}" if horizon is not None else ""
    again = f"pgm-control compare {shlex.quote(name)}{same_length}"
    temperature, own = found.model.temperature, own_temperature(name)
    names = list(_zoo())
    if found.explanation.events and found.explanation.choice.apart < _ALIKE:
        if temperature > own:
            return "see it at a temperature at which the two differ", again
        return "let rewards weigh more against the action prior", f"{again} --temperature {temperature / 10:g}"
    if name not in names and not found.explanation.events:
        return "a problem in which chance matters", "pgm-control compare slippery_cliff"
    if name not in names:
        return "see more of it on a page", f"pgm-control report {shlex.quote(name)}{same_length}"
    if _zoo()[name].twin is not None:
        return "the same problem without chance, where the two agree", f"pgm-control compare {name}_twin{same_length}"
    following = names[names.index(name) + 1 :]
    if following:
        return "another problem in which chance matters", f"pgm-control compare {following[0]}"
    return "change the settings of a problem", "pgm-control explore"

"""The commands `pgm-control compare` and `pgm-control report`."""

import shlex
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal

from ..analysis.compare import Comparison
from ..analysis.compare import compare as compare_guides
from ..analysis.temperature import temperature_for
from ..errors import MissingExtra
from ..inference.variational.fit import Fit, FitStatus
from ..plot.comparison import picture
from ..reports.report import report as write_report
from ..runtime.progress import Progress
from ..text.terminal import wrapped
from ..text.wording import amount
from .named_problem import named_problem, sizes

_BarOver = Callable[[int, str], AbstractContextManager[Progress]]


def compare(
    name: str,
    horizon: int | None,
    temperature: float | Literal["auto"],
    num_steps: int,
    seed: int,
    out: Path | None,
    say: Callable[[str], None],
    bar_over: _BarOver,
) -> None:
    """Fit, print and write the results, and suggest the next command; the arguments are those of the command."""
    found = _compared("compare", name, horizon, temperature, num_steps, seed, bar_over)
    folder = _folder(name) if out is None else out
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
    temperature: float,
    num_steps: int,
    seed: int,
    out: Path | None,
    say: Callable[[str], None],
    bar_over: _BarOver,
) -> None:
    """Fit, and write the results on one page; the arguments are those of the command."""
    found = _compared("report", name, horizon, temperature, num_steps, seed, bar_over)
    path = write_report(found, path=_folder(name) / "report.html" if out is None else out)
    say(f"{found.explanation.headline}.\n\nReport: {path}")
    say(f"\nNext, change its settings:\n  pgm-control explore{f' {name}' if name in _zoo() else ''}")


def _compared(
    verb: str,
    name: str,
    horizon: int | None,
    temperature: float | Literal["auto"],
    num_steps: int,
    seed: int,
    bar_over: _BarOver,
) -> Comparison:
    from ..models import TabularModel

    model = TabularModel(named_problem(name, horizon), 1.0 if temperature == "auto" else temperature)
    if temperature == "auto":
        model = TabularModel(model.mdp, temperature_for(model, optimism=0.0).temperature)
    said = temperature if temperature == "auto" else f"{temperature:g}"
    given = [f"--horizon {model.mdp.horizon}", f"--temperature {said}"]
    given += [f"--num-steps {num_steps}", f"--seed {seed}"]
    command = " ".join([f"pgm-control {verb}", shlex.quote(name), *given])
    with bar_over(2 * num_steps, verb) as bar:
        return compare_guides(model, num_steps=num_steps, seed=seed, progress=bar, name=name, command=command)


def _folder(name: str) -> Path:
    return Path("pgm-control-out") / name.replace("/", "_").replace(":", "_")


def _zoo() -> Any:
    from ..models import zoo

    return zoo()


def _report(found: Comparison) -> str:
    """Return the scorecard, the explanation, and remarks on the fits."""
    mdp, temperature = found.model.mdp, found.model.temperature
    lines = [f"{found.name}: {sizes(mdp)}, temperature {temperature:g}", "", str(found.scorecard), ""]
    lines += [wrapped(sentence, indent=2, first="• ") for sentence in found.explanation.sentences]
    for name, fit in found.fits.items():
        if fit.status is not FitStatus.converged:
            short = amount(found.short_of_optimum(name))
            after = f"The fit of the {name} guide, after {fit.num_steps} steps, is {short} nats short of its optimum"
            lines += ["", wrapped(f"{after}. {_message(fit)}")]
    if "clamped" not in found.fits:
        lines += ["", "The clamped guide was not fitted, because the fit of the free one was interrupted."]
    for name in found.untrained:
        earned = {kind: amount(found.scorecard.scores[f"{name}, {kind}"].true_return) for kind in ("exact", "fitted")}
        text = f"The fit of the {name} guide is within {amount(found.short_of_optimum(name))} nats of its optimum and "
        text += f"yet truly earns {earned['fitted']}, not {earned['exact']}: an ELBO is an average over what the guide "
        lines += ["", wrapped(text + "imagines, so its policy stays untrained in states that it never expects.")]
    return "\n".join(lines)


def _message(fit: Fit[Any]) -> str:
    """Return the message of the status, with the remedy in terms of the command line."""
    happened = fit.status.message.partition(". ")[0]
    if fit.status is FitStatus.out_of_steps:
        return f"{happened}. Try --num-steps\u00a0{2 * fit.num_steps}."
    if fit.status is FitStatus.interrupted:
        return f"{happened}. For the whole fit, run the command again."
    return fit.status.message


def _next(found: Comparison, name: str, horizon: int | None) -> tuple[str, str]:
    """Return what to try next, and the command."""
    same_length = f" --horizon {horizon}" if horizon is not None else ""
    again = f"pgm-control compare {shlex.quote(name)}{same_length} --temperature"
    temperature = found.model.temperature
    twin = _zoo()[name].twin if name in _zoo() else None
    twin_of = next((each.name for each in _zoo().values() if each.twin == name), None)
    if not found.explanation.events:
        if twin_of is not None:
            return "the same problem with random outcomes", f"pgm-control compare {twin_of}{same_length}"
        return "a problem in which chance matters", "pgm-control compare slippery_cliff"
    if found.explanation.choice.apart < 0.01:
        return "let rewards weigh more against the action prior", f"{again} {temperature / 10:g}"
    if twin is not None:
        return "the same problem without chance, where the two agree", f"pgm-control compare {twin}{same_length}"
    return "let rewards weigh less against the action prior", f"{again} {temperature * 10:g}"

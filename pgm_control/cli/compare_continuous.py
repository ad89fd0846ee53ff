"""The commands `pgm-control compare` and `report` for a problem of the continuous zoo: exact, without fits."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..analysis.compare import compare
from ..analysis.continuous_comparison import ContinuousComparison
from ..analysis.frontier import frontier
from ..errors import InvalidArgument, MissingExtra
from ..models import ContinuousModel, continuous_zoo
from ..plot.continuous.picture import picture
from ..problems.named import CONTINUOUS
from ..reports.report import report as write_report
from ..text.as_json import plain, save_as_json
from ..text.terminal import folded, wrapped
from .named_problem import folder_of

_DIAL = (-0.1, 0.0, 0.1, 0.3, 1.0)  # the values of β of the frontier


def compare_continuous(
    name: str, horizon: int | None, temperature: Any, seed: int, out: Path | None, say: Callable[[str], None]
) -> None:
    """Solve, print and write the results; the arguments are those of the command.

    Raises:
        InvalidArgument: if the temperature is to be chosen, or the problem is not solved exactly.
    """
    found = _compared("compare", name, horizon, temperature, seed)
    model: Any = found.model
    dial = frontier(model, _DIAL)
    folder = folder_of(name) if out is None else out
    folder.mkdir(parents=True, exist_ok=True)
    say(f"{name}: {_summary(name)}, T = {model.problem.horizon}, temperature {model.temperature:g}\n\n"
        f"{folded(str(found.scorecard))}\n")  # fmt: skip
    for sentence in found.explanation.sentences:
        say(wrapped(sentence, indent=2, first="• "))
    say(f"\nThe dial:\n{folded(str(dial))}")
    save_as_json(plain({**found.to_dict(), "frontier": dial.to_dict()}), folder / "comparison.json")
    say(f"\nNumbers: {folder / 'comparison.json'}")
    try:
        picture(found, folder / "comparison.png")
        say(f"Picture: {folder / 'comparison.png'}")
    except MissingExtra as problem:
        say(f"Picture: none. {problem}")
    say(f"\nNext, the same on a page, with more pictures:\n  pgm-control report {name}")


def report_continuous(
    name: str, horizon: int | None, temperature: Any, seed: int, out: Path | None, say: Callable[[str], None]
) -> None:
    """Solve, and write the results on one page; the arguments are those of the command.

    Raises:
        InvalidArgument: if the temperature is to be chosen, or the problem is not solved exactly.
    """
    found = _compared("report", name, horizon, temperature, seed)
    path = write_report(found, path=folder_of(name) / "report.html" if out is None else out)
    say(f"{found.explanation.headline}.\n\nReport: {path}")
    names = [each.name for each in CONTINUOUS if each.is_exact]
    following = names[(names.index(name) + 1) % len(names)]
    say(f"\nNext, another continuous problem:\n  pgm-control compare {following}")


def _compared(verb: str, name: str, horizon: int | None, temperature: Any, seed: int) -> ContinuousComparison:
    """The comparison of the exact optima, with the command that reproduces it."""
    if temperature == "auto":
        raise InvalidArgument(f"`temperature` must be a number for {name}, but is auto. Give a number.")
    model: Any = continuous_zoo()[name].model(horizon, temperature)
    if isinstance(model, ContinuousModel):
        raise InvalidArgument(
            f"`name` must be a continuous problem that is solved exactly, but {name} is not. In Python, fit guides: "
            f"fit(continuous_zoo()[{name!r}].model(), guide), and scorecard(model, guides)."
        )
    settings = f"--horizon {model.problem.horizon} --temperature {model.temperature:g} --seed {seed}"
    return compare(model, seed=seed, name=name, command=f"pgm-control {verb} {shlex.quote(name)} {settings}")


def _summary(name: str) -> str:
    """The description of a problem, without capital and full stop."""
    text = continuous_zoo()[name].summary
    return f"{text[0].lower()}{text[1:-1]}"

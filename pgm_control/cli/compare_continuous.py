"""The command `pgm-control compare` for a problem of the continuous zoo: exact, without fits."""

import json
import math
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..analysis.explain import explain
from ..analysis.frontier import frontier
from ..analysis.scorecard import scorecard
from ..errors import InvalidArgument, MissingExtra
from ..inference.exact.infer import infer
from ..models import ContinuousModel, continuous_zoo
from ..plot.continuous.comparison import continuous_picture
from ..problems.named import CONTINUOUS
from ..runtime.files import write_whole
from ..runtime.versions import versions
from ..text.terminal import folded, wrapped
from .named_problem import folder_of

_DIAL = (-0.1, 0.0, 0.1, 0.3, 1.0)  # the values of β of the frontier


def compare_continuous(
    name: str, horizon: int | None, temperature: Any, seed: int, out: Path | None, say: Callable[[str], None]
) -> None:
    """Solve, print and write the results; the arguments are those of the command.

    Raises:
        InvalidArgument: if the temperature is to be chosen.
    """
    if temperature == "auto":
        raise InvalidArgument(f"`temperature` must be a number for {name}, but is auto. Give a number.")
    entry = continuous_zoo()[name]
    model: Any = entry.model(horizon, temperature)
    if isinstance(model, ContinuousModel):
        raise InvalidArgument(
            f"`name` must be a continuous problem that is solved exactly, but {name} is not. In Python, fit guides: "
            f"fit(continuous_zoo()[{name!r}].model(), guide), and scorecard(model, guides)."
        )
    free: Any = infer(model, 1.0)
    clamped: Any = infer(model, 0.0)
    card = scorecard(model, {"free, exact": free, "clamped, exact": clamped})
    found, dial = explain(model), frontier(model, _DIAL)
    settings = f"--horizon {model.problem.horizon} --temperature {model.temperature:g} --seed {seed}"
    folder = folder_of(name) if out is None else out
    folder.mkdir(parents=True, exist_ok=True)
    facts = {
        "name": name,
        "command": f"pgm-control compare {shlex.quote(name)} {settings}",
        "settings": {"horizon": model.problem.horizon, "temperature": model.temperature, "seed": seed},
        "versions": versions(),
        **card.to_dict(),
        "explanation": {"headline": found.headline, "sentences": list(found.sentences)},
        "frontier": dial.to_dict(),
    }
    say(f"{name}: {entry.summary[0].lower()}{entry.summary[1:-1]}, T = {model.problem.horizon}, temperature "
        f"{model.temperature:g}\n\n{folded(str(card))}\n")  # fmt: skip
    for sentence in found.sentences:
        say(wrapped(sentence, indent=2, first="• "))
    say(f"\nThe dial:\n{folded(str(dial))}")
    write_whole(folder / "comparison.json", (json.dumps(_plain(facts), indent=2, allow_nan=False) + "\n").encode())
    say(f"\nNumbers: {folder / 'comparison.json'}")
    try:
        continuous_picture(free, clamped, name, seed, folder / "comparison.png")
        say(f"Picture: {folder / 'comparison.png'}")
    except MissingExtra as problem:
        say(f"Picture: none. {problem}")
    names = [each.name for each in CONTINUOUS if each.is_exact]
    following = names[(names.index(name) + 1) % len(names)]
    say(f"\nNext, another continuous problem:\n  pgm-control compare {following}")


def _plain(value: Any) -> Any:
    """The value for JSON, with infinities and nan as text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value

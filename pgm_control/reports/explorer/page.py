"""Writing the explorer, one self-contained page, and opening it."""

import html
import json
import re
import webbrowser
from importlib import resources
from pathlib import Path
from typing import Any

from ...errors import InvalidArgument
from ...models import zoo_entry
from ...problems.mdp import TabularMDP
from ...runtime.files import write_whole
from ...trajectories.blocks import MarkovModel
from .problem_data import problem_data, zoo_data

MOST_BYTES = 300_000
MOST_OUTCOMES = 1_000_000  # T · S · A · K: some tenths of a second in a browser

_SCRIPTS = (
    *("solver.js", "problems.js", "words.js", "beliefs.js", "draw.js"),
    *("maps.js", "controls.js", "cards.js", "editor.js", "app.js"),
)
_REMEDY = (
    "Shorten its horizon by mdp.replace(horizon=…), take a smaller version of it, or stay in Python: "
    "infer(model, optimism) and ledger(model, guide) have no such limit."
)


def explore(
    problem: str | TabularMDP | MarkovModel | None = None,
    path: str | Path | None = None,
    open_browser: bool = True,
    name: str = "your problem",
) -> Path:
    """Write the explorer, one static page that needs neither a server nor a network, and open it.

    On the page optimism, temperature, horizon, discount and the problem's own numbers are moved, and the posterior
    dice, the policies, the ledger, the sentences and sampled trajectories follow at once. The page solves the problem
    itself, in JavaScript; its answers are those of `infer`, `evaluate` and `ledger`.

    Args:
        problem: which one is shown first: a name of the zoo, a `TabularMDP`, or a model, which brings its temperature
            and its action prior. The zoo is on the page in any case, and grids can be drawn there.
        path: where to write it; by default pgm-control-out/explorer.html.
        open_browser: open it in the default browser.
        name: what a problem that is not of the zoo is called on the page.

    Returns:
        Where it was written.

    Raises:
        InvalidArgument: if no problem of the zoo has that name, with the nearest; if the problem is too large for a
            page.
    """
    page = explorer_page(problem, name)
    target = Path("pgm-control-out/explorer.html") if path is None else Path(path)
    write_whole(target, page.encode())
    if open_browser:
        webbrowser.open(target.resolve().as_uri())
    return target


def explorer_page(problem: str | TabularMDP | MarkovModel | None = None, name: str = "your problem") -> str:
    """The page that `explore` writes.

    Raises:
        InvalidArgument: as `explore`.
    """
    problems = zoo_data()
    if isinstance(problem, str):
        start = zoo_entry(problem).name
    elif problem is None:
        start = problems[0]["name"]
    else:
        mdp = problem if isinstance(problem, TabularMDP) else _mdp_of(problem)
        _require_small(mdp)
        known = {each["name"] for each in problems}
        start = name if name not in known else f"{name} (yours)"
        model = None if isinstance(problem, TabularMDP) else problem
        problems.insert(0, problem_data(start, mdp, "A problem of your own.", model))
    page = _filled({"start": start, "problems": problems})
    if len(page.encode()) > MOST_BYTES:
        raise InvalidArgument(
            f"`problem` must fit into a page of {MOST_BYTES:,} bytes, but makes one of {len(page.encode()):,}. "
            f"{_REMEDY}"
        )
    return page


def _mdp_of(problem: Any) -> TabularMDP:
    mdp = getattr(problem, "mdp", None)
    if not isinstance(mdp, TabularMDP):
        raise InvalidArgument(
            f"`problem` must be a name of the zoo, a TabularMDP or a tabular model, but is a {type(problem).__name__}. "
            "Make a TabularMDP from arrays or by TabularMDP.from_gymnasium(env)."
        )
    return mdp


def _require_small(mdp: TabularMDP) -> None:
    outcomes = mdp.horizon * mdp.probability.numel()
    if outcomes > MOST_OUTCOMES:
        raise InvalidArgument(
            f"`problem` must have at most {MOST_OUTCOMES:,} entries (horizon × states × actions × outcomes) for a page "
            f"that follows a slider, but has {outcomes:,}. {_REMEDY}"
        )


def _filled(data: dict[str, Any]) -> str:
    """The template with style, scripts and data in their places, which no text of theirs can be taken for."""
    folder = resources.files("pgm_control.reports.explorer")

    def text(file: str) -> str:
        return folder.joinpath(file).read_text(encoding="utf-8")

    parts = {
        "title": html.escape("The pgm-control explorer"),
        "style": text("style.css"),
        "data": _json(data),
        "script": "\n".join(text(file) for file in _SCRIPTS),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], text("page.html"))


def _json(data: dict[str, Any]) -> str:
    """JSON that cannot end the element it stands in, whatever a name holds."""
    plain = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return plain.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")

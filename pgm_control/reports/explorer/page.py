"""Writing the explorer, one self-contained page, and opening it."""

import base64
import hashlib
import html
import json
import re
import webbrowser
from importlib import resources
from pathlib import Path
from typing import Any

from ...errors import InvalidArgument
from ...models import zoo_entry
from ...problems.mdp import TabularMDP, require_mdp
from ...runtime.arguments import called
from ...runtime.files import path_of, write_whole
from ...trajectories.blocks import MarkovModel
from ...trajectories.steps import require_plain
from .problem_data import problem_data, zoo_data

MOST_BYTES = 300_000
MOST_OUTCOMES = 1_000_000  # T · S · A · K: about a second for a change in a browser at most

_SCRIPTS = (
    *("solver.js", "best_policy.js", "episodes.js", "problems.js", "settings.js", "link.js", "address.js"),
    *("words.js", "beliefs.js", "draw.js", "maps.js", "controls.js", "cards.js", "editor.js", "app.js"),
)
_DRAWN = "a grid that you draw"  # the name in problems.js
_REMEDY = (
    "Shorten its horizon by mdp.replace(horizon=…), take a smaller version of it, or stay in Python: "
    "infer(model, optimism) and ledger(model, guide) have no such limit."
)


def explore(
    problem: str | TabularMDP | MarkovModel | None = None,
    path: str | Path = "explorer.html",
    open_browser: bool = True,
    name: str = "your problem",
) -> Path:
    """Write the explorer, one static page that needs neither a server nor a network, and open it.

    The user changes optimism, temperature, horizon, discount and the problem's own parameters on the page. The believed
    dynamics, the policies, the ledger, the explanation and sampled trajectories follow at once. The page solves the
    problem itself, in JavaScript; its results equal those of `infer`, `evaluate` and `ledger`. All settings are in the
    address of the page, which can be shared.

    Args:
        problem: the problem that is shown first: a name in the zoo, a `TabularMDP`, or a model with its temperature and
            action prior. The page always contains the zoo, and grids can be drawn on it.
        path: the file to write.
        open_browser: whether to open the page in the default browser.
        name: the name on the page of a problem that is not in the zoo.

    Returns:
        The path of the page.

    Raises:
        InvalidArgument: if no problem in the zoo has that name, with the nearest name; if the problem is too large for
            a page, with its size and the limit, a million entries (horizon × states × actions × outcomes): Taxi-v4 with
            200 steps has 601,200.
    """
    target = path_of(path)
    page = explorer_page(problem, name)
    write_whole(target, page.encode())
    if open_browser:
        webbrowser.open(target.resolve().as_uri())
    return target


def explorer_page(problem: str | TabularMDP | MarkovModel | None = None, name: str = "your problem") -> str:
    """Return the page that `explore` writes.

    Raises:
        InvalidArgument: as in `explore`.
    """
    problems = zoo_data()
    if isinstance(problem, str):
        start = zoo_entry(problem).name
    elif problem is None:
        start = problems[0]["name"]
    else:
        mdp = require_mdp("problem", problem) if isinstance(problem, TabularMDP) else _mdp_of(problem)
        _require_small(mdp)
        called("name", name)
        known = {_DRAWN, *(each["name"] for each in problems)}
        start = name if name not in known else f"{name} (yours)"
        model = None if isinstance(problem, TabularMDP) else problem
        problems.insert(0, problem_data(start, mdp, "A problem of your own.", model))
    page = _filled({"start": start, "largest": MOST_OUTCOMES, "problems": problems})
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
            f"`problem` must be a name in the zoo, a TabularMDP or a tabular model, but is a {type(problem).__name__}. "
            "Make a TabularMDP from arrays or by TabularMDP.from_gymnasium(env)."
        )
    require_plain(problem, "problem")
    return mdp


def _require_small(mdp: TabularMDP) -> None:
    outcomes = mdp.horizon * mdp.probability.numel()
    if outcomes > MOST_OUTCOMES:
        raise InvalidArgument(
            f"`problem` must have at most {MOST_OUTCOMES:,} entries (horizon × states × actions × outcomes) for a page "
            f"that follows a slider, but has {outcomes:,}. {_REMEDY}"
        )


def _filled(data: dict[str, Any]) -> str:
    """Return the template with style, scripts and data filled in, in one pass: inserted text is never a placeholder."""
    folder = resources.files("pgm_control.reports.explorer")

    def text(file: str) -> str:
        return folder.joinpath(file).read_text(encoding="utf-8")

    style = text("style.css")
    script = "\n".join(['"use strict";', *map(text, _SCRIPTS)])
    parts = {
        "title": html.escape("The pgm-control explorer"),
        "style": style,
        "style_hash": _hash(style),
        "script": script,
        "script_hash": _hash(script),
        "data": _json(data),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], text("page.html"))


def _hash(text: str) -> str:
    """Return the source by which a content security policy allows this text alone as a script or a style sheet."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _json(data: dict[str, Any]) -> str:
    """Return JSON that cannot end the HTML element around it, even if a name contains special characters."""
    plain = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return plain.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")

"""One problem on one page of HTML: text, numbers and plots, with all that is needed to reproduce it."""

import html
import io
import platform
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..analysis.compare import Comparison, ContinuousComparison
from ..analysis.explain import explain
from ..analysis.frontier import frontier
from ..analysis.ledgers.ledger import ledger
from ..analysis.ledgers.ledger_result import Ledger
from ..analysis.return_distribution import return_distribution
from ..analysis.scorecard import Scorecard, scorecard
from ..errors import InvalidArgument
from ..inference.exact.infer import infer
from ..inference.exact.posterior import Posterior
from ..inference.variational.fitting.fit_result import Fit
from ..plot import (
    dial_sweep,
    elbo_curves,
    has_layout,
    imagined_and_true,
    ledger_over_time,
    outcomes,
    policy_heatmap,
    policy_maps,
    return_distributions,
)
from ..runtime.arguments import called, named
from ..runtime.files import path_of, write_whole
from ..runtime.versions import versions
from ..text.html import bullets
from ..trajectories.blocks import HasBlocks, MarkovModel, require_model
from ..trajectories.steps import temperature_words

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_CURVES = 200_000  # most entries (time, state, action, outcome) for the sweep over β and the distribution of returns
_SAME = 1e-9  # nats: a smaller gap is not drawn
_BROAD = 7.0  # inches: a wider figure has a row of its own, where the columns are narrow
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
_STYLE = """
:root { color-scheme: light dark; --back: #fff; --card: #fff; }
:root { --ink: #1a1a1a; --soft: #4a4a4a; --rule: #ccc; --edge: #0006; }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--back); margin: 0; }
main { max-width: 110rem; margin: 0 auto; padding: 1.5rem 1.25rem; overflow-wrap: break-word; }
h1 { line-height: 1.2; margin: 0 0 .2rem; }
h2 { margin: 2rem 0 .8rem; border-bottom: 1px solid var(--rule); }
h3 { margin: 0 0 .4rem; }
main > p, main > ul { max-width: 62rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; }
th, td { padding: .2rem .7rem; text-align: right; vertical-align: top; }
th[scope=row], table.facts td { text-align: left; }
table.facts td { overflow-wrap: anywhere; }
.scroll td:first-child { min-width: 6rem; overflow-wrap: anywhere; }
tbody tr { border-top: 1px solid var(--rule); }
caption { caption-side: bottom; text-align: left; padding-top: .3rem; max-width: calc(100vw - 3rem); }
.grid { columns: 34rem; column-gap: 1rem; }
.grid > * { margin: 0 0 1rem; padding: .8rem; break-inside: avoid; }
.grid > * { background: var(--card); border: 1px solid var(--rule); border-radius: 10px; }
.scroll { --under: var(--back); overflow-x: auto; background:
  linear-gradient(90deg, var(--under) 50%, transparent) left / 3rem 100% no-repeat local,
  linear-gradient(270deg, var(--under) 50%, transparent) right / 3rem 100% no-repeat local,
  linear-gradient(90deg, var(--edge), transparent) left / 1rem 100% no-repeat scroll,
  linear-gradient(270deg, var(--edge), transparent) right / 1rem 100% no-repeat scroll var(--under); }
.grid > .scroll { --under: var(--card); }
figcaption { color: var(--soft); font-size: .92rem; }
svg { display: block; width: 100%; max-width: 44rem; height: auto; }
code, pre { font-family: ui-monospace, monospace; font-size: .9rem; }
pre { border: 1px solid var(--rule); border-radius: 6px; padding: .7rem; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; }
@media screen and (prefers-color-scheme: dark) {
  :root { --back: #121416; --card: #1a1a1a; --ink: #eceae4; --soft: #b3b0a8; --rule: #3b4047; --edge: #fff6; }
  figure { --card: #fff; --soft: #4a4a4a; }
}
@media (max-width: 90rem) {
  .broad { column-span: all; }
}
@media (max-width: 760px) {
  main { padding: .75rem; }
  h1 { font-size: 1.5rem; }
  th, td { padding: .2rem .4rem; }
  table { font-size: .84rem; }
}
@media print {
  body { font-size: 11pt; }
  main { max-width: none; padding: 0; }
  .grid { columns: auto; }
  .grid > * { border: 0; }
  figure, table, li { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  .scroll { overflow: visible; background: none; }
}
"""


def report(
    found: MarkovModel | Comparison,
    guides: "Mapping[str, HasBlocks | Fit[Any]] | None" = None,
    path: str | Path = "report.html",
    *,
    name: str = "this problem",
    settings: Mapping[str, Any] | None = None,
    command: str | None = None,
) -> Path:
    """Write one HTML page that needs no other file and no network, for reading, printing and sending.

    The page has the explanation in sentences, the scorecard, the policies on a map or over time, the true and believed
    dynamics, imagined and true returns, the ledger, a sweep over optimism and, for fits, their ELBO by step. The
    settings, the versions and the command are at the end.

    Args:
        found: the result of `compare`, whose guides, settings and command are used; or a tabular model.
        guides: guides or fits, by name; default for a model: the exact free and clamped posteriors.
        path: the file to write.
        name: the name of a model in titles.
        settings: settings that a reader needs, such as the seed; shown as a table.
        command: the command that reproduces the page, or None.

    Returns:
        The path. An existing file is replaced atomically.

    Raises:
        InvalidArgument: for a model of temperature 0, or guides beside a comparison.
        InvalidGuide: if a guide does not fit the model.
        MissingExtra: without matplotlib.
    """
    path = path_of(path)
    page = report_page(found, guides, name=name, settings=settings, command=command)
    write_whole(path, page.encode())
    return path


def report_page(
    found: MarkovModel | Comparison,
    guides: "Mapping[str, HasBlocks | Fit[Any]] | None" = None,
    *,
    name: str = "this problem",
    settings: Mapping[str, Any] | None = None,
    command: str | None = None,
) -> str:
    """Return the page that `report` writes. Arguments and errors are those of `report`."""
    called("name", name)
    called("command", "" if command is None else command)
    for key, value in named("settings", {} if settings is None else settings, least=0, what="value").items():
        called(f"settings[{key!r}]", f"{key}{value}")
    if isinstance(found, ContinuousComparison):
        raise InvalidArgument(
            "`found` must be a tabular model or a comparison of one, but is a ContinuousComparison. Print it, or show "
            "it in a notebook; plot.belief_paths, plot.gain_by_optimism and plot.ledger_over_time draw its posteriors."
        )
    if isinstance(found, Comparison):
        if guides is not None:
            raise InvalidArgument("`guides` must be left out with a comparison, which has its own. Or pass its model.")
        model, name, card, explanation = found.model, found.name, found.scorecard, found.explanation
        fits, settings, command = dict(found.fits), settings or found.settings, command or found.command
        warnings = found.warnings
        shown: dict[str, Any] = {"free": found.free, "clamped": found.clamped}
    else:
        require_model(found, in_nats=True, name="found", timed=True)
        model, explanation = found, explain(found)
        given = {"free": infer(model, 1.0), "clamped": infer(model, 0.0)} if guides is None else named("guides", guides)
        fits = {each: guide for each, guide in given.items() if isinstance(guide, Fit)}
        shown = {each: guide.guide if isinstance(guide, Fit) else guide for each, guide in given.items()}
        card, warnings = scorecard(model, shown), ()
    accounts = {each: ledger(model, guide) for each, guide in shown.items()}
    mdp = model.mdp
    about = (
        f"{mdp.num_states} states, {mdp.num_actions} actions, T = {mdp.horizon}, discount {mdp.discount:g}, "
        f"temperature τ = {temperature_words(model)} reward units per nat"
    )
    pictures = _pictures(model, shown, card, accounts, fits)
    sentences = "".join(f"<li>{html.escape(each)}</li>" for each in explanation.sentences)
    parts = [
        f"<h1>{html.escape(name)}</h1><p>{about}</p><p><b>{html.escape(explanation.headline)}.</b></p>",
        f"<h2>In words</h2><ul>{sentences}</ul>",
        f'<h2>Scores</h2><div class="scroll">{card._repr_html_()}</div>',
        bullets(warnings) if warnings else "",
        '<h2>Plots</h2><div class="grid">',
        *(_figure(number, title, draw) for number, (title, draw) in enumerate(pictures)),
        '</div><h2>The gap to the exact posterior</h2><div class="grid">',
        *(
            f'<section class="scroll"><h3>{html.escape(each)}</h3>{account._repr_html_()}</section>'
            for each, account in accounts.items()
        ),
        "</div><h2>How to reproduce it</h2>",
        f'<div class="scroll">{_facts(settings)}</div>',
        f"<pre>{html.escape(command)}</pre>" if command else "",
    ]
    head = f"<title>{html.escape(name)}: free and clamped</title><style>{_STYLE}</style>"
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"{head}</head><body><main>{''.join(parts)}</main></body></html>\n"
    )


def _pictures(
    model: MarkovModel,
    guides: Mapping[str, Any],
    card: Scorecard,
    accounts: Mapping[str, Ledger],
    fits: Mapping[str, Fit[Any]],
) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield the caption and the drawing function of each plot that suits the problem."""
    mdp = model.mdp
    small = mdp.horizon * mdp.probability.numel() <= _CURVES
    exact = {each: guide for each, guide in guides.items() if isinstance(guide, Posterior)}
    if has_layout(mdp):
        yield "The policies at the first step.", lambda: policy_maps(model, guides)[0]
    elif mdp.horizon > 1:
        for each, guide in exact.items():
            yield f"The policy over time, {each}.", lambda guide=guide: policy_heatmap(guide)[0]
    first, guide = next(iter(guides.items()))
    yield f"True and believed outcome probabilities ({first}).", lambda: outcomes(model, guide, name=first)
    yield "Imagined and true mean return of each guide.", lambda: imagined_and_true(card)
    for each, account in accounts.items():
        if abs(account.gap) > _SAME:
            title = f"The gap to the exact posterior, by time step ({each})."
            yield title, lambda account=account: ledger_over_time(account)
    if small:
        yield (
            "True and imagined return, and the optimal objective, by optimism β.",
            lambda: dial_sweep(frontier(model))[0],
        )
        yield (
            "Cumulative distribution of the true return of each policy.",
            lambda: return_distributions({each: return_distribution(model, g) for each, g in guides.items()}),
        )
    if fits:
        yield "The ELBO of the fits by step.", lambda: elbo_curves(model, fits)[0]


def _figure(number: int, title: str, draw: Callable[[], Any]) -> str:
    """Return the figure, which shrinks with the page; it has a white card in dark windows too, to keep its colours."""
    figure = draw().figure
    broad = ' class="broad"' if figure.get_size_inches()[0] > _BROAD else ""
    return f"<figure{broad}>{_svg(figure, f'figure{number}')}<figcaption>{html.escape(title)}</figcaption></figure>"


def _svg(figure: "Figure", salt: str) -> str:
    """Return the figure as SVG for a page: its ids are unique on the page, it has no URLs, and it is reproducible."""
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": salt, "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text)
    text = re.sub(r'\bid="([^"]+)"', rf'id="{salt}-\1"', text)
    text = re.sub(r'href="#([^"]+)"', rf'href="#{salt}-\1"', text)
    return re.sub(r"url\(#([^)]+)\)", rf"url(#{salt}-\1)", text)


def _facts(settings: Mapping[str, Any] | None) -> str:
    known = {**(settings or {}), **versions(), "system": f"{platform.system()} {platform.machine()}"}
    rows = (f'<tr><th scope="row">{html.escape(k)}</th><td>{html.escape(str(v))}</td></tr>' for k, v in known.items())
    return f'<table class="facts"><tbody>{"".join(rows)}</tbody></table>'

"""One problem on one page of HTML: text, numbers and plots, with all that is needed to reproduce it."""

import html
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..analysis.compare import Comparison, compare
from ..analysis.continuous.meshes import HasMesh, has_mesh
from ..analysis.continuous_comparison import ContinuousComparison
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
from ..text.html import bullets
from ..trajectories.blocks import HasBlocks, MarkovModel, require_model
from ..trajectories.gaussian.model import GaussianModel, is_gaussian
from ..trajectories.steps import temperature_words
from .continuous import continuous_page
from .page import facts_of, figure_of, page_of

_CURVES = 200_000  # most entries (time, state, action, outcome) for the sweep over β and the distribution of returns
_SAME = 1e-9  # nats: a smaller gap is not drawn


def report(
    found: MarkovModel | GaussianModel | HasMesh | Comparison | ContinuousComparison,
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
    settings, the versions and the command are at the end. Of a continuous model the page has the states that the exact
    optima believe in and truly reach, the ledger, the sweep over optimism with its breakdown, and, of a problem in the
    plane or on a line, the stated error of the meshes.

        report(compare(continuous_zoo()["hurry"].model(), name="hurry"))

    Args:
        found: the result of `compare`, whose guides, settings and command are used; or a model: tabular,
            linear-quadratic, in the plane or on a line.
        guides: guides or fits, by name; default for a model: the exact free and clamped posteriors. Of a continuous
            model always these.
        path: the file to write.
        name: the name of a model in titles.
        settings: settings that a reader needs, such as the seed; shown as a table.
        command: the command that reproduces the page, or None.

    Returns:
        The path. An existing file is replaced atomically.

    Raises:
        InvalidArgument: for a model of temperature 0, or guides beside a comparison or a continuous model.
        InvalidGuide: if a guide does not fit the model.
        MissingExtra: without matplotlib.
    """
    path = path_of(path)
    page = report_page(found, guides, name=name, settings=settings, command=command)
    write_whole(path, page.encode())
    return path


def report_page(
    found: MarkovModel | GaussianModel | HasMesh | Comparison | ContinuousComparison,
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
    if is_gaussian(found) or has_mesh(found):
        _require_no_guides(guides, "a continuous model, whose exact optima are shown")
        found = compare(found, name=name)
    if isinstance(found, ContinuousComparison):
        _require_no_guides(guides, "a comparison, which has its own")
        return continuous_page(found, settings, command)
    if isinstance(found, Comparison):
        _require_no_guides(guides, "a comparison, which has its own")
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
        *(figure_of(number, title, draw) for number, (title, draw) in enumerate(pictures)),
        '</div><h2>The gap to the exact posterior</h2><div class="grid">',
        *(
            f'<section class="scroll"><h3>{html.escape(each)}</h3>{account._repr_html_()}</section>'
            for each, account in accounts.items()
        ),
        "</div><h2>How to reproduce it</h2>",
        f'<div class="scroll">{facts_of(settings)}</div>',
        f"<pre>{html.escape(command)}</pre>" if command else "",
    ]
    return page_of(f"{name}: free and clamped", parts)


def _require_no_guides(guides: object, beside: str) -> None:
    if guides is not None:
        raise InvalidArgument(
            f"`guides` must be left out with {beside}. Of other guides, scorecard(model, guides) makes a table."
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

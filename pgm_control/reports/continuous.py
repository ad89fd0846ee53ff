"""The page of a continuous problem that is solved exactly: linear-quadratic, in the plane, or on a line."""

import html
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from ..analysis.continuous_comparison import ContinuousComparison
from ..analysis.frontier import Frontier, frontier
from ..analysis.ledgers.continuous import continuous_ledger
from ..analysis.ledgers.continuous_ledger import ContinuousLedger
from ..analysis.ledgers.on_a_mesh import ledger_on_a_mesh
from ..chance.optimism import Optimism
from ..inference.exact.gaussian.breakdown import breakdown
from ..inference.exact.grid.posterior import GridPosterior
from ..plot.continuous.comparison import draw_states
from ..plot.continuous.dial import gain_by_optimism
from ..plot.continuous.paths import belief_paths
from ..plot.ledger import ledger_over_time
from ..plot.returns import imagined_and_true
from ..plot.sweeps import dial_sweep
from ..problems.continuous.line import Line
from ..problems.continuous.linear_quadratic import LinearQuadratic
from ..problems.continuous.planar import Planar
from ..text.tables import html_grid
from ..text.wording import amount
from .page import facts_of, figure_of, page_of

_DIAL = (-0.1, 0.0, 0.1, 0.3, 1.0)  # the values of β on a mesh, each of which is solved
_POINTS = 25  # of them for a linear-quadratic model, which is solved for all at once
_LOWEST = -2.0  # where there is no breakdown
_INSIDE = 0.75  # of the breakdown, down to which the returns are drawn: at it they are infinite
_ERRORS = {
    "objective": ("objective", "[nats]"),
    "imagined_return": ("imagined return", "[reward]"),
    "true_return": ("true return", "[reward]"),
    "edge_mass": ("probability at the edge", ""),
}


def continuous_page(found: ContinuousComparison, settings: Mapping[str, Any] | None, command: str | None) -> str:
    """Return the page of a comparison.

    Args:
        found: the exact optima, their scores and the explanation.
        settings, command: shown at the end; default: those of the comparison.
    """
    account, dial = _account(found), frontier(found.model, _betas(found.model))
    pictures = _pictures(found, account, dial)
    sentences = "".join(f"<li>{html.escape(each)}</li>" for each in found.explanation.sentences)
    command = command or found.command
    parts = [
        f"<h1>{html.escape(found.name)}</h1><p>{html.escape(_about(found))}</p>",
        f"<p><b>{html.escape(found.explanation.headline)}.</b></p><h2>In words</h2><ul>{sentences}</ul>",
        f'<h2>Scores</h2><div class="scroll">{found.scorecard._repr_html_()}</div>',
        _meshes(found),
        '<h2>Plots</h2><div class="grid">',
        *(figure_of(number, title, draw) for number, (title, draw) in enumerate(pictures)),
        "</div><h2>The gap of the clamped guide to the exact posterior</h2>",
        f'<div class="scroll">{account._repr_html_()}</div>',
        f'<h2>The dial</h2><div class="scroll">{dial._repr_html_()}</div>',
        f'<h2>How to reproduce it</h2><div class="scroll">{facts_of(settings or _known(found.settings))}</div>',
        f"<pre>{html.escape(command)}</pre>" if command else "",
    ]
    return page_of(f"{found.name}: free and clamped", parts)


def _known(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that have a value."""
    return {name: value for name, value in settings.items() if value is not None}


def _account(found: ContinuousComparison) -> ContinuousLedger:
    """The ledger of the clamped optimum."""
    free, clamped, every = found.free, found.clamped, Optimism.of(1.0)
    if isinstance(free, GridPosterior):
        return ledger_on_a_mesh(found.model, clamped, every, free)
    model: Any = found.model
    return continuous_ledger(model, clamped, every)


def _betas(model: Any) -> tuple[float, ...]:
    """The values of β of the sweep; those of a linear-quadratic model reach nearly to its breakdown."""
    if not isinstance(model.problem, LinearQuadratic):
        return _DIAL
    edges = breakdown(model)
    low, high = edges.neurotic.optimism, edges.euphoric.optimism
    lowest = _INSIDE * low if math.isfinite(low) else _LOWEST
    highest = min(1.0, _INSIDE * high)
    return tuple(sorted({*np.linspace(lowest, highest, _POINTS).tolist(), 0.0}))


def _about(found: ContinuousComparison) -> str:
    """The kind and the sizes of the problem."""
    problem: Any = found.model.problem
    if isinstance(problem, LinearQuadratic):
        kind = f"A linear-quadratic problem, {problem.num_states} state and {problem.num_actions} action coordinates"
    else:
        kind = f"A problem {'in the plane' if isinstance(problem, Planar) else 'on a line'}, s' = s + a + w"
    discount = (
        f", discount {problem.discount:g}" if isinstance(problem, LinearQuadratic) and problem.discount < 1 else ""
    )
    return (
        f"{kind}, T = {problem.horizon}{discount}, temperature τ = {found.model.temperature:g} reward units "
        "per nat. Free and clamped are exact optima; nothing was fitted."
    )


def _meshes(found: ContinuousComparison) -> str:
    """The stated error of the numbers of a mesh; empty for closed forms."""
    rows = [
        [_nodes(name, each), *(amount(getattr(each.error, key)) for key in _ERRORS)]
        for name, each in (("free", found.free), ("clamped", found.clamped))
        if isinstance(each, GridPosterior)
    ]
    if not rows:
        return ""
    names, units = zip(*_ERRORS.values(), strict=True)
    note = (
        "These numbers are sums over the nodes of a mesh. The table has their changes from a mesh of 1.5 times the "
        "spacing in a wider box: an estimate of their error, not a bound."
    )
    table = html_grid([["", *names], ["", *units]], rows, caption=note)
    return f'<h2>The error of the meshes</h2><div class="scroll">{table}</div>'


def _nodes(name: str, found: GridPosterior) -> str:
    """A guide and the size of its mesh."""
    return f"{name}, {' × '.join(map(str, found.mesh.counts))} nodes"


def _pictures(
    found: ContinuousComparison, account: ContinuousLedger, dial: Frontier
) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield the caption and the drawing function of each plot that suits the problem."""
    model: Any = found.model
    problem, seed = model.problem, found.settings.get("seed") or 0
    guides = {"free": found.free, "clamped": found.clamped}
    if isinstance(problem, Planar):
        yield (
            "Paths of the free and the clamped guide over the reward, dark where it is low: imagined, and in the true "
            "world. Points are states of up to 40 episodes; the thick line is the mean.",
            lambda: draw_states(found.free, found.clamped, seed=seed)[0],
        )
    plane = isinstance(problem, Planar) or (isinstance(problem, LinearQuadratic) and problem.num_states > 1)
    for name, each in guides.items():
        if plane:
            yield (
                f"The states that the {name} guide believes in and those that its policy truly reaches: means, and "
                "ellipses of one standard deviation.",
                lambda each=each, name=name: belief_paths(each, (0, 1), title=f"{name}: believed and true states"),
            )
        if not isinstance(problem, Planar):
            alone = "state" if isinstance(problem, Line) or problem.num_states == 1 else "first component of the state"
            what = f"The {alone}"
            if isinstance(problem, LinearQuadratic) and problem.state_names is not None:
                what = problem.state_name(0)
            yield (
                f"{what} over time, {name}: what the guide believes and what its policy truly reaches, each with "
                "a band of one standard deviation.",
                lambda each=each, name=name: belief_paths(each, 0, title=f"{name}: believed and true state"),
            )
    yield "Imagined and true mean return of each guide.", lambda: imagined_and_true(found.scorecard)
    yield "The gap of the clamped guide to the exact posterior, by time step.", lambda: ledger_over_time(account)
    yield "True and imagined return, and the optimal objective, by optimism β.", lambda: dial_sweep(dial)[0]
    if isinstance(problem, LinearQuadratic):
        yield (
            "The gain of the first action and the spread of the actions by optimism β, up to the breakdown where there "
            "is one: H∞ control at its edge, the regulator at 0, the exact posterior at 1.",
            lambda: gain_by_optimism(model)[0],
        )

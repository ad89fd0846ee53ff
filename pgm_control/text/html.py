"""What results look like in a notebook: small pages of HTML, bounded in size, for light and dark alike."""

import html
import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from jaxtyping import Float
from torch import Tensor

from ..problems.grid import Grid, grid_of
from ..problems.mdp import TabularMDP
from ..trajectories.beliefs import tilted_dice
from ..trajectories.policy import TabularPolicy
from .tables import PADDED, html_grid
from .wording import action_label, amount, reward_phrase, state_label

if TYPE_CHECKING:
    from ..analysis.compare import Comparison
    from ..analysis.explain import Explanation
    from ..inference.exact.posterior import Posterior
    from ..inference.variational.fit import Fit
    from ..trajectories.blocks import MarkovModel

_ROWS, _COLUMNS, _FACES = 10, 8, 4  # shown of longer tables
_CELLS = 260  # of a grid that is drawn as one
_CHEAP = 200_000  # entries of (time, state, action, outcome) up to which the dice are looked at
_POINTS, _WIDTH, _HEIGHT = 200, 320, 60  # of a curve
_DIRECTIONS = ("left", "west"), ("right", "east"), ("up", "north"), ("down", "south"), ("stay", "wait")
_ARROWS = {name: arrow for names, arrow in zip(_DIRECTIONS, "←→↑↓•", strict=True) for name in names}
_SHADE = "rgba(230,159,0,{:.2f})"  # seen through on any ground
_CENTRED = f"text-align:center;min-width:2em;{PADDED}"
_BULLETS = "list-style:disc;padding-left:1.5em"  # likewise taken away by some


class _Cell(NamedTuple):
    """A number in a heat map: what it says, how dark it is, and what it says when pointed at."""

    text: str
    shade: float
    hint: str = ""


def mdp_page(mdp: TabularMDP, title: str = "TabularMDP", also: str = "") -> str:
    """Sizes, and the dice of the first states."""
    start = mdp.initial.topk(min(3, mdp.num_states))
    likeliest = [
        f"{state_label(mdp, s)} {_share(p)}"
        for p, s in zip(start.values.tolist(), start.indices.tolist(), strict=True)
        if p > 0
    ]
    more = int((mdp.initial > 0).sum()) - len(likeliest)
    sizes = (
        f"{_count(mdp.num_states, 'state')}, {_count(mdp.num_actions, 'action')}, at most "
        f"{_count(mdp.num_outcomes, 'outcome')}, horizon T = {mdp.horizon}, discount γ = {mdp.discount:g}{also}"
    )
    begins = f"start: {', '.join(likeliest)}" + (f", … {more:,} more" if more else "")
    rows, left = _dice_rows(mdp)
    head = [["state", "action", "outcomes: probability, where to, reward"]]
    return _page(title, sizes, begins) + html_grid(head, rows, left=3) + _rest(left, "state")


def model_page(model: "MarkovModel") -> str:
    """The problem, the temperature and whether there is an action prior."""
    prior = model.action_prior
    kind = "uniform" if bool((prior == prior[0, 0]).all()) else "given"
    also = f"; temperature τ = {model.temperature:g} reward units per nat, action prior {kind}"
    return mdp_page(model.mdp, type(model).__name__, also)


def policy_page(policy: TabularPolicy) -> str:
    """Probabilities of the actions in the first states: at t = 0, if they depend on time."""
    timed = policy.horizon is not None
    table = policy.probability[0] if timed else policy.probability
    states, actions = (lambda s: f"state {s}"), (lambda a: f"action {a}")
    about = f"{_count(policy.num_states, 'state')}, {_count(policy.num_actions, 'action')}, "
    about += _count(policy.probability.shape[0], "step") if timed else "the same at every step"
    when = "at t = 0" if timed else ""
    return _page("TabularPolicy", about) + _policy_table(table, states, actions, when=when)


def posterior_page(posterior: "Posterior") -> str:
    """What it reaches, what it does first, and the dice it believes in."""
    model, mdp = posterior.model, posterior.model.mdp
    reached = f"value {amount(posterior.value)} reward units"
    if model.temperature > 0:
        name = "log p(O)" if posterior.is_free else "objective"
        reached = f"{name} = {amount(posterior.objective)} nats, {reached}"
    about = f"{posterior.optimism!r}, temperature τ = {model.temperature:g}, horizon T = {mdp.horizon}"
    grid = _grid(mdp)
    table = posterior.factors.log_policy[0]
    parts = [_page("Posterior", reached, about)]
    if grid is not None:
        parts.append(_arrows(mdp, table.exp(), grid))
    else:
        worth = {"V₀ [reward]": lambda s: amount(float(posterior.v[0, s]))}
        names = (lambda s: state_label(mdp, s)), (lambda a: action_label(mdp, a))
        parts.append(_policy_table(table.exp(), *names, worth, when="policy at t = 0"))
    if model.temperature > 0 and mdp.horizon * mdp.probability.numel() <= _CHEAP:
        parts.append(_dice_table(posterior))
    return "".join(parts)


def fit_page(fit: "Fit[Any]") -> str:
    """How it ended, and the curve of the ELBO."""
    last = fit.final_elbo if fit.final_elbo is not None else float(fit.elbo[-1]) if len(fit.elbo) else None
    kind = "exact" if fit.final_elbo is not None else "last estimate"
    reached = "no ELBO" if last is None else f"ELBO = {amount(last)} nats ({kind})"
    about = f"{_count(fit.steps, 'step')} in {fit.seconds:.1f} s: {fit.status.name}. {fit.status.message}"
    return _page(f"Fit of {type(fit.guide).__name__}", reached, about) + _curve(fit.elbo.tolist())


def explanation_page(explanation: "Explanation") -> str:
    """The headline, and the sentences below."""
    items = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in explanation.sentences)
    return f"<p><b>{html.escape(explanation.headline)}.</b></p><ul style='{_BULLETS}'>{items}</ul>"


def comparison_page(comparison: "Comparison") -> str:
    """The scorecard, why the two differ, and how the fits ended."""
    fits = [
        f"{name}, fitted: {_count(fit.steps, 'step')} in {fit.seconds:.1f} s, "
        f"{amount(comparison.short_of_optimum(name))} nats below its optimum. {fit.status.message}"
        for name, fit in comparison.fits.items()
    ]
    model = comparison.model
    about = f"{_count(model.mdp.num_states, 'state')}, horizon T = {model.mdp.horizon}, τ = {model.temperature:g}"
    card = comparison.scorecard._repr_html_()  # pyright: ignore[reportPrivateUsage]
    ended = "".join(f"<li>{html.escape(each)}</li>" for each in fits)
    return (
        _page(comparison.name, about)
        + card
        + explanation_page(comparison.explanation)
        + f"<ul style='{_BULLETS}'>{ended}</ul>"
    )


def _page(title: str, *lines: str) -> str:
    """A heading and what stands below it."""
    rows = "".join(f"<br>{html.escape(line)}" for line in lines)
    return f"<p><b>{html.escape(title)}</b>{rows}</p>"


def _rest(left: int, what: str) -> str:
    return f"<p>… {left:,} more {what}{'' if left == 1 else 's'}</p>" if left else ""


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _dice_rows(mdp: TabularMDP) -> tuple[list[list[str]], int]:
    """A line a state and action, of the first states; and how many states are left out."""
    states = max(1, min(mdp.num_states, _ROWS // min(mdp.num_actions, _ROWS)))
    actions, rows = min(mdp.num_actions, _ROWS), []
    for s in range(states):
        for a in range(actions):
            faces = (mdp.probability[s, a] > 0).nonzero()[:, 0].tolist()
            said = [
                f"{_share(float(mdp.probability[s, a, k]))} → {state_label(mdp, int(mdp.successor[s, a, k]))} "
                f"({reward_phrase(float(mdp.reward[s, a, k]))})"
                for k in faces[:_FACES]
            ]
            said += [f"… {len(faces) - _FACES} more"] if len(faces) > _FACES else []
            rows.append([state_label(mdp, s) if a == 0 else "", action_label(mdp, a), "; ".join(said)])
        if mdp.num_actions > actions:
            rows.append(["", f"… {mdp.num_actions - actions:,} more", ""])
    return rows, mdp.num_states - states


def _policy_table(
    table: Float[Tensor, "state action"],
    state: Callable[[int], str],
    action: Callable[[int], str],
    also: dict[str, Callable[[int], str]] | None = None,
    when: str = "",
) -> str:
    """A heat map of probabilities: the first states by the first actions, darker where likelier."""
    count, actions = table.shape
    also, shown, columns = also or {}, min(count, _ROWS), min(actions, _COLUMNS)
    titles = [when, *map(action, range(columns)), *(["…"] if actions > columns else []), *also]
    lines: list[list[str | _Cell]] = []
    for s in range(shown):
        cells: list[str | _Cell] = [_Cell(_share(p), p) for p in table[s, :columns].tolist()]
        cells += [f"{actions - columns:,} more"] if actions > columns else []
        lines.append([state(s), *cells, *(_Cell(write(s), 0.0) for write in also.values())])
    return _heat_map(titles, lines) + _rest(count - shown, "state")


def _arrows(mdp: TabularMDP, policy: Float[Tensor, "state action"], grid: Grid) -> str:
    """The likeliest actions, drawn on the grid, darker where likelier; · where all are alike."""
    names = [action_label(mdp, a) for a in range(mdp.num_actions)]
    lines: list[list[str | _Cell]] = []
    for i in range(grid.rows):
        line: list[str | _Cell] = []
        for j in range(grid.columns):
            s = grid.state_at.get((i, j))
            line.append("" if s is None else _arrow(policy[s].tolist(), names, state_label(mdp, s)))
        lines.append(line)
    note = "<p>At t = 0: the likeliest action in each cell, darker where it is likelier; point at a cell for all.</p>"
    return _heat_map([], lines) + note


def _arrow(row: Sequence[float], names: Sequence[str], state: str) -> _Cell:
    best, worst = max(row), min(row)
    hint = f"{state}: " + ", ".join(f"{name} {_share(p)}" for name, p in zip(names, row, strict=True))
    if best - worst < 1e-6:
        return _Cell("·", 0.0, hint)
    return _Cell("".join(_ARROWS[n] for n, p in zip(names, row, strict=True) if p >= best - 1e-6), best, hint)


def _grid(mdp: TabularMDP) -> Grid | None:
    """The grid of the states, if it is small enough and the actions are directions on it."""
    if mdp.layout is None or any(name not in _ARROWS for name in mdp.action_names or ("?",)):
        return None
    grid = grid_of(mdp.layout)
    return grid if grid.rows * grid.columns <= _CELLS else None


def _dice_table(posterior: "Posterior") -> str:
    """The dice that are believed in, the most tilted first, beside the truth."""
    mdp, rows = posterior.model.mdp, []
    for die in tilted_dice(posterior.model, posterior):
        face = die.raised
        target = f"{state_label(mdp, face.successor)} ({reward_phrase(face.reward)})"
        named = state_label(mdp, die.state), action_label(mdp, die.action), target
        rows.append([*named, _share(face.true), _share(face.believed), amount(die.tilt)])
    if not rows:
        return "<p>It believes the dice as they are.</p>"
    head = [["state", "action", "what it believes in", "truly", "believed", "KL"], ["", "", "", "", "", "[nats]"]]
    return html_grid(head, rows, left=3, caption="Dice it bends the most, pooled over the steps")


def _heat_map(titles: Sequence[str], lines: Iterable[Sequence[str | _Cell]]) -> str:
    head = "".join(f"<th style='{PADDED}'>{html.escape(title)}</th>" for title in titles)
    body = "".join("<tr>" + "".join(map(_td, line)) + "</tr>" for line in lines)
    return f"<table>{f'<thead><tr>{head}</tr></thead>' if titles else ''}<tbody>{body}</tbody></table>"


def _td(cell: str | _Cell) -> str:
    if isinstance(cell, str):
        return f"<td style='{PADDED}'>{html.escape(cell)}</td>"
    hint = f" title='{html.escape(cell.hint)}'" if cell.hint else ""
    shade = _SHADE.format(0.55 * cell.shade)
    return f"<td{hint} style='{_CENTRED};background:{shade}'>{html.escape(cell.text)}</td>"


def _curve(values: Sequence[float]) -> str:
    """A line through at most 200 of the values, in the colour of the text; nothing for fewer than two."""
    kept = [v for v in values if math.isfinite(v)]
    if len(kept) < 2:
        return ""
    picked = [kept[round(i * (len(kept) - 1) / (_POINTS - 1))] for i in range(_POINTS)] if len(kept) > _POINTS else kept
    low, high = min(picked), max(picked)
    points = " ".join(
        f"{_WIDTH * i / (len(picked) - 1):.1f},{_HEIGHT - 2 - (_HEIGHT - 4) * (v - low) / (high - low or 1.0):.1f}"
        for i, v in enumerate(picked)
    )
    return (
        f"<svg role='img' aria-label='ELBO of each step' width='{_WIDTH}' height='{_HEIGHT}' "
        f"viewBox='0 0 {_WIDTH} {_HEIGHT}'><polyline points='{points}' fill='none' stroke='currentColor'></polyline>"
        "</svg>"
        f"<p><small>ELBO by step, from {amount(low)} to {amount(high)} nats</small></p>"
    )


def _share(probability: float) -> str:
    """A probability in few characters that never rounds to certainty."""
    if probability in (0.0, 1.0):
        return f"{probability:g}"
    if probability < 0.0005:
        return "< 0.001"
    return "> 0.999" if probability > 0.9995 else f"{probability:.3f}"

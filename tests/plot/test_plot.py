"""Every plot shows the exact numbers, draws into the given Axes only, and has no overlapping text."""

import itertools
import math
import sys
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from picture_texts import check_words, texts
from problems import gamble, random_mdp
from strategies import laws

from pgm_control import (
    ClampedGuide,
    Ensemble,
    FreeGuide,
    InvalidArgument,
    MissingExtra,
    Optimism,
    TabularMDP,
    TabularModel,
    TabularPolicy,
    compare,
    critical_optimism,
    evaluate,
    fit,
    frontier,
    infer,
    ledger,
    plot,
    return_distribution,
    scorecard,
)
from pgm_control.learners import EvaluationPoint, Learning, LearningStatus
from pgm_control.models import (
    frozen_lake,
    frozen_lake_twin,
    lottery,
    restaurant,
    risky_path,
    slippery_cliff,
    slippery_cliff_twin,
    windy_bridge,
    windy_bridge_twin,
)
from pgm_control.plot.canvas import CLAMPED, FREE, TRUE, looks_of, style_of
from pgm_control.plot.labels import spread
from pgm_control.plot.terrain import directions
from pgm_control.text.wording import state_label
from pgm_control.trajectories.beliefs import believed_event, tilted_events
from pgm_control.trajectories.tabulate import tabulate

pytestmark = pytest.mark.slow  # run against the sources only


def many(states=12, actions=4):
    """Many outcomes and many actions, with names that are long, contain markup, or cannot be broken."""
    names = [f"the {i}-th waiting room of the $second$ _floor_ & its corridor" for i in range(states - 1)]
    mdp = random_mdp(1, states=states, actions=actions, outcomes=states, horizon=4)
    return mdp.replace(
        reward=mdp.reward.round(),
        state_names=(*names, "Donaudampfschifffahrtsgesellschaftskapitänskajüte"),
        action_names=tuple(f"walk slowly towards exit number {a}, then wait" for a in range(actions)),
    )


def forbidden():
    """Some outcomes are forbidden: values, returns and the ledger contain infinities."""
    return TabularMDP(
        [1.0, 0.0],
        [[[0.5, 0.5], [0.5, 0.5]], [[1.0, 0.0]] * 2],
        [[[0, 1], [0, 1]], [[1, 1]] * 2],
        [[[3.0, -math.inf], [1.0, -math.inf]], [[0.0, 0.0]] * 2],
        2,
    )


def worst_case():
    """A problem with long labels: rewards of many digits and both signs."""
    mdp = gamble(3)
    return mdp.replace(reward=mdp.reward * 123456.789 - 7.0)


PROBLEMS = {
    "restaurant": (restaurant, 1.0),
    "lottery": (lottery, 1.0),
    "risky_path": (risky_path, 1.0),
    "windy_bridge": (windy_bridge, 1.0),
    "windy_bridge_twin": (windy_bridge_twin, 1.0),
    "slippery_cliff": (lambda: slippery_cliff(20), 1.0),
    "frozen_lake": (lambda: frozen_lake(horizon=20), 0.05),
    "frozen_lake_8x8": (lambda: frozen_lake("8x8", 30), 0.05),
    "discounted": (lambda: random_mdp(2, states=4, horizon=6, discount=0.8), 1.0),
    "many": (many, 1.0),
    "worst_case": (worst_case, 1e5),
    "forbidden": (forbidden, 1.0),
}


def learning(level, evaluated=True):
    """An artificial training run."""
    steps = range(0, 5001, 500)
    points = [EvaluationPoint(n, 1.0, level - 30 * math.exp(-n / 2000), 1.5, 20.0) for n in steps] if evaluated else []
    log = tuple({"step": float(n), "return": level - n / 100, "loss": 1.0} for n in steps)
    return Learning(LearningStatus.complete, 5000, 9.0, log, tuple(points))


def _curves(model, **to):
    """Values at β = 0, 0.5 and 1 over two decades of temperature, with a constant level."""
    x, rows = np.geomspace(0.1, 10, 7), {"clamped guide": [], "half way between the two": [], "free guide": []}
    for scale in x:
        other = TabularModel(model.mdp, scale * model.temperature)
        for row, beta in zip(rows.values(), (0.0, 0.5, 1.0), strict=True):
            row.append(infer(other, beta).value)
    return plot.curves(
        x, rows, across="temperature (of the model's own)", up="soft value (reward units)", title="Values",
        levels={"nothing": 0.0}, logarithmic="x", **to,
    )  # fmt: skip


def pictures(name):
    """Return every plot function, to be called with `style` and `ax` or `axes`, and its number of Axes."""
    build, tau = PROBLEMS[name]
    model = TabularModel(build(), tau)
    mdp, free, clamped = model.mdp, infer(model, 1.0), infer(model, 0.0)
    account = ledger(model, clamped)
    rows = {"free guide": evaluate(model, free), "clamped guide": evaluate(model, clamped)}
    rows["something with quite a long name"] = evaluate(model, infer(model, 0.5))
    dial = frontier(model, [-0.5, 0.0, 0.3, 1.0], cvar_level=None if name == "windy_bridge" else 0.1)
    wide = frontier(model, [-20.0, -1.0, 0.0, 0.1, 1.0, 30.0], cvar_level=None)
    fits = {"free": fit(model, FreeGuide(model), num_steps=4), "clamped": fit(model, ClampedGuide(model), num_steps=4)}
    returns = {each: return_distribution(model, guide) for each, guide in (("free", free), ("clamped", clamped))}
    returns["half way between the two"] = return_distribution(model, infer(model, 0.5))
    learnings = {"soft actor-critic": learning(-9.0), "soft Q-learning": learning(-8.9), "free": learning(-9.1, False)}
    values = torch.nan_to_num(clamped.v[0], neginf=0.0)  # instead of rewards of states
    learned = {"clamped": values + 3.0, "free": 0.8 * values, "another one with a long name": -values}
    names = [state_label(mdp, s) for s in range(mdp.num_states)]
    true = {"temperature": values.numpy(), "a weight with quite a long name": np.arange(3.0)}
    recovered = {name: row[:, None] * 0.9 + [0.1, -0.2, 0.3] for name, row in true.items()}
    found = {
        "recovered_reward": (1, lambda **to: plot.recovered_reward(values, learned, names=names, **to)),
        "recovered_parameters": (2, lambda **to: plot.recovered_parameters(true, recovered, **to)),
        "confusion": (1, lambda **to: plot.confusion(np.eye(4) + 2.0, ["dial", "clamped", "free", "other"], **to)),
        "outcomes": (1, lambda **to: plot.outcomes(model, **to)),
        "value_heatmap": (1, lambda **to: plot.value_heatmap(free, **to)),
        "q_heatmap": (mdp.num_actions, lambda **to: plot.q_heatmap(free, **to)),
        "policy_heatmap": (mdp.num_actions, lambda **to: plot.policy_heatmap(clamped, **to)),
        "occupancy_heatmap": (1, lambda **to: plot.occupancy_heatmap(free, **to)),
        "ledger_over_time": (1, lambda **to: plot.ledger_over_time(account, **to)),
        "ledger_bars": (1, lambda **to: plot.ledger_bars(account, **to)),
        "imagined_and_true": (1, lambda **to: plot.imagined_and_true(rows, **to)),
        "return_distributions": (1, lambda **to: plot.return_distributions(returns, **to)),
        "dial_sweep": (2, lambda **to: plot.dial_sweep(dial, critical=[0.2, 0.7], **to)),
        "dial_sweep, wide": (2, lambda **to: plot.dial_sweep(wide, **to)),
        "temperature_sweep": (2, lambda **to: plot.temperature_sweep(model, tau * np.geomspace(0.1, 10, 4), **to)),
        "elbo_curves": (2, lambda **to: plot.elbo_curves(model, fits, **to)),
        "curves": (1, lambda **to: _curves(model, **to)),
        "learning_curves": (1, lambda **to: plot.learning_curves(learnings, exact=-8.8, **to)),
    }
    if free.is_free:
        found["message_heatmap"] = (3, lambda **to: plot.message_heatmap(free, **to))
    if plot.has_layout(mdp):
        found["recovered_reward_maps"] = (4, lambda **to: plot.recovered_reward_maps(mdp, values, learned, **to))
        found["policy_map"] = (1, lambda **to: plot.policy_map(model, clamped, **to))
        found["policy_maps"] = (2, lambda **to: plot.policy_maps(model, **to))
        found["ledger_map"] = (1, lambda **to: plot.ledger_map(account, **to))
        found["state_map"] = (1, lambda **to: plot.state_map(mdp, free.v[0], "soft value (nats)", title="values", **to))
    return found


def drawn(name, picture, **to):
    """Return the Axes of a plot, as a list."""
    return list(np.ravel(np.asarray(pictures(name)[picture][1](**to), dtype=object)))


@pytest.mark.parametrize(("problem", "style"), [*zip(PROBLEMS, itertools.cycle(("slide", "paper")), strict=False)])
def test_no_text_overlaps_and_none_leaves_the_page(problem, style):
    every = {"many": 1, "frozen_lake_8x8": 2}.get(problem, 3)  # for most problems every third plot, in turn
    for what, (count, draw) in list(pictures(problem).items())[list(PROBLEMS).index(problem) // 2 % every :: every]:
        panels = list(np.ravel(np.asarray(draw(style=style), dtype=object)))
        assert len(panels) == count
        check_words(panels[0].figure, f"{what} of {problem}, {style}")
        for panel in panels:
            assert panel.get_xlabel(), f"{what} does not name its horizontal axis"
            assert panel.get_title(loc="left"), f"{what} has no title"


def test_plots_draw_into_the_given_axes_only():
    import matplotlib
    from matplotlib._pylab_helpers import Gcf
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    before = dict(matplotlib.rcParams)
    for what, (count, draw) in pictures("frozen_lake").items():
        figure = Figure(figsize=(5.5 * (count + 1), 5.5), layout="constrained")
        FigureCanvasAgg(figure)
        *given_ones, other = figure.subplots(1, count + 1, squeeze=False).ravel()
        returned = draw(ax=given_ones[0]) if _takes_one(what) else draw(axes=given_ones)
        assert list(np.ravel(np.asarray(returned, dtype=object))) == given_ones, what
        assert figure.axes == [*given_ones, other], f"{what} added Axes of its own"
        assert not other.has_data(), f"{what} drew elsewhere"
        if count > 1:
            check_words(figure, what)
    assert dict(matplotlib.rcParams) == before
    assert not Gcf.get_all_fig_managers(), "a figure is registered with pyplot"


def _takes_one(what):
    several = (
        "recovered_parameters",
        "recovered_reward_maps",
        "q_heatmap",
        "policy_heatmap",
        "dial_sweep",
        "temperature_sweep",
        "elbo_curves",
        "message_heatmap",
        "policy_maps",
    )
    return not what.startswith(several) or what == "policy_map"


@pytest.fixture(scope="module")
def lake():
    return TabularModel(frozen_lake(horizon=20), 0.05)


@pytest.fixture(scope="module")
def cliff():
    return TabularModel(slippery_cliff(20))


# Learned rewards ----------------------------------------------------------------------------------------------------


def test_a_learned_reward_is_shifted_to_the_weighted_true_mean():
    axes = plot.recovered_reward(
        [1.0, 2.0, 6.0], {"clamped": [11.0, 12.0, 0.0]}, names=list("abc"), weights=[1.0, 1.0, 0.0]
    )
    rows = {line.get_label(): np.asarray(line.get_xdata(), dtype=float) for line in axes.lines}
    np.testing.assert_allclose(rows["true"], [1.0, 2.0, 6.0])
    np.testing.assert_allclose(rows["clamped"], [1.0, 2.0, -10.0])
    kept = plot.recovered_reward([1.0, 2.0], {"x": [5.0, 5.0]}, names=list("ab"), up_to_a_constant=False)
    assert list(kept.lines[0].get_xdata()) == [5.0, 5.0]


def test_rewards_that_are_not_learned_are_hollow_and_the_others_have_bars():
    axes = plot.recovered_reward(
        [1.0, 2.0, 3.0], {"x": [1.5, 2.0, 9.0]}, names=list("abc"), deviations={"x": [0.5, math.nan, math.inf]},
        up_to_a_constant=False,
    )  # fmt: skip
    lines: dict[Any, Any] = {line.get_label(): line for line in axes.lines}
    assert lines["x"].get_xdata().tolist() == [1.5, 2.0]
    assert (lines["not learned"].get_xdata().tolist(), lines["not learned"].get_ydata().tolist()) == ([9.0], [2])
    assert lines["not learned"].get_markerfacecolor() == "white"
    bars: Any = axes.containers[0]
    assert [segment.tolist() for segment in bars.lines[2][0].get_segments()] == [[[1.0, 0.0], [2.0, 0.0]]]
    with pytest.raises(InvalidArgument, match=r"`deviations\['y'\]` must belong to a row"):
        plot.recovered_reward([1.0], {"x": [1.0]}, names=["a"], deviations={"y": [1.0]})


def test_maps_of_learned_rewards_share_one_colour_scale(lake):
    true = torch.arange(17.0)
    axes = plot.recovered_reward_maps(lake.mdp, true, {"learned": 2 * true})
    limits = {each.images[0].get_clim() for each in axes}
    assert len(limits) == 1
    shown = axes[1].images[0].get_array()
    assert float(shown[0, 3] - shown[0, 0]) == pytest.approx(6.0)


def test_a_state_that_is_never_visited_is_marked(lake):
    true, learned = torch.arange(17.0), torch.arange(17.0)
    learned[-1] = torch.nan
    weights = torch.isfinite(learned).double()
    axes = plot.recovered_reward_maps(lake.mdp, true, {"learned": learned}, weights=weights)
    of_end = [next(text.get_text() for text in each.texts if "ended" in text.get_text()) for each in axes]
    assert of_end == ["ended: 16", "ended: never visited"]


def test_states_whose_reward_is_not_learned_are_marked_on_the_map(lake):
    true, learned, deviations = torch.arange(17.0), torch.arange(17.0), torch.zeros(17)
    learned[1], deviations[[2, 16]] = torch.nan, torch.inf
    learned[2] = 1e6
    weights = torch.isfinite(learned).double()
    _, found = plot.recovered_reward_maps(
        lake.mdp, true, {"learned": learned}, weights=weights, deviations={"learned": deviations},
        up_to_a_constant=False,
    )  # fmt: skip
    marks = {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in found.get_lines()}
    assert marks == {"not learned": ([2], [0]), "never visited": ([1], [0])}
    assert [text.get_text() for text in found.get_legend().get_texts()] == ["not learned", "never visited"]
    shown = found.images[0]
    assert shown.get_clim() == (0.0, 14.0), "a reward that is not learned does not count for the colours"
    assert shown.get_array().mask[0].tolist() == [False, True, True, False]
    assert "ended: not learned" in [text.get_text() for text in found.texts]


# Maps ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", ["4x4", "8x8"])
@pytest.mark.parametrize("build", [frozen_lake, frozen_lake_twin])
def test_holes_and_goals_of_lakes_are_inferred_from_the_tables(size, build):
    found = plot.layout_of(build(size, horizon=3))
    rows = [row.tobytes().decode() for row in gymnasium.make("FrozenLake-v1", map_name=size).unwrapped.desc]  # pyright: ignore[reportAttributeAccessIssue]
    letters = {"H": "hazard", "G": "goal"}
    expected = {(i, j): letters[c] for i, row in enumerate(rows) for j, c in enumerate(row) if c in letters}
    assert dict(found.kinds) == expected
    assert found.starts == {(0, 0)}
    assert found.beside == (len(rows) ** 2,)


@pytest.mark.parametrize("build", [slippery_cliff, slippery_cliff_twin])
def test_the_cliff_is_a_hazard_and_the_cell_after_it_is_the_goal(build):
    found = plot.layout_of(build(5))
    assert dict(found.kinds) == {(3, 11): "goal", **{(3, j): "hazard" for j in range(1, 11)}}
    assert found.starts == {(3, 0)}
    assert (found.rows, found.columns) == (4, 12)


def test_directions_of_actions_follow_the_tables():
    for mdp, expected in (
        (frozen_lake(horizon=2), [(0, -1), (1, 0), (0, 1), (-1, 0)]),
        (slippery_cliff(2), [(-1, 0), (0, 1), (1, 0), (0, -1)]),
        (windy_bridge(), [(1, 0), (0, -1), (0, 1)]),
    ):
        assert directions(mdp, plot.layout_of(mdp).cells) == expected


def test_a_cell_that_is_never_entered_is_a_wall_and_an_action_can_stay():
    """A corridor of four cells: the third is never entered, and the last action waits."""
    to = [[0, 1, 0], [0, 1, 1], [2, 2, 2], [3, 3, 3]]
    mdp = TabularMDP.from_dense(
        [1.0, 0.0, 0.0, 0.0],
        np.eye(4)[np.array(to)],
        -np.ones((4, 3)),
        6,
        layout=[(0, i) for i in range(4)],
        action_names=("back", "on", "wait"),
    )
    found = plot.layout_of(mdp)
    assert found.kinds == {(0, 2): "wall"}
    assert directions(mdp, found.cells) == [(0, -1), (0, 1), (0, 0)]
    axes = plot.policy_map(TabularModel(mdp), infer(TabularModel(mdp), 0.0))
    rings = [each for each in axes.collections if type(each).__name__ == "PathCollection"]
    assert len(rings) == 1


def test_a_map_follows_the_layout_and_not_the_state_names():
    """If the layout is rotated by 90 degrees and states are renamed, the drawing rotates too."""
    mdp = frozen_lake(horizon=3)
    assert mdp.layout is not None
    cells = tuple(cell and (cell[1], 7 - cell[0]) for cell in mdp.layout)
    turned = plot.layout_of(mdp.replace(state_names=[f"({s}, {s})" for s in range(17)], layout=cells))
    assert (turned.rows, turned.columns, turned.cells) == (4, 8, cells)
    upright = plot.layout_of(mdp)
    walls = dict.fromkeys(np.ndindex(4, 4), "wall")
    assert turned.kinds == {**walls, **{(j, 7 - i): kind for (i, j), kind in upright.kinds.items()}}
    assert turned.starts == {(0, 7)}
    assert not plot.has_layout(mdp.replace(layout=None))


def test_text_gives_the_kinds_of_the_cells_of_a_layout():
    found = plot.layout_of(risky_path().replace(layout=[(0, 1), (0, 0), (1, 1), (1, 0)]), ["FS", "HG"])
    assert found.cells == ((0, 1), (0, 0), (1, 1), (1, 0))
    assert found.kinds == {(1, 0): "hazard", (1, 1): "goal"}
    assert found.starts == {(0, 1)}
    with pytest.raises(InvalidArgument, match=r"none for \(1, 1\)\. Pass the whole map"):
        plot.layout_of(risky_path().replace(layout=[(0, 1), (0, 0), (1, 1), (1, 0)]), ["FS"])


def test_worlds_of_an_ensemble_are_drawn_side_by_side():
    one, other = frozen_lake(horizon=2), frozen_lake_twin().replace(horizon=2)
    found, alone = plot.layout_of(Ensemble([one, other]).joint()), plot.layout_of(one)
    assert (found.rows, found.columns) == (4, 9)
    apart = {(i, 4): "wall" for i in range(4)}
    beside = {(i, j + 5): kind for (i, j), kind in alone.kinds.items()}
    assert found.kinds == {**alone.kinds, **apart, **beside}


def test_the_map_can_be_given_as_text():
    mdp = risky_path()
    found = plot.layout_of(mdp, ["SF", "#G", "F#"])
    assert found.cells == ((0, 0), (0, 1), (1, 1), (2, 0))
    assert found.kinds == {(1, 0): "wall", (1, 1): "goal", (2, 1): "wall"}
    assert found.starts == {(0, 0)}
    assert plot.layout_of(mdp, found) is found


@pytest.mark.parametrize(
    ("layout", "words"),
    [
        (None, r"pass rows of text.*mdp\.replace\(layout=…\)"),
        ([], "rows of text of equal length"),
        (["SF", "G"], "rows of text of equal length"),
        (["SFFF", "FFFG"], "Mark walls by '#'"),
    ],
)
def test_the_error_for_a_problem_without_a_grid_names_the_remedy(layout, words):
    with pytest.raises(InvalidArgument, match=words):
        plot.layout_of(risky_path(), layout)


def test_arrow_lengths_are_roots_of_probabilities_and_the_shade_is_the_value(lake):
    clamped = infer(lake, 0.0)
    axes, grid = plot.policy_map(lake, clamped, t=3), plot.layout_of(lake.mdp)
    image = axes.images[0].get_array()
    for s, cell in enumerate(grid.cells):
        if cell is not None and cell not in grid.kinds:
            assert float(image[cell]) == pytest.approx(float(clamped.v[3, s]))
    quivers: list[Any] = [each for each in axes.collections if type(each).__name__ == "Quiver"]
    assert len(quivers) == lake.mdp.num_actions
    arrows = 0
    for action, quiver in enumerate(quivers):
        for (x, y), u, v in zip(quiver.get_offsets(), quiver.U, quiver.V, strict=True):
            state = grid.cells.index((round(y), round(x)))
            assert math.hypot(u, v) / 0.46 == pytest.approx(math.sqrt(float(clamped.policy[3, state, action])))
            down, right = directions(lake.mdp, grid.cells)[action]
            assert (np.sign(u), np.sign(v)) == (right, down)
            arrows += 1
    ground = [s for s, cell in enumerate(grid.cells) if cell is not None and cell not in grid.kinds]
    assert arrows == int((clamped.policy[3, ground] >= 0.05).sum())


def test_free_and_clamped_share_one_scale(lake):
    left, right = plot.policy_maps(lake)
    assert left.images[0].norm.vmax == right.images[0].norm.vmax
    assert left.images[0].norm.vmin == right.images[0].norm.vmin
    assert left.get_title(loc="left").startswith("free")
    assert right.get_title(loc="left").startswith("clamped")


@pytest.mark.parametrize("shade", ["imagined visits", "true visits"])
def test_the_shade_is_the_imagined_or_the_true_visits(lake, shade):
    free, grid = infer(lake, 1.0), plot.layout_of(lake.mdp)
    image = plot.policy_map(lake, free, shade=shade).images[0].get_array()
    guide = free if shade == "imagined visits" else TabularPolicy.of(free)
    visits = tabulate(lake, guide).marginals().state[:-1].sum(0)
    for s, cell in enumerate(grid.cells):
        if cell is not None and cell not in grid.kinds:
            assert float(image[cell]) == pytest.approx(float(visits[s]), abs=1e-12)


def test_states_beside_the_map_are_named_with_their_numbers():
    model = TabularModel(windy_bridge())
    clamped = infer(model, 0.0)
    said = [text for text, _ in texts(plot.policy_map(model, clamped, shade="true visits").figure)]
    water = clamped.marginals().state[:-1, 16].sum()
    assert f"water: {float(water):.3g}" in said
    values = torch.linspace(0.0, 1.0, 17, dtype=torch.float64)
    values[16] = -5.97e-15
    said = [text for text, _ in texts(plot.state_map(model.mdp, values, "value").figure)]
    assert "water: 0" in said


# Beliefs and time ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("build", [restaurant, slippery_cliff, many])
def test_bars_are_true_and_believed_probabilities_with_the_most_tilted_event_first(build):
    model = TabularModel(build())
    events = tilted_events(model, infer(model, 1.0), 2)
    true, believed = plot.outcomes(model, max_rows=2).containers
    if build is not many:
        assert [bar.get_width() for bar in true] == [outcome.true for event in events for outcome in event.outcomes]
        assert [bar.get_width() for bar in believed] == [
            outcome.believed for event in events for outcome in event.outcomes
        ]
    else:
        assert sum(bar.get_width() for bar in true) == pytest.approx(len(events))
        assert sum(bar.get_width() for bar in believed) == pytest.approx(len(events))
    assert [event.tilt for event in events] == sorted((event.tilt for event in events), reverse=True)


def test_one_event_can_be_chosen():
    model = TabularModel(restaurant())
    axes = plot.outcomes(model, state=0, action=1)
    outcomes = believed_event(model, infer(model, 1.0), 0, 1).outcomes
    assert [bar.get_width() for bar in axes.containers[1]] == [outcome.believed for outcome in outcomes]


def test_a_guide_that_tilts_nothing_shows_its_first_event():
    model = TabularModel(restaurant())
    true, believed = plot.outcomes(model, infer(model, 0.0), name="clamped guide").containers
    assert [bar.get_width() for bar in true] == pytest.approx([bar.get_width() for bar in believed])


def test_heatmaps_hold_the_tables(lake):
    free, clamped = infer(lake, 1.0), infer(lake, 0.0)

    def held(axes):
        return torch.as_tensor(np.ma.filled(axes.images[0].get_array(), -np.inf)).T

    assert torch.equal(held(plot.value_heatmap(free)), free.v)
    assert torch.equal(held(plot.occupancy_heatmap(free)), free.marginals().state)
    for a, axes in enumerate(plot.q_heatmap(free)):
        assert torch.equal(held(axes), free.q[..., a])
    (axes,) = plot.policy_heatmap(clamped, actions=[2])
    assert torch.equal(held(axes), clamped.policy[..., 2])
    forward, backward, both = plot.message_heatmap(free)
    assert torch.equal(held(forward), free.forward)
    assert torch.allclose(held(backward), free.v / 0.05)
    assert torch.allclose(held(both), free.marginals().state.log() + free.log_evidence)
    assert axes.get_ylabel() == "state"
    assert axes.get_title(loc="left") == "right"


@pytest.mark.parametrize("horizon", [1, 2, 5, 40])
def test_ticks_of_time_are_whole_steps(horizon):
    lake = frozen_lake(horizon=horizon)
    for axes in plot.policy_heatmap(infer(TabularModel(lake, 0.1), 0.0), actions=[0]):
        axes.figure.draw_without_rendering()
        low, high = axes.get_xlim()
        shown = [tick.get_text() for tick in axes.get_xticklabels() if low <= tick.get_position()[0] <= high]
        assert shown[0] == "0"
        assert all(each.isdigit() and int(each) < horizon for each in shown)
        assert len(shown) >= min(2, horizon)


# The ledger ---------------------------------------------------------------------------------------------------------


def _stairs(axes):
    """Return the data of the patches of a plot over time: values, edges, baseline."""
    return [patch.get_data() for patch in axes.patches]


def _heights(axes):
    return [each.values - each.baseline for each in _stairs(axes)]


def test_stacked_blocks_sum_to_the_gap_of_each_step(cliff):
    account = ledger(cliff, infer(cliff, 0.0))
    axes = plot.ledger_over_time(account)
    heights = _heights(axes)
    assert heights[0][1:] == pytest.approx(account.policy_by_step.numpy(), abs=1e-12)
    assert heights[1][1:] == pytest.approx(account.dynamics_by_step.numpy(), abs=1e-12)
    assert sum(map(np.sum, heights)) == pytest.approx(account.gap)
    first, second = _stairs(axes)[:2]
    assert second.baseline == pytest.approx(first.values)


def test_the_start_and_survival_blocks_are_drawn():
    model = TabularModel(random_mdp(2, states=4, horizon=6, discount=0.8))
    account = ledger(model, infer(model, 0.0))
    axes = plot.ledger_over_time(account)
    heights = _heights(axes)
    assert [float(each.sum()) for each in heights] == pytest.approx(list(account.totals))
    assert axes.get_xlim()[0] == -1
    assert sum(bar.get_width() for bars in plot.ledger_bars(account).containers for bar in bars) == pytest.approx(
        account.gap
    )


def test_infinite_entries_are_labelled():
    model = TabularModel(forbidden())
    account = ledger(model, infer(model, 0.0))
    assert account.gap == math.inf
    said = [text for text, _ in texts(plot.ledger_over_time(account).figure)]
    assert "infinite at this step" in said
    assert any("infinity" in text for text in said)


@pytest.mark.parametrize("block", ["all", "policy", "dynamics"])
def test_the_map_and_the_bars_of_the_ledger_sum_to_the_gap(cliff, block):
    account = ledger(cliff, infer(cliff, 0.0))
    total = account.gap if block == "all" else getattr(account.totals, block)
    grid = plot.layout_of(cliff.mdp)
    image = plot.ledger_map(account, block=block).images[0].get_array()
    assert float(image.sum()) == pytest.approx(total)
    assert grid.beside == (48,)
    bars = plot.ledger_bars(account, max_states=5)
    assert sum(bar.get_width() for each in bars.containers for bar in each) == pytest.approx(account.gap)
    widths = np.sum([[bar.get_width() for bar in each] for each in bars.containers], axis=0)
    assert list(widths[:-1]) == sorted(widths[:-1], reverse=True)
    assert bars.get_yticklabels()[-1].get_text().endswith("others")


# Returns and sweeps -------------------------------------------------------------------------------------------------


def test_lines_of_delusion_go_from_true_to_imagined():
    model = TabularModel(restaurant())
    guides = {"free": infer(model, 1.0), "clamped": infer(model, 0.0)}
    for rows in (scorecard(model, guides), {name: evaluate(model, guide) for name, guide in guides.items()}):
        axes = plot.imagined_and_true(rows)
        lines = {line.get_label(): list(line.get_xdata()) for line in axes.get_lines()}
        for name, guide in guides.items():
            found = evaluate(model, guide)
            assert lines[f"delusion of {name}"] == [found.true_return, found.imagined_return]
    said = [text for text, _ in texts(axes.figure)]
    assert {"7.104", "3.996", "5.071"} <= set(said)


def test_all_guides_of_a_comparison_are_drawn():
    found = compare(TabularModel(restaurant()), num_steps=3, seed=0)
    labels = [label.get_text() for label in plot.imagined_and_true(found).get_yticklabels()]
    assert labels == list(found.scorecard.scores)
    curves, _ = plot.elbo_curves(found.model, found)
    assert {"free", "clamped"} <= {line.get_label() for line in curves.get_lines()}


def test_the_dial_sweep_shows_the_frontier_by_increasing_beta():
    model = TabularModel(restaurant())
    found = frontier(model, [1.0, 0.0, 0.3, -1.0])
    flip = critical_optimism(model, "hungry")
    returns, objective = plot.dial_sweep(found, critical=flip)
    lines = {line.get_label(): line for line in (*returns.get_lines(), *objective.get_lines())}
    points = sorted(found.points, key=lambda point: float(point.optimism))  # pyright: ignore[reportArgumentType]
    assert list(lines["true mean"].get_xdata()) == [-1.0, 0.0, 0.3, 1.0]
    assert list(lines["true mean"].get_ydata()) == [point.true_return for point in points]
    assert list(lines["imagined"].get_ydata()) == [point.imagined_return for point in points]
    assert list(lines["objective"].get_ydata()) == [point.objective for point in points]
    marked = next(line for label, line in lines.items() if label.startswith("preference flips"))
    assert list(marked.get_xdata()) == [float(flip)] * 2
    assert "0.3456" in marked.get_label()
    (band,) = returns.collections
    path = band.get_paths()[0].vertices
    for point in points:
        assert any(np.allclose(vertex, (point.optimism, point.cvar)) for vertex in path)
        assert any(np.allclose(vertex, (point.optimism, point.true_return)) for vertex in path)


def test_the_band_can_be_a_deviation_or_none():
    found = frontier(TabularModel(restaurant()), [0.0, 1.0], cvar_level=None)
    path = plot.dial_sweep(found)[0].collections[0].get_paths()[0].vertices
    assert any(np.allclose(each, (0.0, found.points[0].true_return - found.points[0].deviation)) for each in path)
    assert not plot.dial_sweep(found, band="none")[0].collections


def test_the_temperature_sweep_equals_inference_and_evaluation():
    model = TabularModel(restaurant())
    returns, entropy = plot.temperature_sweep(model, [2.0, 0.5, 1.0])
    for name, optimism in (("free", 1.0), ("clamped", 0.0)):
        for axes, key in ((returns, "true_return"), (entropy, "policy_entropy")):
            line = next(line for line in axes.get_lines() if line.get_label() == name)
            assert list(line.get_xdata()) == [0.5, 1.0, 2.0]
            for tau, drawn_one in zip(line.get_xdata(), line.get_ydata(), strict=True):
                other = TabularModel(model.mdp, float(tau))
                assert drawn_one == pytest.approx(getattr(evaluate(other, infer(other, optimism)), key))


def test_curves_of_fits_end_at_the_exact_optima():
    model = TabularModel(restaurant())
    fits = {
        "free": fit(model, FreeGuide(model), num_steps=30),
        "clamped": fit(model, ClampedGuide(model), num_steps=20),
    }
    curves, gaps = plot.elbo_curves(model, fits)
    best = {"free": infer(model, 1.0).objective, "clamped": infer(model, 0.0).objective}
    lines, below = ({line.get_label(): line for line in axes.get_lines()} for axes in (curves, gaps))
    for name, each in fits.items():
        assert list(lines[name].get_ydata()) == each.elbo_history.tolist()
        assert list(lines[name].get_xdata()) == list(range(1, each.num_steps + 1))
        assert list(lines[f"optimum of {name}"].get_ydata()) == pytest.approx([best[name]] * 2)
        gap = np.asarray(below[name].get_ydata())
        known = ~np.isnan(gap)
        assert gap[known] == pytest.approx(best[name] - each.elbo_history.numpy()[known], abs=1e-9)
    assert any("log p(O) = 6.515" in text for text, _ in texts(curves.figure))


def test_the_curve_of_a_distribution_rises_by_its_probabilities():
    model = TabularModel(restaurant())
    found = return_distribution(model, infer(model, 0.0))
    axes = plot.return_distributions({"clamped": found})
    line = next(line for line in axes.get_lines() if line.get_label() == "clamped")
    assert line.get_drawstyle() == "steps-post"
    assert list(line.get_xdata())[1:-1] == found.values.tolist()
    assert list(np.diff(line.get_ydata()))[:-1] == pytest.approx(found.probability.tolist())
    mark = next(line for line in axes.get_lines() if line.get_label() != "clamped")
    assert list(mark.get_xdata()) == [found.mean]


def test_a_return_of_minus_infinity_is_drawn_at_the_left_edge():
    found = return_distribution(TabularModel(forbidden()), infer(TabularModel(forbidden()), 0.5))
    assert found.values[0] == -math.inf
    axes = plot.return_distributions(found)
    heights = np.asarray(axes.get_lines()[0].get_ydata())
    assert heights[:-1] == pytest.approx(found.probability.cumsum(0).numpy())


def test_learning_curves_show_evaluations_or_else_training_returns():
    both = {"SAC": learning(-9.0), "other": learning(-8.0, evaluated=False)}
    axes = plot.learning_curves(both, exact=-8.8)
    lines = {line.get_label(): line for line in axes.get_lines()}
    assert list(lines["SAC"].get_ydata()) == [each.mean for each in both["SAC"].evaluations]
    assert list(lines["other"].get_ydata()) == [row["return"] for row in both["other"].log]
    assert list(lines["exact"].get_ydata()) == [-8.8] * 2


# Looks --------------------------------------------------------------------------------------------------------------


def test_looks_differ_without_colour():
    looks = looks_of(["free guide", "clamped guide", "a", "b", "c", "d", "e"])
    assert len({look.hatch for look in looks}) == len({look.marker for look in looks}) == len(looks)
    assert len({str(look.line) for look in looks}) == len(looks)
    assert len({look.hatch for look in (TRUE, FREE, CLAMPED)}) == 3
    assert looks[:2] == [FREE, CLAMPED]


def test_colour_maps_have_monotone_grey_levels():
    from pgm_control.plot.labels import full, pale

    weights = np.array([0.2126, 0.7152, 0.0722])
    for colours, sign in ((full(), 1), (pale(), -1)):
        greys = colours(np.linspace(0, 1, 50))[:, :3] @ weights
        assert (sign * np.diff(greys) > 0).all()


def test_slides_have_larger_type_and_thicker_lines():
    paper, slide = style_of("paper"), style_of("slide")
    assert all(large > small for large, small in zip(slide[:6], paper[:6], strict=True))
    small, large = (plot.return_distributions(_distribution(), style=style) for style in ("paper", "slide"))
    assert float(large.xaxis.label.get_fontsize()) > 1.5 * float(small.xaxis.label.get_fontsize())
    assert float(large.get_lines()[0].get_linewidth()) > 1.5 * float(small.get_lines()[0].get_linewidth())


def test_names_are_not_rendered_as_mathematics():
    mdp = restaurant().replace(state_names=("$a_1$", "$b$", "$c$", "$d"))
    axes = plot.value_heatmap(infer(TabularModel(mdp), 1.0))
    label = next(text for text, _ in texts(axes.figure) if "a_1" in text)
    assert label == "$a_1$"
    assert not any(text.get_parse_math() for text in axes.get_yticklabels())


@laws
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.floats(0.01, 0.3))
def test_labels_are_moved_apart_in_order_by_the_least_amount(positions, apart):
    found = spread(positions, apart)
    order = sorted(range(len(positions)), key=lambda i: positions[i])
    rising = [found[i] for i in order]
    assert all(b - a >= apart - 1e-9 for a, b in itertools.pairwise(rising))
    assert sum(found) == pytest.approx(sum(positions), abs=1e-9)
    given_order = [positions[i] for i in order]
    if all(b - a >= apart for a, b in itertools.pairwise(given_order)):
        assert found == pytest.approx(positions)


# Errors -------------------------------------------------------------------------------------------------------------


def _distribution():
    return return_distribution(TabularModel(restaurant()), infer(TabularModel(restaurant()), 0.0))


def test_without_matplotlib_every_picture_names_the_extra(monkeypatch):
    ready = pictures("windy_bridge_twin")
    for module in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for _, draw in ready.values():
        with pytest.raises(MissingExtra, match=r"pip install matplotlib"):
            draw()


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda m: plot.outcomes(m, style="poster"), "`style` must be one of paper, slide"),
        (lambda m: plot.outcomes(m, ax=3), "`ax` must be matplotlib Axes"),
        (lambda m: plot.outcomes(m, max_rows=0), "`max_rows` must be a whole number"),
        (lambda m: plot.outcomes(m, state=0), "`state` and `action` must be given together"),
        (lambda m: plot.outcomes(m, state=99, action=0), "`state` must be a state, 0 to 16"),
        (lambda m: plot.q_heatmap(infer(m, 1.0), axes=[1]), "`axes` must hold 4 Axes"),
        (lambda m: plot.q_heatmap(infer(m, 1.0), actions=[7]), "`actions` must be indices of actions, 0 to 3"),
        (lambda m: plot.message_heatmap(infer(m, 0.0)), "every block is free"),
        (lambda m: plot.policy_map(m, infer(m, 1.0), t=20), "`t` must be a step, 0 to 19"),
        (lambda m: plot.policy_map(m, infer(m, 1.0), shade="reward"), "`shade` must be one of"),
        (lambda m: plot.policy_map(m, FreeGuide(m), shade="value"), "shade='imagined visits'"),
        (lambda m: plot.policy_maps(m, {}), "`guides` must map names to guides, at least one"),
        (lambda m: plot.state_map(m.mdp, torch.zeros(3), "x"), "one number for each of the 17 states"),
        (lambda m: plot.ledger_map(ledger(m, infer(m, 1.0)), block="reward"), "`block` must be one of all"),
        (lambda m: plot.ledger_bars(ledger(m, infer(m, 1.0)), max_states=0), "`max_states` must be a whole number"),
        (lambda m: plot.imagined_and_true({}), "not empty"),
        (
            lambda m: plot.recovered_reward([1.0], {}, names=["a"]),
            "`recovered` must map names to rewards, at least one",
        ),
        (lambda m: plot.recovered_reward([1.0], {"x": [1.0, 2.0]}, names=["a"]), "`recovered\\['x'\\]` must be a row"),
        (lambda m: plot.recovered_reward([1.0], {"x": [1.0]}, names=["a", "b"]), "`names` must name 1 rewards"),
        (lambda m: plot.recovered_reward([1.0], {"x": [1.0]}, names=["a"], weights=[0.0]), "not all 0"),
        (lambda m: plot.recovered_parameters({"x": [1.0]}, {"y": [[1.0, 0.0, 2.0]]}), "`true` must have the values of"),
        (lambda m: plot.recovered_parameters({"x": [1.0]}, {"x": [[1.0, 0.0]]}), "a row of mean, low and high"),
        (lambda m: plot.confusion([[1.0]], ["a", "b"]), "for each of the 2 `names`"),
        (lambda m: plot.confusion([[0.0]], ["a"]), "a data set in each row"),
        (lambda m: plot.recovered_reward_maps(m.mdp, [1.0], {"x": [1.0]}), "for each of the 17 states"),
        (lambda m: plot.temperature_sweep(m, [1.0, -1.0]), "at least two different positive numbers"),
        (lambda m: plot.elbo_curves(m, {}), "`fits` must be a Fit"),
        (lambda m: plot.return_distributions({}), "`distributions` must be a ReturnDistribution"),
        (lambda m: plot.learning_curves({}), "`learnings` must be a Learning"),
        (lambda m: plot.learning_curves(Learning(LearningStatus.complete, 0, 0.0, (), ())), "Learn for longer"),
        (lambda m: plot.learning_curves(learning(0.0), exact=math.nan), "`exact` must be a finite return"),
        (lambda m: plot.dial_sweep(frontier(m, [0.0], cvar_level=None), band="cvar"), "band='deviation'"),
        (lambda m: plot.dial_sweep(frontier(m, [Optimism(1.0, 0.0)], cvar_level=None)), "numbers β"),
        (lambda m: plot.return_distributions({str(i): _distribution() for i in range(9)}), "several pictures"),
    ],
)
def test_errors_name_the_argument_and_the_remedy(lake, draw, words):
    with pytest.raises(InvalidArgument, match=words.replace("(", r"\(")):
        draw(lake)


# Curves -------------------------------------------------------------------------------------------------------------


def test_curves_hold_the_numbers_and_gaps_and_keep_the_looks_of_guides():
    x, rows = [1.0, 2.0, 4.0], {"free guide": [1.0, -math.inf, 3.0], "other": torch.tensor([1.0, 2.0, 3.0])}
    axes = plot.curves(x, rows, across="x (steps)", up="y (nats)", levels={"best": 5.0}, title="a title")
    free, other, best = axes.get_lines()
    assert list(free.get_xdata()) == x
    assert np.array_equal(free.get_ydata(), [1.0, math.nan, 3.0], equal_nan=True)
    assert list(other.get_ydata()) == [1.0, 2.0, 3.0]
    assert (free.get_markevery(), other.get_markevery()) == ([0, 2], [0, 1, 2]), "an isolated number is a mark"
    assert set(best.get_ydata()) == {5.0}
    assert (free.get_color(), free.get_marker()) == (FREE.color, FREE.marker)
    assert [each.get_label() for each in axes.get_lines()] == ["free guide", "other", "best"]
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_title(loc="left")) == ("x (steps)", "y (nats)", "a title")


@pytest.mark.parametrize("logarithmic", ["", "x", "y", "xy"])
def test_curves_on_logarithmic_axes(logarithmic):
    axes = plot.curves(
        np.geomspace(1e-3, 1.0, 40), {"free": np.geomspace(1e-4, 1.0, 40)}, across="x", up="y", title="title",
        logarithmic=logarithmic, levels={"the most that there is": 1.0},
    )  # fmt: skip
    scales = {"x": axes.get_xscale(), "y": axes.get_yscale()}
    assert scales == {name: "log" if name in logarithmic else "linear" for name in "xy"}
    check_words(axes.figure, f"curves, logarithmic {logarithmic!r}")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"x": [2.0, 1.0]}, "`x`"),
        ({"x": [1.0]}, "`x`"),
        ({"x": [1.0, math.nan]}, "`x`"),
        ({"rows": {}}, "`rows`.* empty"),
        ({"rows": {"a": [1.0]}}, "`rows`.*'a' has shape"),
        ({"logarithmic": "z"}, "`logarithmic`"),
        ({"logarithmic": "x", "x": [0.0, 1.0]}, "`x` must be positive"),
        ({"logarithmic": "y"}, "`rows` and `levels` must be positive"),
    ],
)
def test_curves_refuse_wrong_arguments(wrong, words):
    given: Any = {"x": [1.0, 2.0], "rows": {"a": [0.0, 1.0]}, "across": "x", "up": "y"} | wrong
    with pytest.raises(InvalidArgument, match=words):
        plot.curves(**given)


def test_maps_that_are_compared_share_their_colours():
    mdp, values = frozen_lake(), torch.linspace(0.2, 0.7, 17)
    image = plot.state_map(mdp, values, "visits", limits=(0.0, 2.0)).images[0]
    assert image.get_clim() == (0.0, 2.0)
    for limits in ((1.0, 0.0), (0.0,), (0.0, math.nan)):
        with pytest.raises(InvalidArgument, match="`limits` must be"):
            plot.state_map(mdp, values, "visits", limits=limits)

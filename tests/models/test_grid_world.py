"""Maps in text: Gymnasium's own grids, mirrors, walls, wind, and invalid maps."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import laws

from pgm_control import InvalidArgument, Optimism, TabularModel, infer
from pgm_control.exchange import Cell, grid_world
from pgm_control.models import frozen_lake, windy_bridge

LAKES = {
    "4x4": "SFFF\nFHFH\nFFFH\nHFFG",
    "8x8": ["SFFFFFFF", "FFFFFFFF", "FFFHFFFF", "FFFFFHFF", "FFFHFFFF", "FHHFFFHF", "FHFFHFHF", "FFFHFFFG"],
}
CLIFF = {"C": Cell(reward=-99.0, back=True), "G": Cell(ends=True)}


@pytest.mark.parametrize("size", LAKES)
def test_the_frozen_lake_is_that_of_gymnasium(size):
    mine, theirs = grid_world(LAKES[size], slip=2 / 3, horizon=10), frozen_lake(size, horizon=10)
    for table in ("initial", "probability", "successor", "reward"):
        torch.testing.assert_close(getattr(mine, table), getattr(theirs, table), rtol=0, atol=1e-15)
    assert (mine.state_names, mine.action_names) == (theirs.state_names, theirs.action_names)
    assert mine.layout == theirs.layout


def test_the_slippery_cliff_is_that_of_gymnasium():
    """The cells of the cliff differ, but are never visited: it has the known answers at T = 50, τ = 1."""
    mdp = grid_world(["." * 12] * 3 + ["SCCCCCCCCCCG"], slip=2 / 3, step_reward=-1.0, legend=CLIFF, horizon=50)
    model = TabularModel(mdp, 1.0)
    assert infer(model, 0.0).objective == pytest.approx(-68.9039, abs=1e-4)
    assert infer(model, 1.0).log_evidence == pytest.approx(-29.8087, abs=1e-4)


def test_the_windy_bridge_is_that_of_the_zoo():
    """Steps ahead in the wind agree. For steps aside the rules differ: in the zoo a gust can prevent a fall."""
    legend = {"W": Cell(ends=True, reward=-30.0), "B": Cell(ends=True)}
    rows = ["BBBBB", *["W...W"] * 4, "W.S.W"]
    mdp = grid_world(rows, horizon=12, wind={"left": 0.15, "right": 0.15}, step_reward=-1.0, legend=legend)
    zoo = windy_bridge()
    sure = zoo.probability.unflatten(-1, (2, 3))[..., 0, :] / 0.9  # the foot that never slips
    firm = zoo.replace(probability=sure, successor=zoo.successor[..., :3], reward=zoo.reward[..., :3], factors=None)
    up, ahead = torch.eye(4, dtype=torch.float64)[3], torch.eye(3, dtype=torch.float64)[0]
    for beta in (0.0, 1.0, -0.5):
        mine, theirs = (
            infer(TabularModel(each, 1.0, prior.expand(each.num_states, -1)), beta).objective
            for each, prior in ((mdp, up), (firm, ahead))
        )
        assert mine == pytest.approx(theirs, abs=1e-9)


def test_every_rule_on_one_small_map():
    mdp = grid_world("S#\n.G", horizon=3, slip=0.2, wind={"up": 0.1, "right": 0.25}, step_reward=-1.0)
    assert mdp.state_names == ("(0, 0)", "(1, 0)", "(1, 1)", "ended")
    assert mdp.layout == ((0, 0), (1, 0), (1, 1), None)
    assert mdp.factors.names == ("slip", "wind")
    up, down, goal, ended = 0, 1, 2, 3
    # down from the start: left is the border and right the wall, so a slip stays; then up, right or neither
    p = mdp.probability[up, 1].unflatten(0, (3, 3))
    np.testing.assert_allclose(p, np.outer([0.1, 0.8, 0.1], [0.65, 0.1, 0.25]), atol=1e-15)
    successor, reward = (each[up, 1].unflatten(0, (3, 3)).tolist() for each in (mdp.successor, mdp.reward))
    assert successor == [[up, up, up], [down, up, ended], [up, up, up]]
    assert reward == [[-1, -1, -1], [-1, -1, 0], [-1, -1, -1]]
    # right into the goal: the wind does not act there; slipping turns down (border) or up
    assert mdp.successor[down, 2].tolist() == [down, up, ended, ended, ended, ended, up, up, up]
    for s in (goal, ended):
        assert (mdp.successor[s] == ended).all()
        assert (mdp.reward[s] == 0).all()
    freed = infer(TabularModel(mdp), Optimism(dynamics={"slip": 0.0, "wind": 1.0}, initial=0.0)).value
    assert infer(TabularModel(mdp), 0.0).value < freed < infer(TabularModel(mdp), 1.0).value


def test_the_wind_does_not_act_after_an_end_or_a_return():
    """The wind does not move the agent out of a goal or a cell that sends it back, but can move it into one."""
    pit = {"C": Cell(reward=-5.0, back=True)}
    mdp = grid_world("S..\nCG.", horizon=1, wind={"up": 0.25, "left": 0.25}, step_reward=-1.0, legend=pit)
    start, above, corner, ended = 0, 1, 2, 6
    for s, to, paid in ((above, [ended] * 3, [0, 0, 0]), (start, [start] * 3, [-6, -6, -6])):
        assert mdp.successor[s, 1].tolist() == to
        assert mdp.reward[s, 1].tolist() == paid
    assert mdp.successor[corner, 1].tolist() == [5, corner, ended]
    assert mdp.reward[corner, 1].tolist() == [-1, -1, 0]
    assert mdp.probability[corner, 1].tolist() == [0.5, 0.25, 0.25]


@st.composite
def maps(draw):
    rows, columns = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    cells = [[draw(st.sampled_from("..#HGr")) for _ in range(columns)] for _ in range(rows)]
    for _ in range(draw(st.integers(1, 2))):
        cells[draw(st.integers(0, rows - 1))][draw(st.integers(0, columns - 1))] = "S"
    return ["".join(row) for row in cells]


@laws
@given(maps(), st.sampled_from([0.0, 0.3, 1.0]), st.sampled_from([{}, {"left": 0.3}, {"up": 0.5, "right": 0.5}]))
def test_mirroring_the_map_changes_no_answer(rows, slip, wind):
    swap = {"left": "right", "right": "left"}
    settings = {"horizon": 4, "slip": slip, "step_reward": -0.5, "legend": {"r": Cell(reward=-2.0)}}
    mdp = grid_world(rows, wind=wind, **settings)
    mirror = grid_world(
        [row[::-1] for row in rows], wind={swap.get(name, name): p for name, p in wind.items()}, **settings
    )
    assert mdp.num_states == sum(letter != "#" for row in rows for letter in row) + 1
    for beta in (0.0, 1.0):
        one, other = (infer(TabularModel(each, 0.5), beta) for each in (mdp, mirror))
        assert one.value == pytest.approx(other.value, abs=1e-10)


def test_maps_are_read_as_they_are_drawn():
    text = """
        S.#
        ..G
        """
    drawn, listed = grid_world(text, horizon=2), grid_world(("S.#", "..G"), horizon=2)
    assert drawn.state_names == listed.state_names == ("(0, 0)", "(0, 1)", "(1, 0)", "(1, 1)", "(1, 2)", "ended")
    assert drawn.num_outcomes == 1
    assert grid_world("SS.G", horizon=1).initial.tolist() == [0.5, 0.5, 0.0, 0.0, 0.0]
    assert grid_world(" S G", horizon=1, discount=0.5).discount == 0.5
    # the coin's reward is paid at every arrival, and staying at a wall counts as one
    coin = grid_world("Sr", horizon=1, legend={"r": Cell(reward=3.0)})
    assert coin.reward[:2, :, 0].tolist() == [[0, 0, 3, 0], [0, 3, 3, 3]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rows": "S.\n..."}, "same length.*Fill up"),
        ({"rows": ""}, "at least 1"),
        ({"rows": "..G"}, "must have a start.*Put an S"),
        ({"rows": "S?G"}, r"has '\?' in row 0, column 1. Say what it means: legend="),
        ({"rows": "S.S.C", "legend": CLIFF}, r"one start to be sent back to from \(0, 4\)"),
        ({"slip": 1.5}, "`slip` must be a probability"),
        ({"wind": {"north": 0.5}}, "`wind` must give probabilities to left, down, right, up"),
        ({"wind": {"up": -0.5}}, "'up': -0.5"),
        ({"wind": {"up": 0.6, "down": 0.6}}, "sums to 1.2. What is left over is calm"),
        ({"step_reward": float("inf")}, "`step_reward` must be a reward"),
        ({"legend": {"G": Cell(reward=float("nan"))}}, r"`legend\['G'\].reward` must be"),
    ],
)
def test_errors_name_what_is_wrong_with_a_map(arguments, message):
    with pytest.raises(InvalidArgument, match=message):
        grid_world(**{"rows": "S.G", "horizon": 1, **arguments})

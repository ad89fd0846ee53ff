"""The maps with episodes: paths follow the sampled states, and marks claim no more than the tables tell."""

import pytest
import torch

from pgm_control import InvalidArgument, TabularModel, infer, plot, zoo
from pgm_control.inference.sampling.log_weights import returns
from pgm_control.models import restaurant, slippery_cliff, windy_bridge

pytest.importorskip("matplotlib")


def lines(axes, marker):
    return [line for line in axes.get_lines() if line.get_marker() == marker]


def cells(line):
    return [(round(float(y)), round(float(x))) for x, y in line.get_xydata()]


def true_episode(model, guide, seed):
    policy = guide.blocks().log_policy
    return model.blocks().replace(log_policy=policy).sample(1, seed)


def test_the_imagined_path_of_the_free_guide_runs_along_the_edge():
    model = TabularModel(slippery_cliff())
    free = infer(model, 1.0)
    axes = plot.episode_maps(model, {"free": free}, seed=28)[0]
    (path,) = lines(axes, "o")
    assert cells(path) == [(3, 0), *((2, column) for column in range(12)), (3, 11)]


@pytest.mark.parametrize("seed", range(8))
def test_there_is_a_cross_for_each_fall_and_the_legend_has_the_returns(seed):
    model = TabularModel(slippery_cliff())
    free = infer(model, 1.0)
    axes = plot.episode_maps(model, {"free": free}, seed=seed)[0]
    episode = true_episode(model, free, seed)
    states, actions, outcomes = (each[0] for each in episode)
    falls = int((model.mdp.reward[states[:-1], actions, outcomes] == -100).sum())
    crosses = lines(axes, "x")
    assert len(crosses) == falls
    assert all(row == 3 and 0 < column < 11 for cross in crosses for row, column in cells(cross))
    drawn = [cell for line in lines(axes, "s") for cell in cells(line)]
    assert {model.mdp.layout[s] for s in states.tolist() if model.mdp.layout[s] is not None} <= set(drawn)
    said = [text.get_text() for text in axes.get_legend().get_texts()]
    assert f"true episode, return −{-float(returns(model.mdp, episode)):g}" in said


def test_a_clamped_guide_imagines_what_happens():
    model = zoo()["frozen_lake"].model()
    axes = plot.episode_maps(model, {"clamped": infer(model, 0.0)}, seed=1)[0]
    assert [cells(line) for line in lines(axes, "o")] == [cells(line) for line in lines(axes, "s")]


def test_off_the_map_a_dotted_line_leads_to_the_box_and_there_is_no_cross():
    model = TabularModel(windy_bridge())
    clamped = infer(model, 0.0)
    for seed in range(5):
        axes = plot.episode_maps(model, {"clamped": clamped}, seed=seed)[0]
        last = int(true_episode(model, clamped, seed).states[0, -1])
        assert model.mdp.state_name(last) in ("bank", "water")
        assert not lines(axes, "x")
        dotted = [line for line in axes.get_lines() if line.get_linestyle() == ":"]
        assert len(dotted) == 2
        assert all(line.get_ydata()[-1] > 4.5 for line in dotted)


def test_two_holes_beside_each_other_are_not_told_apart():
    """From a cell between two holes the tables do not determine which of them a slip leads into."""
    model = zoo()["frozen_lake"].model()
    beside = next(s for s, cell in enumerate(model.mdp.layout) if cell == (1, 2))
    start = torch.zeros(model.mdp.num_states, dtype=torch.float64).index_fill(0, torch.tensor(beside), 1.0)
    mdp = model.mdp.replace(initial=start, horizon=1)
    tried = TabularModel(mdp, 1.0)
    for seed in range(6):
        episode = true_episode(tried, infer(tried, 0.0), seed)
        axes = plot.episode_maps(tried, {"clamped": infer(tried, 0.0)}, seed=seed)[0]
        fell = mdp.layout[int(episode.states[0, -1])] is None
        assert not lines(axes, "x")
        assert any(line.get_linestyle() == ":" for line in axes.get_lines()) is fell


def test_errors():
    with pytest.raises(InvalidArgument, match="`layout` must be given"):
        plot.episode_maps(TabularModel(restaurant()))
    with pytest.raises(InvalidArgument, match="`guides` must map names to guides, at least one"):
        plot.episode_maps(TabularModel(windy_bridge()), {})
    with pytest.raises(InvalidArgument, match="`seed`"):
        plot.episode_maps(TabularModel(windy_bridge()), seed=-1)

"""The picture is a valid file, changes no global state, and has no overlapping text."""

import sys

import pytest
from picture_texts import check_words, texts
from problems import gamble, random_mdp

from pgm_control import MissingExtra, TabularMDP, TabularModel, compare, picture
from pgm_control.models import frozen_lake, lottery, lottery_twin, restaurant, risky_path, slippery_cliff


def compared(mdp, name="a problem", steps=30, temperature=1.0):
    return compare(TabularModel(mdp, temperature), num_steps=steps, name=name, seed=0)


def many(states=12, actions=9):
    """Many outcomes and many actions, with names that are long, contain markup, or cannot be broken."""
    names = [f"the {i}-th waiting room of the $second$ _floor_ & its corridor" for i in range(states - 1)]
    mdp = random_mdp(1, states=states, actions=actions, outcomes=states, horizon=4)
    return mdp.replace(
        state_names=(*names, "Donaudampfschifffahrtsgesellschaftskapitänskajüte"),
        action_names=tuple(f"walk slowly towards exit number {a}, then wait" for a in range(actions)),
    )


def worst_case():
    """A problem with long labels: rewards of many digits and both signs."""
    mdp = gamble(3)
    return mdp.replace(reward=mdp.reward * 123456.789 - 7.0)


def forbidden():
    return TabularMDP(
        [1.0, 0.0],
        [[[0.5, 0.5], [0.5, 0.5]], [[1.0, 0.0]] * 2],
        [[[0, 1], [0, 1]], [[1, 1]] * 2],
        [[[3.0, -float("inf")], [1.0, -float("inf")]], [[0.0, 0.0]] * 2],
        2,
    )


PROBLEMS = {
    "restaurant": restaurant,
    "lottery": lottery,
    "lottery_twin": lottery_twin,
    "risky_path": risky_path,
    "slippery_cliff": slippery_cliff,
    "frozen_lake": lambda: frozen_lake(horizon=20),
    "many": many,
    "worst_case": worst_case,
    "forbidden": forbidden,
}


@pytest.mark.parametrize("problem", PROBLEMS)
def test_no_text_overlaps_and_none_leaves_the_page(problem):
    steps = 2 if problem == "slippery_cliff" else 30
    figure = picture(compared(PROBLEMS[problem](), f"the problem called {problem}", steps))
    assert len(texts(figure)) > 20
    check_words(figure, problem)


def test_it_writes_a_png_and_changes_no_global_state(tmp_path):
    import matplotlib
    from matplotlib._pylab_helpers import Gcf

    before = dict(matplotlib.rcParams)
    picture(compared(restaurant()), tmp_path / "restaurant.png")
    content = (tmp_path / "restaurant.png").read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert content.endswith(b"IEND\xaeB`\x82")
    assert [path.name for path in tmp_path.iterdir()] == ["restaurant.png"]
    assert dict(matplotlib.rcParams) == before
    assert not Gcf.get_all_fig_managers(), "the figure is registered with pyplot"


@pytest.mark.parametrize(("suffix", "start"), [("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_the_suffix_chooses_the_format(tmp_path, suffix, start):
    picture(compared(restaurant()), tmp_path / f"restaurant.{suffix}")
    assert (tmp_path / f"restaurant.{suffix}").read_bytes().startswith(start)


def test_the_picture_shows_the_exact_numbers():
    found = compared(restaurant(), "restaurant", steps=2000)
    said = [text for text, _ in texts(picture(found))]
    assert f"restaurant (T = 1, τ = 1)\n{found.explanation.headline}." in said
    for number in ("0.71", "0.20", "< 0.01", "0.62", "0.89", "7.104", "3.996", "5.071"):
        assert number in said
    assert "spectacular dinner\nreward 8" in said
    assert "free guide:\nlog p(O) = 6.515 nats" in said
    assert "clamped guide:\noptimum 4.722 nats" in said
    assert "ELBO (nats)" in said
    assert not any("◇" in text for text in said), "the fitted guides agree with the exact ones"


def test_a_fit_away_from_the_exact_value_is_marked():
    said = [text for text, _ in texts(picture(compared(restaurant(), steps=2)))]
    assert any("(◇ " in text for text in said)


def test_the_panel_of_the_fits_shows_both_optima_and_not_the_first_steps_far_below():
    found = compared(risky_path(), steps=300)
    low, high = picture(found).axes[-1].get_ylim()
    first = float(found.fits["free"].elbo_history[0])
    assert first < low < found.clamped.objective < found.free.objective < high
    assert found.free.objective - found.clamped.objective > 0.2 * (high - low)


def test_bars_end_at_the_exact_numbers():
    found = compared(restaurant())
    widths = [bar.get_width() for bars in picture(found).axes[0].containers for bar in bars]
    outcomes = found.explanation.events[0].outcomes
    assert widths == [outcome.true for outcome in outcomes] + [outcome.believed for outcome in outcomes] + [
        outcome.true for outcome in outcomes
    ]


def test_long_lists_are_cut_and_keep_the_total_probability():
    axes = picture(compared(many())).axes[0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert len(labels) == 5
    assert labels[-1].endswith("others")
    assert sum(bar.get_width() for bars in axes.containers for bar in bars) == pytest.approx(3.0)


def test_without_matplotlib_it_names_the_extra(monkeypatch):
    for module in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtra, match=r"pip install matplotlib"):
        picture(compared(restaurant()))

"""Pages for notebooks and text for terminals: well-formed, escaped, bounded in size, with correct numbers."""

import re
import time
from html.parser import HTMLParser

import gymnasium
import numpy as np
import pytest
import torch
from problems import random_mdp

from pgm_control import (
    ClampedGuide,
    FreeGuide,
    TabularMDP,
    TabularModel,
    TabularPolicy,
    compare,
    explain,
    fit,
    infer,
    ledger,
    scorecard,
)
from pgm_control.models import restaurant, slippery_cliff
from pgm_control.text.wording import amount
from pgm_control.trajectories.beliefs import tilted_events

pytestmark = pytest.mark.slow  # run only against the sources

NASTY = "<b>&\"'</td>"
VOID = {"br", "hr"}


class Page(HTMLParser):
    """A parser that collects tags, text and rows of cells; an unbalanced tag is an error."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text, self.rows, self.attributes = [], [], "", [], []
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data
        if self.open and {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data

    def row(self, *beginning):
        """The remaining cells of the one row that begins with these cells."""
        found = [row for row in self.rows if row[: len(beginning)] == list(beginning)]
        assert len(found) == 1, (beginning, self.rows)
        return found[0][len(beginning) :]


def page_of(thing):
    """The page of an object, after checks that hold for every page."""
    text = thing._repr_html_()
    page = Page(text)
    assert not {"script", "link", "iframe", "img", "style", "object"} & set(page.tags)
    assert not re.search(r"https?:|//|url\(|@import|src=|href=|xmlns|\bon\w+=", text)
    for _, name, value in page.attributes:
        assert name in {
            "style",
            "title",
            "role",
            "aria-label",
            "width",
            "height",
            "viewbox",
            "points",
            "fill",
            "stroke",
        }
        if name == "style":
            assert not re.search(r"(?<![-\w])color:", value), "a colour of text breaks dark notebooks"
            assert re.fullmatch(r"(?:[^#]*?)(?:background:rgba\(230,159,0,0\.\d\d\))?", value), value
        if name in ("fill", "stroke"):
            assert value in ("none", "currentColor")
    return page


def nasty(horizon=2, discount=1.0):
    names = [f"{NASTY} {s}" for s in range(3)]
    return random_mdp(3, horizon=horizon, discount=discount).replace(
        state_names=names, action_names=[f"go {NASTY}", f"stay {NASTY}"]
    )


def everything(mdp, temperature=1.0):
    """All objects that have a page, for one problem."""
    model = TabularModel(mdp, temperature)
    fitted = fit(model, FreeGuide(model), num_steps=5, seed=0)
    exact = {f"free {NASTY}": infer(model, 1.0), "clamped": infer(model, 0.0)}
    return {
        "mdp": mdp,
        "model": model,
        "policy": TabularPolicy.of(exact["clamped"]),
        "free": exact[f"free {NASTY}"],
        "clamped": exact["clamped"],
        "fit": fitted,
        "scorecard": scorecard(model, exact),
        "ledger": ledger(model, exact["clamped"]),
        "explanation": explain(model),
        "comparison": compare(model, num_steps=2, name=f"mine {NASTY}", seed=0),
    }


@pytest.mark.parametrize("discount", [1.0, 0.9])
def test_pages_are_well_formed_escaped_and_load_nothing_external(discount):
    for name, thing in everything(nasty(discount=discount)).items():
        page = page_of(thing)
        assert "<b>&" not in thing._repr_html_(), name
        assert "b" not in page.tags or page.tags.count("b") <= 2, "no tag comes from a name"
        if name not in ("policy", "fit"):  # these have no names
            assert "<b>&" in page.text, name


def test_terminal_representations_are_short():
    for name, thing in everything(nasty(horizon=4)).items():
        lines = repr(thing).splitlines()
        if name == "scorecard":
            assert repr(thing) == str(thing)
            assert len(lines) == 3 + 3 + 2  # the best policy is a row of its own
        elif name == "explanation":
            assert lines == list(thing.sentences)
        else:
            assert len(lines) == 1, name
            assert len(lines[0]) < 300, name


def probability(text):
    """The bounds of the probability that a cell shows."""
    if text.startswith("< "):
        return 0.0, float(text[2:])
    if text.startswith("> "):
        return float(text[2:]), 1.0
    slack = 0 if text in ("0", "1") else 0.0005
    return float(text) - slack, float(text) + slack


def agrees(text, exact):
    low, high = probability(text)
    return low - 1e-12 <= exact <= high + 1e-12


def test_an_mdp_shows_its_sizes_its_start_and_every_outcome():
    mdp = restaurant()
    page = page_of(mdp)
    assert "4 states, 2 actions, at most 3 outcomes, horizon T = 1, discount γ = 1" in page.text
    assert "start: hungry 1" in page.text
    assert page.row("hungry", "Italian") == [
        "0.200 → bad dinner (reward -10); 0.600 → good dinner (reward 6); 0.200 → spectacular dinner (reward 8)"
    ]
    assert "more" not in page.text
    rows = page.rows[1:]
    assert len(rows) == 8
    for (_, action, outcomes), (s, a) in zip(rows, np.ndindex(4, 2), strict=True):
        assert action == mdp.action_name(a)
        said = [re.fullmatch(r"(\S+) → (.+) \(reward (\S+)\)", outcome) for outcome in outcomes.split("; ")]
        possible = [k for k in range(3) if mdp.probability[s, a, k] > 0]
        assert len(said) == len(possible)
        for match, k in zip(said, possible, strict=True):
            assert agrees(match[1], float(mdp.probability[s, a, k]))
            assert match[2] == mdp.state_name(int(mdp.successor[s, a, k]))
            assert match[3] == amount(float(mdp.reward[s, a, k]))


def test_a_model_shows_its_temperature_and_prior():
    mdp = restaurant()
    assert "temperature τ = 0.5 reward units per nat, action prior uniform" in page_of(TabularModel(mdp, 0.5)).text
    prior = torch.tensor([[0.25, 0.75]] * 4, dtype=torch.float64)
    assert "action prior given" in page_of(TabularModel(mdp, 1.0, prior)).text


@pytest.mark.parametrize("beta", [1.0, 0.0, -0.5])
def test_a_posterior_shows_its_first_choices_values_and_events(beta):
    mdp = random_mdp(5, states=4, horizon=3)
    model = TabularModel(mdp)
    exact = infer(model, beta)
    page = page_of(exact)
    assert f"{amount(exact.objective)} nats" in page.text
    assert ("log p(O) = " in page.text) == (beta == 1)
    for s in range(4):
        name, *cells, value = page.rows[1 + s]
        assert name == f"state {s}"
        assert value == amount(float(exact.v[0, s]))
        for text, p in zip(cells, exact.policy[0, s].tolist(), strict=True):
            assert agrees(text, p)
    events = tilted_events(model, exact)
    assert ("It believes the true dynamics." in page.text) == (not events)
    for event in events:
        cells = page.row(f"state {event.state}", f"action {event.action}")
        assert cells[0].startswith(f"state {event.raised.successor} ")
        assert agrees(cells[1], event.raised.true)
        assert agrees(cells[2], event.raised.believed)
        assert cells[3] == amount(event.tilt)


def test_at_temperature_zero_a_posterior_has_a_value():
    page = page_of(infer(TabularModel(restaurant(), 0.0), 0.0))
    assert "value 5.3 reward units" in page.text
    assert "nats" not in page.text


def test_on_a_grid_the_likeliest_actions_are_arrows():
    mdp = slippery_cliff()
    exact = infer(TabularModel(mdp), 0.0)
    page = page_of(exact)
    drawn = [row for row in page.rows if len(row) == 12]
    hints = [value for tag, name, value in page.attributes if name == "title"]
    assert len(drawn) == 4
    assert len(hints) == 48
    arrows = dict(zip(("up", "right", "down", "left"), "↑→↓←", strict=True))
    for s, hint in enumerate(hints):
        row = exact.policy[0, s]
        best = [arrows[mdp.action_name(a)] for a in range(4) if row[a] >= row.max() - 1e-6]
        assert drawn[s // 12][s % 12] == ("·" if len(best) == 4 else "".join(best))
        said = re.fullmatch(rf"{re.escape(mdp.state_name(s))}: up (.+), right (.+), down (.+), left (.+)", hint)
        for text, p in zip(said.groups(), row.tolist(), strict=True):
            assert agrees(text, p)
    assert drawn[3][0] == "←", "the clamped policy keeps away from the cliff"
    lake = infer(TabularModel(TabularMDP.from_gymnasium(gymnasium.make("FrozenLake-v1"), 8), 0.1), 1.0)
    assert {"·"} < {cell for row in page_of(lake).rows for cell in row}


def test_arrows_follow_the_layout():
    mdp = slippery_cliff().replace(state_names=None)
    assert mdp.layout is not None
    upright = [row for row in page_of(infer(TabularModel(mdp), 0.0)).rows if len(row) == 12]
    turned = mdp.replace(layout=[cell and cell[::-1] for cell in mdp.layout])
    assert [row for row in page_of(infer(TabularModel(turned), 0.0)).rows if len(row) == 4] == [
        list(row) for row in zip(*upright, strict=True)
    ]
    assert "states" in page_of(infer(TabularModel(mdp.replace(layout=None)), 0.0)).text.split("more")[1]


def test_a_policy_shows_its_first_step():
    exact = infer(TabularModel(random_mdp(3)), 0.0)
    timed, still = TabularPolicy.of(exact), TabularPolicy(exact.policy[1])
    for policy, table, words in (
        (timed, exact.policy[0], "3 steps"),
        (still, exact.policy[1], "the same at every step"),
    ):
        page = page_of(policy)
        assert words in page.text
        assert ("at t = 0" in page.text) == (policy is timed)
        for s in range(3):
            for text, p in zip(page.row(f"state {s}"), table[s].tolist(), strict=True):
                assert agrees(text, p)


@pytest.mark.parametrize("steps", [1, 2, 30, 250])
def test_a_fit_shows_how_it_ended_and_a_curve_of_bounded_length(steps):
    model = TabularModel(restaurant())
    found = fit(model, ClampedGuide(model), num_steps=steps, seed=0)
    page = page_of(found)
    assert f"ELBO {found.elbo:.6f} nats" in page.text
    assert f"{found.num_steps:,} step" in page.text
    assert found.status.message in page.text
    points = [value for _, name, value in page.attributes if name == "points"]
    assert len(points) == (0 if found.num_steps < 2 else 1)
    if points:
        pairs = [tuple(map(float, pair.split(","))) for pair in points[0].split()]
        assert len(pairs) == min(found.num_steps, 200)
        assert all(0 <= x <= 320 and 0 <= y <= 60 for x, y in pairs)
        assert min(y for _, y in pairs) == 2.0, "the best is at the top"
        first, last = found.elbo_history[0], found.elbo_history[-1]
        assert (pairs[0][1] > pairs[-1][1]) == bool(last > first)


def test_a_comparison_shows_the_scores_the_sentences_and_the_fits():
    found = compare(TabularModel(restaurant()), num_steps=40, name="dinner", seed=0)
    page = page_of(found)
    for sentence in found.explanation.sentences:
        assert sentence in page.text
    assert f"{found.explanation.headline}." in page.text
    for name, score in found.scorecard.scores.items():
        assert page.row(name)[:2] == [f"{score.true_return:.4f}", f"{score.delusion:.4f}"]
    for name in ("free", "clamped"):
        assert f"{amount(found.short_of_optimum(name))} nats below its optimum" in page.text
    assert repr(found) == f"Comparison(dinner: {found.explanation.headline})"


def large(states, actions=3, outcomes=2):
    """A problem with many states, whose outcomes lead to the next states."""
    successor = (np.arange(states)[:, None, None] + np.arange(outcomes) + 1) % states
    shape = (states, actions, outcomes)
    return TabularMDP(
        np.full(states, 1 / states), np.full(shape, 1 / outcomes), np.broadcast_to(successor, shape).copy(),
        np.broadcast_to(np.linspace(0, 1, outcomes), shape).copy(), 2,
    )  # fmt: skip


@pytest.mark.parametrize(("shape", "left"), [((10_000, 3, 2), "9,997"), ((3, 1000, 2), "2"), ((2, 2, 5000), "")])
def test_pages_of_large_problems_are_small_and_quick(shape, left):
    model = TabularModel(large(*shape))
    exact = infer(model, 0.0)
    things = (model.mdp, model, exact, TabularPolicy.of(exact), TabularPolicy(exact.policy[0]))
    for thing in things:
        started = time.perf_counter()
        page = page_of(thing)
        assert time.perf_counter() - started < 3.0
        assert len(thing._repr_html_()) < 12_000
        assert len(page.rows) < 30
        if thing is model.mdp and left:
            assert f"… {left} more states" in page.text
    if shape[0] == 10_000:
        assert "… 9,990 more states" in page_of(exact).text
        assert "start: state 0 < 0.001" in page_of(model).text
        assert "… 9,997 more" in page_of(model).text
    if shape[1] == 1000:
        assert "992 more" in page_of(exact).text
        assert "… 990 more" in page_of(model.mdp).text
    if shape[2] == 5000:
        assert "… 4996 more" in page_of(model.mdp).text


def test_no_probability_is_rounded_to_certainty():
    policy = TabularPolicy(np.array([[0.99998, 0.00002], [1.0, 0.0], [0.9994, 0.0006]]))
    assert [row[1:] for row in page_of(policy).rows[1:]] == [["> 0.999", "< 0.001"], ["1", "0"], ["0.999", "0.001"]]

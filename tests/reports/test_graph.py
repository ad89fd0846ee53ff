"""Drawings have the edges that Pyro finds, and bold sites where a guide is clamped, with and without Graphviz."""

import re
import shutil
import sys
import time

import pyro
import pyro.distributions as dist
import pytest
import torch
from problems import random_mdp
from pyro.infer.autoguide import AutoNormal
from pyro.infer.inspect import get_model_relations

from pgm_control import (
    ClampedGuide,
    DialGuide,
    FreeGuide,
    InvalidArgument,
    MissingExtra,
    Optimism,
    TabularModel,
    infer,
    render,
)
from pgm_control.guides import MeanFieldGuide, OpenLoopGuide, StationaryGuide
from pgm_control.models import restaurant, slippery_cliff
from pgm_control.reports.graph import has_graphviz

pytestmark = pytest.mark.slow  # run against the sources only

NODE = re.compile(r'    g(\d+)_(\w+)(\(\["|\[")([\w…]+)("\]\)|"\])')
EDGE = re.compile(r"    g(\d+)_(\w+) (-->|==>|-\.->) g(\d+)_(\w+)")
DOT_NODE = re.compile(r'    g(\d+)_(\w+) \[label="([\w…]+)"(.*)\]')
DOT_EDGE = re.compile(r"    g(\d+)_(\w+) -> g(\d+)_(\w+)(?: \[(.*)\])?")


def mermaid(drawing):
    """Return, per graph, title, nodes {site: opening} and edges {(from, to): arrow}; and the bold nodes."""
    lines = drawing.mermaid.splitlines()
    assert lines[0] == "flowchart TB"
    assert re.fullmatch(r"  %% .+", lines[1])
    graphs, bold, inside = [], set(), False
    for line in lines[2:]:
        if match := re.fullmatch(r'  subgraph g(\d+)\["([^"<>\n]*)"\]', line):
            assert not inside
            assert int(match[1]) == len(graphs)
            graphs.append((match[2], {}, {}))
            inside = True
        elif line == "  end":
            assert inside
            inside = False
        elif match := re.fullmatch(r"  style g(\d+)_(\w+) stroke-width:4px", line):
            bold.add((int(match[1]), match[2]))
        elif match := NODE.fullmatch(line):
            assert int(match[1]) == len(graphs) - 1
            assert (match[3], match[5]) in {('(["', '"])'), ('["', '"]')}
            assert match[4] == (match[2] if match[2] != "rest" else "…")
            graphs[-1][1][match[2]] = match[3]
        else:
            match = EDGE.fullmatch(line)
            assert match, line
            assert int(match[1]) == int(match[4]) == len(graphs) - 1
            assert {match[2], match[5]} <= set(graphs[-1][1])
            graphs[-1][2][match[2], match[5]] = match[3]
    assert not inside
    return graphs, bold


def dot(drawing):
    """Return (nodes, edges) of each graph, with their looks, from Graphviz's language."""
    graphs = []
    for line in drawing.dot.splitlines():
        if line.startswith("  subgraph cluster_"):
            graphs.append(({}, {}))
        elif match := DOT_NODE.fullmatch(line):
            graphs[int(match[1])][0][match[2]] = match[4].strip()
        elif match := DOT_EDGE.fullmatch(line):
            assert match[1] == match[3]
            graphs[int(match[1])][1][match[2], match[4]] = match[5] or ""
    return graphs


def found_by_pyro(program):
    relations = get_model_relations(program)
    edges = {(above, site) for site, parents in relations["sample_sample"].items() for above in parents}
    return edges, set(relations["observed"])


PROBLEMS = {
    "one step": restaurant(),
    "three steps": random_mdp(1),
    "a discount": random_mdp(1, discount=0.9),
    "a final reward": random_mdp(1).replace(final_reward=[0.0, 1.0, 2.0]),
    "both": random_mdp(1, discount=0.9, horizon=2).replace(final_reward=[0.0, 1.0, 2.0]),
}


@pytest.mark.parametrize("name", list(PROBLEMS))
def test_all_edges_are_those_that_pyro_finds_in_the_true_programs(name):
    model = TabularModel(PROBLEMS[name])
    drawing = render(model, {"free": FreeGuide(model), "clamped": ClampedGuide(model)}, horizon=model.mdp.horizon)
    graphs, _ = mermaid(drawing)
    assert [title for title, _, _ in graphs] == ["model", "free", "clamped"]
    for (_, nodes, edges), program in zip(graphs, (model, FreeGuide(model), ClampedGuide(model)), strict=True):
        expected, observed = found_by_pyro(program)
        assert set(edges) == expected
        assert {site for site, opening in nodes.items() if opening == '["'} == observed
    for (_, nodes, edges), (drawn, lines) in zip(graphs, dot(drawing), strict=True):
        assert set(drawn) == set(nodes)
        assert set(lines) == set(edges)
        assert {site for site, look in drawn.items() if "fillcolor" in look} == {
            site for site, opening in nodes.items() if opening == '["'
        }


def clamped_sites(model, guide, steps=2):
    """Return the bold sites, which are the same in both texts, and the targets of bold edges."""
    drawing = render(model, {"it": guide}, horizon=steps)
    graphs, bold = mermaid(drawing)
    assert {graph for graph, _ in bold} <= {1}, "the model clamps nothing"
    _, _, edges = graphs[1]
    thick = {site for (_, site), arrow in edges.items() if arrow == "==>"}
    thin = {site for (_, site), arrow in edges.items() if arrow != "==>"}
    assert not thick & thin
    nodes, lines = dot(drawing)[1]
    assert {site for site, look in nodes.items() if "penwidth=3" in look} == {site for _, site in bold}
    assert {site for (_, site), look in lines.items() if look == "penwidth=3"} == thick
    assert thick == {site for _, site in bold} - {"state_0"}, "no edge leads to the start"
    return {site for _, site in bold}


def test_bold_is_what_a_guide_clamps():
    model = TabularModel(random_mdp(1))
    outcomes = {"outcome_0", "outcome_1"}
    assert clamped_sites(model, FreeGuide(model)) == set()
    assert clamped_sites(model, ClampedGuide(model)) == {"state_0"} | outcomes
    assert clamped_sites(model, infer(model, 0.0)) == {"state_0"} | outcomes
    assert clamped_sites(model, infer(model, 1.0)) == set()
    assert clamped_sites(model, DialGuide(model, -0.5)) == set()
    assert clamped_sites(model, Optimism(dynamics=0.0, initial=1.0)) == outcomes
    assert clamped_sites(model, Optimism(dynamics=1.0, initial=0.0)) == {"state_0"}
    assert clamped_sites(model, 0.0) == {"state_0"} | outcomes
    assert clamped_sites(model, 0) == {"state_0"} | outcomes
    some = torch.zeros(3, 1)
    some[0] = 1.0
    assert clamped_sites(model, Optimism(dynamics=some, initial=1.0)) == set(), (
        "only some steps of the dynamics are clamped"
    )


def test_a_guide_without_optimism_is_compared_with_the_model():
    model = TabularModel(random_mdp(1))
    for guide in (OpenLoopGuide(model), StationaryGuide(model)):
        assert clamped_sites(model, guide) == {"state_0", "outcome_0", "outcome_1"}
    moved = MeanFieldGuide(model)
    with torch.no_grad():
        for parameter in moved.parameters():
            parameter.add_(torch.linspace(0, 1, parameter.numel(), dtype=parameter.dtype).view_as(parameter))
    assert clamped_sites(model, moved) == set()


def test_survival_is_bold_only_with_a_discount():
    model = TabularModel(random_mdp(1, discount=0.9))
    survival = {"state_1", "state_2"}
    assert clamped_sites(model, FreeGuide(model)) == survival
    assert clamped_sites(model, Optimism(1.0, 1.0, 1.0)) == set()
    assert clamped_sites(model, 0.0) == {"state_0", "outcome_0", "outcome_1"} | survival
    graphs, _ = mermaid(render(model, {"it": Optimism(1.0, 1.0, 1.0)}))
    assert "-.->" not in graphs[1][2].values(), "a state is not certain if the episode can end"
    graphs, _ = mermaid(render(TabularModel(random_mdp(1))))
    for _, _, edges in graphs:
        assert {site for (_, site), arrow in edges.items() if arrow == "-.->"} == {"state_1", "state_2"}


@pytest.mark.parametrize(("steps", "rest"), [(1, True), (2, True), (3, False), (9, False)])
def test_an_ellipsis_stands_for_the_other_steps(steps, rest):
    model = TabularModel(random_mdp(1))
    for drawing in (render(model, {}, horizon=steps), render(model, horizon=steps)):
        for _, nodes, edges in mermaid(drawing)[0]:
            last = f"state_{min(steps, 3)}"
            assert ((last, "rest") in edges) == ("rest" in nodes) == rest
            assert f"action_{min(steps, 3)}" not in nodes
        assert ("…" in drawing.dot) == rest


def test_the_default_guides_are_free_and_clamped_and_a_model_can_be_drawn_alone():
    model = TabularModel(random_mdp(1))
    assert render(model) == render(model, {"free": 1.0, "clamped": 0.0})
    assert len(mermaid(render(model, {}))[0]) == 1
    assert repr(render(model)) == "Drawing(3 graphs; print it for Mermaid text, or save it as .svg)"
    assert str(render(model)) == render(model).mermaid


def test_the_drawing_does_not_depend_on_what_is_installed(monkeypatch):
    model = TabularModel(restaurant())
    drawn = render(model), render(model, {})
    monkeypatch.setitem(sys.modules, "graphviz", None)
    assert (render(model), render(model, {})) == drawn


def test_names_are_escaped():
    model = TabularModel(restaurant())
    drawing = render(model, {'<b>&"#\n\\': 1.0})
    graphs, _ = mermaid(drawing)
    assert graphs[1][0] == "#60;b#62;#38;#34;#35; \\"
    assert 'label="<b>&\\"# \\\\"' in drawing.dot


def test_text_can_be_saved(tmp_path):
    drawing = render(TabularModel(restaurant()))
    drawing.save(tmp_path / "it.mmd")
    drawing.save(tmp_path / "it.md")
    drawing.save(tmp_path / "it.gv")
    assert (tmp_path / "it.mmd").read_text(encoding="utf8") == drawing.mermaid
    assert (tmp_path / "it.md").read_text(encoding="utf8") == f"```mermaid\n{drawing.mermaid}```\n"
    assert (tmp_path / "it.gv").read_text(encoding="utf8") == drawing.dot
    with pytest.raises(InvalidArgument, match=r"`path` must end in .*but is 'it.txt'. Take .mmd for text"):
        drawing.save("it.txt")


@pytest.mark.parametrize("missing", ["package", "program"])
def test_without_graphviz_there_is_text(monkeypatch, tmp_path, missing):
    if missing == "package":
        monkeypatch.setitem(sys.modules, "graphviz", None)
    else:
        monkeypatch.setattr(shutil, "which", lambda name: None)
    assert not has_graphviz()
    model = TabularModel(slippery_cliff())
    for drawing in (render(model, {}), render(model)):
        assert drawing._repr_mimebundle_() == {"text/vnd.mermaid": drawing.mermaid, "text/plain": drawing.mermaid}
        with pytest.raises(MissingExtra, match=r"pip install graphviz, and the program `dot`"):
            drawing.save(tmp_path / "it.png")
        drawing.save(tmp_path / "it.dot")
        assert "digraph" in drawing.dot


@pytest.mark.skipif(not has_graphviz(), reason="Graphviz is not installed")
@pytest.mark.parametrize("horizon", [1, 4])
def test_with_graphviz_there_is_an_image(tmp_path, horizon):
    model = TabularModel(random_mdp(1, horizon=horizon))
    for drawing in (render(model, {}), render(model, {'free "as air"': 1.0, "<clamped>": 0.0})):
        bundle = drawing._repr_mimebundle_()
        assert bundle["image/svg+xml"].startswith("<svg")
        assert "DOCTYPE" not in bundle["image/svg+xml"]
        assert bundle["text/plain"] == drawing.mermaid
        nodes = re.findall(r'class="node"', bundle["image/svg+xml"])
        assert len(nodes) == sum(len(nodes) for _, nodes, _ in mermaid(drawing)[0])
        for suffix, magic in ((".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")):
            drawing.save(tmp_path / f"it{suffix}")
            assert (tmp_path / f"it{suffix}").read_bytes().startswith(magic)


def test_a_large_problem_is_drawn_as_fast_as_a_small_one():
    model = TabularModel(random_mdp(0, states=10_000, horizon=50))
    started = time.perf_counter()
    random = torch.get_rng_state()
    assert render(model) == render(TabularModel(random_mdp(0, horizon=50)))
    assert time.perf_counter() - started < 10.0
    assert torch.equal(random, torch.get_rng_state())


@pytest.mark.parametrize("guide", [object(), True, "free"])
def test_objects_that_are_not_guides_are_refused(guide):
    with pytest.raises(InvalidArgument, match=r"`guides` must have blocks\(\), or be an optimism, but 'it' is "):
        render(TabularModel(restaurant()), {"it": guide})


@pytest.mark.parametrize("steps", [0, -1])
def test_steps_are_positive(steps):
    with pytest.raises(InvalidArgument, match="`horizon` must be a whole number, at least 1, but is"):
        render(TabularModel(restaurant()), horizon=steps)


def test_a_final_reward_is_drawn_only_where_the_episode_ends():
    model = TabularModel(random_mdp(1).replace(final_reward=[0.0, 1.0, 2.0]))
    assert "optimality_2" not in mermaid(render(model, {}, horizon=2))[0][0][1]
    assert "optimality_3" in mermaid(render(model, {}, horizon=3))[0][0][1]


def test_a_program_without_tables_is_drawn_by_its_roles():
    def program():
        state = pyro.sample("state_0", dist.Normal(0.0, 1.0))
        action = pyro.sample("action_0", dist.Normal(0.0, 1.0))
        pyro.factor("optimality_0", -(state**2) - action**2)
        pyro.sample("state_1", dist.Normal(state + action, 1.0))

    def guide():
        state = pyro.sample("state_0", dist.Normal(0.5, 1.0))
        action = pyro.sample("action_0", dist.Normal(-state, 1.0))
        pyro.sample("state_1", dist.Normal(state + action, 1.0))

    alone = str(render(program))
    assert 'g0_optimality_0["optimality_0"]' in alone
    assert "g0_state_0 --> g0_optimality_0" in alone
    drawn = str(render(program, {"mine": guide}))
    assert "g1_state_0 --> g1_action_0" in drawn
    assert "g1_action_0 ==> g1_state_1" in drawn
    assert "style g1_state_1 stroke-width:4px" in drawn
    assert "style g1_state_0" not in drawn


def test_an_autoguide_of_a_program_is_drawn():
    def program():
        state = pyro.sample("state_0", dist.Normal(0.0, 1.0))
        pyro.sample("action_0", dist.Normal(0.0, 1.0))
        pyro.factor("optimality_0", -(state**2))

    drawn = str(render(program, {"normal": AutoNormal(program)}))
    assert "-.-> g1_state_0" in drawn


def test_names_of_sites_are_quoted():
    def program():
        pyro.sample('room "a"/state.0', dist.Normal(0.0, 1.0))
        pyro.factor("optimality_0", torch.tensor(-1.0))

    vars(program)["roles"] = {"room*": ("state", "chance"), "optimality_*": "optimality"}
    drawn = render(program)
    assert '[label="room \\"a\\"/state.0"]' in drawn.dot
    assert "#34;a#34;/state.0" in drawn.mermaid
    assert all(re.fullmatch(r"    g0_\w+.*", line) for line in drawn.dot.splitlines() if line.startswith("    g0"))

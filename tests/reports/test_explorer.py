"""The page has the results of the Python package, works without a mouse or a network, and fits the screen."""

import base64
import json
import re
import statistics
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch

from pgm_control import (
    InvalidArgument,
    TabularMDP,
    TabularModel,
    evaluate,
    explain,
    explore,
    infer,
    ledger,
    zoo,
)
from pgm_control.models import (
    frozen_lake,
    lottery,
    restaurant,
    risky_path,
    slippery_cliff,
    windy_bridge,
    windy_bridge_in_parts,
)
from pgm_control.reports.explorer import explorer_page
from pgm_control.reports.explorer import page as _explore
from pgm_control.reports.explorer.problem_data import coded, problem_data
from pgm_control.text.wording import above_rounding, amount

AGREE = 1e-9
SETTINGS = 210  # in total, for the zoo and random problems
DRAWN = "a grid that you draw"


def random_problem(seed):
    """A random problem, with impossible or forbidden outcomes, masked actions, a discount or a final reward in some."""
    r = np.random.default_rng(seed)
    states, actions, outcomes = (int(r.integers(1, most)) for most in (7, 4, 5))
    shape = (states, actions, outcomes)
    weights = r.random(shape) * (r.random(shape) < 0.7)
    weights[..., 0] += weights.sum(-1) == 0
    reward = np.round(r.normal(size=shape) * 3, 2)
    if r.random() < 0.25:
        reward[r.random(shape) < 0.15] = -np.inf
    start = r.random(states) * (r.random(states) < 0.6)
    start[0] += start.sum() == 0
    prior = r.random((states, actions)) * (r.random((states, actions)) < 0.75)
    prior[:, 0] += prior.sum(1) == 0
    mdp = TabularMDP(
        start / start.sum(),
        weights / weights.sum(-1, keepdims=True),
        r.integers(0, states, shape),
        reward,
        horizon=int(r.integers(1, 9)),
        discount=float(r.choice([1.0, 1.0, 0.9, 0.5])),
        final_reward=np.round(r.normal(size=states), 2) if r.random() < 0.3 else None,
    )
    return TabularModel(mdp, 1.0, prior / prior.sum(1, keepdims=True))


class Reader(HTMLParser):
    """A parser that records elements with their attributes, and the text of the data element."""

    def __init__(self):
        super().__init__()
        self.elements, self.data, self.inside = [], "", False

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.inside = dict(attrs).get("id") == "data"

    def handle_endtag(self, tag):
        self.inside = False

    def handle_data(self, data):
        self.data += data if self.inside else ""


def parsed(page):
    reader = Reader()
    reader.feed(page)
    return reader


# Without a browser


def test_the_page_is_self_contained_and_has_no_url():
    page = explorer_page()
    assert len(page.encode()) < 300_000
    assert not re.search(r"\b(?:https?|ftp|wss?)://|[\"'(]//[\w.-]+\.\w{2,}/|@import|url\((?!#)", page)
    assert not re.search(r"\b(?:fetch|XMLHttpRequest|WebSocket|EventSource|sendBeacon|import)\s*\(", page)
    assert "{{" not in page
    for tag, attributes in parsed(page).elements:
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            assert attributes.get(name, "#").startswith(("#", "data:,")), (tag, attributes)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy


def test_every_script_of_the_folder_is_in_the_page_and_short():
    folder = Path(_explore.__file__).parent
    assert sorted(_explore._SCRIPTS) == sorted(each.name for each in folder.glob("*.js"))
    assert all(len(each.read_text().splitlines()) <= 300 for each in folder.glob("*.js"))


def test_a_name_cannot_end_the_data_or_become_markup():
    awful = "<!--<script </script ></script><img src=x onerror=alert(1)>&amp;\u2028{{script}}"
    mdp = restaurant().replace(action_names=(awful, "b"), state_names=("a", awful, "c", "d"))
    reader = parsed(explorer_page(mdp, name=awful))
    assert not set("<>&") & set(reader.data)  # browsers treat incomplete tags differently
    data = json.loads(reader.data)
    assert data["start"] == awful
    assert data["problems"][0]["stateNames"][1] == awful
    assert not [tag for tag, attributes in reader.elements if tag == "img"]
    assert sum(tag == "script" for tag, _ in reader.elements) == 2


def test_a_name_without_an_encoding_is_refused():
    with pytest.raises(InvalidArgument, match="`name` must be a string of valid Unicode"):
        explorer_page(lottery(), name="\ud800")


def test_the_page_contains_the_zoo_and_starts_with_the_given_problem():
    data = json.loads(parsed(explorer_page(lottery(), name="lottery")).data)
    assert [each["name"] for each in data["problems"]] == ["lottery (yours)", *zoo()]
    assert json.loads(parsed(explorer_page(lottery(), name=DRAWN)).data)["start"] == f"{DRAWN} (yours)"
    assert json.loads(parsed(explorer_page("risky_path")).data)["start"] == "risky_path"
    assert json.loads(parsed(explorer_page()).data)["start"] == "restaurant"
    for found in data["problems"][1:]:
        assert found["temperature"] == zoo()[found["name"]].temperature


@pytest.mark.parametrize("name", zoo())
def test_coded_tables_are_the_tables(name):
    mdp = zoo()[name].build()
    data = problem_data(name, mdp, "")
    for key in ("initial", "probability", "reward"):
        table = [float(data[key]["values"][i]) for i in data[key]["at"]]
        assert table == getattr(mdp, key).flatten().tolist()
    assert coded(torch.tensor([1.5, -torch.inf, 1.5]))["values"] == [1.5, "-Infinity"]


def test_the_map_follows_the_layout():
    mdp = windy_bridge().replace(state_names=None)
    assert mdp.layout is not None
    found = problem_data("bridge", mdp, "")["layout"]
    assert (found["rows"], found["columns"], found["cells"]) == (5, 3, list(range(15)))
    assert found["directions"] == [[1, 0], [0, -1], [0, 1]]
    moved = mdp.replace(layout=[cell and (cell[1], 5 - cell[0]) for cell in mdp.layout])
    found = problem_data("bridge", moved, "")["layout"]
    assert (found["rows"], found["columns"]) == (3, 6)
    assert found["cells"] == [-1, 12, 9, 6, 3, 0, -1, 13, 10, 7, 4, 1, -1, 14, 11, 8, 5, 2]
    assert found["directions"] == [[0, -1], [-1, 0], [1, 0]]
    assert problem_data("bridge", mdp.replace(layout=None), "")["layout"] is None
    assert problem_data("bridge", mdp.replace(layout=[(20, 20), *[None] * 16]), "")["layout"] is None, "too large"


def test_problems_that_are_too_large_or_unknown_are_refused_with_the_remedy():
    states = 700
    large = TabularMDP.from_dense(
        np.eye(states)[0], np.roll(np.eye(states), 1, 1)[:, None], np.random.default_rng(0).random((states, 1)), 5
    )
    with pytest.raises(InvalidArgument, match=r"at most 1,000,000 entries .* has 7,000,000.*mdp.replace\(horizon=…\)"):
        explorer_page(large.replace(horizon=10_000))
    many = large.replace(state_names=tuple("a long name " * 30 + str(s) for s in range(states)))
    with pytest.raises(InvalidArgument, match=r"fit into a page of 300,000 bytes.*smaller version.*infer"):
        explorer_page(many)
    with pytest.raises(InvalidArgument, match="Did you mean 'lottery'"):
        explorer_page("lotery")
    with pytest.raises(InvalidArgument, match=r"TabularMDP or a tabular model, but is a int.*Make a TabularMDP"):
        _explore._mdp_of(3)


def test_explore_writes_the_page_and_opens_it(tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(_explore.webbrowser, "open", opened.append)
    path = explore("lottery", tmp_path / "deep" / "page.html")
    assert opened == [path.resolve().as_uri()]
    assert path.read_text(encoding="utf-8") == explorer_page("lottery")
    monkeypatch.chdir(tmp_path)
    assert explore(open_browser=False) == Path("explorer.html")
    assert Path("explorer.html").exists()
    assert len(opened) == 1


# In Chromium


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    return explore("lottery", tmp_path_factory.mktemp("explorer") / "page.html", open_browser=False).as_uri()


@pytest.fixture
def open_page(browser, url):
    """Open the page; at the end there must be no network request and no console message."""
    contexts, asked, said = [], [], []

    def opened(address=url, **options):
        contexts.append(browser.new_context(**{"viewport": {"width": 1400, "height": 1000}, **options}))
        page = contexts[-1].new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(address)
        page.evaluate("explorer.ready")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not said
    assert all(each.startswith(("file:", "data:,")) for each in asked)


SEND = """(settings) => {
  for (const [id, value] of Object.entries(settings)) {
    const input = document.getElementById(`${id}-number`);
    input.value = value;
    input.dispatchEvent(new Event("input", { bubbles: true }));
    if (input.hasAttribute("aria-invalid")) throw new Error(`${id} ${value} is refused`);
  }
  explorer.update();
  const { problem, guides, of, ledger } = explorer.now;
  const flat = (array) => btoa(Array.from(new Uint8Array(array.buffer, array.byteOffset, array.byteLength),
    (each) => String.fromCharCode(each)).join(""));
  const { q, v, logPolicy, logDynamics, logInitial, objective } = guides.beta;
  const tables = { q, v, logPolicy, logDynamics, logInitial, policyByStep: ledger.beta.byStep.policy,
    dynamicsByStep: ledger.beta.byStep.dynamics, survivalByStep: ledger.beta.byStep.survival };
  const numbers = (each) => [each.imagined, each.trueReturn, each.delusion, each.entropy, each.elbo];
  return {
    tables: Object.fromEntries(Object.entries(tables).map(([name, table]) => [name, flat(table)])),
    objective, error: explorer.now.error,
    scores: { beta: numbers(of.beta), free: numbers(of.free), clamped: numbers(of.clamped) },
    totals: Object.values(ledger.beta.totals), gap: ledger.beta.gap, evidence: ledger.beta.logEvidence,
    best: explorer.now.best,
  };
}"""
INJECT = "(data) => { explorer.problems.set(data.name, Problems.read(data)); explorer.choose(data.name); }"


def until(page, condition):
    """Wait for the condition; the page's policy forbids the evaluation of text, which Playwright's own method needs."""
    for _ in range(400):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(25)
    raise AssertionError(f"never: {condition}")


def answers(page, **settings):
    found = page.evaluate(SEND, settings)
    assert found["error"] == ""
    found["tables"] = {name: np.frombuffer(base64.b64decode(each)) for name, each in found["tables"].items()}
    return found


def alike(ours, theirs, what):
    ours, theirs = np.asarray(ours, dtype=float), np.asarray(theirs, dtype=float)
    assert ours.shape == theirs.shape, what
    finite = np.isfinite(theirs)
    assert (ours[~finite] == theirs[~finite]).all(), what
    off = np.abs(ours[finite] - theirs[finite]) / np.maximum(1.0, np.abs(theirs[finite]))
    assert off.max(initial=0.0) <= AGREE, (what, off.max())


def same_answers(found, model, beta, kinds=("beta", "free", "clamped")):
    """Check that the page's numbers are those of `infer`, `evaluate` and `ledger`."""
    mdp, guide = model.mdp, infer(model, beta)
    tables, possible = found["tables"], (mdp.probability > 0).flatten()
    dynamics = guide.dynamics.flatten(1)[:, possible]
    for name, table in (
        ("q", guide.q),
        ("v", guide.v),
        ("policyByStep", (account := ledger(model, guide)).policy_by_step),
        ("dynamicsByStep", account.dynamics_by_step),
        ("survivalByStep", account.survival_by_step),
    ):
        alike(tables[name], table.flatten(), name)
    alike(np.exp(tables["logPolicy"]), guide.policy.flatten(), "policy")
    alike(np.exp(tables["logInitial"]), guide.initial, "initial")
    ours = np.exp(tables["logDynamics"])
    alike(np.tile(ours, len(dynamics)) if len(ours) == dynamics.shape[1] else ours, dynamics.flatten(), "dynamics")
    alike(found["objective"], guide.objective, "objective")
    alike(found["totals"], account.totals, "totals")
    alike([found["gap"], found["evidence"]], [account.gap, account.log_evidence], "gap and evidence")
    alike(found["best"], infer(TabularModel(mdp, 0.0, model.action_prior), 0.0).value, "best policy")
    for kind in kinds:
        score = evaluate(model, infer(model, {"beta": beta, "free": 1.0, "clamped": 0.0}[kind]))
        numbers = score.imagined_return, score.true_return, score.delusion, score.policy_entropy, score.elbo
        alike(found["scores"][kind], numbers, f"scores of {kind}")


def test_hundreds_of_random_settings_have_the_results_of_python(open_page):
    page, r, done = open_page(), np.random.default_rng(6), 0
    steady = (-1.0, 0.0, 1.0, 1e-7, -1e-4)
    entries = [(name, None) for name in zoo() if "8x8" not in name for _ in range(5)]
    entries += [(f"random {seed}", random_problem(seed)) for seed in range(SETTINGS - len(entries))]
    for name, own in entries:
        if own is None:
            if page.evaluate("explorer.now.name") != name:
                page.select_option("#problem", name)
            mdp, prior = zoo()[name].build(), None
        else:
            page.evaluate(INJECT, problem_data(name, own.mdp, "", own))
            mdp, prior = own.mdp, own.action_prior
        beta = float(r.choice(steady)) if r.random() < 0.3 else round(float(r.uniform(-3, 3)), 3)
        tau = float(f"{10 ** r.uniform(-1.3, 1):.4g}")
        steps, discount = int(r.integers(1, 13)), float(r.choice([1.0, 1.0, 0.99, 0.7]))
        if own is not None:
            discount = mdp.discount
        found = answers(page, beta=beta, tau=tau, T=steps, gamma=discount)
        model = TabularModel(mdp.replace(horizon=steps, discount=discount), tau, prior)
        same_answers(found, model, beta, ("beta", "free", "clamped") if done % 4 == 0 else ("beta",))
        done += 1
    assert done >= 200


@pytest.mark.parametrize("name", ["frozen_lake_8x8", "slippery_cliff"])
def test_the_longest_problems_have_the_results_of_python(open_page, name):
    page = open_page()
    page.select_option("#problem", name)
    mdp = zoo()[name].build()
    tau = zoo()[name].temperature
    same_answers(answers(page, beta=0.7), TabularModel(mdp, tau), 0.7)


def slips(build, slip):
    """A grid of Gymnasium with this probability of slipping, half to each side."""
    mdp = build()
    weights = torch.tensor([slip / 2, 1 - slip, slip / 2], dtype=torch.float64)
    return mdp.replace(probability=torch.where(mdp.probability[..., 1:2] > 0, weights, mdp.probability))


def pits(value, success):
    mdp = risky_path()
    probability = mdp.probability.clone()
    probability[0, 1] = torch.tensor([success, 1 - success], dtype=torch.float64)
    return mdp.replace(probability=probability, reward=torch.where(mdp.reward == -100, value, mdp.reward))


def bridge(gust, slip, fall):
    """The bridge with this gust, an argument of the package's function, and with slip and cost replaced here."""
    mdp = windy_bridge_in_parts(gust=gust).joint()
    own = torch.tensor([(1 - slip) / 0.9, slip / 0.1], dtype=torch.float64)
    probability = (mdp.probability.unflatten(-1, (2, 3)) * own[:, None]).flatten(-2)
    return mdp.replace(probability=probability, reward=torch.where(mdp.reward < -2, -1.0 - fall, mdp.reward))


def dinners(**utilities):
    mdp, found = restaurant(), restaurant().reward.clone()
    for old, new in ((-10.0, utilities["bad"]), (8.0, utilities["spectacular"])):
        found[mdp.reward == old] = new
    return mdp.replace(reward=found)


MOVED = (
    (
        "lottery",
        {"jackpot_probability": 0.3, "jackpot": 7.5, "price": 2.5, "wage": 1.5},
        lambda: lottery(0.3, 7.5, 2.5, 1.5),
    ),
    ("restaurant", {"bad_dinner": -3.3, "spectacular_dinner": 9.5}, lambda: dinners(bad=-3.3, spectacular=9.5)),
    ("risky_path", {"success": 0.9, "pit": -4.5}, lambda: pits(-4.5, 0.9)),
    ("windy_bridge", {"gust": 0.25, "slip": 0.3, "fall": 11.0}, lambda: bridge(0.25, 0.3, 11.0)),
    ("windy_bridge", {"gust": 0.0}, lambda: windy_bridge_in_parts(gust=0.0).joint()),
    ("frozen_lake", {"slip": 0.2}, lambda: slips(frozen_lake, 0.2)),
    ("frozen_lake", {"slip": 0.0}, lambda: slips(frozen_lake, 0.0)),
    ("slippery_cliff", {"slip": 1.0}, lambda: slips(slippery_cliff, 1.0)),
)


def test_the_parameters_of_a_problem_change_its_tables(open_page):
    page = open_page()
    for name, given, mdp in MOVED:
        page.select_option("#problem", name)
        moved = {f"parameter-{key}": value for key, value in given.items()}
        same_answers(answers(page, beta=0.6, tau=1.0, T=7, **moved), TabularModel(mdp().replace(horizon=7), 1.0), 0.6)
        page.evaluate("document.getElementById('reset').click()")
        same_answers(answers(page, tau=1.0, T=7), TabularModel(zoo()[name].build().replace(horizon=7), 1.0), 0.5)


def test_one_event_can_be_changed_by_hand(open_page):
    page, mdp = open_page(), windy_bridge()
    page.select_option("#problem", "windy_bridge")
    page.select_option("#state", "4")
    page.select_option("#action", "2")
    page.click("#dynamics-edit summary")
    found = answers(page, beta=0.8, **{"outcome-1": 0.5})
    probability = mdp.probability.clone()
    rest = 1 - float(probability[4, 2, 1])
    probability[4, 2] *= 0.5 / rest
    probability[4, 2, 1] = 0.5
    same_answers(found, TabularModel(mdp.replace(probability=probability), 1.0), 0.8)
    assert sum(float(each.input_value()) for each in page.locator("#dynamics-sliders input[type=text]").all()) == (
        pytest.approx(1.0, abs=1e-5)
    )


def grid_of(lines, slip, step, hole, goal, horizon):
    """The drawn grid, implemented independently: left, down, right, up; a slip goes to a side."""
    free = [(i, j) for i, line in enumerate(lines) for j, sign in enumerate(line) if sign in ".S"]
    ended, moves = len(free), [(0, -1), (1, 0), (0, 1), (-1, 0)]
    shape = (len(free) + 1, 4, 3)
    probability, successor, reward = np.zeros(shape), np.full(shape, ended), np.zeros(shape)
    probability[ended, :, 0] = 1.0
    for s, (i, j) in enumerate(free):
        for a in range(4):
            for k, (turn, p) in enumerate(((-1, slip / 2), (0, 1 - slip), (1, slip / 2))):
                down, right = moves[(a + turn) % 4]
                row, column = i + down, j + right
                inside = 0 <= row < len(lines) and 0 <= column < len(lines[0])
                sign = lines[row][column] if inside else "#"
                probability[s, a, k] = p
                reward[s, a, k] = {"H": hole, "G": goal}.get(sign, step)
                if sign == "#":
                    successor[s, a, k] = s
                elif sign in ".S":
                    successor[s, a, k] = free.index((row, column))
    starts = np.asarray([lines[i][j] == "S" for i, j in free] + [False], dtype=float)
    return TabularMDP(starts / starts.sum(), probability, successor, reward, horizon)


def test_a_grid_drawn_by_mouse_and_by_keys_has_the_results_of_python(open_page):
    page = open_page()
    page.select_option("#problem", DRAWN)
    lines = page.evaluate("Editor.drawing.map")
    same_answers(answers(page, beta=0.4), TabularModel(grid_of(lines, 0.2, -0.1, -10.0, 10.0, 20)), 0.4)
    page.check("input[name=brush][value='#']")
    page.click("#editor-grid button:nth-child(3)")
    page.check("input[name=brush][value=S]")
    page.locator("#editor-grid button:nth-child(3)").focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Space")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.check("input[name=brush][value=G]")
    page.click("#editor-grid button:nth-child(24)")
    lines = [".S#...", ".S###.", "S....G", "#HHHHG"]
    assert page.evaluate("Editor.drawing.map") == lines
    found = answers(
        page, beta=-0.7, tau=0.5, T=9, **{"grid-slip": 0.35, "grid-hole": -4, "grid-step": -0.3, "grid-goal": 6}
    )
    same_answers(found, TabularModel(grid_of(lines, 0.35, -0.3, -4.0, 6.0, 9), 0.5), -0.7)
    found = answers(page, **{"grid-rows": 5, "grid-columns": 4})
    lines = [".S#.", ".S##", "S...", "#HHH", "...."]
    assert page.evaluate("Editor.drawing.map") == lines
    same_answers(found, TabularModel(grid_of(lines, 0.35, -0.3, -4.0, 6.0, 9), 0.5), -0.7)


STATE = """[explorer.now.beta, explorer.now.tau, explorer.now.T, explorer.now.theta, explorer.now.dynamics,
  explorer.now.state, explorer.now.action, explorer.now.time, explorer.now.count, explorer.now.seed, Editor.drawing]"""
SAVED = 400  # ms; the address is written after a pause


def test_the_address_restores_every_setting_in_another_window_and_after_a_reload(open_page, url):
    page = open_page()
    page.select_option("#problem", "windy_bridge")
    answers(page, beta=-0.3, tau=0.123456789, T=7, count=5, seed=42, **{"parameter-gust": 0.2, "parameter-fall": 12})
    page.select_option("#state", "4")
    page.select_option("#action", "2")
    answers(page, time=3)
    page.click("#dynamics-edit summary")
    changed = answers(page, **{"outcome-1": 0.4})
    page.wait_for_timeout(SAVED)
    state, address = page.evaluate(STATE), page.evaluate("location.hash")
    assert state[:3] == [-0.3, 0.123456789, 7]
    assert state[5:10] == [4, 2, 3, 5, 42]
    page.reload()
    page.evaluate("explorer.ready")
    for shown in (page, open_page(url + address)):
        assert shown.evaluate(STATE) == state
        assert shown.evaluate("location.hash") == address
        assert shown.input_value("#parameter-gust-number") == "0.2"
        found = answers(shown)
        assert found["gap"] == changed["gap"]
        assert all((found["tables"][key] == changed["tables"][key]).all() for key in found["tables"])


def test_a_drawn_grid_is_in_the_address_and_reset_removes_it(open_page, url):
    page = open_page()
    page.select_option("#problem", DRAWN)
    first = page.evaluate(STATE)
    page.click("#editor-grid button:nth-child(3)")
    answers(page, beta=1.0, tau=2.0, **{"grid-slip": 0.35, "grid-columns": 7})
    page.wait_for_timeout(SAVED)
    state, address = page.evaluate(STATE), page.evaluate("location.hash")
    assert state[-1]["map"] == ["..H....", ".####..", "S....G.", "#HHHH#."]
    other = open_page(url + address)
    assert other.evaluate(STATE) == state
    assert other.input_value("#grid-columns-number") == "7"
    page.click("#reset")
    assert page.evaluate(STATE) == [0.5, *first[1:]]
    assert page.input_value("#grid-slip-number") == "0.2"
    assert page.input_value("#beta-number") == "0.5"
    page.go_back()
    until(page, f"location.hash === {json.dumps(address)}")
    assert page.evaluate(STATE) == state


def test_back_and_forward_go_through_the_problems(open_page):
    page = open_page()
    answers(page, beta=0.9)
    page.select_option("#problem", "restaurant")
    answers(page, tau=3.0)
    page.select_option("#problem", "risky_path")
    page.go_back()
    until(page, "explorer.now.name === 'restaurant'")
    assert page.evaluate("[explorer.now.beta, explorer.now.tau]") == [0.9, 3]
    page.go_back()
    until(page, "explorer.now.name === 'lottery'")
    assert page.evaluate("[explorer.now.beta, explorer.now.tau]") == [0.9, 1]
    page.go_forward()
    until(page, "explorer.now.name === 'restaurant'")
    assert page.title() == "restaurant – the pgm-control explorer"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # the link to the results does not replace the settings in the address
    assert page.evaluate("document.activeElement.id") == "cards"
    assert page.evaluate("location.hash").startswith("#problem=restaurant&")


@pytest.mark.parametrize(
    ("fragment", "said"),
    [
        ("problem=lottery&beta=1e9", 'β, of start and dynamics must be a number from −1000 to 1000, but is "1e9"'),
        ("problem=lottery&tau=nan", 'temperature τ, reward units per nat must be a number .*, but is "nan"'),
        ("problem=lottery&tau=", "temperature τ.*but is empty"),
        ("problem=lottery&T=0x10", 'must be a whole number from 1 to 200, but is "0x10"'),
        ("problem=lottery&T=1.5", 'must be a whole number .*"1.5"'),
        ("problem=lottery&seed=-1", 'seed must be a whole number from 0 to 4294967295, but is "-1"'),
        ("problem=lottery&parameter-__proto__=1", 'there is no setting "parameter-__proto__"'),
        ("problem=__proto__", 'this page has no problem "__proto__"'),
        ("beta=1", "it names no problem"),
        ("problem=lottery&problem=lottery", '"problem" is given twice'),
        ("problem=lottery&state=99", "state must be a whole number from 0 to"),
        ("problem=risky_path&T=2&time=2", "time must be a whole number from 0 to 1"),
        ("problem=lottery&event-0,0=0.5 0.6", "event-0,0 is no distribution"),
        ("problem=lottery&event-0,0=1", "event-0,0 is no distribution"),
        ("problem=lottery&event-0,1=0 1", "event-0,1 is no distribution"),  # the wage is certain
        ("problem=lottery&event-99,0=1 0", "no state 99"),
        ("problem=a+grid+that+you+draw&map=<script>", "signs . # H G S only"),
        ("problem=a+grid+that+you+draw&map=" + "S" * 11, "the map must have 1 to 10 rows"),
        ("problem=a+grid+that+you+draw&map=S./G", "of the same length"),
        ("problem=lottery&x=" + "1" * 20_000, "it has 20018 characters"),
        ("problem=<img src=x onerror=alert(1)>" + "y" * 99, 'no problem "<img src=x onerror=alert\\(1\\)>y+…'),
        ("%E0%A4%A=%ff", "names no problem"),
    ],
)
def test_a_hostile_address_is_refused_as_a_whole_and_said(open_page, url, fragment, said):
    page = open_page(f"{url}#{fragment}")
    assert re.search(f"^This link is not used: .*{said}", page.inner_text("#link-error"))
    assert page.evaluate("[explorer.now.name, explorer.now.beta, explorer.now.tau, explorer.now.T]") == [
        "lottery",
        0.5,
        1,
        1,
    ]
    assert not page.evaluate("document.querySelectorAll('img').length")
    page.select_option("#problem", "restaurant")
    assert page.inner_text("#link-error") == ""


def test_refused_input_is_said_beside_its_field(open_page):
    page = open_page()
    for text, is_what in (("1e9", '"1e9"'), ("nan", '"nan"'), ("", "empty"), ("0,5", '"0,5"'), ("inf", '"inf"')):
        page.fill("#beta-number", text)
        said = f"It must be a number from −1000 to 1000, but is {is_what}. 0.5 is kept."
        assert page.inner_text("#beta-fault") == said
        assert page.get_attribute("#beta-number", "aria-describedby") == "beta-fault"
        assert page.evaluate("explorer.now.beta") == 0.5
    page.keyboard.press("Tab")
    assert page.input_value("#beta-number") == "0.5"
    assert page.inner_text("#beta-fault").endswith("0.5 is kept.")  # until the next good number
    page.fill("#beta-number", "−.25")
    assert page.inner_text("#beta-fault") == ""
    assert page.evaluate("explorer.now.beta") == -0.25
    page.fill("#T-number", "2.5")
    assert page.inner_text("#T-fault") == 'It must be a whole number from 1 to 200, but is "2.5". 1 is kept.'


def test_maps_and_episodes_come_first(open_page):
    page = open_page()
    for name in ("frozen_lake", "slippery_cliff", "windy_bridge"):
        page.select_option("#problem", name)
        bottom = "(id) => document.getElementById(id).getBoundingClientRect().bottom"
        assert page.evaluate(bottom, "samples-charts") <= page.evaluate(bottom, "samples") <= 1000, (
            name
        )  # the height of the window
        tops = "[...document.querySelectorAll('#samples .chart')].map((node) => node.getBoundingClientRect().top)"
        assert len(set(page.evaluate(tops))) == 1, name
        assert "mean return of these 12:" in page.inner_text("#samples-charts")
    assert page.evaluate("document.querySelector('.card:not([hidden])').id") == "places"
    page.select_option("#problem", "restaurant")
    assert page.evaluate("document.querySelector('.card:not([hidden])').id") == "samples"


def test_a_longer_horizon_stays_within_the_limit_of_size(open_page):
    page, r = open_page(), np.random.default_rng(0)
    states = 200
    probability = r.dirichlet(np.ones(4), (states, 10))
    mdp = TabularMDP(
        np.eye(states)[0], probability, r.integers(0, states, (states, 10, 4)), np.zeros((states, 10, 4)), 20
    )
    page.evaluate(INJECT, problem_data("large", mdp, ""))
    page.fill("#T-number", "200")
    assert page.inner_text("#T-fault") == 'It must be a whole number from 1 to 125, but is "200". 20 is kept.'
    assert page.evaluate("document.documentElement.scrollHeight") < 4000


def test_a_grid_without_a_start_shows_an_error_and_recovers(open_page):
    page = open_page()
    page.select_option("#problem", DRAWN)
    page.check("input[name=brush][value='.']")
    page.click("#editor-grid button:nth-child(13)")
    assert "needs a start" in page.inner_text("#problem-error")
    assert not page.is_visible("#scores")
    page.check("input[name=brush][value=S]")
    page.click("#editor-grid button:nth-child(13)")
    assert page.inner_text("#problem-error") == ""
    assert page.is_visible("#scores")


def test_the_sentences_are_those_of_explain(open_page):
    page = open_page()
    for name in (each for each in zoo() if "8x8" not in each):
        page.select_option("#problem", name)
        page.click("text=free 1")
        page.evaluate("explorer.update()")
        tau = zoo()[name].temperature
        model = TabularModel(zoo()[name].build(), tau)
        large = model.mdp.probability.numel() * model.mdp.horizon > 20_000
        for beta in (0.5,) if large else (1.0, 0.5, -0.4, 0.0):
            answers(page, beta=beta)
            explanation = explain(model, beta, flip=False)
            shown = page.evaluate(
                "[...document.querySelectorAll('#sentences p:not([id])')].map((node) => node.textContent)"
            )
            # the bridge is symmetric: rounding decides which of two mirrored events is named first
            mirrored = " leads to state " if name == "windy_bridge" else "in no sentence"
            kept = [
                [each for each in sentences if mirrored not in each] for sentences in (shown, explanation.sentences)
            ]
            assert kept[0] == kept[1], name
            assert len(shown) == len(explanation.sentences)
            assert page.inner_text("#headline") == f"{explanation.headline}."
            headline = ledger(model, infer(model, beta)).headline
            assert page.inner_text("#ledger-words") == f"At β = {beta:g}: {headline}".replace("-", "−")


def test_the_flip_is_found_after_a_pause(open_page):
    page = open_page()
    for name in ("restaurant", "lottery", "risky_path"):
        page.select_option("#problem", name)
        flip = explain(zoo()[name].model()).flip
        answers(page, beta=1.0)
        until(page, "explorer.now.flip !== undefined")
        assert f"{flip.optimism:.3g}" in page.inner_text("#flip")
        assert page.evaluate("explorer.now.flip.optimism") == pytest.approx(flip.optimism, abs=1e-6)
        answers(page, beta=0.5 * flip.optimism)
        until(page, "explorer.now.flip === null")
        assert not page.is_visible("#flip")


def test_the_mean_return_of_sampled_episodes_is_the_expected_return(open_page):
    """A mean of 4000 lies within five standard errors; the seeds are fixed, so the result is deterministic."""
    page = open_page()
    for name in ("windy_bridge", "lottery"):
        page.select_option("#problem", name)
        for truly, key in ((False, "imagined"), (True, "trueReturn")):
            found = page.evaluate(
                """([truly, key]) => { const { problem, guides, of } = explorer.now;
                const guide = truly ? Solver.inTruth(problem, guides.beta) : guides.beta;
                return [Episodes.sample(problem, guide, 4000, 3).map((each) => each.total), of.beta[key]]; }""",
                [truly, key],
            )
            returns = np.asarray(found[0])
            assert abs(returns.mean() - found[1]) < 5 * returns.std() / 4000**0.5
    one, two = (
        page.evaluate("JSON.stringify(Episodes.sample(explorer.now.problem, explorer.now.guides.beta, 9, 7))")
        for _ in "ab"
    )
    assert one == two


def test_all_controls_can_be_used_by_keys_alone(open_page):
    page = open_page()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    seen, unseen_focus = [], []
    for _ in range(80):
        page.keyboard.press("Tab")
        found = page.evaluate(
            """() => { const node = document.activeElement, style = getComputedStyle(node);
            const outlined = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
            return [node.id || node.textContent.trim(), outlined]; }"""
        )
        if found[0] in seen or page.evaluate("document.activeElement === document.body"):
            break
        seen.append(found[0])
        if not found[1]:
            unseen_focus.append(found[0])
    wanted = {"problem", "beta", "beta-number", "free 1", "tau", "T", "gamma", "parameter-jackpot_probability", "state"}
    assert wanted | {"action", "reset", "Change this die", "choosing", "paid", "count", "seed"} <= set(seen)
    assert not unseen_focus
    page.focus("#beta")
    before = page.inner_text("#headline")
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    until(page, f"document.querySelector('#headline').innerText !== {json.dumps(before)}")
    assert page.input_value("#beta-number") == "0.55"
    page.focus("#tau")
    page.keyboard.press("End")
    assert page.input_value("#tau-number") == "100"
    page.focus("#beta-number")
    page.keyboard.press("Control+a")
    page.keyboard.type("e")
    assert page.get_attribute("#beta-number", "aria-invalid") == "true"
    page.keyboard.press("Tab")
    assert page.input_value("#beta-number") == "0.55"
    page.select_option("#problem", "frozen_lake")
    page.locator("#maps button.cell[tabindex='0']").nth(1).focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert page.evaluate("explorer.now.state") == 4
    assert "(1, 0)" in page.inner_text("#policy .place")


def test_every_control_has_a_name_and_the_sentences_are_live(open_page):
    page = open_page()
    for name in ("lottery", "slippery_cliff", DRAWN):
        page.select_option("#problem", name)
        nameless = page.evaluate(
            """() => [...document.querySelectorAll("input, select, button")].filter((node) => !(node.labels?.length
            || node.getAttribute("aria-label") || node.textContent.trim())).map((node) => node.outerHTML)"""
        )
        assert not nameless
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((node) => node.id)")
    assert len(ids) == len(set(ids))
    assert page.get_attribute("#sentences", "aria-live") == "polite"
    page.evaluate("explorer.update()")
    assert page.get_attribute("#sentences", "aria-busy") == "true"
    page.wait_for_selector("#sentences[aria-busy=false]")
    assert page.evaluate("document.getAnimations().length") == 0


@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (1345, "light"), (1150, "dark"), (390, "dark")])
def test_nothing_overlaps_or_leaves_the_page(open_page, width, scheme):
    page = open_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    long = restaurant().replace(
        state_names=("a very long name of a state that goes on and on", "b" * 60, "c", "d"),
        action_names=("walk slowly towards the exit and wait there", "run"),
    )
    page.evaluate(INJECT, problem_data("long", long, "A long one. " * 9))
    for name in ("long", "lottery", "windy_bridge", "frozen_lake_8x8", "slippery_cliff", DRAWN):
        page.select_option("#problem", name) if name != "long" else None
        answers(page, beta=-0.123456)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        until(page, "explorer.now.sweep.points.length > 0")
        clashes = page.evaluate(
            """() => [...document.querySelectorAll(".card svg[role=img]")].flatMap((root) => {
              const all = [...root.querySelectorAll("text")];
              const texts = all.map((node) => [node.textContent, node.getBoundingClientRect()]);
              const frame = root.getBoundingClientRect();
              const out = texts.filter(([, box]) => box.left < frame.left - 1 || box.right > frame.right + 1);
              const pairs = texts.flatMap((one, i) => texts.slice(i + 1).map((other) => [one, other]));
              const hits = pairs.filter(([[, a], [, b]]) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
                && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 2);
              return [...out.map(([text]) => `out: ${text}`), ...hits.map(([[a], [b]]) => `${a} on ${b}`)];
            })"""
        )
        assert not clashes, name
        if name != "long" and width > 760:  # on a phone tables scroll within their cards
            wider = "(one) => one.scrollWidth - one.parentElement.clientWidth"
            assert max(page.evaluate(f"[...document.querySelectorAll('.card table')].map({wider})")) <= 0, name
    back = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", back))) < 200) == (scheme == "dark")


def test_rounding_errors_beside_larger_numbers_are_0_as_in_python(open_page):
    page = open_page()
    for values in ([5.0, -5.97e-15, 1e-9], [-5.97e-15, 0.0], [3e12, 0.25]):
        largest = max(map(abs, values))
        written = page.evaluate("(values) => values.map(Words.together(values))", values)
        assert written == [amount(above_rounding(value, largest)) for value in values]
    assert page.evaluate("[-Infinity, 1, 1e-13].map(Words.together([-Infinity, 1, 1e-13]))")[0] == "minus infinity"


def test_the_cards_fill_a_wide_window(open_page):
    page = open_page(viewport={"width": 1600, "height": 1000})
    for name in ("restaurant", "lottery", "windy_bridge", "slippery_cliff"):
        page.select_option("#problem", name)
        until(page, "explorer.now.sweep.points.length > 0")
        empty = page.evaluate(
            """() => { const bottoms = [...document.querySelectorAll(".column")].map((column) =>
            [...column.querySelectorAll(".card")].at(-1).getBoundingClientRect().bottom);
            return Math.abs(bottoms[0] - bottoms[1]); }"""
        )
        assert empty < 250, f"{name}: the shorter column ends {empty:.0f} pixels above the other"


def test_a_change_of_a_slider_is_fast(open_page, request):
    """Medians are recorded; the targets, 50 ms and half a second, are not checked on a busy machine."""
    page = open_page()
    page.select_option("#problem", "frozen_lake")  # 16 cells
    answers(page, T=20)
    moves = page.evaluate(
        """() => Array.from({ length: 25 }, (_, i) => { explorer.now.beta = i / 20; explorer.update();
        return explorer.now.milliseconds; })"""
    )
    both = page.evaluate(
        """() => Array.from({ length: 15 }, (_, i) => { explorer.now.tau = 0.05 + i / 100; explorer.update();
        return explorer.now.milliseconds; })"""
    )
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    found = {"optimism": statistics.median(moves), "temperature": statistics.median(both), "first paint": paint}
    request.node.user_properties += [(f"{name}, ms", value) for name, value in found.items()]
    assert max(found.values()) < 5000

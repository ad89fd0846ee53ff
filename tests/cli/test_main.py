"""The command line: its output, its files, its error messages, and its imports."""

import contextlib
import html
import json
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import pytest
from command_line import run
from problems import sized

from pgm_control import (
    FreeGuide,
    TabularMDP,
    TabularModel,
    continuous_zoo,
    evaluate,
    explain,
    fit,
    guide_zoo,
    infer,
    zoo,
)
from pgm_control.analysis import compare as _compare
from pgm_control.benchmark import bench as _bench
from pgm_control.cli import compare as _compare_command
from pgm_control.cli import main as cli
from pgm_control.cli.named_problem import TABLE_IDS, named_model, sizes
from pgm_control.cli.options import DEMONSTRATORS, LEARNERS, in_options
from pgm_control.cli.training.learner import ALGORITHMS
from pgm_control.inverse_rl.demonstrators import NAMED
from pgm_control.models import restaurant
from pgm_control.problems.named import CONTINUOUS, ENVIRONMENTS
from pgm_control.reports.explorer import page as _page

ROOT = Path(cli.__file__).parent.parent.parent


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize("args", [["--help"], ["compare", "--help"], ["bench", "--help"], ["zoo", "--help"]])
def test_help_imports_nothing_slow(args):
    code = (
        "import sys\n"
        "from pgm_control.cli.main import main\n"
        "try:\n"
        f"    main({args})\n"
        "finally:\n"
        "    slow = {'torch', 'pyro', 'numba', 'matplotlib'} & set(sys.modules)\n"
        "    print('slow:', sorted(slow))\n"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "slow: []" in found.stdout
    assert "usage: pgm-control" in found.stdout
    if "compare" in args:
        for option in ("NAME", "--horizon", "--temperature", "--num-steps", "--seed", "--out"):
            assert option in found.stdout
    if "bench" in args:
        for option in ("--models", "--guides", "--guide MODULE:NAME", "--num-seeds", "--jobs", "--engine", "--out"):
            assert option in found.stdout


@pytest.mark.parametrize(
    "args",
    [
        ["zoo"],
        ["compare", "resturant"],
        ["compare", "restaurant", "--temperature", "0"],
        ["report", "Taxi-v3"],
        ["bench", "--num-seeds", "0"],
        ["train", "sac", "Pendulum-v1", "--total-steps", "0"],
        ["learn-reward", "restaurant", "--prior", "-1"],
        ["play", "run", "--num-episodes", "0"],
        ["play", "no_such_folder"],
        ["train"],
        ["train", "sacc", "Pendulum-v1"],
        ["train", "sac", "Pendulumm-v1"],
        ["train", "sac", "NoSuchEnvironment"],
        ["train", "sac", "Pendulum-v1", "--risk", "nan"],
        ["train", "sac", "Pendulum-v1", "--risk", "1", "--optimism", "1"],
        ["train", "sac", "Pendulum-v1", "--temperature", "warm"],
        ["train", "sac", "Pendulum-v1", "--option", "hidden"],
        ["train", "--resume", "no_such_folder"],
        ["train", "sac", "--resume", "no_such_folder"],
        ["learn-reward", "restaurant", "--num-episodes", "9", "--of", "stat"],
        ["learn-reward", "restaurant", "--num-episodes", "9", "--demonstrator", "fre"],
        ["learn-reward", "restaurant", "--num-episodes", "9", "--by", "nan"],
        ["learn-reward", "restaurant", "--num-episodes", "9", "--risk", "inf"],
        ["learn-reward", "restaurant", "--num-episodes", "9", "--risk", "1", "--demonstrator", "free"],
        ["learn-reward", "restaurant", "--num-episodes", "9", "--prior", "strong"],
        ["learn-reward", "restaurant", "--demonstrations", "no_such_file.npz"],
        ["learn-reward", "restaurant"],
        ["bench", "--jobs", "0"],
        ["plan", "windy_brige"],
        ["plan", "CartPole-v1"],
        ["plan", "windy_bridge", "--planner", "mpi"],
        ["plan", "windy_bridge", "--num-plans", "1"],
        ["plan", "windy_bridge", "--temperature", "ess:2"],
        ["plan", "windy_bridge", "--planner", "receding", "--num-plans", "8"],
    ],
)
def test_a_list_and_a_rejected_value_do_not_wait_for_torch(args):
    code = (
        "import sys\n"
        "from pgm_control.cli.main import main\n"
        f"status = main({args})\n"
        "print('slow:', sorted({'torch', 'pyro', 'numba', 'matplotlib'} & set(sys.modules)), status)\n"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert f"slow: [] {0 if args == ['zoo'] else 2}" in found.stdout
    assert "Warning" not in found.stderr
    assert found.stderr.count("\n") == (0 if args == ["zoo"] else 1)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("`num_steps` must be 1.", "--num-steps must be 1."),
        ("`name` must be one of the zoo.", "NAME must be one of the zoo."),
        ("Pass horizon=…, the number of actions.", "Pass --horizon …, the number of actions."),
        ("Use mdp.replace(horizon=…), or reset(seed=3).", "Use mdp.replace(horizon=…), or reset(seed=3)."),
        ("`reward` must be finite.", "`reward` must be finite."),
        ("`model` must have a positive temperature.", "NAME must have a positive temperature."),
    ],
)
def test_messages_name_options_as_they_are_typed(message, said):
    assert in_options(message, cli.compare) == said


@pytest.mark.parametrize(
    ("command", "args", "message", "said"),
    [
        (cli.train, ["--risk", "nan"], "`theta` must be finite.", "--risk must be finite."),
        (cli.train, ["--risk=-1"], "`optimism` must be 0.", "--risk must be 0."),
        (cli.train, ["--optimism", "1"], "`optimism` must be 0.", "--optimism must be 0."),
        (cli.train, ["--option", "hidden=a"], "`hidden` must be numbers.", "--option hidden must be numbers."),
        (cli.train, ["--option", "batch-size=0"], "`batch_size` must be 1.", "--option batch-size must be 1."),
        (cli.train, ["--option", "hidden=a"], "`hidden[0]` must be 1.", "--option hidden[0] must be 1."),
        (cli.train, ["--optimism", "1"], "`optimism` must be 0 or a Risk.", "--optimism must be 0 or a --risk."),
        (cli.train, [], "`batch_size` must be 1.", "`batch_size` must be 1."),
        (cli.train, [], "`import_` is for pgm_control/RiskyPath-v0.", "--import is for pgm_control/RiskyPath-v0."),
        (cli.learn_reward, ["--demonstrator", "9"], "`optimism` must be 0.", "--demonstrator must be 0."),
        (cli.learn_reward, ["--risk", "9"], "`optimism` must be 0.", "--risk must be 0."),
    ],
)
def test_messages_name_the_option_that_sets_an_argument(command, args, message, said):
    assert in_options(message, command, args) == said


def test_the_names_that_are_checked_first_are_those_of_the_library():
    assert tuple(ALGORITHMS) == LEARNERS
    assert tuple(NAMED) == DEMONSTRATORS


def test_a_problem_without_a_share_of_the_best_return_says_it_in_options(capsys):
    status, out, err = run(capsys, "compare", "restaurant_twin", "--temperature", "auto")
    assert (status, out) == (2, "")
    assert err.startswith("pgm-control: --temperature must be a number for restaurant_twin, but is auto: the share of")
    assert "share_of_best" not in err
    assert "entropy" not in err


@pytest.mark.slow
def test_the_suggested_commands_never_lead_in_a_circle(capsys):
    """From any problem, at its own temperature or at another, the suggestions end at the explorer."""

    def following(args):
        _, out, _ = run(capsys, *args, "--num-steps", "1")
        return shlex.split(out.splitlines()[-1])[1:]

    starts = ["compare", "FrozenLake-v1", "--temperature", "10"], ["compare", "frozen_lake", "--temperature", "1"]
    for args in sized(starts, starts[:1]):
        seen = []
        while args[0] == "compare" and len(seen) < 6:
            assert args not in seen
            seen.append(args)
            args = following(args)
        assert args[0] in ("report", "explore")


@pytest.mark.parametrize("name", TABLE_IDS)
def test_every_environment_that_it_names_has_a_horizon_and_a_temperature(name):
    model = named_model(name, None, None)
    assert model.temperature == ENVIRONMENTS[name].temperature
    assert model.mdp.horizon == ENVIRONMENTS[name].horizon


def test_a_warning_is_one_line_without_a_path(capsys):
    cli._show_warning(DeprecationWarning("It is old.\nUse the new one."), DeprecationWarning, "path.py", 3)
    assert capsys.readouterr().err == "pgm-control: It is old. Use the new one.\n"


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_too_little_memory_is_said_in_words(capsys, monkeypatch, error):
    def full(*_):
        raise error

    monkeypatch.setattr(_compare_command, "named_model", full)
    status, out, err = run(capsys, "compare", "restaurant")
    assert (status, out) == (2, "")
    assert err == "pgm-control: There is not enough memory for this problem. Give a smaller one.\n"


def test_python_m_is_the_same_command():
    found = subprocess.run(
        [sys.executable, "-m", "pgm_control", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "usage: pgm-control" in found.stdout


def test_compare_prints_explains_writes_and_suggests_the_next_command(capsys, tmp_path):
    status, out, err = run(capsys, "compare", "restaurant")
    assert (status, err) == (0, "")
    for row in ("free, exact", "free, fitted", "clamped, exact", "clamped, fitted"):
        assert row in out
    flat = " ".join(out.split())
    for sentence in explain(TabularModel(restaurant())).sentences:
        assert sentence in flat
    assert "short of" not in out, "both fits converge"
    folder = tmp_path / "pgm-control-out" / "restaurant"
    assert sorted(path.name for path in folder.iterdir()) == ["comparison.json", "comparison.png"]
    assert (folder / "comparison.png").read_bytes().startswith(b"\x89PNG")
    assert out.endswith("  pgm-control compare restaurant_twin\n")
    table, _, words = out.partition("log p(O)")
    assert max(map(len, table.splitlines())) <= 80
    assert max(map(len, words.splitlines())) <= 80


def test_the_json_holds_the_numbers_and_the_command(capsys, tmp_path):
    args = [
        "compare",
        "lottery",
        "--horizon",
        "1",
        "--temperature",
        "1.5",
        "--num-steps",
        "60",
        "--seed",
        "3",
        "--out",
        "a b",
    ]
    assert run(capsys, *args)[0] == 0
    found = json.loads((tmp_path / "a b" / "comparison.json").read_text())
    model = TabularModel(zoo()["lottery"].build(), 1.5)
    assert found["log_evidence"] == pytest.approx(infer(model, 1.0).log_evidence, abs=1e-12)
    assert found["scores"]["clamped, exact"]["elbo"] == pytest.approx(infer(model, 0.0).objective, abs=1e-12)
    assert found["settings"] == {"horizon": 1, "temperature": 1.5, "discount": 1.0, "num_steps": 60, "seed": 3}
    assert set(found["versions"]) == {"python", "torch", "pyro-ppl", "gymnasium", "pgm-control"}
    for fitted in found["fits"].values():
        assert fitted["status"] == "out_of_steps"
        assert fitted["message"]
        assert fitted["num_steps"] == 60
        assert fitted["seconds"] > 0
    assert found["explanation"]["sentences"] == list(explain(model).sentences)
    assert found["explanation"]["events"][0]["action_name"] == "buy a ticket"
    assert shlex.split(found["command"])[:3] == ["pgm-control", "compare", "lottery"]


def without_time(path):
    found = json.loads(path.read_text())
    for fitted in found["fits"].values():
        del fitted["seconds"]
    return found


def test_its_command_reproduces_it(capsys, tmp_path):
    run(capsys, "compare", "frozen_lake", "--horizon", "8", "--num-steps", "40", "--out", "one")
    command = json.loads((tmp_path / "one" / "comparison.json").read_text())["command"]
    assert run(capsys, *shlex.split(command)[1:], "--out", "two")[0] == 0
    assert without_time(tmp_path / "one" / "comparison.json") == without_time(tmp_path / "two" / "comparison.json")


def test_a_fit_that_did_not_converge_is_reported(capsys):
    _, out, _ = run(capsys, "compare", "restaurant", "--num-steps", "20")
    flat = " ".join(out.split())
    assert re.search(
        r"Not converged after 20 steps: short of the optimum by \S+ nats \(free\) and \S+ nats \(clamped\)\.", flat
    )
    assert "Try --num-steps 200." in flat
    _, out, _ = run(capsys, "compare", "restaurant", "--num-steps", "200")
    assert "short of the optimum" not in out, "both fits are within 0.01 nats"


def test_a_gymnasium_environment(capsys, tmp_path):
    status, out, _ = run(capsys, "compare", "CliffWalkingSlippery-v1", "--horizon", "15", "--num-steps", "3")
    assert status == 0
    assert (tmp_path / "pgm-control-out" / "CliffWalkingSlippery-v1" / "comparison.json").exists()
    last = out.splitlines()[-1].strip()
    assert last == "pgm-control report CliffWalkingSlippery-v1 --horizon 15"


@pytest.mark.parametrize(
    ("args", "following"),
    [
        (["restaurant_twin"], "pgm-control compare lottery"),
        (["risky_path", "--horizon", "4"], "pgm-control compare risky_path_twin --horizon 4"),
        (["frozen_lake", "--horizon", "9", "--temperature", "1"], "pgm-control compare frozen_lake --horizon 9"),
        (["CliffWalking-v1", "--horizon", "3"], "pgm-control compare slippery_cliff"),
    ],
)
def test_it_ends_with_the_next_command_and_that_command_works(capsys, args, following):
    _, out, _ = run(capsys, "compare", *args, "--num-steps", "2")
    assert out.endswith(f"  {following}\n")
    if "cliff" not in following:
        assert run(capsys, *shlex.split(following)[1:], "--num-steps", "2")[0] == 0


def test_deterministic_problems_make_no_difference(capsys):
    _, out, _ = run(capsys, "compare", "lottery_twin", "--num-steps", "2")
    assert "There is no difference between free and clamped inference" in " ".join(out.split())


def test_an_unknown_option_leads_to_the_help_of_the_command(capsys):
    with pytest.raises(SystemExit):
        cli.main(["report", "restaurant", "--num_steps", "200", "--foo"])
    assert "pgm-control report --help" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("resturant", "restaurant"),
        ("Lotery", "lottery"),
        ("frozn_lake", "frozen_lake"),
        ("FrozenLake-v9", "FrozenLake-v1"),
        ("CliffWalkingSlipery-v1", "CliffWalkingSlippery-v1"),
        ("taxi", "Taxi-v4"),
    ],
)
def test_wrong_names_suggest_the_nearest(capsys, tmp_path, name, nearest):
    status, out, err = run(capsys, "compare", name)
    assert (status, out) == (2, "")
    assert re.search(rf"There is no problem '{name}'.* Did you mean .*\b{re.escape(nearest)}\b", err)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["CartPole-v1"], "CartPole-v1 has no transition table"),
        (["CartPole-v1"], "use `pgm-control train`"),
        (["qqq"], "`pgm-control zoo` lists them"),
        (["no_such_module:Env-v0"], "Gymnasium cannot make 'no_such_module:Env-v0'"),
        ([""], "There is no problem"),
        (["restaurant", "--temperature", "0"], "--temperature must be a positive number of reward units per nat"),
        (["restaurant", "--temperature", "-1"], "--temperature must be a positive number of reward units per nat"),
        (["restaurant", "--temperature", "nan"], "--temperature must be a positive number of reward units per nat"),
        (["restaurant", "--horizon", "0"], "--horizon must be a whole number"),
        (["restaurant", "--num-steps", "0"], "--num-steps must be a whole number"),
        (["restaurant", "--seed", "-1"], "--seed must be a whole number"),
        (["restaurant", "--out", "taken"], "--out must be a folder, but taken is a file"),
        (["restaurant", "--out", "taken/deeper"], "--out must be in a folder, but"),
        (["restaurant", "--horizon", "1000000000"], "1000000000 makes 24,000,000,000, 178.8 GiB a table"),
    ],
)
def test_mistakes_are_one_line_on_standard_error(capsys, tmp_path, args, message):
    (tmp_path / "taken").write_text("a file, not a folder")
    status, out, err = run(capsys, "compare", *args)
    assert (status, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert "Traceback" not in err


def test_arguments_of_the_wrong_kind_are_refused_by_the_parser(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["compare", "restaurant", "--num-steps", "many"])
    assert stop.value.code == 2
    assert "steps" in capsys.readouterr().err


def interrupting(guide_to_interrupt):
    """A progress function that presses Ctrl-C."""

    @contextlib.contextmanager
    def bar_over(total, label):
        seen = []

        def press(step, metrics):
            seen.append(f"{guide_to_interrupt}_elbo" in metrics)
            if seen[-1] and sum(seen) == 7:
                signal.raise_signal(signal.SIGINT)

        yield press

    return bar_over


@pytest.mark.parametrize(
    ("guide", "rows"),
    [("clamped", 5), ("free", 4)],  # with the best policy
)
def test_ctrl_c_keeps_the_partial_fit(capsys, tmp_path, monkeypatch, guide, rows):
    monkeypatch.setattr(cli, "bar_over", interrupting(guide))
    status, out, _ = run(capsys, "compare", "restaurant")
    flat = " ".join(out.split())
    assert status == 0
    assert f"The fit of the {guide} guide, after 7 steps, is" in flat
    assert "Interrupted by Ctrl-C" in flat
    assert ("The clamped guide was not fitted" in flat) is (guide == "free")
    found = json.loads((tmp_path / "pgm-control-out" / "restaurant" / "comparison.json").read_text())
    assert len(found["scores"]) == rows
    assert found["fits"][guide]["status"] == "interrupted"
    assert (tmp_path / "pgm-control-out" / "restaurant" / "comparison.png").exists()


def test_ctrl_c_outside_of_a_fit_prints_no_traceback(capsys, monkeypatch):
    def pressed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(_compare_command, "named_model", pressed)
    assert run(capsys, "compare", "restaurant") == (130, "", "pgm-control: interrupted.\n")


def test_without_matplotlib_it_carries_on(capsys, tmp_path, monkeypatch):
    for module in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    status, out, _ = run(capsys, "compare", "restaurant", "--num-steps", "2")
    assert status == 0
    assert "pip install matplotlib" in out
    assert [path.name for path in (tmp_path / "pgm-control-out" / "restaurant").iterdir()] == ["comparison.json"]


@pytest.mark.slow
def test_an_untrained_policy_at_the_optimal_elbo_is_reported(capsys, monkeypatch):
    """The ELBO does not depend on a pit that the guide never expects to enter; the true return does."""
    pit = TabularMDP(
        initial=[1.0, 0.0, 0.0],
        probability=[[[0.5, 0.5]] * 2, [[1.0, 0.0]] * 2, [[1.0, 0.0]] * 2],
        successor=[[[1, 2]] * 2, [[1, 1]] * 2, [[2, 2]] * 2],
        reward=[[[0.0, -100.0]] * 2, [[0.0, 0.0]] * 2, [[0.0, 0.0], [-50.0, 0.0]]],
        horizon=2,
    )

    def fit_that_learns_nothing_in_the_pit(model, guide, **settings):
        found = fit(model, guide, **settings)
        if isinstance(guide, FreeGuide):
            guide.policy_logits.data[1, 2] = 0.0
        return found

    monkeypatch.setattr(_compare, "fit", fit_that_learns_nothing_in_the_pit)
    monkeypatch.setattr(_compare_command, "named_model", lambda *_: TabularModel(pit))
    _, out, _ = run(capsys, "compare", "restaurant")
    flat = " ".join(out.split())
    assert re.search(
        r"\"free, fitted\" is within \S+ nats of its optimum and yet truly earns -62\.5\d*, not -50:", flat
    )
    assert "its policy stays untrained in states that it never expects" in flat
    assert '"clamped, fitted" is' not in flat


def test_zoo_lists_names_summaries_and_sizes(capsys):
    status, out, _ = run(capsys, "zoo")
    assert status == 0
    flat = " ".join(out.split())
    for name, entry in zoo().items():
        mdp = entry.build()
        assert f"{name} {sizes(mdp)}, τ = {entry.temperature:g} {entry.summary}" in flat
    assert out.endswith("  pgm-control compare restaurant\n")
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.slow
@pytest.mark.parametrize(("name", "horizon"), [("hurry", 2), ("double_integrator", 4), ("gusty_ledge", 2)])
def test_continuous_problems_are_compared_exactly(capsys, name, horizon):
    status, out, _ = run(capsys, "compare", name, "--horizon", str(horizon))
    assert status == 0
    model: Any = continuous_zoo()[name].model(horizon)
    flat = " ".join(out.split())
    for sentence in explain(model).sentences:
        assert f"• {sentence}" in flat
    folder = Path("pgm-control-out") / name
    numbers = json.loads((folder / "comparison.json").read_text())
    free = infer(model, 1.0)
    assert numbers["log_evidence"] == pytest.approx(free.log_evidence)
    assert numbers["scores"]["clamped, exact"]["elbo"] == pytest.approx(infer(model, 0.0).objective)
    assert numbers["frontier"]["points"][-1]["true_return"] == pytest.approx(evaluate(model, free).true_return)
    assert (
        numbers["command"]
        == f"pgm-control compare {name} --horizon {horizon} --temperature {model.temperature:g} --seed 0"
    )
    assert (folder / "comparison.png").read_bytes().startswith(b"\x89PNG")
    assert out.splitlines()[-1] == f"  pgm-control report {name}"


@pytest.mark.slow
@pytest.mark.parametrize(("name", "horizon"), [("hurry", 2), ("double_integrator", 4), ("gusty_ledge", 2)])
def test_continuous_problems_have_a_page(capsys, name, horizon):
    status, out, _ = run(capsys, "report", name, "--horizon", str(horizon))
    assert status == 0
    model: Any = continuous_zoo()[name].model(horizon)
    page = (Path("pgm-control-out") / name / "report.html").read_text()
    for sentence in explain(model).sentences:
        assert html.escape(sentence) in page
    command = f"pgm-control report {name} --horizon {horizon} --temperature {model.temperature:g} --seed 0"
    assert command in page
    following = out.splitlines()[-1].split()[-1]
    assert following in continuous_zoo()
    assert following != name


def test_the_continuous_zoo_is_listed(capsys):
    flat = " ".join(run(capsys, "zoo")[1].split())
    assert [each.name for each in CONTINUOUS] == list(continuous_zoo())
    for each in CONTINUOUS:
        problem = continuous_zoo()[each.name].build()
        assert problem.horizon == each.settings.horizon
        assert (
            f"{each.name} {each.state}, T = {problem.horizon}, τ = {each.settings.temperature:g} {each.summary}" in flat
        )


def test_other_commands_refuse_a_continuous_problem(capsys):
    for command in ("explore", "learn-reward"):
        more = ["--num-episodes", "2"] if command == "learn-reward" else []
        status, _, err = run(capsys, command, "hurry", *more)
        assert status == 2
        assert "hurry is a continuous problem, without tables: the commands compare, report and plan take it" in err
    status, _, err = run(capsys, "compare", "hurry", "--temperature", "auto")
    assert status == 2
    assert "must be a number for hurry" in err


def test_the_environments_it_names_have_tables():
    for name in TABLE_IDS:
        assert hasattr(gymnasium.make(name).unwrapped, "P")


def test_a_bar_is_shown_on_a_terminal_only(capsys, monkeypatch):
    run(capsys, "compare", "restaurant", "--num-steps", "2")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    _, _, err = run(capsys, "compare", "restaurant", "--num-steps", "2")
    assert "clamped_elbo" in err
    assert "4/4" in err


MINE = '''
import torch
from pgm_control import Blocks, MarkovGuide


class Still(MarkovGuide):
    """The action prior, changed by one parameter."""

    def __init__(self, model):
        super().__init__(model)
        self.tilt = torch.nn.Parameter(torch.zeros_like(model.action_prior[0]))

    def blocks(self):
        prior = self.model.blocks()
        policy = torch.log_softmax(prior.log_policy + self.tilt, -1)
        return prior.replace(log_policy=policy)
'''


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """The `module:name` of a guide in the current folder."""
    (tmp_path / "mine_own.py").write_text(MINE)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield "mine_own:Still"
    sys.modules.pop("mine_own", None)


@pytest.mark.slow
def test_bench_prints_writes_and_suggests_the_next_command(capsys, tmp_path, mine):
    args = ["--models", "lottery", "restaurant", "--guides", "free", "clamped", "--guide", mine, "--num-seeds", "1"]
    status, out, err = run(capsys, "bench", *args)
    assert (status, err) == (0, "")
    table = out.partition("\n\n")[0].splitlines()
    assert [line.split()[:2] for line in table[2:]] == [
        ["lottery", "free"],
        ["clamped", "2.3275"],
        [mine, "2.3275"],
        ["restaurant", "free"],
        ["clamped", "4.7224"],
        [mine, "4.7224"],
    ]
    folder = tmp_path / "pgm-control-out" / "bench"
    assert sorted(path.name for path in folder.iterdir()) == ["page.md", "results.csv", "results.jsonl"]
    page = (folder / "page.md").read_text()
    assert (
        f"    pgm-control bench --models lottery restaurant --guides free clamped --guide {mine} --num-seeds 1\n"
        in page
    )
    assert out.endswith("Next, see where the largest delusion comes from:\n  pgm-control compare lottery\n")
    whole = (folder / "results.jsonl").read_bytes()
    assert run(capsys, "bench", *args)[1] == out
    assert (folder / "results.jsonl").read_bytes() == whole, "nothing was run again"


def test_bench_without_names_means_all(capsys, monkeypatch):
    asked = {}

    def noting(models, guides, **settings):
        asked.update(models=models, guides=guides, **settings)
        raise KeyboardInterrupt

    monkeypatch.setattr(_bench, "bench", noting)
    assert run(capsys, "bench", "--guide", "a:B", "--guide", "c:D", "--jobs", "2")[0] == 130
    assert asked["models"] is None
    assert asked["guides"] == (*guide_zoo(), "a:B", "c:D")
    assert (asked["jobs"], asked["num_seeds"], asked["temperature"], asked["num_steps"]) == (2, 3, None, None)
    assert asked["command"] == "pgm-control bench --guide a:B --guide c:D --num-seeds 3"


def test_bench_suggests_more_steps(capsys, tmp_path):
    _, out, _ = run(
        capsys, "bench", "--models", "risky_path", "--guides", "free", "--num-seeds", "1", "--num-steps", "30"
    )
    following = "pgm-control bench --models risky_path --guides free --num-seeds 1 --num-steps 60"
    assert out.endswith(f"Next, give free on risky_path more steps:\n  {following}\n")
    assert run(capsys, *shlex.split(following)[1:])[0] == 0


@pytest.fixture
def keyboard():
    """Restore the Ctrl-C handler of a terminal, also if the tests run in the background and ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_during_a_bench_prints_the_command_to_resume(capsys, tmp_path, monkeypatch, keyboard):
    @contextlib.contextmanager
    def bar_over(total, label):
        def press(step, metrics):
            if step == 2:
                signal.raise_signal(signal.SIGINT)

        yield press

    args = ["--models", "restaurant", "lottery", "--guides", "clamped", "--num-seeds", "2", "--num-steps", "5"]
    with monkeypatch.context() as pressed:
        pressed.setattr(cli, "bar_over", bar_over)
        status, out, err = run(capsys, "bench", *args, "--out", "a b")
    assert (status, err) == (130, "pgm-control: interrupted.\n")
    following = shlex.join(["pgm-control", "bench", *args, "--out", "a b"])
    assert out.endswith(f"2 of 4 jobs are left. To continue:\n  {following}\n")
    before = (tmp_path / "a b" / "results.jsonl").read_bytes()
    assert run(capsys, *shlex.split(following)[1:])[0] == 0
    after = (tmp_path / "a b" / "results.jsonl").read_bytes()
    assert after.startswith(before)
    assert len(after.splitlines()) == 4


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--models", "resturant"], "Did you mean 'restaurant'"),
        (["--guides", "clampt"], "Did you mean 'clamped'"),
        (["--guide", "mine_own:Stil"], "Did you mean mine_own:Still?"),
        (["--guide", "yours:Guide"], "No module named 'yours'"),
        (["--num-seeds", "0"], "--num-seeds must be a whole number"),
        (["--jobs", "0"], "--jobs must be a number of jobs"),
        (["--temperature", "0"], "--temperature must be a positive number"),
        (["--out", "mine_own.py"], "mine_own.py"),
    ],
)
def test_mistakes_in_a_bench_are_one_line_too(capsys, tmp_path, mine, args, message):
    status, out, err = run(capsys, "bench", "--models", "restaurant", "--guides", "clamped", "--num-steps", "2", *args)
    assert (status, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "pgm-control-out").exists()


def test_a_bar_over_jobs_is_shown_on_a_terminal_only(capsys, monkeypatch):
    args = ["--models", "restaurant", "--guides", "clamped", "--num-seeds", "2", "--num-steps", "2"]
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    _, _, err = run(capsys, "bench", *args)
    assert "bench" in err
    assert "2/2" in err


# The report and the explorer


def test_report_writes_one_page(capsys, tmp_path):
    status, out, err = run(capsys, "report", "restaurant", "--num-steps", "20", "--seed", "4")
    assert status == 0
    assert err == (
        "pgm-control: Not converged after 20 steps: short of the optimum by 0.3404 nats (free) and 0.02177 nats "
        "(clamped). Try --num-steps 200.\n"
    )
    assert "The free guide imagines 7.104 but truly earns 3.996" in out
    page = (tmp_path / "pgm-control-out" / "restaurant" / "report.html").read_text()
    assert "pgm-control report restaurant --horizon 1 --temperature 1 --num-steps 20 --seed 4" in page
    assert out.endswith("Next, change its settings:\n  pgm-control explore restaurant\n")


@pytest.mark.parametrize(("largest", "following"), [(10**6, "explore FrozenLake-v1"), (1000, "explore")])
def test_report_suggests_an_explorer_that_accepts_the_problem(capsys, monkeypatch, largest, following):
    monkeypatch.setattr(_page, "MOST_OUTCOMES", largest)
    _, out, _ = run(capsys, "report", "FrozenLake-v1", "--num-steps", "1", "--horizon", "2")
    following = f"pgm-control {following}"
    assert out.endswith(f"\n  {following}\n")
    assert run(capsys, *shlex.split(following)[1:], "--no-browser")[0] == 0


def test_explore_writes_the_page_and_opens_it_only_if_asked(capsys, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address))
    status, out, _ = run(capsys, "explore", "lottery", "--no-browser")
    assert (status, opened) == (0, [])
    assert "Explorer: pgm-control-out/lottery/explorer.html" in out
    assert "lottery" in (tmp_path / "pgm-control-out" / "lottery" / "explorer.html").read_text()
    assert "Explorer: pgm-control-out/explorer.html" in run(capsys, "explore", "--no-browser")[1]
    assert run(capsys, "explore", "lottery", "--out", "other.html")[0] == 0
    assert len(opened) == 1
    status, _, err = run(capsys, "explore", "lotery", "--no-browser")
    assert status == 2
    assert "lottery" in err


def test_compare_chooses_a_temperature_when_asked(capsys, tmp_path, monkeypatch):
    status, out, err = run(capsys, "compare", "restaurant", "--temperature", "auto", "--num-steps", "2")
    assert (status, err) == (0, "")
    assert out.startswith("restaurant: 4 states, 2 actions, T = 1, temperature 0.713209\n")
    saved = json.loads((tmp_path / "pgm-control-out" / "restaurant" / "comparison.json").read_text())
    assert "--temperature auto" in saved["command"]
    assert saved["settings"]["temperature"] == pytest.approx(0.713209, rel=1e-5)
    assert saved["scores"]["clamped, exact"]["true_return"] == pytest.approx(5.195, abs=1e-3)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    err = run(capsys, "compare", "restaurant", "--temperature", "auto", "--num-steps", "2")[2]
    assert "temperature: 100%" in err
    assert "share of best=0.9000" in err

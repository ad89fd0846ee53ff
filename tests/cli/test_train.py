"""`pgm-control train` and `play`: their files, output and error messages, and how a run is resumed."""

import csv
import json
import os
import shlex
import signal
import sys
import types
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from command_line import pressing, run
from small_environments import Counting, Noisy, equal, whole

from pgm_control import MissingExtra
from pgm_control.cli import main as cli
from pgm_control.cli import train as _train_command
from pgm_control.cli.film import film, observed_by
from pgm_control.cli.run_folder import RunFolder
from pgm_control.learners import SAC, EvaluationPoint, SoftQLearning
from pgm_control.plot.progress import curve
from pgm_control.runtime.files import alone_in

pytestmark = pytest.mark.slow

FILES = ["checkpoint.pt", "curve.png", "evaluations.csv", "log.csv", "log.jsonl", "policy.pt", "run.json"]
TINY = [
    "--option",
    "hidden=8",
    "--option",
    "batch_size=8",
    "--option",
    "learning_starts=10",
    "--option",
    "capacity=200",
]
NOISY = ["train", "sac", "test/Noisy-v0", "--seed", "3", *TINY]
PLAIN = [*NOISY, "--evaluate-every", "0"]


class Painted(Noisy):
    """An environment that renders images."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012  as in Gymnasium

    def __init__(self, render_mode=None):
        super().__init__()
        self.render_mode = render_mode

    def render(self):
        return np.full((4, 4, 3), int(abs(self.x)) % 255, np.uint8)


class Absent(gymnasium.Env):
    """An environment that needs a missing package."""

    def __init__(self, render_mode=None):
        raise gymnasium.error.DependencyNotInstalled('Physics is not installed, run `pip install "physics"`')


@pytest.fixture(autouse=True, scope="module")
def registered():
    names = {"Noisy": Noisy, "Painted": Painted, "Absent": Absent, "Counting": Counting}
    for name, kind in names.items():
        gymnasium.register(f"test/{name}-v0", kind, max_episode_steps=12)
    gymnasium.register("test/Huge-v0", Counting, kwargs={"trouble": "huge", "at": 70})
    gymnasium.register("test/Nan-v0", Counting, kwargs={"trouble": "nan reward", "at": 70})
    yield
    for name in (*names, "Huge", "Nan"):
        del gymnasium.registry[f"test/{name}-v0"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Skip the pictures, which take a second each, and the flushes to disk, which only matter in a power failure."""
    monkeypatch.setattr(os, "fsync", lambda file: None)
    monkeypatch.setattr(_train_command, "curve", lambda title, log, points, path: path.write_bytes(b"drawn"))


@pytest.fixture
def drawn(quick, monkeypatch):
    monkeypatch.setattr(_train_command, "curve", curve)


@pytest.fixture
def keyboard():
    """Restore the Ctrl-C handler of a terminal, also if the tests run in the background and ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def rows(path):
    return list(csv.DictReader(Path(path).read_text().splitlines()))


def without_time(path):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows(path)]


def test_train_writes_prints_and_suggests_the_next_command(capsys, tmp_path, drawn):
    status, out, err = run(
        capsys, *NOISY, "--total-steps", "60", "--evaluate-every", "20", "--num-evaluation-episodes", "3"
    )
    assert (status, err) == (0, "")
    folder = tmp_path / "pgm-control-out" / "sac-test_Noisy-v0"
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert out.startswith("sac on test/Noisy-v0, seed 3: makes 60 steps. Ctrl-C stops it and loses nothing.\n")
    assert out.endswith(f"Next, see what the policy earns:\n  pgm-control play {folder.relative_to(tmp_path)}\n")
    log = rows(folder / "log.csv")
    assert [int(row["step"]) for row in log] == list(range(3, 61, 3))
    assert list(log[0])[:3] == ["step", "seconds", "episodes"]
    assert log[0]["critic_loss"] == "", "nothing was learned yet"
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [{name: float(value) for name, value in row.items() if value} for row in log] == lines
    points = rows(folder / "evaluations.csv")
    assert [int(point["step"]) for point in points] == [20, 40, 60]
    table = [line.split() for line in out.split("\n\n")[1].splitlines()]
    assert table[0] == ["step", "return", "±", "s.e.", "length", "seconds"]
    assert [line[:2] for line in table[2:]] == [[p["step"], f"{float(p['mean']):.6g}"] for p in points]
    assert (folder / "curve.png").read_bytes().startswith(b"\x89PNG")
    facts = json.loads((folder / "run.json").read_text())
    assert (facts["status"], facts["total_steps"], facts["config"]["seed"]) == ("complete", 60, 3)
    assert facts["versions"]["torch"] == torch.__version__
    learner = SAC.load(folder / "checkpoint.pt")
    assert (learner.total_steps, learner.config["hidden"], learner.config["batch_size"]) == (60, [8], 8)
    assert (folder / "policy.pt").stat().st_size < (folder / "checkpoint.pt").stat().st_size


def test_the_command_and_the_library_agree(capsys, tmp_path):
    run(
        capsys,
        *PLAIN,
        "--total-steps",
        "40",
        "--temperature",
        "0.5",
        "--optimism",
        "-1",
        "--num-envs",
        "2",
        "--out",
        "x",
    )
    learner = SAC(
        "test/Noisy-v0", hidden=(8,), batch_size=8, learning_starts=10, capacity=200, seed=3, temperature=0.5,
        optimism=-1.0, num_envs=2,
    )  # fmt: skip
    learner.learn(40)
    kept = SAC.load(tmp_path / "x" / "checkpoint.pt")
    assert kept.config == learner.config
    assert equal(whole(kept, "a.pt")[0]["parts"], whole(learner, "b.pt")[0]["parts"])


@pytest.mark.parametrize("more", [[], ["--risk", "-0.5"]])
def test_its_command_reproduces_it(capsys, tmp_path, more):
    args = [*NOISY, "--total-steps", "40", "--evaluate-every", "0", "--temperature", "auto", "--num-envs", "2", *more]
    args[3:5] = []  # a fresh seed
    run(capsys, *args, "--out", "one")
    command = json.loads((tmp_path / "one" / "run.json").read_text())["command"]
    assert run(capsys, *shlex.split(command)[1:], "--out", "two")[0] == 0
    one, two = (whole(SAC.load(tmp_path / name / "checkpoint.pt"), "x.pt") for name in ("one", "two"))
    assert equal(one, two)
    assert rows("one/evaluations.csv") == []


@pytest.mark.parametrize("algorithm", _train_command.ALGORITHMS)
def test_every_algorithm_trains_resumes_and_plays(capsys, tmp_path, algorithm):
    temperature = [] if algorithm == "sac" else ["--temperature", "0.5"]
    small = ["--option", "hidden=8"] if algorithm == "policy_gradient" else TINY
    args = ["train", algorithm, "FrozenLake-v1", *small, *temperature, "--seed", "1", "--out", "x"]
    assert run(capsys, *args, "--total-steps", "40", "--evaluate-every", "40", "--num-evaluation-episodes", "2")[0] == 0
    assert run(capsys, "train", "--resume", "x", "--total-steps", "250")[0] == 0
    status, out, err = run(capsys, "play", "x", "--num-episodes", "2")
    assert (status, err) == (0, "")
    assert f"{algorithm} on FrozenLake-v1, after" in out
    assert int(rows(tmp_path / "x" / "log.csv")[-1]["step"]) >= 250


def test_help_names_every_algorithm(capsys):
    with pytest.raises(SystemExit):
        cli.main(["train", "--help"])
    flat = " ".join(capsys.readouterr().out.replace("│", " ").split())
    *others, last = _train_command.ALGORITHMS
    assert f"{', '.join(others)} or {last}." in flat
    for option in (
        "--total-steps",
        "--resume",
        "--out",
        "--seed",
        "--temperature",
        "--optimism",
        "--num-envs",
        "--device",
    ):
        assert option in flat


def test_ctrl_c_saves_everything_and_prints_the_command_to_resume(capsys, tmp_path, monkeypatch, keyboard):
    args = [*NOISY, "--total-steps", "60", "--evaluate-every", "20", "--num-evaluation-episodes", "2"]
    assert run(capsys, *args, "--out", "through")[0] == 0
    with monkeypatch.context() as pressed:
        pressed.setattr(cli, "bar_over", pressing(34))
        status, out, err = run(capsys, *args, "--out", "a b")
    assert (status, err) == (130, "pgm-control: interrupted.\n")
    following = "pgm-control train --resume 'a b'"
    assert out.endswith(f"Interrupted after 34 of 60 steps. To continue:\n  {following}\n")
    folder = tmp_path / "a b"
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert json.loads((folder / "run.json").read_text())["status"] == "interrupted"
    (folder / ".checkpoint.pt.x.partial").write_text("left by a kill")
    (folder / "log.csv").write_text("torn")
    status, out, _ = run(capsys, *shlex.split(following)[1:])
    assert status == 0
    assert "continues after 34 of 60 steps" in out
    assert sorted(path.name for path in folder.iterdir()) == FILES
    for name in ("log.csv", "evaluations.csv"):
        assert without_time(folder / name) == without_time(tmp_path / "through" / name)
    one, two = (whole(SAC.load(tmp_path / name / "checkpoint.pt"), "x.pt") for name in ("through", "a b"))
    assert equal(one, two)
    assert json.loads((folder / "run.json").read_text())["status"] == "complete"


def test_ctrl_c_twice_leaves_the_last_checkpoint(capsys, tmp_path, monkeypatch, keyboard):
    monkeypatch.setattr(cli, "bar_over", pressing(34, 34))
    status, out, err = run(capsys, *PLAIN, "--total-steps", "60", "--checkpoint-every", "10", "--out", "x")
    assert (status, err) == (130, "pgm-control: interrupted.\n")
    assert out.endswith("To continue from the last checkpoint:\n  pgm-control train --resume x\n")
    assert SAC.load(tmp_path / "x" / "checkpoint.pt").total_steps == 30


def test_a_run_without_a_checkpoint_yet_begins_anew(capsys, tmp_path):
    run(capsys, *PLAIN, "--total-steps", "40", "--out", "x")
    before = without_time("x/log.csv")
    (tmp_path / "x" / "checkpoint.pt").unlink()
    assert run(capsys, "train", "--resume", "x")[0] == 0
    assert without_time("x/log.csv") == before


def test_resume_can_make_more_steps_and_is_idle_when_all_are_made(capsys, tmp_path):
    run(capsys, *PLAIN, "--total-steps", "40", "--out", "x")
    before = (tmp_path / "x" / "log.csv").read_text()
    assert run(capsys, "train", "--resume", "x")[0] == 0
    assert (tmp_path / "x" / "log.csv").read_text() == before
    assert run(capsys, "train", "--resume", "x", "--total-steps", "70")[0] == 0
    assert (tmp_path / "x" / "log.csv").read_text().startswith(before)
    steps = [int(row["step"]) for row in rows("x/log.csv")]
    assert steps == sorted(set(steps))
    assert json.loads((tmp_path / "x" / "run.json").read_text())["learn"]["total_steps"] == 70


def test_play_compares_the_return_with_training(capsys, tmp_path):
    run(capsys, *NOISY, "--total-steps", "40", "--evaluate-every", "40", "--out", "x", "--num-evaluation-episodes", "3")
    last = rows("x/evaluations.csv")[-1]
    status, out, err = run(capsys, "play", "x", "--num-episodes", "5")
    assert (status, err) == (0, "")
    found = SAC.load("x/checkpoint.pt").evaluate(5, 0)
    assert out.startswith(f"sac on test/Noisy-v0, after 40 steps, the most probable actions:\n\n{found}\n")
    error = np.hypot(found.standard_error, float(last["standard_error"]))
    apart = (found.mean - float(last["mean"])) / error
    assert f"after 40 steps; this is {abs(apart):.1f} standard errors {'above' if apart > 0 else 'below'}" in out
    assert out.endswith("Next, let it learn longer:\n  pgm-control train --resume x --total-steps 80\n")
    drawn = run(capsys, "play", "x", "--num-episodes", "5", "--stochastic")[1]
    assert (
        f"actions sampled from the policy:\n\n{SAC.load('x/checkpoint.pt').evaluate(5, 0, deterministic=False)}"
        in drawn
    )
    assert run(capsys, "play", "x", "--num-episodes", "5", "--seed", "1")[1] != out
    run(capsys, "play", "x", "--num-episodes", "1")
    (tmp_path / "x" / "evaluations.csv").unlink()
    assert "The policy was never evaluated in training." in run(capsys, "play", "x", "--num-episodes", "1")[1]


def test_play_of_an_unfinished_run_suggests_to_finish_it(capsys, monkeypatch, keyboard):
    with monkeypatch.context() as pressed:
        pressed.setattr(cli, "bar_over", pressing(34))
        run(capsys, *PLAIN, "--total-steps", "60", "--out", "x")
    out = run(capsys, "play", "x", "--num-episodes", "2")[1]
    assert out.endswith("Next, let it learn the 26 steps that are left:\n  pgm-control train --resume x\n")


def test_play_writes_an_animation(capsys, tmp_path):
    run(capsys, "train", "sac", "test/Painted-v0", *TINY, "--total-steps", "20", "--evaluate-every", "0", "--out", "x")
    status, out, _ = run(capsys, "play", "x", "--num-episodes", "1", "--gif", "x.gif")
    assert status == 0
    assert "Film of one episode, " in out
    assert (tmp_path / "x.gif").read_bytes().startswith(b"GIF8")
    run(capsys, *PLAIN, "--total-steps", "20", "--out", "y")
    status, _, err = run(capsys, "play", "y", "--num-episodes", "1", "--gif", "y.gif")
    assert status == 2
    assert "--gif is for environments that render images, but test/Noisy-v0 does not" in err


def test_an_animation_without_pillow_names_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtra, match="pip install pillow"):
        film(SAC("test/Painted-v0", hidden=(8,)), "test/Painted-v0", 0, True, "x.gif")


def test_an_animation_without_pygame_says_so_before_the_policy_is_evaluated(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pygame", None)
    run(capsys, "train", "sac", "CartPole-v1", *TINY, "--total-steps", "20", "--evaluate-every", "0", "--out", "x")
    status, out, err = run(capsys, "play", "x", "--num-episodes", "1", "--gif", "x.gif")
    assert (status, out) == (2, "")
    assert "A film of CartPole-v1 needs pygame, which is missing: pip install pygame" in err
    assert run(capsys, "play", "x", "--num-episodes", "1")[0] == 0


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "An algorithm and an environment must be given, as in `pgm-control train sac Pendulum-v1`"),
        (["sac"], "An algorithm and an environment must be given"),
        (["sacc", "test/Noisy-v0"], "There is no algorithm 'sacc'. Did you mean sac? There are: sac, original_sac"),
        (["soft-q", "test/Noisey-v0"], "There is no algorithm 'soft-q'. Did you mean soft_q?"),
        (
            ["sac", "Pendulm-v1"],
            "Gymnasium cannot make 'Pendulm-v1': Environment `Pendulm` doesn't exist. Did you mean",
        ),
        (["sac", "CartPol"], "Gymnasium cannot make 'CartPol': Environment `CartPol` doesn't exist. Did you mean"),
        (["sac", "no_such_module:Env-v0"], "ENV must be an id without a module, but is 'no_such_module:Env-v0'"),
        (["sac", ""], "Gymnasium cannot make ''"),
        (["sac", "test/Absent-v0"], 'Physics is not installed, run `pip install "physics"`'),
        (
            ["policy_gradient", "test/Noisy-v0", "--optimism", "1"],
            "policy_gradient has no option --optimism. It has: temp",
        ),
        (["policy_gradient", "test/Noisy-v0", "--risk", "1"], "policy_gradient has no option --risk. It has: temp"),
        (["sac", "test/Noisy-v0", "--risk", "nan"], "--risk must be a finite number in 1/reward, but is nan"),
        (["sac", "test/Noisy-v0", "--temperature", "warm"], "--temperature must be a positive number"),
        (["sac", "test/Noisy-v0", "--option", "hiden=4"], "sac has no option hiden. Did you mean hidden? It has: temp"),
        (["sac", "test/Noisy-v0", "--option", "hidden"], "--option must be NAME=VALUE, such as learning_rate=1e-3"),
        (["sac", "test/Noisy-v0", "--option", "hidden=wide"], "--option hidden[0] must be a whole number, at least 1"),
        (["sac", "test/Noisy-v0", "--temperature", "-2"], "--temperature must be a positive number of reward units"),
        (["original_sac", "test/Noisy-v0", "--temperature", "0"], "--temperature must be a positive number"),
        (["sac", "test/Noisy-v0", "--optimism", "1"], "--optimism must be 0 or a --risk while the temperature is"),
        (["sac", "test/Noisy-v0", "--optimism", "0", "--risk", "1"], "--optimism and --risk exclude each other"),
        (["sac", "test/Noisy-v0", "--total-steps", "0"], "--total-steps must be a whole number, at least 1"),
        (["sac", "test/Noisy-v0", "--evaluate-every", "-1"], "--evaluate-every must be a whole number"),
        (["sac", "test/Noisy-v0", "--checkpoint-every", "0"], "--checkpoint-every must be a whole number"),
        (["sac", "test/Noisy-v0", "--num-envs", "0"], "--num-envs must be a whole number"),
        (["sac", "test/Noisy-v0", "--seed", "-3"], "--seed must be a whole number"),
        (["sac", "test/Noisy-v0", "--device", "cuda"], 'Take "cpu"'),
        (["sac", "test/Noisy-v0", "--out", "taken"], "taken"),
        (["--resume", "nowhere"], "`nowhere` must be the folder of a training run, but there is no such folder"),
        (["--resume", "."], "must be the folder of a training run, but there is no run.json"),
        (["--resume", "taken"], "`taken` must be the folder of a training run"),
        (
            ["--resume", "nowhere", "--seed", "3"],
            "With --resume all settings are those of the run, so --seed cannot be given",
        ),
        (
            ["sac", "test/Noisy-v0", "--resume", "nowhere"],
            "so an algorithm cannot be given; --total-steps and --device can",
        ),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(capsys, tmp_path, args, message):
    if "cuda" in args and torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    (tmp_path / "taken").write_text("a file, not a folder")
    status, _, err = run(capsys, "train", *args)
    assert status == 2
    assert message in err
    assert err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_a_device_that_torch_does_not_know_is_one_line(capsys):
    status, _, err = run(capsys, "train", "sac", "test/Noisy-v0", "--device", "abacus")
    assert (status, err.count("\n")) == (2, 1)


@pytest.fixture
def made(capsys, tmp_path):
    """The folder of a finished run."""
    run(capsys, *NOISY, "--total-steps", "40", "--evaluate-every", "0", "--out", "x")
    return tmp_path / "x"


def test_a_run_is_never_overwritten(capsys, made):
    before = {path.name: path.read_bytes() for path in made.iterdir()}
    status, out, err = run(capsys, *NOISY, "--total-steps", "40", "--out", "x")
    assert (status, out) == (2, "")
    assert "--out must be a folder without a run, but x holds one. To continue it: pgm-control train --resume x" in err
    assert {path.name: path.read_bytes() for path in made.iterdir()} == before


def test_a_run_that_is_going_on_is_not_resumed_beside_it(capsys, made):
    before = {path.name: path.read_bytes() for path in made.iterdir()}
    with alone_in(Path("x")):
        status, out, err = run(capsys, "train", "--resume", "x", "--total-steps", "60")
        assert (status, out) == (2, "")
        assert "--resume must be a folder in which nothing else runs, but another process is running in x." in err
    assert {path.name: path.read_bytes() for path in made.iterdir()} == before


@pytest.mark.parametrize(
    ("name", "content", "command", "message"),
    [
        ("checkpoint.pt", 0.5, ["train", "--resume", "x"], "is not a whole checkpoint of kind 'SAC'"),
        ("policy.pt", 0.5, ["play", "x"], "is not a whole checkpoint of kind 'SAC policy'"),
        ("policy.pt", None, ["play", "x"], "There is no policy in x yet"),
        ("run.json", 0.5, ["play", "x"], "run.json cannot be read"),
        ("run.json", b"[1]", ["train", "--resume", "x"], "is not from a training run of this version"),
        ("run.json", b"{}", ["play", "x"], "is not from a training run of this version"),
        ("evaluations.csv", b"step,me\n1,a\n", ["play", "x"], "evaluations.csv cannot be read"),
        (
            None,
            None,
            ["train", "--resume", "x", "--total-steps", "39"],
            "--total-steps must be at least 40, the steps made already",
        ),
        (None, None, ["play", "y"], "`y` must be the folder of a training run, but there is no such folder"),
        (None, None, ["play", "x", "--num-episodes", "0"], "--num-episodes must be a whole number, at least 1"),
    ],
)
def test_broken_folders_are_reported_in_one_line(capsys, made, name, content, command, message):
    if name is not None:
        path = made / name
        whole_file = path.read_bytes()
        path.unlink()
        if content is not None:
            path.write_bytes(content if isinstance(content, bytes) else whole_file[: int(content * len(whole_file))])
    status, _, err = run(capsys, *command)
    assert status == 2
    assert message in err
    assert err.count("\n") == 1


def test_an_environment_that_is_gone_is_reported(capsys, made, monkeypatch):
    monkeypatch.delitem(gymnasium.registry, "test/Noisy-v0")
    for command in (["play", "x"], ["train", "--resume", "x", "--total-steps", "50"]):
        status, _, err = run(capsys, *command)
        assert status == 2
        assert "Gymnasium cannot make 'test/Noisy-v0'" in err


def test_a_policy_of_another_kind_is_refused(capsys, made):
    facts = json.loads((made / "run.json").read_text())
    (made / "run.json").write_text(json.dumps({**facts, "algorithm": "soft_q"}))
    assert "of kind 'SoftQLearning policy', but holds one of kind 'SAC policy'" in run(capsys, "play", "x")[2]
    assert "of kind 'SoftQLearning', but holds one of kind 'SAC'" in run(capsys, "train", "--resume", "x")[2]


def test_a_failure_during_training_keeps_the_files(capsys, tmp_path):
    args = [
        *TINY,
        "--seed",
        "1",
        "--total-steps",
        "120",
        "--evaluate-every",
        "0",
        "--checkpoint-every",
        "20",
        "--out",
        "x",
    ]
    status, _, err = run(capsys, "train", "sac", "test/Nan-v0", *args)
    assert (status, err.count("\n")) == (2, 1)
    assert "The reward of test/Nan-v0 must be one finite number" in err
    assert "To continue after step 69: pgm-control train --resume x" in err
    assert SAC.load("x/checkpoint.pt").total_steps == 69
    assert json.loads(Path("x/run.json").read_text())["status"] == "failed"
    assert int(rows("x/log.csv")[-1]["step"]) == 66
    args[-1] = "y"
    status, _, err = run(capsys, "train", "sac", "test/Huge-v0", *args)
    assert (status, err.count("\n")) == (2, 1)
    assert "Lower the learning rate, or scale the rewards" in err
    assert "The files of the run so far are in y." in err
    good = SAC.load("y/checkpoint.pt")
    assert 60 <= good.total_steps < 120
    assert all(torch.isfinite(each).all() for each in good.actor.parameters())


def test_without_matplotlib_it_carries_on(capsys, tmp_path, monkeypatch, drawn):
    for module in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    status, out, _ = run(capsys, *PLAIN, "--total-steps", "20", "--out", "x")
    assert status == 0
    assert "pip install matplotlib" in out
    assert sorted(path.name for path in (tmp_path / "x").iterdir()) == [name for name in FILES if name != "curve.png"]


class Board:
    """A replacement of TensorBoard's writer."""

    def __init__(self, path, purge_step):
        self.path, self.purge, self.points = path, purge_step, []
        boards.append(self)

    def add_scalar(self, name, value, step):
        self.points.append((name, step, value))

    def flush(self):
        pass

    def close(self):
        self.points.append("closed")


boards: list[Board] = []


def test_tensorboard_gets_every_row_once(capsys, monkeypatch, keyboard):
    boards.clear()
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", types.SimpleNamespace(SummaryWriter=Board))
    with monkeypatch.context() as pressed:
        pressed.setattr(cli, "bar_over", pressing(34))
        run(capsys, *NOISY, "--total-steps", "60", "--evaluate-every", "20", "--tensorboard", "--out", "x")
    run(capsys, "train", "--resume", "x")
    first, second = boards
    assert (first.path, first.purge, second.purge) == (str(Path("x/tensorboard")), 1, 35)
    assert first.points.pop() == second.points.pop() == "closed"
    points = first.points + second.points
    kept = {(f"log/{name}", int(row["step"]), float(value)) for row in rows("x/log.csv") for name, value in row.items()
            if value and name != "step"}  # fmt: skip
    assert {point for point in points if point[0].startswith("log/")} == kept
    assert len(points) == len(set(points))
    assert [step for name, step, _ in points if name == "evaluations/return"] == [20, 40, 60]


def test_tensorboard_that_is_missing_is_reported_first(capsys, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    status, out, err = run(capsys, *NOISY, "--tensorboard")
    assert (status, out) == (2, "")
    assert "pip install tensorboard" in err
    assert list(tmp_path.iterdir()) == []


def test_a_bar_is_shown_on_a_terminal_only(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    _, _, err = run(capsys, *NOISY, "--total-steps", "40", "--evaluate-every", "20", "--out", "x")
    assert "40/40" in err
    assert "return=" in err
    assert "evaluation=" in err


def test_the_curve_draws_the_available_columns(tmp_path):
    points = [EvaluationPoint(5, 0.1, 1.0, 0.5, 3.0), EvaluationPoint(10, 0.2, 2.0, float("inf"), 3.0)]
    log = [{"step": 5.0, "seconds": 0.1, "episodes": 0.0}, {"step": 10.0, "return": 1.5, "elbo": 2.0, "$x$": 1.0}]
    returns, *others = curve("a $ title", log, points, tmp_path / "x.svg").axes
    evaluated = next(line for line in returns.get_lines() if len(line.get_xdata()) == 2)
    assert list(evaluated.get_ydata()) == [1.0, 2.0]
    assert [axes.get_title() for axes in others] == ["elbo", "$x$"]
    assert (tmp_path / "x.svg").exists()
    assert len(curve("nothing", [], []).axes) == 1


def test_a_folder_plays_the_learned_policy(capsys, made):
    learner, policy = SAC.load(made / "checkpoint.pt"), RunFolder(made).policy(SAC)
    assert policy.total_steps == 40
    for name in ("actor", "critics"):
        one, two = (each.parts()[name].state_dict() for each in (learner, policy))
        assert equal(dict(one), dict(two))


@pytest.mark.parametrize("algorithm", ["sac", "soft_q", "policy_gradient"])
def test_temperature_zero_and_normalised_observations_are_resumed_and_played(capsys, tmp_path, algorithm):
    small = ["--option", "hidden=8", "--seed", "1", "--evaluate-every", "0", "--checkpoint-every", "20"]
    small += TINY[2:] if algorithm != "policy_gradient" else []
    hard = ["--temperature", "0", "--normalise-observations"]
    half, once = ("40", "80") if algorithm != "policy_gradient" else ("500", "2000")
    for steps, out in ((half, "half"), (once, "once")):
        status, _, err = run(
            capsys, "train", algorithm, "CartPole-v1", *small, *hard, "--total-steps", steps, "--out", out
        )
        assert (status, err) == (0, "")
    assert (
        "--temperature 0.0 --normalise-observations"
        in json.loads((tmp_path / "half" / "run.json").read_text())["command"]
    )
    assert run(capsys, "train", "--resume", "half", "--total-steps", once)[0] == 0
    kind = _train_command.ALGORITHMS[algorithm]
    two = [kind.load(tmp_path / name / "checkpoint.pt") for name in ("half", "once")]
    assert equal(whole(two[0], tmp_path / "a")[0], whole(two[1], tmp_path / "b")[0])
    assert two[0].config["temperature"] == 0
    policy = RunFolder(tmp_path / "half").policy(kind)
    assert policy.normaliser is not None
    assert torch.equal(policy.normaliser.mean, two[0].normaliser.mean)
    assert run(capsys, "play", "half", "--num-episodes", "2")[0] == 0


def test_a_run_stops_at_a_return_and_keeps_the_best(capsys, tmp_path):
    args = [*NOISY, "--total-steps", "60", "--evaluate-every", "20", "--keep-best"]
    status, out, _ = run(capsys, *args, "--stop-at-return", "-1e9", "--out", "x")
    assert status == 0
    assert "Stopped after 20 of 60 steps" in out
    facts = json.loads((tmp_path / "x" / "run.json").read_text())
    assert facts["status"] == "stopped"
    assert facts["command"].endswith("--stop-at-return -1000000000.0 --keep-best")
    assert f"Best:    {Path('x') / 'best.pt'}" in out
    assert SAC.load(tmp_path / "x" / "best.pt").total_steps == 20
    status, out, _ = run(capsys, *args, "--stop-at-return", "1e9", "--out", "y")
    evaluations = SAC.load(tmp_path / "y" / "checkpoint.pt").evaluations
    best = max(evaluations, key=lambda each: each.mean)
    assert SAC.load(tmp_path / "y" / "best.pt").total_steps == best.step
    assert "Stopped" not in out
    status, _, err = run(capsys, *PLAIN, "--keep-best", "--out", "z")
    assert (status, err) == (
        2,
        "pgm-control: --keep-best needs evaluations, but --evaluate-every is 0. Leave one of them out.\n",
    )


def test_a_run_with_masks_is_played_and_filmed_with_them(capsys, tmp_path):
    args = ["train", "soft_q", "Taxi-v4", "--seed", "0", "--temperature", "0", *TINY, "--option", "action_masks=true"]
    assert run(capsys, *args, "--total-steps", "20", "--evaluate-every", "0", "--out", "x")[0] == 0
    status, out, err = run(capsys, "play", "x", "--num-episodes", "1")
    assert (status, err) == (0, "")
    assert "one episode" in out
    policy = RunFolder(tmp_path / "x").policy(SoftQLearning)
    observation, _ = observed_by(policy, "Taxi-v4")().reset(seed=0)
    assert set(observation) == {"action_mask", "observation"}
    assert policy.predict(observation)[0] in np.flatnonzero(observation["action_mask"])

"""`pgm-control plan`: its files, output and error messages, and how a run is continued, episode by episode."""

import csv
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from command_line import pressing, run

from pgm_control import TabularModel, continuous_zoo, infer, rollout, to_gymnasium, zoo
from pgm_control.cli import main as cli
from pgm_control.cli import plan as command
from pgm_control.cli.named_problem import CONTINUOUS_NAMES, TABLE_IDS
from pgm_control.cli.planning import picture
from pgm_control.cli.planning.episodes import COLUMNS, seeds_of
from pgm_control.cli.planning.folder import PlanFolder
from pgm_control.planners import ESS, MPPI

ROOT = Path(cli.__file__).parent.parent.parent
LEDGE = ["plan", "gusty_ledge", "--num-plans", "16", "--num-noise-samples", "2", "--horizon", "4", "--seed", "3"]
BRIDGE = ["plan", "windy_bridge", "--num-plans", "16", "--num-noise-samples", "2", "--seed", "3"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture(autouse=True)
def quick(monkeypatch, request):
    """Skip the pictures, which take a second each, and the flushes to disk, which only matter in a power failure."""
    monkeypatch.setattr(os, "fsync", lambda file: None)
    if "drawn" not in request.fixturenames:
        monkeypatch.setattr(picture, "returns_picture", lambda title, rows, path: path.write_bytes(b"drawn"))


@pytest.fixture
def drawn():
    """Draw the pictures."""


@pytest.fixture
def keyboard():
    """Restore the Ctrl-C handler of a terminal, also if the tests run in the background and ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def rows(folder):
    """The rows of a log, without the time, which differs between runs."""
    found = list(csv.DictReader((Path(folder) / "log.csv").read_text().splitlines()))
    return [{name: value for name, value in row.items() if name != "seconds"} for row in found]


def test_it_writes_prints_and_suggests_the_next_command(capsys, tmp_path, drawn):
    status, out, err = run(capsys, *LEDGE, "--num-episodes", "3")
    assert (status, err) == (0, "")
    folder = tmp_path / "pgm-control-out" / "mppi-gusty_ledge"
    assert sorted(path.name for path in folder.iterdir()) == ["log.csv", "returns.png", "run.json"]
    assert out.startswith("mppi on gusty_ledge, seed 3: plays 3 episodes. Ctrl-C keeps those that are done.\n")
    log = rows(folder)
    assert list(log[0]) == [name for name in COLUMNS if name != "seconds"]
    assert [int(row["episode"]) for row in log] == [0, 1, 2]
    assert {row["steps"] for row in log} == {"16"}
    assert {row["simulated_steps"] for row in log} == {str(16 * 2 * (13 * 4 + 3 + 2 + 1))}
    returns = np.array([float(row["return"]) for row in log])
    assert f"return {returns.mean():.6g} ± {returns.std(ddof=1) / 3**0.5:.2g} (mean and standard error of 3" in out
    for row in log:
        assert 1.0 <= float(row["smallest_effective_sample_size"]) <= float(row["effective_sample_size"]) <= 16.0
        assert 1 / 16 <= float(row["largest_weight"]) <= 1.0
        assert (float(row["largest_noise_weight"]), float(row["temperature"])) == (0.5, 0.5)
    bad = sum(int(row["degenerate"]) for row in log)
    assert f"In {bad} of 48 decisions one draw carries more than half of the weight." in out
    assert (folder / "returns.png").read_bytes().startswith(b"\x89PNG")
    facts = json.loads((folder / "run.json").read_text())
    assert (facts["status"], facts["num_episodes"], facts["seed"]) == ("complete", 3, 3)
    assert shlex.join([*LEDGE, "--num-episodes", "3"]).split()[1:2] == [facts["env"]]
    following = out.rstrip().splitlines()[-1].strip()
    assert "--optimism 1.0" in following
    assert run(capsys, *shlex.split(following)[1:], "--num-episodes", "1")[0] == 0


def test_the_command_and_the_library_agree(capsys):
    options = ["--option", "num_sweeps=2", "--option", "adapts-spread=true"]
    args = ["--optimism", "0.5", "--temperature", "ess:0.5", *options]
    assert run(capsys, *LEDGE, *args, "--num-episodes", "2", "--out", "x")[0] == 0
    model = continuous_zoo()["gusty_ledge"].model()
    for i, row in enumerate(rows("x")):
        world_seed, planner_seed = seeds_of(3, i)
        assert (row["environment_seed"], row["planner_seed"]) == (str(world_seed), str(planner_seed))
        planner = MPPI(
            model, num_plans=16, num_noise_samples=2, horizon=4, optimism=0.5, temperature=ESS(0.5), num_sweeps=2,
            adapts_spread=True, seed=planner_seed,
        )  # fmt: skip
        env, memory, total, sizes = to_gymnasium(model), None, 0.0, []
        seen, over = env.reset(seed=world_seed)[0], False
        while not over:
            action, memory = planner.predict(seen, memory, deterministic=True)
            seen, reward, terminated, truncated, _ = env.step(action)
            total, over = total + reward, terminated or truncated
            assert planner.latest is not None
            sizes.append(float(planner.latest.effective_sample_size[0]))
        assert float(row["return"]) == pytest.approx(total, rel=1e-12)
        assert float(row["effective_sample_size"]) == pytest.approx(np.mean(sizes), rel=1e-12)
        assert 4.0 < np.mean(sizes) < 9.0, "about half of 16"


def test_ctrl_c_keeps_the_episodes_that_are_done_and_the_same_command_continues(capsys, monkeypatch, keyboard):
    args = [*BRIDGE, "--num-episodes", "6"]
    assert run(capsys, *args, "--out", "through")[0] == 0
    with monkeypatch.context() as pressed:
        pressed.setattr(command, "bar_over", pressing(2))
        status, out, err = run(capsys, *args, "--out", "a b")
    assert (status, err) == (130, "pgm-control: interrupted.\n")
    assert "Interrupted after 2 of 6 episodes. To continue:\n  pgm-control plan windy_bridge" in out
    assert rows("a b") == rows("through")[:2]
    assert json.loads(Path("a b/run.json").read_text())["status"] == "interrupted"
    following = shlex.split(out.rstrip().splitlines()[-1])
    assert following[-2:] == ["--out", "a b"]
    Path("a b/.log.csv.x.partial").write_text("left by a kill")
    status, out, _ = run(capsys, *following[1:])
    assert status == 0
    assert "continues after 2 of 6 episodes" in out
    assert rows("a b") == rows("through")
    assert json.loads(Path("a b/run.json").read_text())["status"] == "complete"
    assert run(capsys, *args, "--out", "a b")[0] == 0, "all are done"
    assert rows("a b") == rows("through")


def test_ctrl_c_twice_keeps_them_too(capsys, monkeypatch, keyboard):
    monkeypatch.setattr(command, "bar_over", pressing(2, 2))
    status, out, _ = run(capsys, *BRIDGE, "--num-episodes", "6", "--out", "x")
    assert status == 130
    assert "Interrupted immediately, after 2 of 6 episodes." in out
    assert len(rows("x")) == 2


def test_ctrl_c_twice_while_an_episode_is_saved_does_not_count_it(capsys, monkeypatch, keyboard):
    run(capsys, *BRIDGE, "--num-episodes", "1", "--out", "x")

    def pressed(self, found):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(PlanFolder, "write_log", pressed)
    status, out, _ = run(capsys, *BRIDGE, "--num-episodes", "4", "--out", "x")
    assert (status, len(rows("x"))) == (130, 1)
    assert "Interrupted immediately, after 1 of 4 episodes." in out


def test_ctrl_c_within_an_episode_drops_that_one_alone(capsys, monkeypatch, keyboard):
    args, calls = [*BRIDGE, "--num-episodes", "4"], []
    run(capsys, *args, "--out", "through")
    predict = MPPI.predict

    def pressed(self, *given, **more):
        calls.append(0)
        if len(calls) == 9:
            signal.raise_signal(signal.SIGINT)
        return predict(self, *given, **more)

    with monkeypatch.context() as slow:
        slow.setattr(MPPI, "predict", pressed)
        assert run(capsys, *args, "--out", "x")[0] == 130
    done = len(rows("x"))
    assert done == sum(np.cumsum([int(row["steps"]) for row in rows("through")]) <= 9) < 4
    assert run(capsys, *args, "--out", "x")[0] == 0
    assert rows("x") == rows("through")


def test_every_episode_of_every_run_has_seeds_of_its_own():
    found = [each for seed in range(20) for episode in range(20) for each in seeds_of(seed, episode)]
    assert len(set(found)) == 800
    assert all(0 <= each < 2**31 for each in found)
    assert seeds_of(2**40, 3) != seeds_of(2**40 + 1, 3)


def test_a_run_without_a_seed_keeps_the_seed_that_it_drew(capsys):
    args = [*BRIDGE[:-2], "--out", "x"]
    run(capsys, *args, "--num-episodes", "2")
    seed = json.loads(Path("x/run.json").read_text())["seed"]
    run(capsys, *args, "--num-episodes", "4")
    assert json.loads(Path("x/run.json").read_text())["seed"] == seed
    run(capsys, *BRIDGE[:-1], seed, "--num-episodes", "4", "--out", "y")
    assert rows("x") == rows("y")
    run(capsys, *args, "--num-episodes", "3")
    assert len(rows("x")) == 4, "episodes that are done are kept"


@pytest.mark.slow
def test_a_run_that_is_killed_twice_gives_the_same_episodes(tmp_path):
    """kill -9 while it plays, as soon as some episodes are done, and the same command again, in processes."""
    args = [*LEDGE, "--num-episodes", "8"]
    start = [sys.executable, "-c", "import sys; from pgm_control.cli.main import main; sys.exit(main())"]
    given = {"cwd": tmp_path, "env": {**os.environ, "PYTHONPATH": str(ROOT)}, "stdout": subprocess.DEVNULL}
    subprocess.run([*start, *args, "--out", "through"], check=True, **given)
    log = tmp_path / "killed" / "log.csv"
    for done in (1, 4):
        process = subprocess.Popen([*start, *args, "--out", "killed"], **given)
        while not log.exists() or len(log.read_text().splitlines()) < 1 + done:
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
        process.wait()
        kept = rows(tmp_path / "killed")
        assert done <= len(kept) < 8
        assert kept == rows(tmp_path / "through")[: len(kept)]
        assert json.loads((tmp_path / "killed" / "run.json").read_text())["status"] == "running"
    subprocess.run([*start, *args, "--out", "killed"], check=True, **given)
    assert rows(tmp_path / "killed") == rows(tmp_path / "through")
    assert len(rows(tmp_path / "killed")) == 8


@pytest.mark.slow
@pytest.mark.parametrize("env", [*zoo(), *TABLE_IDS, *CONTINUOUS_NAMES, "Pendulum-v1"])
def test_every_environment_is_planned_in(capsys, env):
    small = ["--num-plans", "8", "--num-noise-samples", "1", "--horizon", "2", "--num-episodes", "1", "--seed", "0"]
    status, _, err = run(capsys, "plan", env, "--planner", "cem", *small, "--out", "x")
    assert (status, err) == (0, "")
    found = rows("x")
    model = None if env == "Pendulum-v1" else continuous_zoo()[env].model() if env in CONTINUOUS_NAMES else None
    most = 200 if model is None else model.problem.horizon
    assert 1 <= int(found[0]["steps"]) <= most


OWN = """
from gymnasium.envs.registration import register
from gymnasium.envs.toy_text import FrozenLakeEnv

register("OwnLake-v0", lambda **given: FrozenLakeEnv(map_name="4x4", **given), max_episode_steps=9)
"""


def test_an_environment_of_your_own_with_a_table_is_planned_in(capsys, tmp_path, monkeypatch):
    (tmp_path / "own_lake.py").write_text(OWN, encoding="utf8")
    small = ["--num-plans", "8", "--num-noise-samples", "2", "--num-episodes", "1", "--seed", "0", "--out", "x"]
    status, _, err = run(capsys, "plan", "own_lake:OwnLake-v0", *small)
    assert status == 2
    assert "Gymnasium cannot make 'own_lake:OwnLake-v0'" in err
    assert "`python -m pgm_control`" in " ".join(err.split())
    monkeypatch.syspath_prepend(tmp_path)
    status, _, err = run(capsys, "plan", "own_lake:OwnLake-v0", *small)
    assert (status, err) == (0, "")
    assert 1 <= int(rows("x")[0]["steps"]) <= 9
    assert run(capsys, "plan", "OwnLake-v0", *small[:-1], "y")[0] == 0  # known, now that the module was imported
    assert rows("y")[0]["return"] == rows("x")[0]["return"]


@pytest.mark.parametrize(("planner", "draws", "said"), [("mppi", 2, "free planner"), ("mppi", 1, "more episodes")])
def test_a_planner_with_one_draw_is_not_compared_with_itself(capsys, planner, draws, said):
    small = ["--num-plans", "8", "--num-noise-samples", draws, "--num-episodes", "1"]
    status, out, _ = run(capsys, "plan", "windy_bridge", "--planner", planner, *small)
    assert status == 0
    assert said in out.rpartition("Next, ")[2]


@pytest.mark.parametrize("planner", command.PLANNERS)
def test_every_planner_plays_a_table(capsys, planner):
    small = [] if planner == "receding" else ["--num-plans", "16", "--num-noise-samples", "2"]
    args = ["plan", "windy_bridge", "--planner", planner, *small, "--out", "x"]
    status, _, err = run(capsys, *args, "--num-episodes", "2")
    assert (status, err) == (0, "")
    for row in rows("x"):
        assert (row["effective_sample_size"] == "") == (planner == "receding")
    assert run(capsys, *args, "--num-episodes", "3")[0] == 0
    assert len(rows("x")) == 3


def test_a_receding_horizon_earns_what_the_exact_policy_earns(capsys):
    assert run(capsys, "plan", "risky_path", "--planner", "receding", "--num-episodes", "20", "--seed", "0")[0] == 0
    played = np.array([float(row["return"]) for row in rows("pgm-control-out/receding-risky_path")])
    model = TabularModel(zoo()["risky_path"].build(), zoo()["risky_path"].temperature)
    found = rollout(to_gymnasium(model.mdp), infer(model, 0.0), 400, seed=0, deterministic=True)
    assert abs(played.mean() - found.mean) < 5 * (played.std() / 20**0.5 + found.standard_error) + 1e-9


def test_a_film_is_the_first_episode(capsys):
    status, out, _ = run(capsys, *BRIDGE, "--num-episodes", "1", "--out", "x", "--gif", "x.gif")
    assert status == 0
    assert f"Film of the first episode, {rows('x')[0]['steps']} steps: x.gif" in out
    assert Path("x.gif").read_bytes().startswith(b"GIF8")
    status, _, err = run(capsys, *LEDGE, "--num-episodes", "1", "--out", "y", "--gif", "y.gif")
    assert status == 2
    assert "--gif is for environments that render images, but gusty_ledge does not" in err
    assert not Path("y").exists()


def test_the_live_pendulum(capsys):
    args = ["plan", "Pendulum-v1", "--num-plans", "8", "--horizon", "3", "--num-episodes", "1", "--out", "x"]
    status, out, err = run(capsys, *args)
    assert (status, err) == (0, "")
    assert rows("x")[0]["steps"] == "200"
    assert "mppi on Pendulum-v1, seed" in out
    assert json.loads(Path("x/run.json").read_text())["settings"]["num_noise_samples"] == 1


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["windy_brige"], "There is no problem 'windy_brige', in the zoo or in Gymnasium. Did you mean windy_bridge"),
        (["CartPole-v1"], "ENV must be a problem whose dynamics are known, but CartPole-v1 is not"),
        (["windy_bridge", "--planner", "mpi"], "There is no planner 'mpi'. Did you mean mppi? There are: mppi, cem"),
        (["windy_bridge", "--num-plans", "1"], "--num-plans must be a whole number, at least 2, but is 1."),
        (["windy_bridge", "--num-noise-samples", "0"], "--num-noise-samples must be a whole number, at least 1"),
        (["windy_bridge", "--horizon", "0"], "--horizon must be a whole number, at least 1, but is 0."),
        (["windy_bridge", "--num-episodes", "0"], "--num-episodes must be a whole number, at least 1, but is 0."),
        (["windy_bridge", "--seed", "-1"], "--seed must be a whole number, at least 0, but is -1."),
        (["windy_bridge", "--optimism", "nan"], "--optimism must be a finite number, the dial β, but is nan."),
        (["windy_bridge", "--optimism", "1", "--risk", "1"], "--optimism and --risk exclude each other"),
        (["windy_bridge", "--temperature", "0"], "--temperature must be a positive number of reward units per nat"),
        (["windy_bridge", "--temperature", "ess:1.5"], "--temperature must be a positive number of reward units"),
        (["windy_bridge", "--temperature", "warm"], "--temperature must be a positive number of reward units"),
        (["windy_bridge", "--planner", "cem", "--temperature", "ess:.3"], "--temperature must be a number for cem"),
        (["windy_bridge", "--option", "sweeps=3"], "mppi has no option sweeps. Did you mean num_sweeps? It has"),
        (["windy_bridge", "--option", "model=3"], "mppi has no option model."),
        (["windy_bridge", "--option", "num_sweeps"], "--option must be NAME=VALUE"),
        (["windy_bridge", "--option", "num_sweeps=0"], "--option num_sweeps must be a whole number"),
        (["windy_bridge", "--planner", "receding", "--num-plans", "9"], "--num-plans is for planners that draw plans"),
        (["windy_pendulum", "--planner", "receding"], "--planner receding needs exact values"),
        (["windy_pendulum", "--planner", "smc"], "--planner smc needs exact values"),
        (["Pendulum-v1", "--planner", "receding"], "--planner receding needs exact values"),
        (["double_integrator", "--optimism", "-99"], "--optimism -99.0 is beyond the breakdown of plans"),
        (["hurry", "--optimism", "-0.1"], "has broken down for plans on the line"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_option(capsys, args, said):
    few = [] if "--num-episodes" in args else ["--num-episodes", "1"]
    status, _, err = run(capsys, "plan", *args, *few, "--out", "x")
    assert status == 2
    assert not Path("x/run.json").exists(), "nothing stays of a run that played no episode"
    assert err.count("\n") == 1
    assert said in err


def test_a_number_that_is_written_otherwise_is_the_same_run(capsys):
    for text, count in (("ess:.50", 1), ("ess:0.5", 2)):
        given = ["--temperature", text, "--num-episodes", count, "--out", "x"]
        assert run(capsys, *BRIDGE, *given)[0] == 0
        assert len(rows("x")) == count


def test_another_run_in_the_same_folder_is_refused(capsys, tmp_path):
    run(capsys, *BRIDGE, "--num-episodes", "1", "--out", "x")
    for more, said in (
        (["--optimism", "1"], "has `optimism` 0.0, and this one 1.0"),
        (["--horizon", "2"], "has --horizon by default, and this one 2"),
        (["--planner", "cem"], "has --planner mppi, and this one cem"),
        (["--option", "num_sweeps=2"], "has --option num_sweeps by default, and this one 2"),
        (["--seed", "4"], "has --seed 3, and this one 4"),
    ):
        status, _, err = run(capsys, *BRIDGE, *more, "--out", "x")
        assert status == 2
        assert said.replace("`optimism`", "--optimism") in err
        assert "Give another --out." in err
    Path("y").mkdir()
    Path("y/run.json").write_text(json.dumps({"algorithm": "sac"}))
    assert "holds one. Give another --out." in run(capsys, *BRIDGE, "--out", "y")[2]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace("episode,", "episodes,"), "is not the log of this run"),
        (lambda text: text.replace("\n1,", "\n2,"), "is not the log of this run"),
        (lambda text: text[:-30], "cannot be read"),
        (lambda text: text.replace(",0.5,", ",half,"), "cannot be read"),
    ],
)
def test_a_log_that_is_torn_or_of_another_run_is_named(capsys, change, said):
    run(capsys, *LEDGE, "--num-episodes", "2", "--out", "x")
    path = Path("x/log.csv")
    path.write_text(change(path.read_text()))
    status, _, err = run(capsys, *LEDGE, "--num-episodes", "3", "--out", "x")
    assert status == 2
    assert "x/log.csv" in err
    assert said in err


def test_a_damaged_run_json_is_named(capsys):
    run(capsys, *BRIDGE, "--num-episodes", "1", "--out", "x")
    for content in ("torn", "[]", json.dumps({"env": 3})):
        Path("x/run.json").write_text(content)
        status, _, err = run(capsys, *BRIDGE, "--num-episodes", "1", "--out", "x")
        assert status == 2
        assert "x/run.json" in err


@pytest.mark.parametrize("late", [False, True])
def test_ctrl_c_in_the_last_step_keeps_the_episode(capsys, monkeypatch, keyboard, late):
    args = [*LEDGE, "--num-episodes", "2"]
    run(capsys, *args, "--out", "through")
    predict, calls = MPPI.predict, []

    def pressed(self, *given, **more):
        calls.append(0)
        if len(calls) == (16 if late else 15):  # of 16 steps
            signal.raise_signal(signal.SIGINT)
        return predict(self, *given, **more)

    monkeypatch.setattr(MPPI, "predict", pressed)
    assert run(capsys, *args, "--out", "x")[0] == 130
    kept = rows("x") if Path("x/log.csv").exists() else []
    assert kept == rows("through")[: int(late)]


def test_files_of_something_else_are_not_overwritten(capsys):
    for name in ("log.csv", "returns.png"):
        folder = Path(f"of {name}")
        folder.mkdir()
        (folder / name).write_text("mine")
        status, _, err = run(capsys, *BRIDGE, "--num-episodes", "1", "--out", folder)
        assert (status, [each.name for each in folder.iterdir()]) == (2, [name])
        assert f"holds {name}, which would be overwritten" in err
        assert (folder / name).read_text() == "mine"
    Path("notes").mkdir()
    Path("notes/notes.txt").write_text("mine")
    assert run(capsys, *BRIDGE, "--num-episodes", "1", "--out", "notes")[0] == 0
    assert sorted(each.name for each in Path("notes").iterdir()) == ["log.csv", "notes.txt", "returns.png", "run.json"]


def test_a_second_process_in_the_folder_is_refused(capsys, tmp_path):
    run(capsys, *BRIDGE, "--num-episodes", "1", "--out", "x")
    before = Path("x/run.json").read_bytes(), Path("x/log.csv").read_bytes()
    wait = (
        "import sys; from pathlib import Path; from pgm_control.runtime.files import alone_in\n"
        "with alone_in(Path('x')): print('held', flush=True); sys.stdin.read()"
    )
    given = {"cwd": tmp_path, "env": {**os.environ, "PYTHONPATH": str(ROOT)}, "text": True}
    other = subprocess.Popen([sys.executable, "-c", wait], stdin=subprocess.PIPE, stdout=subprocess.PIPE, **given)
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        status, _, err = run(capsys, *BRIDGE, "--num-episodes", "2", "--out", "x")
        assert status == 2
        assert "--out must be a folder in which nothing else runs, but another process is running in x" in err
        assert (Path("x/run.json").read_bytes(), Path("x/log.csv").read_bytes()) == before
    finally:
        other.kill()  # which frees the folder, although its lock file stays
        other.communicate()
    assert Path("x/.lock").exists()
    assert run(capsys, *BRIDGE, "--num-episodes", "2", "--out", "x")[0] == 0
    assert len(rows("x")) == 2
    assert not Path("x/.lock").exists()


def test_the_present_folder_is_a_folder_too(capsys, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    status, out, err = run(capsys, *BRIDGE, "--num-episodes", "1", "--out", ".")
    assert (status, err) == (0, "")
    assert out.rstrip().endswith(f"--out {tmp_path / 'here-free'}")


def test_an_episode_that_cannot_be_saved_is_not_counted(capsys, monkeypatch):
    run(capsys, *BRIDGE, "--num-episodes", "1", "--out", "x")
    before, write = rows("x"), PlanFolder.write_log

    def full(self, found):
        if len(found) > 2:
            raise OSError(28, "No space left on device")
        write(self, found)

    monkeypatch.setattr(PlanFolder, "write_log", full)
    status, _, err = run(capsys, *BRIDGE, "--num-episodes", "4", "--out", "x")
    assert (status, err) == (2, "pgm-control: [Errno 28] No space left on device\n")
    assert rows("x")[:1] == before
    assert json.loads(Path("x/run.json").read_text())["status"] == "failed"
    monkeypatch.setattr(PlanFolder, "write_log", write)
    assert "continues after 2 of 4" in run(capsys, *BRIDGE, "--num-episodes", "4", "--out", "x")[1]


def test_nothing_stays_of_a_run_that_fails_before_its_first_episode_is_done(capsys, monkeypatch):
    def fails(*args, **given):
        raise MemoryError

    monkeypatch.setattr(MPPI, "predict", fails)
    status, _, err = run(capsys, *BRIDGE, "--num-episodes", "1", "--out", "x")
    assert (status, err.count("not enough memory")) == (2, 1)
    assert not Path("x").exists()


def test_the_next_command_can_be_typed_and_says_what_it_does(capsys):
    """With one draw no optimism makes a difference, and null is the word for nothing."""
    given = ["--num-episodes", "1", "--out", "x", "--option", "spread=null", "--optimism", "-1e-7"]
    _, out, _ = run(capsys, *LEDGE, *given)
    assert "the same with a free planner" in out
    following = shlex.split(out.rstrip().splitlines()[-1])
    assert following[-7:-6] == ["spread=null"]
    assert run(capsys, *following[1:])[::2] == (0, "")
    command_line = json.loads(Path("x/run.json").read_text())["command"]
    assert run(capsys, *shlex.split(command_line)[1:], "--out", "x")[::2] == (0, "")
    _, out, _ = run(capsys, *LEDGE, "--num-noise-samples", "1", "--num-episodes", "1", "--out", "y")
    assert "see more episodes" in out
    assert "free planner" not in out

"""The command `sweep`: a function of the current folder, settings in a file, and one table."""

import csv
import json
import shlex
import signal
import subprocess
import sys

import pytest
from command_line import pressing, run

from pgm_control.cli import sweep as command

MODULE = '''
import helper_of_mine
from pathlib import Path

def f(x, seed=0):
    """A function of the current folder."""
    with Path("calls.txt").open("a") as file:
        file.write(f"{x} {seed}\\n")
    if x == 3:
        raise ValueError("no 3")
    return {"value": helper_of_mine.twice(x) + seed}

not_a_function = 3
'''


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A current folder with a module, which imports another one, and settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "my_runs.py").write_text(MODULE)
    (tmp_path / "helper_of_mine.py").write_text("def twice(x):\n    return 2 * x\n")
    (tmp_path / "settings.json").write_text('{"x": [1, 2], "seed": [0, 5]}')
    yield tmp_path
    for name in ("my_runs", "helper_of_mine"):
        sys.modules.pop(name, None)


@pytest.fixture
def keyboard():
    """Restore the Ctrl-C handler of a terminal, also if the tests run in the background and ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def table(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def called(folder):
    return (folder / "calls.txt").read_text().splitlines()


def test_a_function_of_the_current_folder_is_run_with_every_setting(capsys, folder):
    before = list(sys.path)
    status, out, err = run(capsys, "sweep", "my_runs:f", "settings.json")
    assert (status, err) == (0, "")
    assert sys.path == before
    assert out == (
        "x  seed  value\n"
        "─  ────  ─────\n"
        "1     0      2\n"
        "1     5      7\n"
        "2     0      4\n"
        "2     5      9\n"
        "4 rows, 0 failed, 0 left.\n\n"
        "Table: pgm-control-out/f/results.csv\n"
        "Lines: pgm-control-out/f/results.jsonl\n"
    )
    assert [row["value"] for row in table(folder / "pgm-control-out" / "f" / "results.csv")] == ["2", "7", "4", "9"]
    assert run(capsys, "sweep", "my_runs:f", "settings.json")[1] == out
    assert len(called(folder)) == 4, "nothing was run again"


def test_failed_jobs_give_status_1(capsys, folder):
    (folder / "list.json").write_text('[{"x": 1}, {"x": 3}]')
    status, out, _ = run(capsys, "sweep", "my_runs:f", "list.json", "--out", "a", "--version", "1")
    assert status == 1
    assert "ValueError: no 3" in out
    assert "2 rows, 1 failed, 0 left." in out
    assert [json.loads(line)["version"] for line in (folder / "a" / "results.jsonl").read_text().splitlines()] == [
        "1"
    ] * 2


@pytest.mark.parametrize("settings", ['{"x": [1, 2]}', '[{"x": 1}, {"x": 2}]'])
def test_seeds_are_added_to_every_setting(capsys, folder, settings):
    (folder / "list.json").write_text(settings)
    assert run(capsys, "sweep", "my_runs:f", "list.json", "--num-seeds", "3")[0] == 0
    assert called(folder) == ["1 0", "1 1", "1 2", "2 0", "2 1", "2 2"]


@pytest.mark.slow
def test_processes_import_modules_of_the_current_folder(folder):
    """In a new process, whose workers inherit nothing of this one but the path of the library."""
    pytest.importorskip("joblib")
    command = [sys.executable, "-m", "pgm_control", "sweep", "my_runs:f", "settings.json", "--engine", "loky"]
    done = subprocess.run([*command, "--jobs", "2", "--out", "b"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "4 rows, 0 failed, 0 left." in done.stdout
    assert sorted(called(folder)) == ["1 0", "1 5", "2 0", "2 5"]


@pytest.mark.slow
def test_an_address_of_a_scheduler(capsys, folder):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster:
        address = cluster.scheduler_address.replace("tcp://", "dask://")
        assert run(capsys, "sweep", "my_runs:f", "settings.json", "--engine", address)[0] == 0
        assert len(called(folder)) == 4


def test_ctrl_c_prints_the_command_to_resume(capsys, folder, monkeypatch, keyboard):
    args = ["my_runs:f", "settings.json", "--jobs", "1", "--out", "a b"]
    with monkeypatch.context() as pressed:
        pressed.setattr(command, "bar_over", pressing(3))
        status, out, err = run(capsys, "sweep", *args)
    assert (status, err) == (130, "pgm-control: interrupted.\n")
    following = shlex.join(["pgm-control", "sweep", *args])
    assert out.endswith(f"1 of 4 jobs are left. To continue:\n  {following}\n")
    assert run(capsys, *shlex.split(following)[1:])[0] == 0
    assert len(called(folder)) == 4


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["my_runs:g", "settings.json"], "FUNCTION must name a function, but my_runs has no 'g'"),
        (["my_runs.py:run", "settings.json"], "but is 'my_runs.py:run'. Write my_runs:run."),
        (["my_runs", "settings.json"], "FUNCTION must be module:name, such as my_module:run, but is 'my_runs'"),
        (["yours:f", "settings.json"], "No module named 'yours'"),
        (["my_runs:not_a_function", "settings.json"], "FUNCTION must be a function, but is 3"),
        (["my_runs:f", "nothing.json"], "SETTINGS must be a file that can be read, but nothing.json is not"),
        (["my_runs:f", "my_runs.py"], "SETTINGS must be a file of JSON, but my_runs.py is not"),
        (["my_runs:f", "number.json"], "SETTINGS must be a list of mappings"),
        (["my_runs:f", "other.json"], "got an unexpected keyword argument 'y'"),
        (["my_runs:f", "settings.json", "--num-seeds", "2"], "--num-seeds cannot be given"),
        (["my_runs:f", "other.json", "--num-seeds", "0"], "--num-seeds must be a whole number, at least 1"),
        (["my_runs:f", "settings.json", "--engine", "lokey"], "--engine must be None, loky"),
        (["my_runs:f", "settings.json", "--jobs", "0"], "--jobs must be a number of jobs at a time"),
        (["my_runs:f", "settings.json", "--out", "my_runs.py"], "--out must be a folder, but my_runs.py is a file"),
    ],
)
def test_mistakes_are_one_line_and_nothing_is_run(capsys, folder, args, message):
    (folder / "number.json").write_text("3")
    (folder / "other.json").write_text('[{"x": 1, "y": 2}]')
    status, out, err = run(capsys, "sweep", *args)
    assert (status, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert not (folder / "calls.txt").exists()
    assert not (folder / "pgm-control-out").exists()


def test_settings_without_a_mapping_pass_through_seeds(capsys, folder):
    (folder / "number.json").write_text("3")
    assert run(capsys, "sweep", "my_runs:f", "number.json", "--num-seeds", "2")[0] == 2

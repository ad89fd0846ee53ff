"""Sweeps in one process: the table, what is kept and resumed, failures, interruption and mistakes."""

import csv
import functools
import io
import itertools
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import numpy as np
import pytest
import sweep_functions
import torch
from sweep_functions import calls, failing, measure, noted

from pgm_control import InvalidArgument, Sweep, SweepStatus, sweep

CROSSED = {"x": [0.5, 2, 3.0], "seed": [0, 1]}


@pytest.fixture
def keyboard():
    """Restore the Ctrl-C handler of a terminal, also if the tests run in the background and ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def lines_of(folder):
    return [json.loads(line) for line in (folder / "results.jsonl").read_bytes().splitlines()]


# The table


def test_rows_are_the_results_of_a_plain_loop():
    found = sweep(measure, CROSSED)
    expected = [
        {"x": x, "seed": seed, **measure(x, seed), "failure": None}
        for x, seed in itertools.product(CROSSED["x"], CROSSED["seed"])
    ]
    assert repr(list(found.rows)) == repr(expected)
    assert (found.status, found.num_failed, found.num_left) == (SweepStatus.complete, 0, 0)
    assert found.function == "sweep_functions:measure"
    assert len(set(found.keys)) == 6
    listed = [{"x": x, "seed": seed} for x, seed in itertools.product(CROSSED["x"], CROSSED["seed"])]
    assert sweep(measure, listed).keys == found.keys, "the two ways to give settings are the same sweep"
    assert sweep(measure, [dict(reversed(each.items())) for each in listed]).keys == found.keys


def test_keys_depend_on_function_setting_and_version():
    def keys(function, setting, version="1"):
        return sweep(function, [setting], version=version).keys

    base = keys(measure, {"x": 1})
    others = [
        keys(failing, {"x": 1}),
        keys(measure, {"x": 1.0}),
        keys(measure, {"x": True}),
        keys(measure, {"x": 1, "seed": 0}),
        keys(measure, {"x": 1}, "2"),
    ]
    assert len({base, *others}) == 6
    assert all(len(key) == 32 and set(key) <= set("0123456789abcdef") for (key,) in [base, *others])


def test_scalars_of_numpy_and_torch_are_numbers():
    def scalars(x, n, b, word):
        assert (type(x), type(n), type(b), type(word)) == (float, int, bool, str)
        return {
            "x": np.float64(x), "n": torch.tensor(n), "half": torch.tensor(0.5, dtype=torch.float64),
            "b": np.bool_(b), "t": torch.tensor(True), "word": np.str_(word), "pair": (np.int8(1), x),
        }  # fmt: skip

    setting = {"x": np.float64(0.1), "n": np.int64(3), "b": np.bool_(True), "word": np.str_("a")}
    (row,) = sweep(scalars, [setting]).rows
    expected = {"x": 0.1, "n": 3, "b": True, "word": "a", "half": 0.5, "t": True, "pair": [1, 0.1], "failure": None}
    assert repr(row) == repr(expected)
    assert sweep(measure, {"x": np.linspace(0, 1, 3), "seed": range(2)}).column("x") == [0, 0, 0.5, 0.5, 1, 1]
    assert sweep(measure, {"x": torch.arange(3)}).column("x") == [0, 1, 2]


def test_columns_and_files_are_tidy(tmp_path):
    def uneven(x):
        return {"a": x} if x else {"b": [1.5, "c,d"]}

    found = sweep(uneven, {"x": [1, 0]})
    assert found.columns == ("x", "a", "b", "failure")
    assert (found.column("a"), found.column("b")) == ([1, None], [None, [1.5, "c,d"]])
    with pytest.raises(InvalidArgument, match="`name` must be one of x, a, b, failure, but is 'c'"):
        found.column("c")
    found.save(tmp_path / "new")
    read = list(csv.DictReader(io.StringIO((tmp_path / "new" / "results.csv").read_text(), newline="")))
    assert read == [
        {"x": "1", "a": "1", "b": "", "failure": ""},
        {"x": "0", "a": "", "b": '[1.5, "c,d"]', "failure": ""},
    ]
    assert found.to_dict()["rows"] == [dict(row) for row in found.rows]


def test_what_is_printed():
    found = sweep(failing, {"x": [1, 3]})
    assert str(found) == (
        "x  value                      failure\n"
        "─  ─────  ───────────────────────────\n"
        "1      1\n"
        "3         RuntimeError: no result for 3\n"
        "2 rows, 1 failed, 0 left."
    ).replace("                      failure", "                        failure").replace("─" * 27, "─" * 29)
    assert repr(found) == "Sweep(sweep_functions:failing: 2 rows, 1 failed, 0 left.)"
    assert found._repr_html_().count("<tr>") == 3
    long = sweep(measure, {"x": list(range(30))})
    assert len(str(long).splitlines()) == 24
    assert "30 rows" in str(long)


# On disk


def test_a_sweep_resumes_where_it_stopped(tmp_path):
    settings = {"x": [1, 2, 3, 4], "folder": [str(tmp_path)]}
    first = sweep(noted, settings, out=tmp_path / "out")
    file = tmp_path / "out" / "results.jsonl"
    whole = file.read_bytes().splitlines(keepends=True)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["results.csv", "results.jsonl"]
    kept = b"".join(whole[:2])
    for torn in (0, 1, len(whole[2]) // 2, len(whole[2]) - 1):
        file.write_bytes(kept + whole[2][:torn])
        before = [len(calls(tmp_path, x)) for x in (1, 2, 3, 4)]
        again = sweep(noted, settings, out=tmp_path / "out")
        assert [len(calls(tmp_path, x)) for x in (1, 2, 3, 4)] == [before[0], before[1], before[2] + 1, before[3] + 1]
        assert (again.rows, again.keys) == (first.rows, first.keys)
        assert file.read_bytes().startswith(kept)
        assert sorted(line["key"] for line in lines_of(tmp_path / "out")) == sorted(first.keys)
    sweep(noted, {**settings, "x": [0, 1, 2, 3, 4]}, out=tmp_path / "out")
    assert len(calls(tmp_path, 0)) == 1
    assert len(calls(tmp_path, 4)) == 5, "only what is new was run"


def test_a_line_says_what_was_run(tmp_path):
    found = sweep(measure, [{"x": 1.5}], out=tmp_path, version="a")
    (line,) = lines_of(tmp_path)
    assert list(line) == ["key", "function", "version", "setting", "result"]
    assert (line["key"], line["function"], line["version"]) == (*found.keys, "sweep_functions:measure", "a")
    assert line["setting"] == {"x": 1.5}
    assert repr(line["result"]) == repr(measure(1.5))


def odd(x, limit):
    return {"value": [x, limit, -limit], "limit": limit, "least": 5e-324, "zero": -0.0}


def test_nan_and_infinities_are_the_same_after_a_resume(tmp_path):
    settings = {"x": [1], "limit": [math.nan, math.inf, -math.inf]}
    first = sweep(odd, settings, out=tmp_path)
    before = (tmp_path / "results.jsonl").read_bytes()
    assert repr(sweep(odd, settings, out=tmp_path).rows) == repr(first.rows)
    assert (tmp_path / "results.jsonl").read_bytes() == before
    assert repr(first.rows[0]) == repr({"x": 1, "limit": math.nan, **odd(1, math.nan), "failure": None})


def test_failed_jobs_are_rows_and_run_again(tmp_path):
    found = sweep(failing, {"x": [1, 3, 4]}, out=tmp_path)
    assert [row["failure"] for row in found.rows] == [None, "RuntimeError: no result for 3", None]
    assert "value" not in found.rows[1]
    assert (found.status, found.num_failed, found.num_left) == (SweepStatus.complete, 1, 0)
    sweep(failing, {"x": [1, 3, 4]}, out=tmp_path)
    reason = "RuntimeError: no result for 3"
    assert [line.get("failure") for line in lines_of(tmp_path)] == [None, reason, None, reason]


def written(folder, body):
    """A module in a folder, as in a new process."""
    (folder / "edited_function.py").write_text(f"def f(x):\n    return {{'value': {body}}}\n")
    sys.modules.pop("edited_function", None)
    import edited_function  # pyright: ignore[reportMissingImports]

    return edited_function.f


def test_an_edited_function_runs_again_unless_a_version_is_given(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(str(tmp_path))
    first = sweep(written(tmp_path, "x"), {"x": [1]}, out=tmp_path / "out")
    assert sweep(written(tmp_path, "x"), {"x": [1]}, out=tmp_path / "out").keys == first.keys
    assert len(lines_of(tmp_path / "out")) == 1
    assert sweep(written(tmp_path, "x + 10"), {"x": [1]}, out=tmp_path / "out").column("value") == [11]
    for body, version, expected in (("x", "a", 1), ("x + 20", "a", 1), ("x + 20", "b", 21)):
        found = sweep(written(tmp_path, body), {"x": [1]}, out=tmp_path / "out", version=version)
        assert found.column("value") == [expected]
    sys.modules.pop("edited_function")


def test_two_processes_do_not_share_a_folder(tmp_path):
    pytest.importorskip("fcntl")
    code = (
        "import sys\nfrom pgm_control import InvalidArgument, sweep\nfrom sweep_functions import noted\n"
        "try:\n    sweep(noted, {'x': [5], 'folder': [sys.argv[1]]}, out=sys.argv[1] + '/out')\n"
        "except InvalidArgument as problem:\n    print(problem)\n"
    )
    said = []

    def second(step, metrics):
        if step == 1:
            run = subprocess.run(
                [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, env=environment()
            )
            said.append(run.stdout + run.stderr)

    found = sweep(noted, {"x": [1, 2], "folder": [str(tmp_path)]}, out=tmp_path / "out", progress=second)
    assert "`out` must be a folder in which nothing else runs, but another process is running in" in said[0]
    assert calls(tmp_path, 5) == []
    assert found.num_left == 0


def environment():
    """The variables of a new process that finds this module and the library."""
    paths = [str(Path(sweep_functions.__file__).parent), *sys.path]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"}


KILLED = """
import sys
from pgm_control import sweep
from sweep_functions import noted

if __name__ == "__main__":
    found = sweep(
        noted, {"x": list(range(8)), "folder": [sys.argv[1]], "delay": [0.3]}, out=sys.argv[1] + "/out",
        engine=sys.argv[2] or None, jobs=2 if sys.argv[2] else None,
    )
    print(found.num_left, found.status.name)
"""


def started(folder, engine, **settings):
    """A process that makes a sweep, once two results are on the disk."""
    script = folder / "killed.py"
    script.write_text(KILLED)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    run = subprocess.Popen([sys.executable, script, folder, engine], env=environment(), **pipes, **settings)
    file = folder / "out" / "results.jsonl"
    while not file.exists() or file.read_bytes().count(b"\n") < 2:
        assert run.poll() is None, run.communicate()
        time.sleep(0.02)
    return run


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["", "loky"])
def test_a_sweep_that_was_killed_is_continued(tmp_path, engine):
    run = started(tmp_path, engine)
    run.kill()
    run.communicate()
    before = (tmp_path / "out" / "results.jsonl").read_bytes()
    kept = {line["setting"]["x"] for line in lines_of(tmp_path / "out")}
    assert 2 <= len(kept) < 8
    command = [sys.executable, tmp_path / "killed.py", tmp_path, engine]
    again = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
    assert again.stdout == "0 complete\n"
    assert (tmp_path / "out" / "results.jsonl").read_bytes().startswith(before)
    assert sorted(line["setting"]["x"] for line in lines_of(tmp_path / "out")) == list(range(8))
    assert all(len(calls(tmp_path, x)) == 1 for x in kept)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["", "loky", "threading", "dask"])
def test_ctrl_c_in_a_terminal_ends_the_run_and_keeps_the_results(tmp_path, engine):
    """A terminal sends Ctrl-C to all processes of the group."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # not ignored, as in a background job
    try:
        run = started(tmp_path, engine, process_group=0)
    finally:
        signal.signal(signal.SIGINT, before)
    os.killpg(run.pid, signal.SIGINT)
    said, errors = run.communicate(timeout=60)
    assert said.endswith(" interrupted\n"), errors
    assert engine == "dask" or "Traceback" not in errors, "workers of dask print their own"
    left = int(said.split()[0])
    assert 0 < left <= 6
    assert len(lines_of(tmp_path / "out")) == 8 - left


@pytest.mark.slow
def test_ctrl_c_while_processes_start_prints_no_traceback_of_theirs(tmp_path):
    """They import torch for seconds before they can ignore the signal."""
    pytest.importorskip("joblib")
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    try:
        run = subprocess.Popen([sys.executable, script, tmp_path, "loky"], env=environment(), process_group=0, **pipes)
    finally:
        signal.signal(signal.SIGINT, before)
    while not (tmp_path / "out").exists():
        time.sleep(0.01)
    time.sleep(0.3)
    os.killpg(run.pid, signal.SIGINT)
    said, errors = run.communicate(timeout=60)
    assert said.endswith("8 interrupted\n"), errors
    assert "Traceback" not in errors


# Order, progress and interruption


def test_the_largest_start_first_and_rows_keep_their_order(tmp_path):
    order = []

    def ordered(x):
        order.append(x)
        return {"value": x}

    found = sweep(ordered, {"x": [2, 5, 1, 4]}, size=lambda x: np.float64(x))
    assert order == [5, 4, 2, 1]
    assert found.column("x") == [2, 5, 1, 4]
    del order[:]
    sweep(ordered, {"x": [2, 5, 1, 4]})
    assert order == [2, 5, 1, 4], "without sizes, in the order of the settings"


def test_progress_counts_finished_failed_and_left_jobs(tmp_path):
    seen = []
    sweep(failing, {"x": [1, 3]}, out=tmp_path)
    sweep(failing, {"x": [1, 3, 4]}, out=tmp_path, progress=lambda step, metrics: seen.append((step, dict(metrics))))
    assert seen == [
        (1, {"failed": 0.0, "left": 2.0}),
        (2, {"failed": 1.0, "left": 1.0}),
        (3, {"failed": 1.0, "left": 0.0}),
    ]


@pytest.mark.parametrize("engine", [None, "threading"])
def test_ctrl_c_between_jobs_keeps_the_finished_jobs(tmp_path, keyboard, engine):
    def press(step, metrics):
        if step == 2:
            signal.raise_signal(signal.SIGINT)

    asked = {"x": [1, 2, 3, 4], "folder": [str(tmp_path)]}
    found = sweep(noted, asked, out=tmp_path / "out", engine=engine, jobs=1, progress=press)
    assert (found.status, len(found.rows), found.num_left) == (SweepStatus.interrupted, 2, 2)
    assert found.column("x") == [1, 2]
    assert len(lines_of(tmp_path / "out")) == 2
    assert sweep(noted, asked, out=tmp_path / "out").num_left == 0
    assert [len(calls(tmp_path, x)) for x in (1, 2)] == [1, 1]


def test_ctrl_c_while_a_line_is_written_keeps_that_line(tmp_path, keyboard, monkeypatch):
    whole, presses = os.fsync, [signal.SIGINT]

    def pressing(file):
        if presses:
            signal.raise_signal(presses.pop())
        whole(file)

    monkeypatch.setattr("os.fsync", pressing)
    found = run_jobs_of(tmp_path)
    assert (found.status, found.column("x"), found.num_left) == (SweepStatus.interrupted, [1], 2)
    assert [line["setting"]["x"] for line in lines_of(tmp_path / "out")] == [1]
    assert run_jobs_of(tmp_path).num_left == 0
    assert [len(calls(tmp_path, x)) for x in (1, 2, 3)] == [1, 1, 1]


def run_jobs_of(folder):
    return sweep(noted, {"x": [1, 2, 3], "folder": [str(folder)]}, out=folder / "out")


def test_ctrl_c_in_a_job_leaves_that_job_out(keyboard):
    def pressing(x):
        if x == 2:
            signal.raise_signal(signal.SIGINT)
        return {}

    found = sweep(pressing, {"x": [1, 2, 3]})
    assert (found.status, found.column("x"), found.num_left) == (SweepStatus.interrupted, [1], 2)


# Failures and mistakes


class Odd(Exception):
    """An error whose message cannot be made."""

    def __str__(self):
        raise RuntimeError


def raising(failure):
    raise failure


@pytest.mark.parametrize(
    ("returned", "reason"),
    [
        (lambda: 3.0, "InvalidArgument: The function must return a mapping, such as {'value': 1.5}, but returned 3.0."),
        (lambda: None, "InvalidArgument: The function must return a mapping"),
        (lambda: {"v": object}, "must be of numbers, strings, True"),
        (lambda: {"v": np.zeros(3)}, "'v' must be .* but is an array of float64.* Pass a list, by its method tolist"),
        (lambda: {"v": torch.zeros(3)}, "'v' must be .*tolist"),
        (lambda: {"v": 1j}, "'v' must be .* but is 1j"),
        (lambda: {"v": {1, 2}}, "'v' must be"),
        (lambda: {"v": [1, {"w": b""}]}, "'v': entry 1: 'w' must be"),
        (lambda: {3: 1}, "must have names that are strings, but has 3"),
        (lambda: {"v": {None: 1}}, "'v' must have names that are strings, but has None"),
        (lambda: {"v": "\ud800"}, "valid Unicode"),
        (lambda: {"v": 10**5000}, "cannot be written"),
        (lambda: {"failure": "x"}, "must not return the name 'failure'"),
        (lambda: {"x": 2}, "'x' is 1 in the setting and 2 in the result"),
        (lambda: raising(SystemExit(3)), "SystemExit: 3"),
        (lambda: raising(MemoryError()), "MemoryError:"),
        (lambda: raising(Odd()), "Odd: its message cannot be shown"),
        (lambda: raising(ValueError("\ud800" + "a" * 9000)), r"ValueError: \?a{1980,}…"),
    ],
)
def test_a_result_that_is_none_is_a_failed_row_with_the_reason(tmp_path, returned, reason):
    def function(x):
        return returned()

    (row,) = sweep(function, [{"x": 1}]).rows
    assert re.search(reason, row["failure"]), row["failure"]
    assert row["x"] == 1
    assert sweep(function, [{"x": 1}]).to_csv().encode()


def test_a_result_may_repeat_its_setting():
    assert sweep(lambda x: {"x": x, "y": 1}, {"x": [math.nan]}).num_failed == 0


def endless():
    nested: list = []
    nested.append(nested)
    return nested


class Called:
    def __call__(self, x):
        return {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"function": 3}, "`function` must be a function, but is 3"),
        ({"function": functools.partial(measure, seed=1)}, "`function` must have a name.*Write a function with `def`"),
        ({"function": Called()}, "`function` must have a name"),
        ({"settings": 3}, "`settings` must be a list of mappings, or a mapping from names to lists.*but is 3"),
        ({"settings": []}, "`settings` must be a list of mappings"),
        ({"settings": {}}, "`settings` must be a list of mappings.*is empty"),
        ({"settings": "x"}, "`settings` must be a list of mappings"),
        ({"settings": [3]}, "`settings` must be a list of mappings.*entry 0 is 3"),
        ({"settings": {"x": 3}}, "'x' is 3. Put a single value into a list"),
        ({"settings": {"x": "ab"}}, "'x' is 'ab'. Put a single value into a list"),
        ({"settings": {"x": []}}, "'x' is \\[\\]"),
        ({"settings": [{"x": 1}, {"x": 2}, {"x": 1}]}, "`settings` must differ, but entries 0 and 2 are both {'x': 1}"),
        ({"settings": {"x": [math.nan, math.nan]}}, "`settings` must differ"),
        ({"settings": [{"x": object}]}, "`settings`, entry 0,: 'x' must be of numbers"),
        ({"settings": {"x": [np.zeros(2)]}}, "`settings`: 'x': entry 0 must be .*tolist"),
        ({"settings": [{3: 1}]}, "`settings`, entry 0, must have names that are strings, but has 3"),
        ({"settings": [{"x": endless()}]}, "`settings`.*nested too deeply"),
        ({"settings": [{"x": 10**5000}]}, "`settings` must be values that can be written, but entry 0"),
        ({"settings": [{"y": 1}]}, r"`settings` must be arguments of measure\(x, seed=0\), but entry 0 is {'y': 1}: "),
        ({"settings": [{"x": 1}, {"seed": 1}]}, "entry 1 is {'seed': 1}: missing a required argument: 'x'"),
        ({"settings": [{"x": 1, "failure": 2}]}, "must not use the name 'failure'"),
        ({"engine": "lokey"}, "`engine` must be None, loky, threading, dask, ray, the address.*but is 'lokey'"),
        ({"engine": "multiprocessing"}, "Other backends of joblib, such as its own for Ray, do not give results"),
        ({"engine": 3}, "`engine` must be None"),
        ({"jobs": 0}, "`jobs` must be a number of jobs at a time.*but is 0"),
        ({"jobs": -2}, "`jobs` must be"),
        ({"jobs": 1.5}, "`jobs` must be"),
        ({"version": 3}, "`version` must be a string"),
        ({"size": 3}, "`size` must be a function of a setting, but is 3"),
        ({"size": lambda y: y}, "`size` must be a function of a setting, but for {'x': 1} it fails with TypeError"),
        ({"size": lambda x: "a"}, "`size` must return a number, but for {'x': 1} it returns 'a'"),
        ({"progress": 3}, "`progress` must be a function"),
        ({"out": 3}, "`out` must be the path of a folder"),
        ({"function": lambda x: {}, "out": "out"}, "`function` must have a name of its own when results are kept"),
    ],
)  # fmt: skip
@pytest.mark.wrong_types
def test_mistakes_are_reported_before_anything_runs(tmp_path, monkeypatch, change, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidArgument, match=message):
        sweep(**{"function": measure, "settings": {"x": [1]}, "out": "out"} | change)
    assert not list(tmp_path.iterdir())


def test_a_function_without_a_source_needs_a_version(tmp_path, monkeypatch):
    made = types.ModuleType("made_by_hand")
    exec("def f(x):\n    return {'value': x}\n", vars(made))
    monkeypatch.setitem(sys.modules, "made_by_hand", made)
    with pytest.raises(InvalidArgument, match="`version` must be given when results are kept in `out`"):
        sweep(made.f, {"x": [1]}, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert sweep(made.f, {"x": [1]}, out=tmp_path / "out", version="1").column("value") == [1]
    assert sweep(made.f, {"x": [1]}).version == ""


def test_the_result_is_a_sweep():
    assert isinstance(sweep(measure, {"x": [1]}), Sweep)
    assert sweep(measure, {"x": [1]}).status.message.startswith("Every job has run.")

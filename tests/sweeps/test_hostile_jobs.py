"""Jobs that change what they were given, end in odd ways, move the process, or run while their own file is edited."""

import asyncio
import importlib
import json
import os
import signal
import sys

import pytest

from pgm_control import InvalidArgument, bench, sweep
from pgm_control.sweeps.functions import imported
from pgm_control.sweeps.store import Store


class Ended(BaseException):
    """The end of a library that is no Exception, such as a panic of compiled code."""


class Unreadable:
    @property
    def ndim(self):
        raise RuntimeError("no axes")

    def __repr__(self):
        raise RuntimeError("no words")


class UnreadableMapping(dict):
    def items(self):
        raise RuntimeError("no items")


def grown(layers, options, seed):
    layers[0].append(seed)
    options["seed"] = seed
    return {"total": sum(layers[0]), "names": len(options)}


@pytest.mark.parametrize("engine", [None, "threading"])
def test_what_a_job_changes_in_its_setting_is_not_seen_by_others(engine, tmp_path):
    settings = {"layers": [[[64]]], "options": [{"a": 1}], "seed": [1, 2, 3]}
    found = sweep(grown, settings, engine=engine, out=tmp_path, version="1")
    assert found.column("total") == [65, 66, 67]
    assert found.column("names") == [2, 2, 2]
    assert found.column("layers") == [[[64]]] * 3
    assert found.column("options") == [{"a": 1}] * 3
    written = [json.loads(line)["setting"] for line in (tmp_path / "results.jsonl").read_bytes().splitlines()]
    assert sorted(each["seed"] for each in written) == [1, 2, 3]
    assert all(each["layers"] == [[64]] and each["options"] == {"a": 1} for each in written)


def ends(kind):
    if kind == "panic":
        raise Ended("panic")
    if kind == "cancelled":
        raise asyncio.CancelledError("stop")
    if kind == "generator":
        raise GeneratorExit
    found = {"digits": {"kind": 10**5000}, "whole": 10**5000, "words": Unreadable(), "axes": {"value": Unreadable()}}
    return UnreadableMapping(a=1) if kind == "items" else found[kind]


@pytest.mark.parametrize("engine", [None, "threading"])
def test_a_job_that_ends_in_an_odd_way_is_a_failed_row(engine):
    kinds = ["panic", "cancelled", "generator", "digits", "whole", "words", "axes", "items"]
    found = sweep(ends, {"kind": kinds}, engine=engine)
    assert found.num_failed == len(kinds)
    assert [row["failure"].partition(":")[0] for row in found.rows] == [
        "Ended", "CancelledError", "GeneratorExit", "ValueError", "InvalidArgument", "InvalidArgument", "RuntimeError",
        "RuntimeError",
    ]  # fmt: skip


def moved(x, to):
    os.chdir(to)
    return {"value": x}


def test_a_job_may_change_the_folder_of_the_process(tmp_path, monkeypatch):
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    found = sweep(moved, {"x": [1, 2], "to": [str(tmp_path / "other")]}, out="out", version="1")
    assert found.column("value") == [1, 2]
    assert sorted(each.name for each in (tmp_path / "out").iterdir()) == ["results.csv", "results.jsonl"]
    assert not any((tmp_path / "other").iterdir())


def test_a_line_for_which_there_is_no_room_leaves_no_part(tmp_path):
    resource = pytest.importorskip("resource")
    file = Store(tmp_path / "results.jsonl")
    file.append({"key": "a", "result": {"value": 1}})
    before = file.path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 30, hard))
    try:
        with pytest.raises(InvalidArgument, match=r"`out` must be a folder that can be written, but .* Finished jobs"):
            file.append({"key": "b", "result": {"value": "x" * 100}})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert file.path.read_bytes() == before
    file.append({"key": "c", "result": {"value": 3}})
    assert set(file.results()) == {"a", "c"}


MODULE = """
def helper(x):
    return x + 1


def f(x):
    return {"value": helper(x)}
"""


@pytest.mark.parametrize("change", [("x + 1", "x + 10"), ('"value"', '"other"'), ("return {", "return {{")])
def test_results_of_a_function_whose_file_was_edited_meanwhile_are_not_kept(tmp_path, monkeypatch, change):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(str(tmp_path))
    file = tmp_path / "edited_meanwhile.py"
    file.write_text(MODULE)
    importlib.invalidate_caches()
    module = importlib.import_module("edited_meanwhile")
    assert sweep(module.f, {"x": [1]}, out=tmp_path / "out").column("value") == [2]
    file.write_text(MODULE.replace(*change))
    with pytest.raises(
        InvalidArgument, match=r"edited_meanwhile\.py was changed since edited_meanwhile:f was imported"
    ):
        sweep(module.f, {"x": [1]}, out=tmp_path / "out")
    assert sweep(module.f, {"x": [1]}).column("value") == [2], "nothing is kept"
    assert sweep(module.f, {"x": [1]}, out=tmp_path / "out", version="mine").column("value") == [2]
    file.write_text(MODULE.replace("x + 1", "x + 100"))
    importlib.reload(module)
    assert sweep(module.f, {"x": [1]}, out=tmp_path / "out").column("value") == [101]
    sys.modules.pop("edited_meanwhile")


def test_a_file_whose_functions_wrap_a_method_of_c_is_swept(tmp_path, monkeypatch):
    text = (
        "import functools\n\n\n@functools.wraps(str.upper)\ndef loud(word):\n    return word.upper()\n\n\n"
        'def f(word):\n    return {"value": loud(word)}\n'
    )
    (tmp_path / "wraps_c.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    module = importlib.import_module("wraps_c")
    assert sweep(module.f, {"word": ["abc"]}, out=tmp_path / "out").column("value") == ["ABC"]
    sys.modules.pop("wraps_c")


def test_a_bench_of_a_guide_whose_file_was_edited_meanwhile_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(str(tmp_path))
    file = tmp_path / "edited_guide.py"
    text = "from pgm_control.guides import MeanFieldGuide\n\n\ndef guide(model):\n    return MeanFieldGuide(model)\n"
    file.write_text(text)
    importlib.invalidate_caches()
    importlib.import_module("edited_guide")
    file.write_text(text.replace("(model)\n", "(model)  # edited\n").replace("\n\n\n", "\n\n"))
    with pytest.raises(
        InvalidArgument, match=r"`guides` must be as the file is now, but .*edited_guide\.py was changed"
    ):
        bench(["lottery"], ["edited_guide:guide"], num_seeds=1, num_steps=2, out=tmp_path / "out")
    sys.modules.pop("edited_guide")


def test_a_module_that_ends_the_process_when_it_is_imported_is_named(tmp_path, monkeypatch):
    (tmp_path / "ends_at_once.py").write_text("import sys\nsys.exit(2)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InvalidArgument, match=r"`function` must name a module that can be imported, .* SystemExit: 2"):
        imported("ends_at_once:f", "function", "function", "my_module:run")


@pytest.mark.parametrize("name", ["results.jsonl", ".lock"])
def test_a_folder_that_cannot_be_used_is_named_before_anything_runs(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(InvalidArgument, match="`out` must be a folder"):
        sweep(grown, [{"layers": [[1]], "options": {}, "seed": 1}], out=tmp_path, version="1")
    if os.path.exists("/proc/self"):
        with pytest.raises(InvalidArgument, match="`out` must be a folder that can be written"):
            sweep(grown, [{"layers": [[1]], "options": {}, "seed": 1}], out="/proc/self/nowhere", version="1")

"""The cache of compiled loops: processes that start at once, are killed while they compile, or find broken files."""

import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

numba = pytest.importorskip("numba", reason="needs the extra `fast`")

from numba.core import event  # noqa: E402  after the check above

from pgm_control.kernels import backend, compiling  # noqa: E402
from pgm_control.kernels.backend import before_compiling  # noqa: E402
from pgm_control.runtime.alone.process import locked_file, unlock  # noqa: E402

LOOP = """
import sys, time
from pathlib import Path
from numba.core import event
from pgm_control.kernels import backend, compiling

class Slow(event.Listener):
    count = 0
    def on_start(self, event):
        self.count += 1
        Path(sys.argv[1]).touch()
        time.sleep(float(sys.argv[2]))
    def on_end(self, event): pass

def total(x):
    found = 0.0
    for i in range(x): found += i * 0.5
    return found

slow = Slow()
event.register("numba:compile", slow)
compiling.announce(lambda: None, lambda: print("waits", end=" "))
total = compiling.entry(total)
print(total(5), slow.count)
"""


@pytest.fixture
def loop(tmp_path):
    """Start a process that compiles one loop, in which numba rests for some seconds."""
    (tmp_path / "loop.py").write_text(LOOP)
    (tmp_path / "cache").mkdir()
    started = []

    def start(seconds):
        root = str(Path(compiling.__file__).parents[2])
        env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": root}
        command = [sys.executable, tmp_path / "loop.py", tmp_path / "begun", str(seconds)]
        started.append(subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for each in started:
        each.kill()
        each.communicate()


def ended(process):
    said, problem = process.communicate(timeout=300)
    assert process.returncode == 0, problem
    return said.split()


def wait_for(path):
    end = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_of_processes_that_start_at_once_one_compiles_and_the_others_wait_and_load(loop, tmp_path):
    first = loop(6.0)
    wait_for(tmp_path / "begun")
    others = [loop(0.0) for _ in range(3)]
    assert ended(first) == ["5.0", "1"]
    for said in map(ended, others):
        assert said[-2:] == ["5.0", "0"]
    assert not list((tmp_path / "cache").rglob("*.lock"))
    assert len(list((tmp_path / "cache").rglob("*.nbc"))) == 1


def test_a_process_that_is_killed_while_it_compiles_leaves_its_turn_to_the_next(loop, tmp_path):
    first = loop(600.0)
    wait_for(tmp_path / "begun")
    second = loop(0.0)
    time.sleep(1.0)
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert ended(second)[-2:] == ["5.0", "1"]
    assert ended(loop(0.0)) == ["5.0", "0"]
    assert not list((tmp_path / "cache").rglob("*.lock"))


def made(kept) -> Any:
    """A new dispatcher of one loop; what it compiled before is only in the cache."""

    def scaled(x, table):
        for i in range(len(table)):
            x += table[i] * 2
        return x

    scaled.__qualname__ = "scaled"
    found = compiling.entry(scaled)
    kept.append(found)
    return found


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def files(folder):
    return sorted(folder.rglob("*.nbc"))


def hits(dispatcher):
    return sum(dispatcher.stats.cache_hits.values())


def test_a_file_that_is_cut_off_or_changed_is_compiled_again(folder):
    kept, chance, table = [], random.Random(0), np.arange(4.0)
    assert made(kept)(1.0, table) == 13.0
    (file,) = files(folder)
    whole = file.read_bytes()
    for _ in range(25):
        broken = bytearray(whole)
        if chance.random() < 0.5:
            del broken[chance.randrange(len(broken)) :]
        else:
            broken[chance.randrange(len(broken))] ^= 1 << chance.randrange(8)
        file.write_bytes(broken)
        again = made(kept)
        assert (again(1.0, table), hits(again)) == (13.0, 0)
        assert files(folder) == [file]
        after = made(kept)
        assert (after(1.0, table), hits(after)) == (13.0, 1)


def test_a_whole_file_under_the_name_of_other_types_is_not_used(folder):
    kept, table = [], np.arange(4.0)
    made(kept)(1.0, table)
    (reals,) = files(folder)
    made(kept)(1, np.arange(4))
    (integers,) = {*files(folder)} - {reals}
    shutil.copy(integers, reals)
    again = made(kept)
    assert (again(1.0, table), hits(again)) == (13.0, 0)


def test_loops_for_two_types_that_are_written_at_the_same_time_are_both_kept(folder):
    """Numba's index keeps one of them, under whose name the other may be written."""
    kept, table, whole = [], np.arange(4.0), np.arange(4)
    one, two = made(kept), made(kept)
    one._cache.load_overload((numba.typeof(1.0), numba.typeof(table)), one.targetctx)
    two(1, whole)
    one(1.0, table)
    again = made(kept)
    assert (again(1, whole), again(1.0, table), hits(again)) == (13, 13.0, 2)


def test_a_folder_that_is_gone_or_cannot_be_written_is_no_error(folder):
    kept, table = [], np.arange(4.0)
    gone = made(kept)
    shutil.rmtree(folder)
    assert gone(1.0, table) == 13.0
    no_folder = made(kept)
    shutil.rmtree(folder)
    folder.write_text("a file")
    assert no_folder(1, np.arange(4)) == 13


def test_a_compilation_that_fails_ends_the_turn(folder):
    kept = []
    with pytest.raises(numba.TypingError):
        made(kept)("text", np.arange(4.0))
    assert not list(folder.rglob("*.lock"))


def test_an_interrupted_compilation_ends_the_turn(folder):
    class Interrupted(event.Listener):
        def on_start(self, event):
            raise KeyboardInterrupt

        def on_end(self, event):
            pass

    kept, listener = [], Interrupted()
    event.register("numba:compile", listener)
    try:
        with pytest.raises(KeyboardInterrupt):
            made(kept)(1.0, np.arange(4.0))
    finally:
        event.unregister("numba:compile", listener)
    assert not list(folder.rglob("*.lock"))
    assert made(kept)(1.0, np.arange(4.0)) == 13.0


def test_waiting_is_announced_once_and_then_compiling(folder, monkeypatch):
    monkeypatch.setattr("pgm_control.kernels.cached.loop_cache._waits", [backend._waiting_begins])
    monkeypatch.setattr("pgm_control.kernels.cached.loop_cache.in_turn", of_little_patience(0.1))
    monkeypatch.setattr(backend, "_waited", [])
    monkeypatch.setattr(backend, "_notices", [])
    kept, said = [], []
    dispatcher = made(kept)
    for x, table in ((1.0, np.arange(4.0)), (1, np.arange(4))):
        types = numba.typeof(x), numba.typeof(table)
        path = dispatcher._cache._path(dispatcher._cache._index_key(types, dispatcher.targetctx.codegen()))
        path.parent.mkdir(parents=True, exist_ok=True)
        held = locked_file(path.with_suffix(".lock"))
        with before_compiling(said.append):
            assert dispatcher(x, table) == 13
        unlock(path.with_suffix(".lock"), held)
    assert [each.split(" ")[0] for each in said] == ["Waiting"]


def of_little_patience(seconds):
    from pgm_control.runtime.alone.process import in_turn

    return lambda path, waits: in_turn(path, waits, patience=seconds)


@pytest.mark.slow
def test_eight_fits_with_a_cold_cache_compile_each_loop_once(tmp_path):
    code = """
        from numba.core import event
        from pgm_control import ClampedGuide, TabularModel, evaluate, fit
        from pgm_control.kernels.cached.loop_cache import LoopCache
        from pgm_control.models import risky_path

        class Count(event.Listener):
            count = 0
            def on_start(self, event):
                self.count += isinstance(event.data["dispatcher"]._cache, LoopCache)
            def on_end(self, event): pass

        counted = Count()
        event.register("numba:compile", counted)
        model = TabularModel(risky_path(), 0.7)
        guide = ClampedGuide(model)
        fit(model, guide, num_steps=20, seed=0)
        print(evaluate(model, guide).true_return, counted.count)
    """
    root = str(Path(compiling.__file__).parents[2])
    env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", textwrap.dedent(code)]
    processes = [
        subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(8)
    ]
    values, counts = zip(*map(ended, processes), strict=True)
    assert len(set(values)) == 1
    assert sum(map(int, counts)) == len(files(tmp_path)) > 3

"""Folders that one process holds."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import pgm_control
from pgm_control import InvalidArgument
from pgm_control.runtime.alone import process
from pgm_control.runtime.files import alone_in

HOLD = (
    "import sys; from pathlib import Path; from pgm_control.runtime.files import alone_in\n"
    "with alone_in(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
)


def holder(folder):
    """A process that holds a folder until it is told to end."""
    env = {**os.environ, "PYTHONPATH": str(Path(pgm_control.__file__).parent.parent)}
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    return other


def enter(*given):
    with alone_in(*given):
        raise AssertionError


def test_a_folder_is_held_by_one_process_and_free_when_that_ends(tmp_path):
    folder = tmp_path / "a" / "b" / "c"
    for end in ("exit", "kill"):
        other = holder(folder)
        with pytest.raises(InvalidArgument, match="`where` must be a folder in which nothing else runs, but another"):
            enter(folder, "where")
        if end == "kill":
            other.kill()
        other.communicate()
        assert (tmp_path / "a").exists() == (end == "kill")
        with alone_in(folder):
            assert (folder / ".lock").exists()
        assert not (folder / ".lock").exists()


def test_an_empty_folder_that_was_made_goes_and_another_stays(tmp_path):
    with pytest.raises(ValueError, match="inside"), alone_in(tmp_path / "new"):
        raise ValueError("inside")
    assert not (tmp_path / "new").exists()
    (tmp_path / "old").mkdir()
    with alone_in(tmp_path / "old"), alone_in(tmp_path / "full"):
        (tmp_path / "full" / "file").write_text("kept")
    assert sorted(each.name for each in tmp_path.rglob("*")) == ["file", "full", "old"]


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InvalidArgument, match="`out` must be a folder that can be written, but"):
            enter(path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_named(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(InvalidArgument, match=r"`out` must be a folder that can be written, but .*: Permission denied"):
        enter(tmp_path)


def test_a_system_without_locks_holds_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(process, "fcntl", None)
    with alone_in(tmp_path), alone_in(tmp_path):
        assert (tmp_path / ".lock").exists()

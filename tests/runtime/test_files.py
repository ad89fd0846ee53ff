"""Files are whole after a kill, and what a killed process leaves behind is removed."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from problems import gamble

from pgm_control import FreeGuide, InvalidArgument, TabularModel, fit
from pgm_control.runtime.files import path_of, write_whole

KILLED = """
import os, signal, sys
from pgm_control.runtime import files
os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
files.write_whole(sys.argv[1], b"half")
"""
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="it has no locks of this kind")


def test_the_partial_file_of_a_killed_process_is_removed(tmp_path):
    path, other = tmp_path / "a[1].pt", tmp_path / "b.pt"
    for target in (path, other):
        killed = subprocess.run([sys.executable, "-c", KILLED, str(target)], check=False)
        assert killed.returncode == -signal.SIGKILL
    assert len(list(tmp_path.glob("*.partial"))) == 2
    write_whole(path, b"whole")
    assert path.read_bytes() == b"whole"
    assert [each.name for each in tmp_path.glob(".a*")] == []
    assert len(list(tmp_path.glob(".b*"))) == 1  # of another file


def test_a_partial_file_in_use_stays(tmp_path, monkeypatch):
    """While one thread is writing, another writes the same file."""
    path, begun, go_on = tmp_path / "a.pt", threading.Event(), threading.Event()
    fsync = os.fsync

    def waiting(handle):
        if threading.current_thread() is not threading.main_thread():
            begun.set()
            go_on.wait(10)
        fsync(handle)

    monkeypatch.setattr(os, "fsync", waiting)
    slow = threading.Thread(target=write_whole, args=(path, b"slow"))
    slow.start()
    begun.wait(10)
    write_whole(path, b"quick")
    assert path.read_bytes() == b"quick"
    go_on.set()
    slow.join()
    assert path.read_bytes() == b"slow"
    assert [each.name for each in tmp_path.iterdir()] == ["a.pt"]


@pytest.mark.parametrize("path", [None, 3, b"x", "", "\ud800", "a\0b", Path, ["x"]])
@pytest.mark.wrong_types
def test_what_is_no_path_is_refused(path):
    with pytest.raises(InvalidArgument, match=r"^`out` must be the path of a file, a string or a Path, but is "):
        path_of(path, "out")


def test_folders_and_places_that_cannot_be_written_to_are_refused(tmp_path):
    with pytest.raises(InvalidArgument, match=r"is a folder\. Add a file name"):
        write_whole(tmp_path, b"")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InvalidArgument, match="`path` must be the path of a file that can be written"):
        write_whole(tmp_path / "file" / "below", b"")
    write_whole(tmp_path / "new" / "file", b"content")
    assert (tmp_path / "new" / "file").read_bytes() == b"content"


@pytest.mark.wrong_types
def test_the_argument_of_a_fit_is_named(tmp_path):
    model = TabularModel(gamble())
    with pytest.raises(InvalidArgument, match=r"`checkpoint` must be the path of a file, but .* is a folder"):
        fit(model, FreeGuide(model), checkpoint=tmp_path)

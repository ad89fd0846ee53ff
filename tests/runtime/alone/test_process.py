"""Turns of processes: one at a time, and no error or wait without end where there is no lock."""

import multiprocessing
import os
import sys
import time

import pytest

from pgm_control.runtime.alone import process
from pgm_control.runtime.alone.process import in_turn, locked_file, unlock

pytestmark = pytest.mark.skipif(process.fcntl is None, reason="no locks on this system")


def overlaps(folder, rounds):
    """How often another process was inside, too."""
    found = 0
    for _ in range(rounds):
        with in_turn(folder / "x.lock", lambda: None):
            try:
                os.close(os.open(folder / "inside", os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                found += 1
                continue
            time.sleep(0.001)
            os.unlink(folder / "inside")
    return found


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_processes_are_inside_one_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(process, "_PAUSE", 0.001)
    with multiprocessing.get_context("fork").Pool(4) as pool:
        assert pool.starmap(overlaps, [(tmp_path, 40)] * 4) == [0] * 4
    assert not list(tmp_path.iterdir())


def test_who_waits_says_so_once_and_enters_when_its_patience_ends(tmp_path):
    said, path = [], tmp_path / "x.lock"
    held = locked_file(path)
    with in_turn(path, lambda: said.append("waits"), patience=0.2):
        assert said == ["waits"]
        assert path.exists()
    assert path.exists()  # it is not of the one who had no lock
    unlock(path, held)
    assert not path.exists()
    with in_turn(path, lambda: said.append("waits")):
        assert path.exists()
    assert said == ["waits"]


def test_where_the_file_cannot_be_made_everybody_enters(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with in_turn(tmp_path / "file" / "x.lock", lambda: pytest.fail("waits")):
        pass
    with in_turn(tmp_path / "none" / "x.lock", lambda: pytest.fail("waits")):
        pass


def test_an_error_inside_ends_the_turn(tmp_path):
    with pytest.raises(ZeroDivisionError), in_turn(tmp_path / "x.lock", lambda: None):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())

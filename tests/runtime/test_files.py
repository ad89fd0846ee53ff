"""Paths of files to write: what can be no file is refused by name."""

from pathlib import Path

import pytest

from pgm_control import InvalidArgument
from pgm_control.runtime.files import path_of, write_whole


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

"""How computations end: one family, whose names mean the same everywhere, with messages that are sentences."""

import re
from pathlib import Path

import pytest

import pgm_control
from pgm_control import FitStatus, Status
from pgm_control.inverse_rl import InverseStatus
from pgm_control.learners import LearningStatus

EARLY = {"out_of_steps", "stopped", "interrupted", "not_finite"}
NAMES = EARLY | {
    "converged", "exact", "complete", "bounded", "unbounded", "undiscounted", "no_progress", "out_of_digits",
}  # fmt: skip
FAMILY = {
    *(getattr(pgm_control, name) for name in pgm_control.__all__ if name.endswith("Status")),
    InverseStatus,
    LearningStatus,
} - {Status}


def test_no_status_is_outside_of_the_family():
    sources = [each.read_text(encoding="utf8") for each in Path(pgm_control.__file__).parent.rglob("*.py")]
    written = dict(re.findall(r"^class (\w*Status)\((.*)\):$", "\n".join(sources), re.MULTILINE))
    assert written == {"Status": "enum.Enum", **{each.__name__: "Status" for each in FAMILY}}


def test_names_are_from_one_list_that_the_base_explains():
    assert {member.name for each in FAMILY for member in each} == NAMES
    assert set(re.findall(r"^        (\w+) {2,}[A-Z]", Status.__doc__ or "", re.MULTILINE)) == NAMES


def test_messages_are_sentences():
    for each in FAMILY:
        assert each.__doc__.endswith("."), each
        for member in each:
            assert member.message == member.value
            assert re.fullmatch(r"(?s)[A-Z`].{10,}\.", member.message), member
            assert "  " not in member.message, member


def test_it_is_said_which_ended_early():
    for each in FAMILY:
        for member in each:
            assert member.ended_early == (member.name in EARLY), member


@pytest.mark.parametrize("status", [FitStatus.interrupted, InverseStatus.interrupted, LearningStatus.interrupted])
def test_one_name_is_not_one_member(status):
    assert isinstance(status, Status)
    assert status.ended_early
    assert [each for each in (FitStatus, InverseStatus, LearningStatus) if status in list(each)] == [type(status)]

"""The statuses of computations: one family of enumerations, with shared names and messages that are sentences."""

import re
from pathlib import Path

import pytest

import pgm_control
from pgm_control import FitStatus, Status
from pgm_control.behaviour import PeopleStatus
from pgm_control.inverse_rl import InverseStatus
from pgm_control.learners import LearningStatus
from pgm_control.planners import PlanStatus

EARLY = {"out_of_steps", "stopped", "interrupted", "not_finite"}
NAMES = EARLY | {
    "converged", "exact", "complete", "bounded", "unbounded", "undiscounted", "no_progress", "out_of_digits",
    "degenerate",
}  # fmt: skip
FAMILY = {
    *(getattr(pgm_control, name) for name in pgm_control.__all__ if name.endswith("Status")),
    InverseStatus,
    LearningStatus,
    PeopleStatus,
    PlanStatus,
} - {Status}


def test_every_status_belongs_to_the_family():
    sources = [each.read_text(encoding="utf8") for each in Path(pgm_control.__file__).parent.rglob("*.py")]
    written = dict(re.findall(r"^class (\w*Status)\((.*)\):$", "\n".join(sources), re.MULTILINE))
    assert written == {"Status": "enum.Enum", **{each.__name__: "Status" for each in FAMILY}}


def test_the_base_class_explains_every_name():
    assert {member.name for each in FAMILY for member in each} == NAMES
    assert set(re.findall(r"^        (\w+) {2,}[A-Z]", Status.__doc__ or "", re.MULTILINE)) == NAMES


def test_messages_are_sentences():
    for each in FAMILY:
        assert each.__doc__.endswith("."), each
        for member in each:
            assert member.message == member.value
            assert re.fullmatch(r"(?s)[A-Z`].{10,}\.", member.message), member
            assert "  " not in member.message, member


def test_ended_early_is_true_for_early_endings_only():
    for each in FAMILY:
        for member in each:
            assert member.ended_early == (member.name in EARLY), member


@pytest.mark.parametrize("status", [FitStatus.interrupted, InverseStatus.interrupted, LearningStatus.interrupted])
def test_members_with_one_name_differ_between_enumerations(status):
    assert isinstance(status, Status)
    assert status.ended_early
    assert [each for each in (FitStatus, InverseStatus, LearningStatus) if status in list(each)] == [type(status)]

"""The exercises of the course: right answers are accepted, wrong ones are named, and the right values stay unsaid."""

import re

import numpy as np
import pytest
import torch
from exercises.solutions import SOLUTIONS

from pgm_control import InvalidArgument
from pgm_control.exercises.chapters import EXERCISES, exercise_of
from pgm_control.exercises.exercise import Asked, Mark, number_of

ALL = [pytest.param(each, asked, id=f"{each.chapter}-{asked.name}") for each in EXERCISES for asked in each.asked]


def answers(chapter):
    found = {}
    exec(SOLUTIONS[chapter], found)
    return found


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda each: str(each.chapter))
def test_a_solution_by_hand_is_right(exercise):
    verdicts = exercise.check(answers(exercise.chapter))
    assert [each.mark for each in verdicts] == [Mark.RIGHT] * len(exercise.asked), "\n".join(map(str, verdicts))


@pytest.mark.parametrize(("exercise", "asked"), ALL)
def test_an_answer_that_is_off_by_more_than_the_tolerance_is_wrong_and_the_right_one_is_not_said(exercise, asked):
    right = np.asarray(answers(exercise.chapter)[asked.name], dtype=float)
    for error in (-2.0, 2.0, 0.1):
        verdict = asked.verdict({asked.name: right + error * max(20 * asked.tolerance, 1e-4)})
        assert verdict.mark is Mark.WRONG
        assert verdict.reason
    assert asked.verdict({asked.name: right + 0.5 * asked.tolerance}).mark is Mark.RIGHT
    said = {float(each) for each in re.findall(r"(?<![\w.])\d*\.?\d+(?![\w.])", verdict.reason)}
    assert not {each for each in said if np.isclose(each, right, rtol=1e-3).any() and each not in (0.0, 1.0, 3.0, 0.5)}


@pytest.mark.parametrize(("exercise", "asked"), ALL)
def test_each_known_mistake_is_named_and_differs_from_the_right_value(exercise, asked):
    reasons = [reason for _, reason in asked.mistakes]
    for mistaken, reason in asked.mistakes:
        verdict = asked.verdict({asked.name: mistaken()})
        assert verdict.mark is Mark.WRONG
        assert verdict.reason in reasons
        assert verdict.reason == reason


def test_each_chapter_has_one_exercise():
    assert [each.chapter for each in EXERCISES] == [1, 2, 3, 4, 5, 6]
    assert exercise_of(3).title == "A guide without the outcome"
    for wrong in (0, 7):
        with pytest.raises(InvalidArgument, match="`chapter` must be a chapter of the course, 1 to 6"):
            exercise_of(wrong)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("two", "of type str"),
        (None, "of type NoneType"),
        ([[1.0], [1.0, 2.0]], "of type list"),
        (np.zeros((2, 1)), r"shape \(2,\), but has \(2, 1\)"),
        ([np.nan, 1.0], "finite"),
        ([0.0, 1.0], "Look again."),
    ],
)
def test_the_reason_names_what_is_wrong(value, words):
    asked = Asked("x", "two numbers", lambda: torch.tensor([1.0, 2.0]), 1e-6, "Look again.")
    verdict = asked.verdict({"x": value})
    assert verdict.mark is Mark.WRONG
    assert re.search(words, verdict.reason)


def test_missing_answers_are_named_and_numbers_of_any_kind_are_taken():
    asked = Asked("x", "two numbers", lambda: [1.0, 2.0], 1e-6, "Look again.")
    assert asked.verdict({}).mark is Mark.MISSING
    for value in ([1, 2], (1.0, 2.0), torch.tensor([1, 2]), np.array([1.0, 2.0], np.float32)):
        assert asked.verdict({"x": value}).mark is Mark.RIGHT
    assert number_of(torch.tensor(2.0, requires_grad=True)) == 2.0
    assert number_of(1j) is None

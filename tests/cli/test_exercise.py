"""The command `exercise`: the task, the check of a script, and scripts that cannot be checked."""

import re

import pytest
from exercises.solutions import SOLUTIONS

from pgm_control.cli import main as cli
from pgm_control.cli.exercise import CHAPTERS
from pgm_control.exercises.chapters import EXERCISES


def run(capsys, *args):
    status = cli.main(["exercise", *args])
    said = capsys.readouterr()
    return status, said.out, said.err


@pytest.fixture
def script(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path / "answer.py"


def test_every_chapter_has_an_exercise_that_is_shown(capsys, script):
    assert len(EXERCISES) == CHAPTERS
    for exercise in EXERCISES:
        status, said, _ = run(capsys, str(exercise.chapter))
        assert status == 0
        assert all(f"  {asked.name}: " in said for asked in exercise.asked)
        assert max(map(len, said.splitlines())) <= 80


@pytest.mark.parametrize("chapter", range(1, CHAPTERS + 1))
def test_a_right_script_has_status_0(capsys, script, chapter):
    script.write_text(SOLUTIONS[chapter], encoding="utf8")
    status, said, _ = run(capsys, str(chapter), "answer.py")
    number = len(EXERCISES[chapter - 1].asked)
    assert f"{number} of {number} answers are right." in said
    assert status == 0


def test_a_wrong_script_has_status_1_and_its_mistakes_are_named(capsys, script):
    script.write_text("p_ticket = 0.020432187314\np_win = 0.99\n", encoding="utf8")
    status, said, _ = run(capsys, "2", "answer.py")
    assert status == 1
    assert "0 of 3 answers are right." in said
    assert "p_ticket: wrong. This is the clamped agent, which values the mean." in said
    assert re.search(r"break_even: missing\. The script must set", said)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1\ny = 1 / 0\n", "answer.py, line 2 raised an exception, so nothing was checked:\n  ZeroDivisionError"),
        ("x = (\n", "raised an exception, so nothing was checked:"),
        ("raise SystemExit(3)\n", "called exit(3) before its end."),
    ],
)
def test_a_script_that_does_not_finish_is_reported(capsys, script, text, words):
    script.write_text(text, encoding="utf8")
    status, said, _ = run(capsys, "1", "answer.py")
    assert status == 1
    assert words in said


@pytest.mark.parametrize(
    ("args", "words"),
    [(["7"], "CHAPTER must be a chapter of the course, 1 to 6"), (["1", "none.py"], "SCRIPT must be a Python script")],
)
def test_mistakes_in_the_arguments_are_one_line(capsys, script, args, words):
    status, _, said = run(capsys, *args)
    assert status == 2
    assert words in said
    assert said.count("\n") == 1

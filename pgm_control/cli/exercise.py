"""The command `exercise`: show an exercise of the course, or run the reader's script and check its answers."""

import runpy
import traceback
from pathlib import Path
from typing import Annotated, Any

import tyro

from ..errors import InvalidArgument

CHAPTERS = 6
"""The number of chapters of the course."""


def exercise(
    chapter: Annotated[int, tyro.conf.Positional, tyro.conf.arg(metavar="CHAPTER")],
    script: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="SCRIPT")] = None,
) -> int:
    """Show the exercise of a chapter of the course, or check the answers that your script computes.

    Prints for each answer whether it is right, and if not what is wrong, but not the right value. The exit status is 0
    if all answers are right, 1 otherwise. The script is run as `python SCRIPT` would run it: give only a script that
    you would run yourself.

    Args:
        chapter: Number of the chapter, 1 to 6.
        script: Python script that sets the variables that the exercise asks for. Default: none; the exercise is shown.
    """
    if not 1 <= chapter <= CHAPTERS:
        raise InvalidArgument(f"`chapter` must be a chapter of the course, 1 to {CHAPTERS}, but is {chapter}.")
    if script is not None and not script.is_file():
        raise InvalidArgument(f"`script` must be a Python script, but there is no file {script}.")
    if script is None:
        from ..exercises.chapters import exercise_of

        print(f"{exercise_of(chapter)}\n\nThen: pgm-control exercise {chapter} SCRIPT")
        return 0
    answers = _variables(script)
    if answers is None:
        return 1
    return _report(chapter, script, answers)


def _variables(script: Path) -> dict[str, Any] | None:
    """Run the script and return its variables; print the traceback and return None if it raises."""
    try:
        return runpy.run_path(str(script), run_name="__main__")
    except SystemExit as stopped:
        print(f"{script} called exit({stopped.code}) before its end. Remove the call; the check needs the variables.")
    except Exception as problem:  # of the script, whatever it is
        frames = traceback.extract_tb(problem.__traceback__)
        own = [frame for frame in frames if Path(frame.filename) == script]
        where = f", line {own[-1].lineno}" if own else ""
        reason = "".join(traceback.format_exception_only(problem)).strip()
        print(f"{script}{where} raised an exception, so nothing was checked:\n  {reason}")
    return None


def _report(chapter: int, script: Path, answers: dict[str, Any]) -> int:
    """Print the verdicts and return the exit status."""
    from ..exercises.chapters import exercise_of
    from ..exercises.exercise import Mark

    asked = exercise_of(chapter)
    verdicts = asked.check(answers)
    right = sum(each.mark is Mark.RIGHT for each in verdicts)
    print(f"Exercise {chapter}. {asked.title}: {right} of {len(verdicts)} answers are right.")
    for each in verdicts:
        print(each)
    if right < len(verdicts):
        print(f"\nOnce they are mended:\n  pgm-control exercise {chapter} {script}")
        return 1
    if chapter < CHAPTERS:
        print(f"\nNext:\n  pgm-control exercise {chapter + 1}")
    return 0

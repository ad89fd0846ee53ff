"""Tables fit the terminal, and a progress bar claims no more than it knows."""

import sys

import pytest

from pgm_control import ProgressBar
from pgm_control.text.tables import grid
from pgm_control.text.terminal import bar_over, fill, folded

HEAD = [["", "ELBO", "imagined return", "policy entropy"], ["", "[nats]", "[reward]", "[nats]"]]
ROWS = [["free", "-29.8", "-15.2", "65.8"], ["clamped", "-68.9", "-49.8", "50.2"]]


@pytest.mark.parametrize("groups", [(ROWS, []), (ROWS[:1], ROWS[1:]), (ROWS,)])
def test_columns_beyond_the_width_of_the_terminal_come_below(monkeypatch, groups):
    table = grid(HEAD, *groups)
    monkeypatch.setenv("COLUMNS", "50")
    assert folded(table) == table
    monkeypatch.setenv("COLUMNS", "32")
    note = "log p(O) = -29.8 nats, in a line that is longer than the terminal"
    above, below = folded(f"{table}\n{note}").split("\n\n")
    assert above == grid([line[:3] for line in HEAD], *[[row[:3] for row in rows] for rows in groups])
    right = grid([[line[0], line[3]] for line in HEAD], *[[[row[0], row[3]] for row in rows] for rows in groups])
    assert below == f"{right}\n{note}"


def test_several_columns_can_be_repeated_and_a_column_that_is_too_wide_stands_alone(monkeypatch):
    table = grid([["", "", "one", "x" * 40, "two"]], [["lake", "free", "1", "2", "3"]], left=2)
    monkeypatch.setenv("COLUMNS", "30")
    parts = folded(table, left=2).split("\n\n")
    assert [part.split("\n")[-1].split() for part in parts] == [["lake", "free", each] for each in "123"]


def test_text_that_is_no_table_stays_as_it_is(monkeypatch):
    monkeypatch.setenv("COLUMNS", "10")
    assert folded("no table here, but a long line") == "no table here, but a long line"


def shown(capsys):
    return [line for line in capsys.readouterr().err.replace("\r", "\n").split("\n") if line.strip()]


def test_a_bar_estimates_nothing_at_first_and_nothing_from_a_slow_first_step(capsys, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("tqdm.std.time", lambda: clock[0])
    with ProgressBar(1000, "fit") as bar:
        for step, now in ((1, 50.0), (11, 51.0), (101, 60.0)):
            clock[0] = now
            bar(step, {"elbo": -1.0})
    lines = shown(capsys)
    assert not any("left" in line for line in lines if "101/1000" not in line)
    assert "at most 01:2" in lines[-1] or "at most 01:3" in lines[-1], "900 steps at 10 a second take 90 s, not hours"


def test_a_computation_that_ends_early_fills_its_bar(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with bar_over(4000, "compare") as bar:
        for step in range(1, 301):
            bar(step, {"elbo": -1.0})
        fill(bar)
    last = shown(capsys)[-1]
    assert "100%" in last
    assert "300/300" in last


def test_a_run_that_is_resumed_is_not_estimated_from_the_steps_before(capsys, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("tqdm.std.time", lambda: clock[0])
    with ProgressBar(1000, "train") as bar:
        for step, now in ((501, 1.0), (601, 11.0)):
            clock[0] = now
            bar(step, {})
    assert "at most 00:3" in shown(capsys)[-1] or "at most 00:4" in shown(capsys)[-1]

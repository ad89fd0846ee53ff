"""Names in CSV files run no formulas in a spreadsheet, and numbers stay as they are."""

import csv
import io

import pytest
import torch

from pgm_control import ClampedGuide, TabularMDP, TabularModel, ledger
from pgm_control.text.csv_table import csv_table


@pytest.mark.parametrize("name", ["=1+1", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1+1"])
def test_a_formula_is_written_as_text(name):
    assert cells_of(csv_table([name], [[name]])) == [[f"'{name}"], [f"'{name}"]]


def test_numbers_and_other_texts_are_written_as_they_are():
    row = [-1.5, -3, None, "-0.5", "-inf", "a=b", "", 'say "x", y']
    assert csv_table(["c"] * 8, [row]).splitlines()[1] == '-1.5,-3,,-0.5,-inf,a=b,,"say ""x"", y"'


def test_the_names_of_a_ledger_are_harmless(tmp_path):
    names = ["=HYPERLINK(1)", "@x"]
    mdp = TabularMDP(
        torch.tensor([0.5, 0.5]),
        torch.full((2, 2, 2), 0.5),
        torch.tensor([[[0, 1]] * 2] * 2),
        torch.tensor([[[0.0, 1.0], [2.0, 3.0]]] * 2),
        2,
        state_names=names,
        action_names=["+a", "b"],
    )
    model = TabularModel(mdp)
    ledger(model, ClampedGuide(model)).save(tmp_path / "x.csv")
    cells = {cell for row in cells_of((tmp_path / "x.csv").read_text()) for cell in row}
    assert {f"'{name}" for name in names} <= cells
    assert not any(cell.startswith(("=", "@", "+")) for cell in cells)


def cells_of(text):
    return list(csv.reader(io.StringIO(text, newline="")))

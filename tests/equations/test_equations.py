"""The table of equations: both sides of each row agree, its function is called, and the page is up to date."""

import ast
import importlib
from dataclasses import fields

import numpy as np
import pytest

from equations.page import CHAPTERS, PAGE, PICTURES, ROOT, ROWS, page


def imported(path):
    module, name = path.rsplit(".", 1)
    return getattr(importlib.import_module(module), name)


def difference(left, right):
    """The largest difference of two sides, relative to the larger of 1 and the size of the right one."""
    left, right = np.asarray(left, dtype=float), np.asarray(right, dtype=float)
    assert left.shape == right.shape
    return np.max(np.abs(left - right) / np.maximum(1.0, np.abs(right)))


in_repository = pytest.mark.skipif(not PAGE.parent.is_dir(), reason="the site is not shipped with the package")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_two_sides_agree_and_the_function_is_called(row):
    calls, function = [], imported(row.function)

    def counted(*args, **kwargs):
        calls.append(row.function)
        return function(*args, **kwargs)

    left, right = row.sides(counted)
    assert calls
    assert difference(left, right) < 1e-10


@in_repository
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_no_cell_is_empty_and_each_names_something_that_exists(row):
    assert all(getattr(row, field.name) for field in fields(row))
    assert 1 <= row.chapter <= len(CHAPTERS)
    assert row.function.rsplit(".", 1)[1] in row.shown or "(" in row.shown
    assert (PICTURES / f"{row.picture}.png").is_file()
    assert (ROOT / "examples" / f"{row.picture}.py").is_file()
    file, test = row.law.split("::")
    tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf8"))
    assert test in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_names_are_unique_and_every_chapter_has_rows():
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert {row.chapter for row in ROWS} == set(range(1, len(CHAPTERS) + 1))


@in_repository
def test_the_page_is_up_to_date():
    """`python -m tests.equations` writes it."""
    assert PAGE.read_text(encoding="utf8") == page()


def test_a_wrong_side_is_noticed():
    assert difference([1.0, 2.0], [1.0, 2.0 + 1e-9]) > 1e-10
    with pytest.raises(AssertionError):
        difference([1.0], [[1.0]])

"""Tests of the examples of the reference: each public name has one, and it prints what it quotes."""

import doctest
import importlib
import inspect
import sys
from pathlib import Path

import matplotlib
import pyro
import pytest
from page_code import assert_same

import pgm_control

DOCS = Path(__file__).parent.parent / "docs"
if not (DOCS / "_examples").is_dir():
    pytest.skip("the site is not shipped with the package", allow_module_level=True)
sys.path.append(str(DOCS / "_ext"))

from api_examples import SHARED, by_name, completed, examples  # noqa: E402
from public_names import areas  # noqa: E402

NAMES = {f"{area.package}.{name}": name for area in areas() for name in area.names}
OBJECTS = {full: getattr(importlib.import_module(full.rpartition(".")[0]), name) for full, name in NAMES.items()}
IN_DOCSTRINGS = {full for full, found in OBJECTS.items() if ">>>" in (inspect.getdoc(found) or "")}


def test_every_public_name_has_an_example():
    assert not [full for full, name in NAMES.items() if name not in by_name() and full not in IN_DOCSTRINGS]
    assert not set(by_name()) - set(NAMES.values())


def test_every_name_is_in_one_section_that_uses_it():
    named = [name for each in examples() for name in each.names]
    assert len(named) == len(set(named))
    assert not [each.names for each in examples() if not each.written]


def test_code_is_completed():
    assert completed("print(infer(model, 0.0))\n") == (
        "from pgm_control import TabularModel, infer\nfrom pgm_control.models import risky_path\n\n"
        f"{SHARED['model']}\nprint(infer(model, 0.0))\n"
    )
    assert completed("def f(model):\n    return model\n") == "\ndef f(model):\n    return model\n"


@pytest.mark.slow
@pytest.mark.parametrize("example", examples(), ids=lambda each: each.names[0])
def test_an_example_prints_what_it_quotes(example, capsys):
    matplotlib.use("agg")
    exec(compile(example.code, f"{example.file.name}: {example.names[0]}", "exec"), {"__name__": "example"})
    assert_same(capsys.readouterr().out, example.printed)
    pyro.clear_param_store()


@pytest.mark.slow
@pytest.mark.parametrize("full", sorted(IN_DOCSTRINGS))
def test_the_example_in_a_docstring_prints_what_it_quotes(full):
    found = doctest.DocTestFinder(recurse=False).find(OBJECTS[full], full, globs={})
    for each in found:
        wrong = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS).run(each)
        assert wrong.attempted > 0
        assert wrong.failed == 0
    pyro.clear_param_store()


def test_numbers_that_differ_are_detected():
    with pytest.raises(AssertionError):
        assert_same("2.9871", "2.9872\n2")


def test_the_library_is_the_one_beside_the_site():
    assert Path(pgm_control.__file__).parent.parent == DOCS.parent

"""Tests of `help`, `repr` and signatures: they show public names in short lines."""

import dataclasses
import enum
import importlib
import importlib.metadata
import inspect
import pydoc
import re
import subprocess
import sys
import typing
from pathlib import Path

import pytest
import torch
from sources import SOURCES, bibliography, cited, listed

import pgm_control
from pgm_control import models

CORE = Path(pgm_control.__file__).parent
PACKAGES = ("models", "guides", "learners", "planners", "inverse_rl", "behaviour", "plot", "exchange", "testing")
MODULES = {name: importlib.import_module(name) for name in ("pgm_control", *(f"pgm_control.{p}" for p in PACKAGES))}
PUBLIC = {f"{module}.{name}": getattr(MODULES[module], name) for module in MODULES for name in MODULES[module].__all__}
CLASSES = {path: each for path, each in PUBLIC.items() if inspect.isclass(each)}
RECORDS = {
    path
    for path, each in CLASSES.items()
    if hasattr(each, "_fields") or (dataclasses.is_dataclass(each) and "def __init__" not in inspect.getsource(each))
}
LONGEST, LONGEST_PARAMETER = 1200, 400  # characters, with the modules of the types


def signatures():
    """Yield the signatures of public functions, and of constructors, methods and properties of public classes."""
    for path, each in PUBLIC.items():
        if not callable(each) or (inspect.isclass(each) and issubclass(each, Exception | enum.Enum)):
            continue
        yield path, inspect.signature(each)
        for owner in each.__mro__ if inspect.isclass(each) else ():
            if not owner.__module__.startswith("pgm_control"):
                continue
            for name, member in vars(owner).items():
                found = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
                if inspect.isfunction(found) and not name.startswith("_"):
                    yield f"{path}.{name}", inspect.signature(found)


SIGNATURES = dict(signatures())


def test_signatures_show_no_private_names_and_no_addresses():
    shown = {path: str(signature).replace("torch._C.", "torch.") for path, signature in SIGNATURES.items()}
    assert len(shown) > 400
    bad = {path: found for path, text in shown.items() if (found := re.findall(r"\b_\w+|<[^>]*>|0x[0-9a-f]+", text))}
    assert not bad


def test_signatures_are_short():
    assert not {path: len(str(found)) for path, found in SIGNATURES.items() if len(str(found)) > LONGEST}
    parameters = {f"{path}: {each}" for path, found in SIGNATURES.items() for each in found.parameters.values()}
    assert not {each for each in parameters if len(each) > LONGEST_PARAMETER}


def test_types_in_signatures_are_public():
    """Types of arguments and results are public. Generated constructors of dataclasses and named tuples are exempt."""
    names, unknown = {path.rpartition(".")[2] for path in PUBLIC}, {}
    for path, signature in SIGNATURES.items():
        for name in re.findall(r"pgm_control\.[\w.]*?(\w+)(?![\w.])", str(signature)):
            if name not in names and path not in RECORDS:
                unknown.setdefault(name, path)
    assert not unknown


def test_type_aliases_are_shown_by_name():
    signature = inspect.signature(pgm_control.TabularMDP)
    assert str(signature.parameters["probability"]) == "probability: ArrayLike"
    assert str(inspect.signature(pgm_control.value_iteration).parameters["progress"]).endswith("Progress = silent")


def test_classes_define_a_repr():
    """A dataclass or named tuple with plain fields may keep the default repr, and so may a torch module."""
    bare, rich = [], {}
    for path, each in CLASSES.items():
        if issubclass(each, Exception | enum.Enum | torch.nn.Module) or getattr(each, "_is_protocol", False):
            continue
        if each.__repr__ is object.__repr__:
            bare.append(path)
        elif not inspect.unwrap(each.__repr__).__code__.co_filename.startswith(str(CORE.resolve().parent)):
            kinds = typing.get_type_hints(each).items()
            if found := [
                name
                for name, kind in kinds
                if re.search(r"Tensor|ndarray|Callable|Any\b", str(kind).replace("float | typing.Any", "float"))
            ]:
                rich[path] = found
    assert not bare, f"these print as an address; define a __repr__: {bare}"
    assert not rich, f"these fields may be large; set `__repr__ = one_line`: {rich}"


def examples():
    """Return instances that are quick to construct."""
    exchange, guides, learners = (MODULES[f"pgm_control.{name}"] for name in ("exchange", "guides", "learners"))
    model, tiger = pgm_control.TabularModel(models.risky_path(), 1.0), models.tiger()
    guide, posterior = pgm_control.FreeGuide(model), pgm_control.infer(model, 1.0)
    policy = pgm_control.TabularPolicy(posterior.policy)
    return [
        model.mdp,
        tiger,
        pgm_control.remember(tiger, 2),
        model,
        *pgm_control.zoo().values(),
        guide,
        *guides.guide_zoo().values(),
        posterior,
        posterior.distribution,
        posterior.sample(30),
        posterior.mode(),
        policy,
        pgm_control.Optimism(torch.full((4, 2), 0.5)),
        pgm_control.soft_values(model, 1.0),
        pgm_control.history_optimum(pgm_control.PartiallyObservedModel(tiger)),
        pgm_control.fit(model, guide, method="exact"),
        pgm_control.MarkovELBO(),
        pgm_control.MarkovObjective(0.5),
        pgm_control.MarkovRenyi(0.5),
        pgm_control.ToGoELBO(torch.nn.Linear(3, 1)),
        guides.MixtureELBO(),
        pgm_control.silent,
        pgm_control.smc(model, guide, 8),
        pgm_control.evaluate(model, guide),
        pgm_control.estimate(model, guide, 8),
        pgm_control.ledger(model, guide),
        pgm_control.frontier(model),
        pgm_control.return_distribution(model, posterior),
        pgm_control.explain(model),
        pgm_control.debias(model),
        pgm_control.render(model),
        pgm_control.to_gymnasium(model.mdp),
        pgm_control.rollout(pgm_control.to_gymnasium(model.mdp), policy, 40, seed=0),
        models.MultiGoalEnv(),
        learners.SAC("CartPole-v1"),
        exchange.to_dense(model.mdp),
        exchange.Chart(("x",), (0.0,), (1.0,), set_state=lambda env, point: None),
        MODULES["pgm_control.plot"].layout_of(models.frozen_lake()),
    ]


def test_reprs_are_short_and_readable():
    """A repr has no address, no module name, no private class and no table of numbers."""
    for each in examples():
        text = repr(each)
        assert not re.search(r"0x[0-9a-f]{4}|pgm_control\.|\b_[a-z]|tensor\(|array\(| object at ", text), text
        assert type(each).__name__ in text or isinstance(each, torch.nn.Module) or "\n" in text or text == "silent", (
            text
        )
        assert len(text) < 1000, text


def test_help_opens_with_the_public_names():
    """The names are in the order of `__all__`, and all packages are listed."""
    text = pgm_control.__doc__
    parts = re.split(r"^(?=[AW][\w ,:]*$)", text[: text.index("Packages of their own")], flags=re.M)[1:]
    named = [re.findall(r"^    (\w+)  ", part, flags=re.M) for part in parts]
    assert len(named) == 4
    order = {name: i for i, name in enumerate(pgm_control.__all__)}
    for names in named:
        assert names == sorted(names, key=order.__getitem__)
    listed_packages = re.findall(r"^    (\w+)  ", text[text.index("Packages of their own") :], flags=re.M)
    assert tuple(listed_packages) == PACKAGES


def test_the_example_in_help_runs(capsys):
    code = pgm_control.__doc__.split("\n\nA problem\n")[0].split("\n\n", 1)[1]
    exec(inspect.cleandoc(code), {})
    assert "Evaluation(" in capsys.readouterr().out


def test_help_lists_public_names_only():
    text = pydoc.plain(pydoc.render_doc(pgm_control))
    assert text.index("    TabularMDP  ") < text.index("PACKAGE CONTENTS")
    for name in ("register_environments", "import_module", "TYPE_CHECKING"):
        assert name not in text
    shown = [name for name in dir(pgm_control) if not name.startswith("__")]
    assert shown == sorted([*pgm_control.__all__, *PACKAGES])


def test_packages_are_imported_on_first_access():
    code = "import pgm_control, sys; print('torch' in sys.modules); print(pgm_control.guides.OpenLoopGuide.__name__)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False", "OpenLoopGuide"]


def test_the_version_is_that_of_the_distribution():
    assert re.fullmatch(r"\d+\.\d+\.\d+\w*", pgm_control.__version__)
    try:
        installed = importlib.metadata.version("pgm-control")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("pgm-control comes from a source tree that is not installed")
    assert installed == pgm_control.__version__


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(CORE).as_posix())
def test_citations_resolve_in_help(path):
    """Each module lists its sources as in the bibliography; `python -m tests.sources` writes the lists."""
    text = path.read_text(encoding="utf8")
    assert not [key for key in cited(text) if key not in bibliography()]
    assert text == listed(text)


def test_every_source_is_complete_and_cited():
    used = {key for path in SOURCES for key in cited(path.read_text(encoding="utf8"))}
    entries = bibliography()
    assert sorted(used) == list(entries)
    for key, fields in entries.items():
        assert {"title", "year"} < set(fields), key
        assert fields.keys() & {"author", "editor"}, key
        assert fields["year"] in key, key
        assert fields.keys() & {"journal", "booktitle", "publisher", "school", "eprint"}, key


def test_one_line_prints_small_values_and_abbreviates_large_ones():
    from pgm_control.text.one_line import one_line

    @dataclasses.dataclass
    class Record:
        short: torch.Tensor
        table: torch.Tensor
        number: float
        names: tuple[str, ...]
        by_name: dict[str, float]
        function: object
        absent: None = None

    record = Record(torch.tensor([1, 2]), torch.zeros(3, 4), 1 / 3, ("a",), {"b": 0.5}, lambda: None)
    assert one_line(record) == (
        "Record(short=[1, 2], table=float32[3, 4], number=0.333333, names=('a',), by_name={'b': 0.5}, "
        "function=a function)"
    )
    record.names, record.function = tuple("abcdefghijklmn"), one_line
    assert "names=(14 entries)" in one_line(record)
    assert one_line(record).endswith("function=one_line)")

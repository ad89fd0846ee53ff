"""Tests of the architecture: every import points to a lower layer, and no imports are cyclic."""

import ast
import functools
import graphlib
from pathlib import Path

import pytest

import pgm_control

PACKAGE = Path(pgm_control.__file__).parent
FLOORS = (  # from the lowest layer up; folders of one layer do not import each other
    ("errors",),
    ("runtime",),
    ("kernels",),
    ("text", "chance", "programs"),
    ("problems", "sweeps"),
    ("trajectories",),
    ("inference.exact",),
    ("inference.local",),
    ("inference.infinite_horizon", "inference.variational", "inference.sampling", "environments"),
    ("models", "networks", "testing"),
    ("guides",),
    ("analysis", "intrinsic", "learners", "planners"),
    ("queries", "exchange", "inverse_rl", "benchmark", "plot"),
    ("reports", "behaviour", "exercises"),
    ("cli",),
)
HEIGHT = {name: floor for floor, names in enumerate(FLOORS) for name in names}
LINKED = tuple(
    PACKAGE / name for name in ("models", "guides")
)  # rglob does not follow links; these folders grow by design
FILES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for folder in (PACKAGE, *LINKED)
    for path in sorted(folder.rglob("*.py"))
}
TEXTS = {name: path.read_text(encoding="utf8") for name, path in FILES.items()}
MODULES_BY_NAME = {"import_module", "__import__"}
MAY_IMPORT_BY_NAME = {  # lazy public names; modules of the user; what a worker needs before its first task
    "__init__",
    "sweeps.functions",
    "cli.own_module",
    "inference.infinite_horizon.blocks.on_dask",
}


@functools.cache
def trees():
    return {name: ast.parse(text) for name, text in TEXTS.items()}


def taken(name, tree):
    """Yield every (module, name) of the package that a file imports, including imports for types only.

    Modules are named relative to the package, which itself is "". `import pgm_control.x` yields (None, …).
    """
    is_package = name in FILES and FILES[name].name == "__init__.py"
    parts = [] if name == "__init__" else name.split(".")
    here = parts if is_package else parts[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = (alias.name for alias in node.names)
            yield from ((None, each) for each in names if each.split(".")[0] == "pgm_control")
        elif isinstance(node, ast.ImportFrom):
            path = [part for part in (node.module or "").split(".") if part]
            if node.level:
                path = ["pgm_control", *here[: len(here) - node.level + 1], *path]
            if path[0] == "pgm_control":
                yield from ((".".join(path[1:]), alias.name) for alias in node.names)


def imported(name, tree=None):
    """The modules of the package that a file imports."""
    pairs = taken(name, tree or trees()[name])
    inside = {(base, f"{base}.{each}".strip(".")) for base, each in pairs if base is not None}
    return ({full if full in FILES else base for base, full in inside} & set(FILES)) - {name}


def folder_of(name):
    """The folder that has a layer."""
    parts = name.split(".")
    return ".".join(parts[:2]) if parts[0] == "inference" else parts[0]


def upward(name, tree=None):
    """The imports that do not point to a lower layer."""
    mine = folder_of(name)
    others = {other for other in imported(name, tree) if folder_of(other) != mine}
    return sorted(other for other in others if HEIGHT[folder_of(other)] >= HEIGHT[mine])


def misnamed(name, tree=None):
    """Yield a message for each name that is not imported from the module that defines it."""
    tree = tree or trees()[name]
    for base, each in taken(name, tree):
        if base is None:
            yield f"`import {each}`: take names, as `from .module import name`"
        elif not base and name not in ("__main__", "__init__"):
            yield f"`{each}` is imported from the top-level package"
        elif each.startswith("_"):
            yield f"`{each}` is private to {base}"
    used = {getattr(node, field, None) for node in ast.walk(tree) for field in ("id", "attr", "name")}
    if used & MODULES_BY_NAME and name not in MAY_IMPORT_BY_NAME:
        yield "a module is imported by a string"


MODULES = [name for name in FILES if folder_of(name) in HEIGHT]
FOLDERS = sorted({path.parent for path in FILES.values()} - set(LINKED))


def test_imports_point_down():
    assert not {name: found for name in MODULES if (found := upward(name))}


def test_names_are_imported_from_the_module_that_defines_them():
    assert not {name: found for name in FILES if (found := list(misnamed(name)))}


def test_imports_of_files_are_acyclic():
    graphlib.TopologicalSorter({name: imported(name) for name in MODULES}).prepare()


def test_imports_of_folders_are_acyclic():
    """A folder and its subfolder import each other in one direction only; the names that a folder re-exports from a
    subfolder do not count as imports."""
    folders = {}
    for name in (name for name in MODULES if FILES[name].name != "__init__.py"):
        folders.setdefault(FILES[name].parent, set()).update(FILES[other].parent for other in imported(name))
    graphlib.TopologicalSorter({folder: others - {folder} for folder, others in folders.items()}).prepare()


def test_every_folder_has_a_layer():
    assert {folder_of(name) for name in FILES} - {"__init__", "__main__", "inference"} == set(HEIGHT)


def test_folders_stay_small():
    sizes = {folder.name: len([path for path in folder.glob("*.py") if path.stem != "__init__"]) for folder in FOLDERS}
    assert not {folder: size for folder, size in sizes.items() if size > 16}


def test_files_stay_small():
    lines = {name: len(text.splitlines()) for name, text in TEXTS.items() if name != "__init__"}  # a list of names
    assert not {name: many for name, many in lines.items() if many > 350}


def test_modules_have_a_docstring():
    assert not [name for name, tree in trees().items() if not ast.get_docstring(tree)]


def test_shape_checks_on_dataclasses_are_not_disabled():
    assert not [name for name, text in TEXTS.items() if "from __future__ import annotations" in text]


def test_the_number_that_a_check_returns_is_used():
    """The checks take numbers of numpy and torch too, and return those of Python, with which the library computes."""
    checks = {"whole", "whole_or_none", "positive", "finite", "ordered", "index", "fraction", "probability"}
    calls = [
        f"{name}:{node.lineno}"
        for name, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
        if isinstance(node.value.func, ast.Name) and node.value.func.id in checks
    ]
    assert not calls


def test_init_files_hold_reexports_and_their_list_only():
    for name, path in FILES.items():
        if path.name == "__init__.py" and path.parent != PACKAGE:
            *body, last = trees()[name].body
            assert all(isinstance(node, ast.ImportFrom | ast.Expr) for node in body), name
            value = ast.literal_eval(last.value) if isinstance(last, ast.Assign | ast.AnnAssign) else None
            imported = [alias.asname for node in body if isinstance(node, ast.ImportFrom) for alias in node.names]
            assert value == imported, f"the last line of {name} must be __all__, the names above in their order"


def test_the_package_has_only_folders_and_five_files():
    files = {path.name for path in PACKAGE.iterdir() if path.is_file()}
    assert files - {"README.md"} == {"__init__.py", "__main__.py", "errors.py", "py.typed", "references.bib"}


@pytest.mark.parametrize(
    "planted",
    [
        "from ..analysis.evaluate import evaluate",
        "from pgm_control.analysis.evaluate import evaluate",
        "from ..analysis import evaluate",
        "def later():\n    from ..cli.main import main",
        "if TYPE_CHECKING:\n    from ..guides.free import FreeGuide",
        "from ..kernels.solve import solve\nfrom ..inference.exact.infer import infer",
    ],
)
def test_an_upward_import_is_detected(planted):
    assert upward("problems.mdp", ast.parse(planted))


@pytest.mark.parametrize(
    "planted",
    [
        "import pgm_control.errors",
        "def later():\n    import pgm_control as everything",
        "from pgm_control import TabularMDP",
        "from .. import TabularMDP",
        "from .. import chance",
        "from ..chance.operators import _private",
        "from importlib import import_module",
        "import importlib\nimportlib.import_module('pgm_control.guides')",
        "__import__('pgm_control.guides')",
    ],
)
def test_a_name_from_another_module_is_detected(planted):
    assert list(misnamed("problems.mdp", ast.parse(planted)))


def test_allowed_imports_are_not_reported():
    text = "import ast\nfrom ..errors import InvalidProblem\nfrom pgm_control.chance.operators import tilt\n"
    tree = ast.parse(text + "from . import grid")
    assert not upward("problems.mdp", tree)
    assert not list(misnamed("problems.mdp", tree))
    assert imported("problems.mdp", tree) == {"errors", "chance.operators", "problems.grid"}

"""Tests of packaging: shipped files, importable names, and the lists in documents."""

import importlib
import importlib.util
import re
import subprocess
import sys
import tomllib
import types
from pathlib import Path

import pytest

import pgm_control

ROOT = Path(__file__).parent.parent
CORE = Path(pgm_control.__file__).parent
in_repository = pytest.mark.skipif(not (ROOT / "models").is_dir(), reason="needs the source tree")


def test_generic_names_are_never_importable():
    """In a new interpreter outside the repository, `models` and `guides` are not importable."""
    code = "import importlib.util as u, pgm_control.models, pgm_control.guides, sys\n" + (
        "print([n for n in ('models', 'guides', 'tests', 'examples') if u.find_spec(n) or n in sys.modules])"
    )
    origin = importlib.util.find_spec("pgm_control").submodule_search_locations[0]
    installed = "site-packages" in origin
    command = [sys.executable, "-c", code] if installed else [sys.executable, "-P", "-c", code]
    if not installed:
        pytest.skip("pgm_control comes from the source tree here; .ci/run runs this test on the wheel")
    result = subprocess.run(command, cwd=Path(origin).parent.parent, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_nothing_was_imported_under_a_bare_name():
    assert not {"models", "guides"} & set(sys.modules)


@in_repository
def test_every_file_of_the_package_is_shipped():
    """Every file except Markdown pages is in the package; .ci/run also runs this test on the wheel."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for path in map(Path, listed.splitlines()):
        if path.parts[0] in ("pgm_control", "models", "guides") and not (ROOT / path).is_symlink():
            inside = path.relative_to("pgm_control") if path.parts[0] == "pgm_control" else path
            assert path.suffix == ".md" or (CORE / inside).is_file(), path


@in_repository
@pytest.mark.parametrize("name", ["models", "guides"])
def test_the_folders_at_the_top_are_part_of_the_package(name):
    assert (ROOT / "pgm_control" / name).is_symlink()
    assert (ROOT / "pgm_control" / name).resolve() == ROOT / name


@in_repository
def test_the_top_level_is_as_designed():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    folders = {Path(name).parts[0] for name in listed.splitlines() if len(Path(name).parts) > 1}
    assert folders == {".ci", ".github", "docs", "examples", "guides", "models", "pgm_control", "tests"}


@in_repository
def test_citation_and_changelog_name_the_version():
    citation, changelog = (ROOT.joinpath(name).read_text(encoding="utf8") for name in ("CITATION.cff", "CHANGELOG.md"))
    assert re.findall(r"^version: (\S+)$", citation, re.MULTILINE) == [pgm_control.__version__]
    assert re.findall(r"^## (\S+)", changelog, re.MULTILINE)[0] == pgm_control.__version__


def test_public_names_are_the_names_of_their_objects():
    for name in pgm_control.__all__:
        value = getattr(pgm_control, name)
        assert getattr(value, "__name__", name) in (name, "Progress"), (
            "each public name equals the name of its function or class"
        )
    assert len(set(pgm_control.__all__)) == len(pgm_control.__all__)
    assert set(pgm_control.__all__) <= set(dir(pgm_control))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = pgm_control.nonsense


def test_no_folder_hides_a_public_name():
    """For any order of imports, `pgm_control.x` is the public x, never a folder of that name."""
    folders = {path.parent.name for path in CORE.glob("*/__init__.py")}
    assert not folders & set(pgm_control.__all__)


@in_repository
@pytest.mark.parametrize("folder", ["models", "guides"])
def test_each_map_names_every_file(folder):
    text = (ROOT / folder / "README.md").read_text(encoding="utf8")
    files = {path.name for path in (ROOT / folder).glob("*.py")} - {"__init__.py"}
    assert not sorted(name for name in files if f"`{name}`" not in text)
    assert not [name for name in re.findall(r"`(\w+\.py)`", text) if name not in files | {"__init__.py"}]


def test_no_module_shadows_a_public_name():
    """Also after every module has been imported: a name of a package that is not a module's own stays what it is."""
    code = """
import importlib, pkgutil, types, pgm_control
packages = [pgm_control]
for found in pkgutil.walk_packages(pgm_control.__path__, "pgm_control."):
    if found.name != "pgm_control.__main__":
        try:
            module = importlib.import_module(found.name)
        except ImportError:  # an extra is missing
            continue
        packages += [module] if found.ispkg else []
print([f"{package.__name__}.{name}" for package in packages for name in getattr(package, "__all__", ())
       if isinstance(getattr(package, name), types.ModuleType)])
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@in_repository
def test_imports_in_the_texts_of_the_folders_give_what_is_called():
    """A module in place of the function of the same name would be found only by who calls it."""
    found = 0
    for text in (*CORE.rglob("*.md"), *ROOT.glob("*/README.md")):
        for module, names in re.findall(
            r"^ *from (pgm_control[\w.]*) import ([\w, ]+)$", text.read_text("utf8"), re.MULTILINE
        ):
            for name in names.split(", "):
                given = getattr(importlib.import_module(module), name)
                assert not isinstance(given, types.ModuleType), f"{text}: from {module} import {name}"
                found += 1
    assert found > 5


@in_repository
def test_the_table_of_names_is_the_list_of_public_names():
    """Its second column holds public names and packages, none twice; the third may mention more of them."""
    text = (ROOT / "docs" / "names.md").read_text(encoding="utf8")
    rows = [line.split("|")[2:4] for line in text.splitlines() if line.startswith("|")][2:]
    named = [name for first, _ in rows for name in re.findall(r"`([\w.]+)`", first)]
    mentioned = {name for _, second in rows for name in re.findall(r"`(\w+)`", second)}
    packages = {name for name in named if (CORE / name.removeprefix("pgm_control.") / "__init__.py").is_file()}
    assert len(set(named)) == len(named)
    assert set(named) - packages <= set(pgm_control.__all__)
    assert set(pgm_control.__all__) <= {*named, *mentioned}


@in_repository
def test_the_map_names_every_folder_and_no_other():
    """The table has one row for each folder."""
    text = (ROOT / "pgm_control" / "README.md").read_text(encoding="utf8")
    named = set(re.findall(r"^\| *\d* *\| `([\w/]+)/`", text, flags=re.MULTILINE))
    inits = [path for folder in (CORE, CORE / "models", CORE / "guides") for path in folder.rglob("*/__init__.py")]
    folders = {path.parent.relative_to(CORE).as_posix() for path in inits} | {"models", "guides"}
    folders -= {"inference"}
    assert named == folders


def test_the_shape_checker_is_on(pytestconfig):
    """The checker is optional, because it takes two fifths of the time of the suite; .ci/run requests it."""
    if not pytestconfig.getoption("jaxtyping_packages"):
        pytest.skip("pytest --jaxtyping-packages=pgm_control,beartype.beartype checks the shapes of every call")
    import torch

    from pgm_control.chance.operators import certainty_equivalent

    with pytest.raises(Exception, match=r"(?i)type-check error"):
        certainty_equivalent(torch.zeros(2, 3), torch.zeros(3, 2), 1.0, 1.0)


def test_help_of_the_command_does_not_import_torch():
    code = (
        "import sys, pgm_control.cli.main; print(sorted({'torch', 'pyro', 'numba', 'matplotlib'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@in_repository
def test_constraints_are_inside_the_supported_range():
    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    extras = [each for group in project["optional-dependencies"].values() for each in group]
    for text in [*project["dependencies"], *extras]:
        requirement = Requirement(text)
        if requirement.name != "pgm-control":
            assert requirement.specifier.contains(pinned[requirement.name]), text

"""What is shipped, what may import what, and what documents promise: conventions held by a machine."""

import ast
import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import pgm_control
from pgm_control.reports.explorer import page as _explore

ROOT = Path(__file__).parent.parent
CORE = Path(pgm_control.__file__).parent
in_repository = pytest.mark.skipif(not (ROOT / "models").is_dir(), reason="needs the source tree")
OUTSIDE = (CORE / "models", CORE / "guides")
OF_THE_CORE = (CORE, *sorted({init.parent for init in CORE.glob("*/__init__.py")} - {*OUTSIDE}))
FOLDERS = (*OF_THE_CORE, *OUTSIDE)
SOURCES = sorted(path for folder in FOLDERS for path in folder.glob("*.py"))


def imports(path, module_level_only=False):
    """(level, module) of every import statement; those under `if TYPE_CHECKING` are not run and do not count."""
    tree = ast.parse(path.read_text(encoding="utf8"))
    skipped = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    nodes = tree.body if module_level_only else ast.walk(tree)
    for node in nodes:
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.level, node.module or ""


def test_generic_names_are_never_importable():
    """Asked of a fresh interpreter outside of the repository: `models` and `guides` must not reach site-packages."""
    code = "import importlib.util as u, pgm_control.models, pgm_control.guides, sys\n" + (
        "print([n for n in ('models', 'guides', 'tests', 'examples') if u.find_spec(n) or n in sys.modules])"
    )
    origin = importlib.util.find_spec("pgm_control").submodule_search_locations[0]
    installed = "site-packages" in origin
    command = [sys.executable, "-c", code] if installed else [sys.executable, "-P", "-c", code]
    if not installed:
        pytest.skip("pgm_control comes from the source tree here; .ci/run asks this of the wheel")
    result = subprocess.run(command, cwd=Path(origin).parent.parent, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_nothing_was_imported_under_a_bare_name():
    assert not {"models", "guides"} & set(sys.modules)


@in_repository
def test_every_package_on_disk_is_shipped():
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    found = {"pgm_control"} | {
        ".".join(("pgm_control", *init.parent.relative_to(ROOT).parts))
        for folder in ("models", "guides", "pgm_control/*")
        for init in ROOT.glob(f"{folder}/__init__.py")
        if not init.parent.is_symlink()
    }
    found = {name.replace("pgm_control.pgm_control", "pgm_control") for name in found}
    assert found == set(setuptools["packages"])
    for name in ("models", "guides"):
        assert (ROOT / "pgm_control" / name).is_symlink()


def test_the_page_of_the_explorer_is_shipped():
    """Asked of the wheel too, by .ci/run: what is no Python is left out unless `package-data` names it."""
    page = (CORE / "explorer" / "page.html").read_text(encoding="utf8")
    assert "{{script}}" in page
    for name in (*_explore._SCRIPTS, "style.css"):
        assert (CORE / "explorer" / name).stat().st_size > 0


@in_repository
def test_every_file_that_is_no_python_is_shipped():
    """But maps in Markdown, which are for who reads the source."""
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    found = set()
    for path in map(Path, listed.splitlines()):
        if path.parts[0] in ("pgm_control", "models", "guides") and not (ROOT / path).is_symlink():
            found |= {path} if path.suffix not in (".py", ".md") else set()
    shipped = {
        path.relative_to(ROOT)
        for package, patterns in setuptools["package-data"].items()
        for pattern in patterns
        for path in ROOT.joinpath(*package.split(".")).glob(pattern)
    }
    assert found == shipped


@in_repository
def test_the_top_level_is_as_designed():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    folders = {Path(name).parts[0] for name in listed.splitlines() if len(Path(name).parts) > 1}
    assert folders == {".ci", "examples", "guides", "models", "pgm_control", "tests"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_arrows_point_at_the_core(path):
    folder = path.parent.name
    if path.parent in OF_THE_CORE:
        for level, module in imports(path, module_level_only=True):
            first = module.split(".")[0]
            assert not (level and first in {"models", "guides"}), f"the core imports {module} when loaded"
            assert not module.startswith(("pgm_control.models", "pgm_control.guides"))
    else:
        other = {"models": "guides", "guides": "models"}[folder]
        for level, module in imports(path):
            assert level <= 1, "siblings relatively, the core absolutely"
            assert not module.startswith((f"pgm_control.{other}", f"pgm_control.{folder}")), module


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_files_stay_small_and_say_what_they_are(path):
    text = path.read_text(encoding="utf8")
    assert ast.get_docstring(ast.parse(text)), "a module opens with one sentence"
    assert len(text.splitlines()) <= 350
    assert "from __future__ import annotations" not in text, "it disables the shape checks on dataclasses"


def test_init_files_hold_reexports_only():
    for folder in FOLDERS[1:]:
        tree = ast.parse((folder / "__init__.py").read_text(encoding="utf8"))
        assert all(isinstance(node, ast.ImportFrom | ast.Expr) for node in tree.body)


def test_lazy_names_are_the_typed_ones():
    tree = ast.parse((CORE / "__init__.py").read_text(encoding="utf8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    statements = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    typed = {alias.asname: node.module for node in statements for alias in node.names}
    assert typed == pgm_control._HOME
    for name in pgm_control.__all__:
        assert getattr(pgm_control, name) is not None
    assert set(pgm_control.__all__) <= set(dir(pgm_control))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = pgm_control.nonsense


@in_repository
def test_the_map_names_every_public_name():
    listed = (ROOT / "pgm_control" / "README.md").read_text(encoding="utf8")
    missing = [name for name in pgm_control.__all__ if f"`{name}" not in listed]
    assert not missing


@in_repository
@pytest.mark.parametrize("folder", ["pgm_control", "pgm_control/learners", "models", "guides"])
def test_each_map_names_every_file(folder):
    text = (ROOT / folder / "README.md").read_text(encoding="utf8")
    files = {path.name for part in (".", "_compiled") for path in (ROOT / folder / part).glob("*.py")} - {"__init__.py"}
    missing = sorted(name for name in files if f"`{name}`" not in text)
    assert not missing
    stale = [name for name in re.findall(r"`(\w+\.py)`", text) if name not in files | {"__init__.py"}]
    assert not stale


@in_repository
@pytest.mark.parametrize("folder", OF_THE_CORE[1:], ids=lambda folder: folder.name)
def test_the_row_of_a_folder_without_a_map_of_its_own_names_every_file(folder):
    if (folder / "README.md").exists():
        return
    text = (ROOT / "pgm_control" / "README.md").read_text(encoding="utf8")
    rows = [line for line in text.splitlines() if line.startswith(f"| `{folder.name}/`")]
    assert len(rows) == 1
    files = {path.name.removesuffix(".py") for path in folder.iterdir() if path.is_file()} - {"__init__"}
    assert {name.removesuffix(".py") for name in re.findall(r"`([\w.]+)`", rows[0].split("|")[2])} == files


def test_every_citation_has_a_source_and_every_source_a_citation():
    texts = [path.read_text(encoding="utf8") for folder in (CORE, *OUTSIDE) for path in folder.rglob("*.py")]
    cited = {key for text in texts for key in re.findall(r"\[([a-z]+\d{4}[a-z]?)\]", text)}
    sources = re.findall(r"^@\w+\{(\w+),\n(.*?)^\}$", (CORE / "references.bib").read_text(encoding="utf8"), re.M | re.S)
    assert sorted(cited) == [key for key, _ in sources]
    for key, fields in sources:
        found = dict(re.findall(r"^  (\w+) = \{(.+)\},$", fields, re.M))
        assert {"title", "year"} < set(found), key
        assert found.keys() & {"author", "editor"}, key
        assert found["year"] in key, key


def test_the_shape_checker_is_on(pytestconfig):
    """Where it is asked for, as against the wheel: it takes two fifths of the time of the suite."""
    if not pytestconfig.getoption("jaxtyping_packages"):
        pytest.skip("pytest --jaxtyping-packages=pgm_control,beartype.beartype checks the shapes of every call")
    import torch

    from pgm_control.chance.operators import certainty_equivalent

    with pytest.raises(Exception, match=r"(?i)type-check error"):
        certainty_equivalent(torch.zeros(2, 3), torch.zeros(3, 2), 1.0, 1.0)


def test_help_answers_without_torch():
    code = "import sys, pgm_control.cli; print(sorted({'torch', 'pyro', 'gymnasium', 'numpy'} & set(sys.modules)))"
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

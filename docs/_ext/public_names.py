"""The public names of the library by area, read from its source in the order in which a reader meets them."""

import ast
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {
    "models": "Models and the problems of the zoo",
    "guides": "Guides of the zoo",
    "learners": "Learners",
    "planners": "Planners",
    "inverse_rl": "Rewards from demonstrations",
    "behaviour": "Behaviour of people",
    "plot": "Pictures",
    "exchange": "Files and other libraries",
    "testing": "Laws, as tests for your own classes",
}


@dataclass(frozen=True)
class Area:
    """A page of the reference: its title, the package that holds its names, and the names in order."""

    title: str
    package: str
    names: tuple[str, ...]
    elsewhere: tuple[str, ...] = ()
    """names of the package that stand on the page of an area of the whole library"""

    @property
    def slug(self) -> str:
        """The name of its file."""
        return re.sub(r"\W+", "-", self.title.lower()).strip("-")


def areas() -> tuple[Area, ...]:
    """Every area: those that the comments in `pgm_control/__init__.py` name, then the packages."""
    top = _commented(ROOT / "pgm_control" / "__init__.py")
    known = {name for names in top.values() for name in names}
    found = [Area(title, "pgm_control", tuple(names)) for title, names in top.items()]
    for package, title in PACKAGES.items():
        names = _listed(ROOT / "pgm_control" / package / "__init__.py")
        own, shared = (tuple(name for name in names if (name in known) is there) for there in (False, True))
        found.append(Area(title, f"pgm_control.{package}", own, shared))
    return tuple(found)


def _commented(path: Path) -> dict[str, list[str]]:
    """The names imported under `if TYPE_CHECKING`, by the comment above them."""
    block = path.read_text(encoding="utf8").split("if TYPE_CHECKING:\n")[1].split("\n\n\n")[0]
    found: dict[str, list[str]] = {}
    for line in block.splitlines():
        if comment := re.fullmatch(r"    # (.*)", line):
            names = found.setdefault(comment[1], [])
        elif imported := re.fullmatch(r"    from (\.\S+) import \w+ as (\w+)", line):
            names.append(imported[2])  # pyright: ignore[reportPossiblyUnboundVariable]
    return {title: names for title, names in found.items() if names}


def _listed(path: Path) -> list[str]:
    """The names in `__all__` of a module."""
    for node in ast.parse(path.read_text(encoding="utf8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return [ast.literal_eval(each) for each in node.value.elts]  # pyright: ignore[reportAttributeAccessIssue]
    raise ValueError(f"{path} has no `__all__`")

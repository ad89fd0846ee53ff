"""The examples of the reference: short code for each public name, in `docs/_examples/`, one file an area.

A section is headed by the names that it shows, and holds a block of code and a block of what that prints. Imports, and
the objects of `SHARED`, are added to the code where it uses them: what a reader copies is complete.
`python -m tests.example_outputs` runs the code and writes what it prints.
"""

import builtins
import dis
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import CodeType

from public_names import ROOT, areas

FOLDER = ROOT / "docs" / "_examples"
SHARED = {
    "model": "model = TabularModel(risky_path(), temperature=1.0)",
    "free": "free = infer(model, optimism=1.0)",
    "clamped": "clamped = infer(model, optimism=0.0)",
    "lake": "lake = TabularModel(frozen_lake(horizon=20), temperature=0.1)",
    "problem": "problem = LinearQuadratic.from_cost(0.9, 0.5, 1.0, 0.2, 0.3, horizon=6, initial_mean=1.0)",
    "regulator": "regulator = LinearQuadraticModel(problem)",
    "hand": "hand = infer(regulator, optimism=0.0)",
}
"""objects that many examples use, with the code that makes them"""
_MODULES = {
    "torch": "import torch",
    "np": "import numpy as np",
    "pyro": "import pyro",
    "dist": "import pyro.distributions as dist",
    "gymnasium": "import gymnasium",
    "plot": "from pgm_control import plot",
    "Path": "from pathlib import Path",
    "mkdtemp": "from tempfile import mkdtemp",
}
_SECTION = re.compile(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", re.M | re.S)
_CODE = re.compile(r"^```python\n(.*?)^```\n", re.M | re.S)
_PRINTED = re.compile(r"^```text\n(.*?)^```\n", re.M | re.S)


@dataclass(frozen=True)
class Example:
    """A section: the file, the names, the code as it is written, and what it prints."""

    file: Path
    names: tuple[str, ...]
    written: str
    printed: str

    @property
    def code(self) -> str:
        """The code with what it uses: imports and shared objects."""
        return completed(self.written)


@cache
def examples() -> tuple[Example, ...]:
    """Every section of every file."""
    found = []
    for path in sorted(FOLDER.glob("*.md")):
        for names, body in _SECTION.findall(path.read_text(encoding="utf8")):
            code, printed = _CODE.search(body), _PRINTED.search(body)
            found.append(
                Example(path, tuple(names.split(", ")), code[1] if code else "", printed[1] if printed else "")
            )
    return tuple(found)


@cache
def by_name() -> dict[str, Example]:
    """The example of each name."""
    return {name: each for each in examples() for name in each.names}


@cache
def homes() -> dict[str, str]:
    """The package from which each public name is imported."""
    return {name: area.package for area in reversed(areas()) for name in area.names}


def completed(code: str) -> str:
    """The code, after the imports and the shared objects that it needs."""
    lines: list[str] = []
    while wanted := [
        name for name in SHARED if name in _needed("\n".join([*lines, code])) and SHARED[name] not in lines
    ]:
        lines.insert(0, SHARED[wanted[-1]])
    order = [SHARED[name] for name in SHARED if SHARED[name] in lines]
    full = "\n".join([*order, code])
    needed, imported = _needed(full), {}
    for name in sorted(needed & set(homes())):
        imported.setdefault(homes()[name], []).append(name)
    out = [_MODULES[name] for name in _MODULES if name in needed]
    for package in sorted(imported):
        line = f"from {package} import {', '.join(imported[package])}"
        out.append(line if len(line) <= 88 else _wrapped(package, imported[package]))
    return "\n".join([*out, "", *order, code]) if order else "\n".join([*out, "", code])


def _wrapped(package: str, names: list[str]) -> str:
    return f"from {package} import (\n    " + ",\n    ".join(names) + ",\n)"


def _needed(code: str) -> set[str]:
    """The names that code uses and does not define: global names that are loaded somewhere, and stored nowhere."""
    used, made = set(), set(dir(builtins))

    def walk(compiled: CodeType) -> None:
        for each in dis.get_instructions(compiled):
            if each.opname in ("LOAD_NAME", "LOAD_GLOBAL"):
                used.add(each.argval)
            elif each.opname in ("STORE_NAME", "STORE_GLOBAL"):
                made.add(each.argval)
        for constant in compiled.co_consts:
            if isinstance(constant, CodeType):
                walk(constant)

    walk(compile(code, "example", "exec"))
    return used - made

"""The examples as modules, so that tests of claims can call their functions."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parent.parent / "examples"


def example(name: str) -> ModuleType:
    """The module of an example; the test is skipped where the examples are not shipped."""
    path = FOLDER / f"{name}.py"
    if not path.exists():
        pytest.skip("the examples are not shipped with the package")
    spec = importlib.util.spec_from_file_location(f"example_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module

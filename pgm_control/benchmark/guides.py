"""The participants of a benchmark: problems and guides by name, guides of other modules by `module:name`."""

import functools
import hashlib
import inspect
import sys
from pathlib import Path
from typing import Any

import pyro
import torch

from ..errors import InvalidArgument, LawBroken
from ..guides.zoo import GuideEntry, guide_entry
from ..models import TabularModel
from ..models.zoo import ZooEntry, zoo_entry
from ..runtime.arguments import instance
from ..runtime.versions import versions
from ..sweeps.functions import imported
from ..testing.checks import check_guide
from ..trajectories.blocks import MarkovModel

_CHECKED_STEPS = 5  # horizon of the problem on which a guide is checked: enumeration is slow over many steps


def problem_of(problem: str | ZooEntry) -> ZooEntry:
    """Return the problem in the zoo with this name; an entry is returned as it is.

    Raises:
        InvalidArgument: if there is no such problem, with the nearest names.
    """
    if isinstance(problem, str):
        return zoo_entry(problem)
    return instance("name", problem, ZooEntry, "Or pass the name of one.")


def guide_of(guide: str | GuideEntry) -> GuideEntry:
    """Return the guide in the zoo with this name, or of any module by `module:name`; an entry is returned as it is.

    Raises:
        InvalidArgument: if there is no such guide, with the nearest names.
    """
    if not isinstance(guide, str):
        return instance("name", guide, GuideEntry, "Or pass the name of one.")
    if ":" not in guide:
        return guide_entry(guide)
    found = _imported(guide)
    if isinstance(found, GuideEntry):
        return GuideEntry(guide, found.build, found.summary, found.fit)
    said = (inspect.getdoc(found) or "").partition("\n")[0]
    return GuideEntry(guide, found, said or "No description.")


def _imported(spec: str) -> Any:
    """Return the object `module:name`: a GuideEntry, or a callable that makes a guide from a model."""
    found = imported(spec, "guide", "guide", "my_module:MyGuide")
    if not callable(found) and not hasattr(found, "build"):
        raise InvalidArgument(
            f"`guide` must name something that makes a guide from a model, but {spec!r} is a {type(found).__name__}. "
            "Name a class such as MyGuide, a function of the model, or a GuideEntry."
        )
    return found


def require_lawful(entry: GuideEntry, model: MarkovModel) -> None:
    """Check the laws of a guide, on the first steps of this model.

    Raises:
        LawBroken: with every broken law.
        InvalidArgument: if the guide cannot be built or run at all.
    """
    short = TabularModel(model.mdp.replace(horizon=min(model.mdp.horizon, _CHECKED_STEPS)), model.temperature)
    try:
        with torch.random.fork_rng(devices=[]), pyro.get_param_store().scope():
            check_guide(short, entry.build(short), seed=0)
    except LawBroken as broken:
        raise LawBroken(f"The guide {entry.name} is refused, and nothing was run. {broken}") from broken
    except Exception as problem:
        raise InvalidArgument(
            f"The guide {entry.name} is refused, and nothing was run: on {short.mdp!r} it fails with "
            f"{type(problem).__name__}: {problem}. Try it with pgm_control.testing.check_guide(model, guide)."
        ) from problem


@functools.cache
def library_digest() -> str:
    """Return a digest of the versions that affect the numbers, and of the code of this library."""
    digest = hashlib.sha256(repr(sorted(versions().items())).encode())
    package = Path(__file__).parent.parent
    for folder in (package, package / "models", package / "guides"):  # rglob does not follow links
        for path in sorted(folder.rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def source_digest(entry: GuideEntry) -> str:
    """Return a digest of the guide's module and fit settings, so that a changed guide is fitted again.

    The digest reads the file of the module, which Python itself does not read again while it runs.
    """
    digest = hashlib.sha256(entry.name.encode())
    for name, value in sorted(entry.fit.items()):
        plain = value if isinstance(value, str | int | float | bool | None) else type(value).__name__
        digest.update(f"{name}={plain!r}".encode())
    module = sys.modules.get(getattr(inspect.unwrap(entry.build), "__module__", None) or "")
    file = getattr(module, "__file__", None)
    if file is not None and Path(file).is_file():
        digest.update(Path(file).read_bytes())
    return digest.hexdigest()[:12]

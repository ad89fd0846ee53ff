"""The version of this package, and of the packages that results depend on."""

import platform
from importlib import metadata

VERSION = "0.2.0"  # the one place; pyproject.toml reads it here


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that the numbers depend on."""
    found = {"python": platform.python_version()}
    for package in ("torch", "pyro-ppl", "gymnasium"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return {**found, "pgm-control": VERSION}

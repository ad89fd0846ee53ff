"""The versions that results depend on."""

import platform
from importlib import metadata


def versions() -> dict[str, str]:
    """Of Python and the packages that the numbers depend on."""
    found = {"python": platform.python_version()}
    for package in ("torch", "pyro-ppl", "gymnasium", "pgm-control"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found

"""A module of the user, which registers environments: imported because it is on the command line, never by a file."""

from pathlib import Path

from ..errors import InvalidArgument


def import_own(name: str | None) -> None:
    """Import a module of the current folder, or one that is installed.

    Args:
        name: its name, as in an import; None does nothing.

    Raises:
        InvalidArgument: if there is none, or it raises an error.
    """
    if name is None:
        return
    if not all(part.isidentifier() for part in name.split(".")):
        raise InvalidArgument(f"`import_` must be the name of a module, such as mine for mine.py, but is {name!r}.")
    from ..sweeps.functions import importable, imported_module

    with importable(str(Path.cwd())):
        imported_module(name, "import_", name)

"""Functions by name, `module:name`, in this process and in the workers of a sweep."""

import difflib
import hashlib
import importlib
import inspect
import sys
import threading
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any, final

from ..errors import InvalidArgument
from ..runtime.arguments import shown

_MAIN = "__main__"
_LOADING = threading.Lock()
_LOADED: dict[str, str] = {}  # the digest of each module's file when it was loaded here
_DIGITS = 12


class NotHere(Exception):
    """A worker cannot import the function, or has another version of it."""


@final
@dataclass(frozen=True)
class Named:
    """A function of a module, which a worker imports by name.

    Attributes:
        module, name: the module, and the function in it.
        digest: the digest of the module's file where the sweep was asked for; "" if there is none.
        folder: the folder from which it was imported there.

    A worker that does not find the module searches this folder, and the folder in which it was started itself.
    """

    module: str
    name: str
    digest: str
    folder: str | None

    def __call__(self, **arguments: Any) -> Any:
        """Call the function.

        Raises:
            NotHere: if the worker has no such function, or another version of its file.
        """
        return self.function()(**arguments)

    def function(self) -> Callable[..., Any]:
        """The function as this process has it; a module whose file was changed since it was loaded is loaded again.

        Raises:
            NotHere: if there is no such function, or the file is another one.
        """
        with _LOADING:
            try:
                module = self._module()
                found: Any = module
                for part in self.name.split("."):
                    found = getattr(found, part)
            except Exception as problem:  # a module can raise anything when it is imported
                raise NotHere(
                    f"{self.module}:{self.name} cannot be imported: {type(problem).__name__}: {problem}"
                ) from problem
        return found

    def _module(self) -> Any:
        is_new = self.module not in sys.modules
        try:
            module = importlib.import_module(self.module)
        except ModuleNotFoundError as problem:
            if self.folder is None or problem.name not in _parents(self.module):
                raise
            sys.path += [each for each in (self.folder, str(Path.cwd())) if each not in sys.path]
            importlib.invalidate_caches()
            module = importlib.import_module(self.module)
        if not self.digest:
            return module
        digest = _digest_of_file(module)
        if digest != self.digest:
            raise ImportError(f"its file {getattr(module, '__file__', None)} differs from that of the caller")
        if not is_new and (_LOADED.get(self.module, digest) != digest or not _is_current(module)):
            module = importlib.reload(module)
        _LOADED[self.module] = digest
        return module


def name_of(function: Callable[..., Any]) -> str:
    """The name of a function as `module:name`; of a script's function, the module is the name of its file.

    Raises:
        InvalidArgument: if it has no name, as an object made by functools.partial.
    """
    if not callable(function):
        raise InvalidArgument(f"`function` must be a function, but is {shown(function)}.")
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str):
        raise InvalidArgument(
            f"`function` must have a name, but is {shown(function)}. Write a function with `def` in a module."
        )
    return f"{_module_name(module)}:{name}"


def is_named(function: Callable[..., Any]) -> bool:
    """Whether the name of a function leads to it; not so for lambdas, methods and functions inside of functions."""
    found: Any = sys.modules.get(getattr(function, "__module__", None) or "")
    for part in getattr(function, "__qualname__", "<none>").split("."):
        found = getattr(found, part, None)
    return found is function


def for_workers(function: Callable[..., Any]) -> Callable[..., Any]:
    """What is sent to workers: the name of the function; or itself if it has no name, or is one of a script."""
    module = function.__module__
    if module == _MAIN or not is_named(function):
        return function
    return Named(module, function.__qualname__, digest_of(function), _folder_of(module))


def digest_of(function: Callable[..., Any]) -> str:
    """A digest of the file that defines a function, or of its source if it has no file; "" if there is neither.

    The digest reads the file of the module, which Python itself does not read again while it runs.
    """
    plain = inspect.unwrap(function)
    module = sys.modules.get(getattr(plain, "__module__", None) or "")
    if found := _digest_of_file(module):
        return found
    try:
        return _digest(inspect.getsource(plain).encode())
    except (OSError, TypeError):
        return ""


def require_current(function: Callable[..., Any], name: str, argument: str, other: str = "") -> None:
    """Require that this process has the functions of the file that defines a function, as the file is now.

    Python reads a file once. Where it was changed since, a digest of the file is not one of what runs here.

    Args:
        function: the function, or class.
        name: its name in the message.
        argument: the argument that holds it, for the message.
        other: another remedy, for the end of the message.

    Raises:
        InvalidArgument: if they differ.
    """
    plain = inspect.unwrap(function)
    module = sys.modules.get(getattr(plain, "__module__", None) or "")
    if not _is_current(module):
        raise InvalidArgument(
            f"`{argument}` must be as the file is now, but {getattr(module, '__file__', None)} was changed since "
            f"{name} was imported from it. Import it again, in a new process or by importlib.reload{other}."
        )


def imported(spec: str, argument: str, what: str, example: str) -> Any:
    """The object `module:name`.

    Args:
        spec: the name.
        argument: the argument that holds it, for the message.
        what: a word for the object in messages, such as "guide".
        example: a name in the message, such as "my_module:MyGuide".

    Raises:
        InvalidArgument: if the module cannot be imported, or has no such name, with the nearest names.
    """
    module_name, _, name = spec.partition(":")
    if not module_name or not name or module_name.endswith(".py"):
        file = module_name if module_name.endswith(".py") else ""
        remedy = f" Write {file[:-3].replace('/', '.')}:{name or example.partition(':')[2]}." if file else ""
        raise InvalidArgument(f"`{argument}` must be module:name, such as {example}, but is {spec!r}.{remedy}")
    found: Any = imported_module(module_name, argument, spec)
    for part in name.split("."):
        if not hasattr(found, part):
            near = difflib.get_close_matches(part, [each for each in dir(found) if not each.startswith("_")], n=3)
            remedy = f"Did you mean {' or '.join(f'{module_name}:{each}' for each in near)}?" if near else ""
            raise InvalidArgument(
                f"`{argument}` must name a {what}, but {module_name} has no {name!r}. {remedy}".strip()
            )
        found = getattr(found, part)
    return found


def imported_module(name: str, argument: str, given: str) -> Any:
    """The module of this name; `given` is what the argument holds, for the message.

    Raises:
        InvalidArgument: if it cannot be imported.
    """
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as problem:  # a foreign module can raise anything when it is imported
        raise InvalidArgument(
            f"`{argument}` must name a module that can be imported, but {given!r} cannot: {type(problem).__name__}: "
            f"{problem}. It is searched in the current folder, then on Python's path."
        ) from problem


@contextmanager
def importable(folder: str | None) -> Iterator[None]:
    """Search for modules in this folder first, within the context."""
    if folder is None or folder in sys.path:
        yield
        return
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        if folder in sys.path:
            sys.path.remove(folder)


def _module_name(module: str) -> str:
    if module != _MAIN:
        return module
    main = sys.modules.get(_MAIN)
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    return spec.name if spec is not None else _MAIN if file is None else Path(file).stem


def _parents(module: str) -> set[str]:
    parts = module.split(".")
    return {".".join(parts[: n + 1]) for n in range(len(parts))}


def _folder_of(module: str) -> str | None:
    """The folder on Python's path that holds a module of this process."""
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None:
        return None
    path = Path(file).resolve()
    depth = module.count(".") + (path.name == "__init__.py")
    return str(path.parents[depth])


def _is_current(module: Any) -> bool:
    """Whether the functions of a module are those of its file; also if that cannot be known."""
    file, loader = getattr(module, "__file__", None), getattr(module, "__loader__", None)
    if file is None or type(loader) is not SourceFileLoader:  # others may change what they compile
        return True
    here = {
        each.__code__
        for owner in (module, *(found for found in vars(module).values() if isinstance(found, type)))
        for each in map(inspect.unwrap, filter(inspect.isfunction, vars(owner).values()))
        if inspect.isfunction(each) and each.__code__.co_filename == file  # one may wrap a method of C
    }
    try:
        content = Path(file).read_bytes()
        codes = {compile(content, file, "exec", dont_inherit=True)}
    except (OSError, SyntaxError, ValueError):
        return not here
    known: set[types.CodeType] = set()
    while codes:
        known |= codes
        codes = {each for code in codes for each in code.co_consts if isinstance(each, types.CodeType)}
    return here <= known


def _digest_of_file(module: Any) -> str:
    file = getattr(module, "__file__", None)
    return _digest(Path(file).read_bytes()) if file is not None and Path(file).is_file() else ""


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:_DIGITS]

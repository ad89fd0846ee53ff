"""The extension that lets autodoc read the docstrings of the library, which are in Markdown.

napoleon is called here, after the conversion, and is not in the list of extensions: by itself it reads the first words
of a property as its type.
"""

import importlib
import inspect
from functools import cached_property
from types import FunctionType
from typing import TYPE_CHECKING, Any

from markdown_to_rst import rst
from public_names import areas

if TYPE_CHECKING:
    from docutils.nodes import TextElement
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

KNOWN: dict[str, str] = {}
"""the full name of each public name, and of its members as `Name.member`"""
MEMBERS: set[str] = set()
HOMES: dict[str, str] = {}
"""the public name of what is defined elsewhere, by the full name of its definition"""
_ENTERED = (FunctionType, property, cached_property, staticmethod, classmethod)


def read_names() -> None:
    """Fill the tables of names; imports the library."""
    for area in areas():  # a field has no entry of its own: its name leads to the class
        module = importlib.import_module(area.package)
        for name in area.names:
            found, full = getattr(module, name), f"{area.package}.{name}"
            KNOWN.setdefault(name, full)
            HOMES[f"{getattr(found, '__module__', '')}.{getattr(found, '__qualname__', name)}"] = full
            for owner in reversed(found.__mro__) if inspect.isclass(found) else ():
                if owner.__module__.startswith("pgm_control"):
                    for member in [*vars(owner), *vars(owner).get("__annotations__", {})]:
                        own = owner is found and isinstance(vars(owner).get(member), _ENTERED)
                        if not member.startswith("_"):
                            KNOWN[f"{name}.{member}"] = f"{full}.{member}" if own else full
                        if own and not member.startswith("_"):
                            MEMBERS.add(f"{full}.{member}")


def resolve(name: str, here: str) -> str | None:
    """The full name of what `name` stands for in the docstring of an object of the class `here`, or None."""
    if f"{here}.{name}" in MEMBERS:
        return f"{here}.{name}"
    return KNOWN.get(name.removeprefix("pgm_control."))


def on_docstring(app: "Sphinx", what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Turn the docstring of an object into what Sphinx reads."""
    from sphinx.ext.napoleon import Config
    from sphinx.ext.napoleon.docstring import GoogleDocstring

    here = name if what in ("class", "exception") else name.rpartition(".")[0]
    text = rst("\n".join(lines), lambda each: resolve(each, here))
    # A property's docstring is prose with sections: napoleon would take what stands before its first colon for a type.
    role: Any = "method" if what in ("property", "attribute", "data") else what
    config: Any = Config(napoleon_use_ivar=True, napoleon_attr_annotations=False, napoleon_use_rtype=False)
    lines[:] = str(GoogleDocstring(text.split("\n"), config, app, role, name, obj, options)).split("\n")


def on_bases(app: "Sphinx", name: str, obj: Any, options: Any, bases: list[Any]) -> None:
    """Leave out the bases that tell a reader nothing."""
    bases[:] = [each for each in bases if getattr(each, "__name__", "") not in ("object", "Generic", "Protocol")]


def on_skip(app: "Sphinx", what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Leave out the fields of a named tuple, which Args describes."""
    return True if (inspect.getdoc(obj) or "").startswith("Alias for field number") else None


def on_missing(app: "Sphinx", env: "BuildEnvironment", node: "pending_xref", content: "TextElement") -> Any:
    """The public name of a type that a signature names by the module of its definition."""
    full = HOMES.get(node.get("reftarget", ""))
    if not full or node.get("refdomain") != "py":
        return None
    domain = env.get_domain("py")
    return domain.resolve_xref(env, node["refdoc"], app.builder, node["reftype"], full, node, content)


def setup(app: "Sphinx") -> dict[str, Any]:
    """Connect the extension."""
    read_names()
    app.connect("autodoc-process-bases", on_bases)
    app.connect("autodoc-process-docstring", on_docstring, priority=100)
    app.connect("autodoc-skip-member", on_skip)
    app.connect("missing-reference", on_missing)
    return {"parallel_read_safe": True, "parallel_write_safe": True, "version": "1"}

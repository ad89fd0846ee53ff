"""The extension for pages in Markdown: links of the repository, citations by key, and public names in code."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markdown_docstrings import KNOWN
from public_names import PACKAGES
from site_pages import DOCS, for_site

if TYPE_CHECKING:
    from docutils.nodes import document
    from sphinx.application import Sphinx


def on_source(app: "Sphinx", page: str, text: list[str]) -> None:
    """Turn links and citations of a page in Markdown into those of the site."""
    path = Path(str(app.env.doc2path(page)))
    if path.suffix == ".md":
        text[0] = re.sub(r"(?m)^(\w+)/\*\n", lambda folder: folder[0] if _has_pages(folder[1]) else "", text[0])
        text[0] = for_site(text[0], DOCS / f"{page}.md", page)


def _has_pages(folder: str) -> bool:
    """Whether a folder of the site has pages."""
    return any((DOCS / folder).glob("*.md"))


def on_tree(app: "Sphinx", tree: "document") -> None:
    """Let the name of a public object in code lead to its entry in the reference."""
    from docutils import nodes
    from sphinx.addnodes import pending_xref

    if not str(app.env.doc2path(app.env.docname)).endswith(".md"):
        return
    for literal in list(tree.findall(nodes.literal)):
        full = _named(literal.astext())
        if full and not _inside(literal, nodes.reference, nodes.title, pending_xref):
            options = {"refdomain": "py", "reftype": "obj", "reftarget": full, "refexplicit": True, "refwarn": True}
            link = pending_xref("", refdoc=app.env.docname, **options)
            literal.replace_self(link)
            link += literal


def _named(code: str) -> str | None:
    """The full name of the public object that code such as `infer`, `infer(model, 0.0)` or `plot.curves` names."""
    if not (found := re.fullmatch(r"([A-Za-z_][\w.]*)(\(.*\))?", code)):
        return None
    package, _, rest = found[1].removeprefix("pgm_control.").partition(".")
    return KNOWN.get(rest if package in PACKAGES and rest else found[1].removeprefix("pgm_control."))


def _inside(node: Any, *kinds: type) -> bool:
    """Whether a node is part of a node of these kinds."""
    while node is not None:
        if isinstance(node, kinds):
            return True
        node = node.parent
    return False


def setup(app: "Sphinx") -> dict[str, Any]:
    """Connect the extension."""
    app.connect("source-read", on_source)
    app.connect("doctree-read", on_tree)
    return {"parallel_read_safe": True, "parallel_write_safe": True, "version": "1"}

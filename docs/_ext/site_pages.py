"""The pages that are made at build time: the reference, the gallery, and the Markdown files beside the code."""

import ast
import os
import re
from pathlib import Path

import api_examples
import explorer_page
import notebook_page
from public_names import ROOT, Area, areas

DOCS = ROOT / "docs"
MADE = ("api", "gallery", "beside")
"""the folders of `docs/` that hold nothing but pages made here"""
BESIDE = {
    "models/README.md": "beside/models",
    "guides/README.md": "beside/guides",
    "guides/BENCH.md": "beside/bench",
    "tests/benchmarks/README.md": "beside/benchmarks",
    "pgm_control/README.md": "beside/architecture",
    "pgm_control/learners/README.md": "beside/learners",
    "pgm_control/inverse_rl/README.md": "beside/inverse_rl",
    "CHANGELOG.md": "beside/changes",
}
"""the page of each Markdown file beside the code"""
_FENCE = re.compile(r"^ *(`{3,}|~{3,}).*?^ *\1 *$\n?", re.M | re.S)
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s#]*)(#[^)\s]*)?\)")
_CITATION = re.compile(r"(?<![\]`\\!])\[([a-z]+\d{4}[a-z]?(?:, [a-z]+\d{4}[a-z]?)*)\](?![(\[:])")


def page_of(path: Path) -> str | None:
    """The page that shows a file of the repository, without its ending, or None."""
    name = path.relative_to(ROOT).as_posix()
    if name == "README.md":
        return "index"
    if path.parent == ROOT / "examples" and path.suffix == ".py":
        return f"gallery/{path.stem}"
    if name in ("examples/README.md", "examples"):
        return "gallery/index"
    if name.startswith("docs/") and path.suffix in (".md", ".rst", ".ipynb"):
        return name.removeprefix("docs/").rpartition(".")[0]
    return BESIDE.get(name) or BESIDE.get(f"{name}/README.md")


def outside_code(text: str, change: re.Pattern[str], to: object) -> str:
    """The text of a page with a substitution made everywhere but in fenced code."""
    parts, end = [], 0
    for fence in _FENCE.finditer(text):
        parts += [change.sub(to, text[end : fence.start()]), fence[0]]  # pyright: ignore[reportArgumentType, reportCallIssue]
        end = fence.end()
    return "".join([*parts, change.sub(to, text[end:])])  # pyright: ignore[reportArgumentType, reportCallIssue]


def for_site(text: str, source: Path, page: str) -> str:
    """The Markdown of a page with the links of the repository turned into those of the site.

    A link to a file that has a page leads there. The words of a link to any other file stay, without the link. A key
    such as [levine2018] becomes a citation.

    Args:
        text: the Markdown
        source: the file, relative to which its links are
        page: the name of the page, without its ending
    """

    def link(match: re.Match[str]) -> str:
        picture, words, target, anchor = match[1], match[2], match[3], match[4] or ""
        if not target or re.match(r"\w+:", target):
            return match[0]
        path = Path(os.path.normpath(source.parent / target))
        if not path.is_relative_to(ROOT) or not (path.exists() or path.is_relative_to(DOCS)):
            return match[0]
        to = None if picture else page_of(path)
        if to:
            end = ".rst" if to.startswith("api/") else ".md"
            relative = os.path.relpath(DOCS / f"{to}{end}", (DOCS / page).parent)
        elif picture or path.is_relative_to(DOCS):
            relative = os.path.relpath(path, (DOCS / page).parent)
        else:
            return words
        return f"{picture}[{words}]({relative}{anchor})"

    def cite(match: re.Match[str]) -> str:
        return f"{{cite:p}}`{match[1].replace(', ', ',')}`"

    return outside_code(outside_code(text, _LINK, link), _CITATION, cite)


def reference(area: Area) -> str:
    """The page of an area of the reference."""
    import importlib
    import inspect

    module = importlib.import_module(area.package)
    rows = [f"   {name}" for name in area.names]
    out = [area.title, "=" * len(area.title), ""]
    if area.package != "pgm_control":
        shared = ", ".join(f":py:obj:`~pgm_control.{name}`" for name in area.elsewhere)
        out += [f"Import these names from ``{area.package}``."]
        out += [f"The package also holds names of the whole library: {shared}." if shared else "", ""]
    out += [f".. currentmodule:: {area.package}", "", ".. autosummary::", "   :nosignatures:", "", *rows, ""]
    for name in area.names:
        found = getattr(module, name)
        kind, options = "autodata", ["   :no-value:"]
        if inspect.isclass(found):
            kind = "autoexception" if issubclass(found, Exception) else "autoclass"
            options = ["   :members:", "   :show-inheritance:"]
        elif inspect.isfunction(found):
            kind, options = "autofunction", []
        out += [f".. {kind}:: {area.package}.{name}", *options, "", *example_of(name)]
    return "\n".join(out)


def example_of(name: str) -> list[str]:
    """The example of a public name, as lines of its entry; for a name that shares one with another, where it is."""
    found = api_examples.by_name().get(name)
    if found is None:
        return []
    first = found.names[0]
    if name != first:
        return [f"   Example: see :py:obj:`~{api_examples.homes()[first]}.{first}`.", ""]
    out = ["   .. rubric:: Example", "", "   .. code-block:: python", ""]
    out += [f"      {line}".rstrip() for line in found.code.rstrip().splitlines()]
    if found.printed:
        out += ["", "   .. code-block:: text", "", *(f"      {line}".rstrip() for line in found.printed.splitlines())]
    return [*out, ""]


def reference_index() -> str:
    """The page that lists the areas."""
    listed = "\n".join(f"   {area.slug}" for area in areas())
    return f"API reference\n=============\n\n.. toctree::\n   :maxdepth: 1\n\n{listed}\n"


def captions() -> dict[str, tuple[str, str]]:
    """The title and the sentence below each picture of the gallery, by the name of the example."""
    text = (ROOT / "examples" / "README.md").read_text(encoding="utf8")
    found = re.findall(r'<b><a href="(\d\d_\w+)\.py">(.*?)</a></b><br>(.*?)</td>', text)
    return {name: (title, caption) for name, title, caption in found}


def example(path: Path, title: str, caption: str) -> str:
    """The page of an example: what it shows, its picture, what it prints, and its code."""
    code = path.read_text(encoding="utf8")
    tree = ast.parse(code)
    body = "\n".join(code.splitlines()[tree.body[0].end_lineno or 0 :]).strip()
    words, _, printed = re.sub(r"\bPrinted[^\n]*:\n\n", "\0", ast.get_docstring(tree) or "").partition("\0")
    out = [f"# {title}", "", caption, ""]
    picture = ROOT / "examples" / "gallery" / f"{path.stem}.png"
    if picture.exists():
        out += [f"```{{image}} ../../examples/gallery/{picture.name}", f":alt: {title}. {caption}", "```", ""]
    out += [words.strip(), ""]
    if printed:
        out += ["## Output", "", "````text", printed.rstrip(), "````", ""]
    out += ["## Code", "", f"`examples/{path.name}`; options: `python examples/{path.name} --help`.", ""]
    return "\n".join([*out, "````python", body, "````", ""])


def gallery() -> dict[str, str]:
    """The pages of the gallery by name, and their index: the pictures with their captions."""
    source = ROOT / "examples" / "README.md"
    shown, pages = captions(), {}
    cards, names = [], []
    for path in sorted((ROOT / "examples").glob("*.py")):
        if path.stem == "notebook":
            continue
        title, caption = shown.get(path.stem, (path.name, ""))
        pages[f"gallery/{path.stem}.md"] = example(path, title, caption)
        names.append(path.stem)
        if path.stem in shown:
            image = f"[![{title}](../../examples/gallery/{path.stem}.png)]({path.stem}.md)"
            cards += [":::{container}", image, "", f"**[{title}]({path.stem}.md)**", "", caption, ":::", ""]
    words = for_site(source.read_text(encoding="utf8").partition("<table>")[0], source, "gallery/index")
    pages["gallery/explorer.md"] = explorer_page.PAGE
    tree = ["```{toctree}", ":hidden:", "", *names, "explorer", "notebook", "```", ""]
    pages["gallery/index.md"] = "\n".join([words, "::::{container} gallery", *cards, "::::", "", *tree])
    return pages


def made(notebook: str = "# The notebook\n") -> dict[str, str]:
    """Every page that is made, by the name of its file in `docs/`; the page of the notebook is given."""
    pages = {f"api/{area.slug}.rst": reference(area) for area in areas()}
    pages["api/index.rst"] = reference_index()
    pages |= gallery() | {"gallery/notebook.md": notebook}
    for name, page in BESIDE.items():
        pages[f"{page}.md"] = for_site((ROOT / name).read_text(encoding="utf8"), ROOT / name, page)
    return pages


def write() -> None:
    """Write the pages that changed, and delete those that are made no longer."""
    pages = made(notebook_page.page())
    for name, text in pages.items():
        path = DOCS / name
        path.parent.mkdir(exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf8") != text:
            path.write_text(text, encoding="utf8")
    for folder in MADE:
        for path in (DOCS / folder).iterdir():
            if path.relative_to(DOCS).as_posix() not in pages:
                path.unlink()

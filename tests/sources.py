"""The lists of sources at the end of module docstrings, made from `pgm_control/references.bib`.

`python -m tests.sources` rewrites the lists of all modules; `test_help.py` compares them.
"""

import ast
import re
import textwrap
from functools import cache
from pathlib import Path

import pgm_control

CORE = Path(pgm_control.__file__).parent
SOURCES = sorted(path for folder in (CORE, CORE / "models", CORE / "guides") for path in folder.rglob("*.py"))
HEADING = "Sources:"
_CITATION = re.compile(r"\[([a-z]+\d{4}[a-z]?(?:, [a-z]+\d{4}[a-z]?)*)\]")
_ENTRY = re.compile(r"^@(\w+)\{(\w+),\n(.*?)^\}$", re.M | re.S)
_FIELD = re.compile(r"^  (\w+) = \{(.+)\},$", re.M)
_LIST = re.compile(rf"\n+{HEADING}\n(?:    .*\n?)*\Z")


@cache
def bibliography() -> dict[str, dict[str, str]]:
    """The fields of each entry, and its `kind`, by key, in the order of the file."""
    text = (CORE / "references.bib").read_text(encoding="utf8")
    return {key: {"kind": kind, **dict(_FIELD.findall(fields))} for kind, key, fields in _ENTRY.findall(text)}


def line_of(key: str, entry: dict[str, str]) -> str:
    """Author, title, where it appeared, year, and its DOI or arXiv number."""
    names = (entry.get("author") or entry["editor"]).split(" and ")
    people = [" ".join(reversed(name.split(", "))) for name in names]
    by = f"{people[0]} et al." if len(people) > 3 else " and ".join(filter(None, [", ".join(people[:-1]), people[-1]]))
    where = next((entry[name] for name in ("journal", "booktitle", "publisher", "school") if name in entry), "")
    if "volume" in entry and "series" not in entry:
        where += f" {entry['volume']}" + (f"({entry['number']})" if "number" in entry else "")
    if "series" in entry:
        where += f", {entry['series']} {entry['volume']}"
    if "pages" in entry:
        where += f", pages {entry['pages']}" if "volume" not in entry or "series" in entry else f":{entry['pages']}"
    number = f" doi:{entry['doi']}" if "doi" in entry else f" arXiv:{entry['eprint']}" if "eprint" in entry else ""
    text = f"{by}, {entry['title']}. {f'{where}, ' if where else ''}{entry['year']}.{number}"
    plain = re.sub(r"[{}]", "", text.replace(r"\&", "&")).replace("--", "–").replace("?.", "?")
    return f"[{key}] {plain}"


def cited(text: str) -> list[str]:
    """The keys in the source of a module, leaving out its list, in the order of the bibliography."""
    opening = _opening(text)
    groups = _CITATION.findall(text.replace(opening, _LIST.sub("", opening), 1))
    found = {key for group in groups for key in group.split(", ")}
    known = [key for key in bibliography() if key in found]
    return known + sorted(found - set(known))


def listed(text: str) -> str:
    """The source of the module with the list that it should have."""
    opening, entries = _opening(text), bibliography()
    bare = _LIST.sub("", opening)
    lines = [
        textwrap.fill(line_of(key, entries[key]), 120, initial_indent="    ", subsequent_indent=" " * 8)
        for key in cited(text)
    ]
    return text.replace(opening, "\n".join([bare.rstrip(), "", HEADING, *lines, ""]) if lines else bare, 1)


def _opening(text: str) -> str:
    """The docstring of a module as it is written, between its quotes."""
    first = ast.get_source_segment(text, ast.parse(text).body[0]) or ""
    return first.removeprefix("r").removeprefix('"""').removesuffix('"""')


if __name__ == "__main__":
    for path in SOURCES:
        before = path.read_text(encoding="utf8")
        after = listed(before)
        if after != before:
            path.write_text(after, encoding="utf8")

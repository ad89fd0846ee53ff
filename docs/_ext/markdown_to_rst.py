"""Docstrings in Markdown, turned into reStructuredText: code, formulas, citations, tables and lists."""

import re
from collections.abc import Callable

_CODE = re.compile(r"``(.+?)``|(?<!`)`([^`]+)`(?!`)", re.S)
_DISPLAY = re.compile(r"\$\$(.+?)\$\$", re.S)
_INLINE = re.compile(r"(?<![\\$])\$([^$]+?)\$", re.S)
_CITATION = re.compile(r"\[([a-z]+\d{4}[a-z]?(?:, [a-z]+\d{4}[a-z]?)*)\]")
_LINK = re.compile(r"\[([^\]\n]+)\]\((https?://[^)\s]+)\)")
_EMPHASIS = re.compile(r"(?<![\w*])(\*\*?)([^*\s](?:[^*\n]*[^*\s])?)\1(?![\w*])")
_NAME = re.compile(r"[A-Za-z_][\w.]*(?:\(\))?")
_ENTRIES = ("Args:", "Attributes:", "Raises:")
_ITEM = re.compile(r"(?:[-*]|\d+\.) ")
_ROW, _RULE = re.compile(r"\|.*\|$"), re.compile(r"\|[-| :]+\|$")
_HELD = re.compile(r"\0(\d+)\0")

Resolve = Callable[[str], str | None]


def rst(text: str, resolve: Resolve) -> str:
    """The docstring in reStructuredText, with Google's sections as they are.

    Args:
        text: a docstring without its common indentation
        resolve: the full name of the object that code such as `infer` names, or None
    """
    held: list[str] = []

    def hold(block: str) -> str:
        held.append(block)
        return f"\0{len(held) - 1}\0"

    lines = _blocks(text.split("\n"), hold, resolve)
    out = _escaped(_spans("\n".join(lines), hold, resolve), held)
    while _HELD.search(out):
        out = _HELD.sub(lambda match: held[int(match[1])], out)
    return out


def _blocks(lines: list[str], hold: Callable[[str], str], resolve: Resolve) -> list[str]:
    """The lines with code and tables held, and with an empty line before each list."""
    out: list[str] = []
    base, i = 0, 0  # base: the indentation of prose below the heading of a section, or of an entry's second line
    while i < len(lines):
        line, indent = lines[i].strip(), _indent(lines[i])
        if line and indent == 0:
            headed = i + 1 < len(lines) and lines[i + 1].strip() and _indent(lines[i + 1]) >= 2
            base = (8 if line in _ENTRIES else 4) if headed else 0
        starts = not out or not out[-1].strip()
        if line.startswith(">>>") or (line and starts and indent >= base + 4 and not _in_list(out, indent)):
            block, i = _taken(lines, i, indent)
            kind = "pycon" if block[0].startswith(">>>") else "python"
            pad = " " * (indent if line.startswith(">>>") and indent <= base else base)
            body = "\n".join(f"{pad}   {each}".rstrip() for each in block)
            out += ["", pad + hold(f".. code-block:: {kind}\n\n{body}"), ""]
        elif _ROW.fullmatch(line) and i + 1 < len(lines) and _RULE.fullmatch(lines[i + 1].strip()):
            rows = []
            while i < len(lines) and _ROW.fullmatch(lines[i].strip()):
                rows.append(lines[i].strip())
                i += 1
            out += ["", " " * indent + hold(_table(rows, " " * indent, resolve)), ""]
        else:
            if _ITEM.match(line) and out and out[-1].strip() and not _in_list(out, indent + 1):
                out.append("")
            out.append(lines[i])
            i += 1
    return out


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _in_list(before: list[str], indent: int) -> bool:
    """Whether a line of this indentation continues an item of a list."""
    for line in reversed(before):
        if line.strip() and _indent(line) < indent:
            return bool(_ITEM.match(line.strip()))
    return False


def _taken(lines: list[str], start: int, indent: int) -> tuple[list[str], int]:
    """The block of code that begins here, without its indentation, and the line after it."""
    block, i, prompt = [], start, lines[start].strip().startswith(">>>")
    while i < len(lines) and (_indent(lines[i]) >= indent if lines[i].strip() else not prompt):
        block.append(lines[i][indent:].rstrip())
        i += 1
    while block and not block[-1]:
        block.pop()
    return block, i


def _table(rows: list[str], pad: str, resolve: Resolve) -> str:
    """A table of Markdown as a list-table."""
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", row[1:-1])] for row in rows]
    out = [".. list-table::", f"{pad}   :header-rows: 1", ""]
    for row in [cells[0], *cells[2:]]:
        for n, cell in enumerate(row):
            text = rst(cell.replace("\\|", "|"), resolve).strip().replace("\n", " ")
            out.append(f"{pad}   {'* -' if n == 0 else '  -'} {text}".rstrip())
    return "\n".join(out)


def _spans(text: str, hold: Callable[[str], str], resolve: Resolve) -> str:
    """The text with code, formulas, citations and links held."""

    def code(match: re.Match[str]) -> str:
        inner = " ".join((match[1] or match[2]).split())
        full = resolve(inner.removesuffix("()")) if _NAME.fullmatch(inner) else None
        return hold(f":py:obj:`{inner} <{full}>`" if full else f"``{inner}``")

    def display(match: re.Match[str]) -> str:
        above, _, before = text[: match.start()].rpartition("\n")
        pad = " " * _indent(before)
        last = above.rpartition("\n")[2]
        lead = "" if not before.strip() and _indent(last) < len(pad) else f"\n\n{pad}"  # a term, and its definition
        body = "\n".join(f"{pad}   {line.strip()}" for line in match[1].strip().split("\n"))
        return hold(f"{lead}.. math::\n\n{body}\n\n{pad}")

    text = _CODE.sub(code, text)
    text = _DISPLAY.sub(display, text)
    text = _INLINE.sub(lambda match: hold(f":math:`{' '.join(match[1].split())}`"), text)
    text = _CITATION.sub(lambda match: hold(f":cite:p:`{match[1].replace(', ', ',')}`"), text)
    return _LINK.sub(lambda match: hold(f"`{match[1]} <{match[2]}>`__"), text)


def _escaped(text: str, held: list[str]) -> str:
    """The text with the characters that only reStructuredText reads as markup made plain, and markup set apart."""
    kept: list[str] = []

    def keep(match: re.Match[str]) -> str:
        kept.append(match[0])
        return f"\x01{len(kept) - 1}\x01"

    text = re.sub(r"(?m)^\s*\* ", keep, text)  # a list
    text = _EMPHASIS.sub(keep, text)
    text = re.sub(r"\\(?!\s)", r"\\\\", text)
    text = re.sub(r"[*|`]", r"\\\g<0>", text)
    text = re.sub(r"(?<=\w)_(?!\w)", r"\\_", text)
    text = re.sub("\x01(\\d+)\x01", lambda match: kept[int(match[1])], text)

    def apart(match: re.Match[str]) -> str:
        if held[int(match[2])].startswith(("\n", "..")):
            return match[0]
        before = f"{match[1]}\\ " if match[1] and match[1] not in "\n\r\t ([{\"'-–—/:<" else match[1]
        return before + f"\0{match[2]}\0"

    text = re.sub(r"(^|.|\n)\0(\d+)\0", apart, text)
    return re.sub(r"(\0\d+\0)(?=[^\s.,:;!?)\]}\"'\-–—/>\0\\])", r"\1\\ ", text)

"""A page of HTML: its head and style, figures as SVG, and the table of settings."""

import html
import io
import platform
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..runtime.versions import versions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BROAD = 7.0  # inches: a wider figure has a row of its own, where the columns are narrow
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
_STYLE = """
:root { color-scheme: light dark; --back: #fff; --card: #fff; }
:root { --ink: #1a1a1a; --soft: #4a4a4a; --rule: #ccc; --edge: #0006; }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--back); margin: 0; }
main { max-width: 110rem; margin: 0 auto; padding: 1.5rem 1.25rem; overflow-wrap: break-word; }
h1 { line-height: 1.2; margin: 0 0 .2rem; }
h2 { margin: 2rem 0 .8rem; border-bottom: 1px solid var(--rule); }
h3 { margin: 0 0 .4rem; }
main > p, main > ul { max-width: 62rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; }
th, td { padding: .2rem .7rem; text-align: right; vertical-align: top; }
th[scope=row], table.facts td { text-align: left; }
table.facts td { overflow-wrap: anywhere; }
.scroll td:first-child { min-width: 6rem; overflow-wrap: anywhere; }
tbody tr { border-top: 1px solid var(--rule); }
caption { caption-side: bottom; text-align: left; padding-top: .3rem; max-width: calc(100vw - 3rem); }
.grid { columns: 34rem; column-gap: 1rem; }
.grid > * { margin: 0 0 1rem; padding: .8rem; break-inside: avoid; }
.grid > * { background: var(--card); border: 1px solid var(--rule); border-radius: 10px; }
.scroll { --under: var(--back); overflow-x: auto; background:
  linear-gradient(90deg, var(--under) 50%, transparent) left / 3rem 100% no-repeat local,
  linear-gradient(270deg, var(--under) 50%, transparent) right / 3rem 100% no-repeat local,
  linear-gradient(90deg, var(--edge), transparent) left / 1rem 100% no-repeat scroll,
  linear-gradient(270deg, var(--edge), transparent) right / 1rem 100% no-repeat scroll var(--under); }
.grid > .scroll { --under: var(--card); }
figcaption { color: var(--soft); font-size: .92rem; }
svg { display: block; width: 100%; max-width: 44rem; height: auto; }
code, pre { font-family: ui-monospace, monospace; font-size: .9rem; }
pre { border: 1px solid var(--rule); border-radius: 6px; padding: .7rem; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; }
@media screen and (prefers-color-scheme: dark) {
  :root { --back: #121416; --card: #1a1a1a; --ink: #eceae4; --soft: #b3b0a8; --rule: #3b4047; --edge: #fff6; }
  figure { --card: #fff; --soft: #4a4a4a; }
}
@media (max-width: 90rem) {
  .broad { column-span: all; }
}
@media (max-width: 760px) {
  main { padding: .75rem; }
  h1 { font-size: 1.5rem; }
  th, td { padding: .2rem .4rem; }
  table { font-size: .84rem; }
}
@media print {
  body { font-size: 11pt; }
  main { max-width: none; padding: 0; }
  .grid { columns: auto; }
  .grid > * { border: 0; }
  figure, table, li { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  .scroll { overflow: visible; background: none; }
}
"""


def page_of(title: str, parts: Sequence[str]) -> str:
    """Return a whole page, which needs no other file and no network.

    Args:
        title: the title of the window, as plain text.
        parts: the HTML of its body.
    """
    head = f"<title>{html.escape(title)}</title><style>{_STYLE}</style>"
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"{head}</head><body><main>{''.join(parts)}</main></body></html>\n"
    )


def figure_of(number: int, title: str, draw: Callable[[], Any]) -> str:
    """Return the figure, which shrinks with the page; it has a white card in dark windows too, to keep its colours."""
    figure = draw().figure
    broad = ' class="broad"' if figure.get_size_inches()[0] > _BROAD else ""
    return f"<figure{broad}>{_svg(figure, f'figure{number}')}<figcaption>{html.escape(title)}</figcaption></figure>"


def _svg(figure: "Figure", salt: str) -> str:
    """Return the figure as SVG for a page: its ids are unique on the page, it has no URLs, and it is reproducible."""
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": salt, "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text)
    known = set[str]()

    def own(found: re.Match[str]) -> str:
        """The id for this page; none for the second of two equal images, which have the same and need none."""
        name = found[1]
        if name in known:
            return ""
        known.add(name)
        return f'id="{salt}-{name}"'

    text = re.sub(r'\bid="([^"]+)"', own, text)
    text = re.sub(r'href="#([^"]+)"', rf'href="#{salt}-\1"', text)
    return re.sub(r"url\(#([^)]+)\)", rf"url(#{salt}-\1)", text)


def facts_of(settings: Mapping[str, Any] | None) -> str:
    """Return the table of settings, of the versions and of the system."""
    known = {**(settings or {}), **versions(), "system": f"{platform.system()} {platform.machine()}"}
    rows = (f'<tr><th scope="row">{html.escape(k)}</th><td>{html.escape(str(v))}</td></tr>' for k, v in known.items())
    return f'<table class="facts"><tbody>{"".join(rows)}</tbody></table>'

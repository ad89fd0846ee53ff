"""The page that shows the notebook: its text, its code and its outputs, as marimo exports them.

marimo's own page needs a network, and its sliders need a server. The page is made anew if the notebook changed.
"""

import hashlib
import html
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from public_names import ROOT

NOTEBOOK = ROOT / "examples" / "notebook.py"
_INTRO = f"""# The notebook

The lecture as a notebook, with the outputs of its first settings. The sliders are left out here; to move them:

```sh
pip install ".[notebook,fast]" -c constraints.txt
marimo edit examples/{NOTEBOOK.name}
```

"""
_STAT = re.compile(r"<marimo-stat data-value='(.*?)' data-label='(.*?)'.*?</marimo-stat>", re.S)


def page() -> str:
    """The page in Markdown; it takes half a minute if it is not known yet."""
    key = hashlib.sha256(NOTEBOOK.read_bytes()).hexdigest()[:16]
    path = ROOT / "build" / f"notebook-{key}.ipynb"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "marimo", "-q", "export", "ipynb", str(NOTEBOOK), "-o", str(path)]
        subprocess.run([*command, "--include-outputs", "--sort", "top-down"], check=True, capture_output=True)
    cells = json.loads(path.read_text(encoding="utf8"))["cells"]
    return _INTRO + "\n".join(part for cell in cells for part in _shown(cell))


def _shown(cell: dict[str, Any]) -> list[str]:
    """The parts of a cell."""
    source = "".join(cell["source"]).strip()
    if cell["cell_type"] == "markdown":
        return [_lower(source), ""]
    hidden = cell["metadata"].get("marimo", {}).get("config", {}).get("hide_code")
    outputs = [_output(each["data"]) for each in cell["outputs"] if "data" in each]
    if not any(outputs) and "mo.ui." in source:  # a slider
        return []
    code = [] if hidden or "mo.ui.tabs" in source else ["````python", source, "````", ""]
    return [*code, *outputs, ""]


def _output(data: dict[str, Any]) -> str:
    """An output as Markdown, without what only marimo can draw."""
    if "image/png" in data:
        image = data["image/png"] if isinstance(data["image/png"], str) else "".join(data["image/png"])
        address = image if image.startswith("data:") else f"data:image/png;base64,{image.strip()}"
        return _raw(f'<img alt="The picture that this cell draws" src="{address}">')
    if "text/html" in data:
        return _raw(_without_widgets("".join(data["text/html"])))
    text = "".join(data.get("text/markdown", ""))
    if text.startswith("&lt;marimo-tabs"):
        return ""
    return _lower(re.sub(r"<(div|marimo-).*", "", text, flags=re.S).strip())


def _without_widgets(text: str) -> str:
    def stat(match: re.Match[str]) -> str:
        value, label = (json.loads(html.unescape(each)) for each in match.groups())
        return f"<p>{html.escape(label)}: {html.escape(value)}</p>"

    text = _STAT.sub(stat, text)
    return re.sub(r"<(marimo-[\w-]+)\b.*?</\1>", "", text, flags=re.S)


def _lower(text: str) -> str:
    """The text with its first heading, which is the title of the page, one level lower."""
    return re.sub(r"^# ", "## ", text)


def _raw(text: str) -> str:
    return f'`````{{raw}} html\n<div class="cell_output">{text}</div>\n`````\n'


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf8")

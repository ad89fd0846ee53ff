"""The page that shows the explorer: one file that solves a problem in the browser."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

FILE = "explorer.html"
PAGE = f"""# The explorer

The sliders below change a problem, and the page solves it exactly, in the browser, for each setting. It is one file
without a server or a network: `pgm-control explore slippery_cliff` on the command line, or `explore(model)` in Python,
makes such a page for a problem of the zoo or for your own tables.

```{{raw}} html
<p><a href="../{FILE}">Open it alone</a>.</p>
<iframe class="explorer" src="../{FILE}" title="The slippery cliff, with sliders for its settings"></iframe>
```
"""


def on_finish(app: "Sphinx", error: Exception | None) -> None:
    """Write the file beside the pages."""
    from pgm_control import explore

    if error is None and app.builder.format == "html":
        explore("slippery_cliff", Path(app.outdir) / FILE, open_browser=False)


def setup(app: "Sphinx") -> dict[str, Any]:
    """Connect the extension."""
    app.connect("build-finished", on_finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True, "version": "1"}

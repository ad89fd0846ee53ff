"""Tests of the structure of the site, without Sphinx: names and pages are complete, and docstrings convert."""

import re
import sys
from pathlib import Path

import pytest
from sources import bibliography

import pgm_control

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
if not (DOCS / "conf.py").is_file():
    pytest.skip("the site is not shipped with the package", allow_module_level=True)
sys.path.append(str(DOCS / "_ext"))

import markdown_docstrings  # noqa: E402
import site_pages  # noqa: E402
from markdown_to_rst import rst  # noqa: E402
from public_names import PACKAGES, areas  # noqa: E402


@pytest.fixture(scope="module")
def made():
    return site_pages.made()


def test_every_public_name_is_on_one_page_of_the_reference(made):
    shown = [
        each for page in made.values() for each in re.findall(r"^\.\. auto(?!summary)\w+:: (\S+)$", page, re.MULTILINE)
    ]
    assert len(shown) == len(set(shown))
    expected = {f"pgm_control.{name}" for name in pgm_control.__all__}
    for package in PACKAGES:
        names = getattr(pgm_control, package).__all__
        expected |= {f"pgm_control.{package}.{name}" for name in names if name not in pgm_control.__all__}
    assert set(shown) == expected


def test_areas_follow_the_order_of_the_public_names():
    names = [name for area in areas() if area.package == "pgm_control" for name in area.names]
    assert names == list(pgm_control.__all__)


def test_every_page_is_in_the_index(made):
    """By its name or by a pattern; pages of `api` and `gallery` by those of their own index."""
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")} | set(made)
    pages = {name for name in pages if not name.startswith("_")}
    listed, patterns = set(), set()
    for name in ("index.md", "gallery/index.md", "api/index.rst"):
        text = made.get(name) or (DOCS / name).read_text(encoding="utf8")
        folder = name.rpartition("index")[0]
        for block in re.findall(r"^```\{toctree\}\n(.*?)^```|^\.\. toctree::\n(.*)", text, re.MULTILINE | re.DOTALL):
            entries = [line.strip() for line in "".join(block).splitlines() if line.strip() and ":" not in line]
            listed |= {f"{folder}{entry}" for entry in entries}
            patterns |= {entry.removesuffix("/*") for entry in entries if entry.endswith("/*")}
    stems = {name.rpartition(".")[0] for name in pages}
    assert not {stem for stem in stems - listed - {"index"} if stem.rpartition("/")[0] not in patterns}
    assert not {each for each in listed if "*" not in each} - stems


def test_every_example_has_a_page_with_its_picture_code_and_output(made):
    for path in sorted((ROOT / "examples").glob("[0-9]*.py")):
        page = made[f"gallery/{path.stem}.md"]
        assert f"gallery/{path.stem}.png" in page
        assert "## Output\n\n````text\n" in page
        assert "if __name__" in page
        assert f"]({path.stem}.md)" in made["gallery/index.md"]


def test_links_lead_to_pages():
    def shown(text, name):
        return site_pages.for_site(text, ROOT / name, "howto/x")

    assert shown("[a](../examples/03_cliff.py)", "docs/x.md") == "[a](../gallery/03_cliff.md)"
    assert shown("[a](models/README.md#zoo)", "README.md") == "[a](../beside/models.md#zoo)"
    assert shown("[`a`](models/zoo.py)", "README.md") == "`a`"  # no page shows this file
    assert shown("[a](https://a.b)", "README.md") == "[a](https://a.b)"
    assert shown("![a](examples/gallery/03_cliff.png)", "README.md") == "![a](../../examples/gallery/03_cliff.png)"
    assert shown("as [levine2018] says", "README.md") == "as {cite:p}`levine2018` says"
    assert shown("```python\nx[levine2018]\n```\n", "README.md") == "```python\nx[levine2018]\n```\n"


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        ("the `infer` of `x.y`", "the :py:obj:`infer <pgm_control.infer>` of ``x.y``"),
        ("$a_t$-th, and q_t", ":math:`a_t`-th, and q_t"),
        ("at [levine2018, howard1972].", "at :cite:p:`levine2018,howard1972`."),
        ("p(a|s), q_ and x*", "p(a\\|s), q\\_ and x\\*"),
        ("τ$V$s", "τ\\ :math:`V`\\ s"),
        ("Say:\n\n    infer(m)\n\nso.", "Say:\n\n\n.. code-block:: python\n\n   infer(m)\n\nso."),
        (">>> 1\n1", "\n.. code-block:: pycon\n\n   >>> 1\n   1\n"),
        ("a\n- b\n- c", "a\n\n- b\n- c"),
        ("Args:\n    x: one\n        two", "Args:\n    x: one\n        two"),
        ("Density\n    $$p$$", "Density\n    .. math::\n\n       p\n\n    "),
    ],
)
def test_a_docstring_becomes_what_sphinx_reads(markdown, expected):
    assert rst(markdown, {"infer": "pgm_control.infer"}.get) == expected


def test_a_table_of_a_docstring_becomes_a_list_table():
    shown = rst("| a | b |\n|---|---|\n| $x$ | `y` |", {}.get)
    assert [line.strip() for line in shown.split("\n") if line.strip()] == [
        ".. list-table::", ":header-rows: 1", "* - a", "- b", "* - :math:`x`", "- ``y``",
    ]  # fmt: skip


def test_names_in_code_are_found():
    markdown_docstrings.read_names()
    assert markdown_docstrings.resolve("infer", "") == "pgm_control.infer"
    assert markdown_docstrings.resolve("sample", "pgm_control.Posterior") == "pgm_control.Posterior.sample"
    assert markdown_docstrings.resolve("TabularMDP.replace", "") == "pgm_control.TabularMDP.replace"
    assert markdown_docstrings.resolve("nothing", "pgm_control.Posterior") is None


def test_sources_that_only_pages_cite_are_cited():
    own = set(re.findall(r"^@\w+\{(\w+),", (DOCS / "references.bib").read_text(encoding="utf8"), re.MULTILINE))
    assert not own & set(bibliography()), "docs/references.bib repeats an entry of pgm_control/references.bib"
    pages = "".join(path.read_text(encoding="utf8") for path in DOCS.rglob("*.md"))
    assert not {key for key in own if key not in pages}

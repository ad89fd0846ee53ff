"""Tests of the cards of the guides: each has an import line and a few lines of use, and the code runs."""

import re
from pathlib import Path

import pytest

import pgm_control
from pgm_control import guides

PAGE = Path(__file__).parents[2] / "guides" / "README.md"
TEXT = PAGE.read_text(encoding="utf8") if PAGE.exists() else ""
SECTIONS = re.split(r"^## ", TEXT, flags=re.MULTILINE)
CODE = {text.partition("\n")[0]: re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S) for text in SECTIONS}
CARDS = {title: found[0] for title, found in list(CODE.items())[1:] if found}
GUIDES = {name for name in vars(guides) if name.endswith("Guide")}
pytestmark = pytest.mark.skipif(not TEXT, reason="the page is not shipped with the package")


def test_every_guide_has_a_card_with_its_import_line():
    titles = [name for title in CARDS for name in title.split(", ")]
    assert GUIDES - {"MarkovGuide"} == {name for name in titles if name.endswith("Guide")}
    for title, code in CARDS.items():
        imports = {
            name for line in re.findall(r"^from pgm_control import (.*)$", code, re.M) for name in line.split(", ")
        }
        wanted = set(title.split(", ")) - {"MemoryGuide", "A Pyro function"}
        assert wanted <= imports, title


def test_every_guide_is_imported_from_the_package():
    assert not {*GUIDES, "MixtureELBO", "GuideEntry"} - set(pgm_control.__all__)


@pytest.mark.slow
@pytest.mark.parametrize("title", CARDS)
def test_the_code_of_a_card_runs(title, capsys):
    start = next(code for text in CODE.values() for code in text if "TabularModel(" in code)
    exec(compile(f"{start}\n{CARDS[title]}", f"guides/README.md, {title}", "exec"), {"__name__": "card"})
    assert capsys.readouterr().out

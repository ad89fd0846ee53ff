"""The page for one's own data runs as it is written, with fewer draws."""

import re
from pathlib import Path

import pytest
import torch

import pgm_control
from pgm_control import Risk, behaviour

PAGE = Path(pgm_control.__file__).parent.parent / "docs" / "howto" / "behaviour.md"
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not PAGE.is_file(), reason="the page is not shipped")]


def test_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf8"), flags=re.S)
    table = re.search(r"```csv\n(.*?)```", PAGE.read_text(encoding="utf8"), flags=re.S)
    (tmp_path / "choices.csv").write_text(table.group(1), encoding="utf8")
    names: dict = {}
    for block in blocks[:3]:
        exec(block, names)
    assert names["data"].people == ("ann", "bob")
    names["data"] = behaviour.simulate_people(
        names["models"], Risk(torch.tensor([0.2, -0.1, 0.0, 0.1])), 1.0, num_people=4, num_repeats=2, seed=0
    )
    for block in blocks[3:]:
        shorter = block.replace("num_people=40, num_repeats=4", 'num_people=4, method="svi"')
        exec(shorter.replace("fit_people(models, data, prior", 'fit_people(models, data, prior, method="svi"'), names)
    assert names["fit"].names == ("temperature", "risk", "optimism")

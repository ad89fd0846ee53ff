"""The benchmark on a GPU runs to its end on a CPU, and compares what it times."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from benchmarks import gpu
from benchmarks.gpu_rows import ROWS, Row

CPU = torch.device("cpu")


def measured(there):
    return gpu.measured(Row("a sum", {"torch": lambda: torch.ones(2)}, lambda: there, 1e-8), CPU, smoke=True)


def test_a_wrong_answer_on_the_device_is_seen():
    assert measured(torch.ones(2))["equal"]
    wrong = measured(torch.tensor([1.0, 1.1]))
    assert not wrong["equal"]
    assert math.isclose(wrong["difference"], 0.1, rel_tol=1e-5)
    assert "**1.0e-01 (at most 1e-08)**" in gpu.table([wrong], "about")
    assert not measured(torch.tensor([1.0, torch.nan]))["equal"]


def test_a_row_that_takes_too_long_is_ended_and_named():
    assert gpu.run_row("plans", CPU, True, 0.01) == {"row": "plans", "problem": "not finished in 0 s"}


def test_all_rows_together_end_within_ten_minutes():
    assert len(ROWS) * gpu.LIMIT <= 600


@pytest.mark.slow
def test_the_whole_runs_on_the_cpu(tmp_path):
    root = Path(gpu.__file__).parents[2]
    command = [sys.executable, "-m", "tests.benchmarks.gpu", "--device", "cpu", "--smoke", "--limit", "300"]
    found = subprocess.run([*command, "--out", tmp_path], cwd=root, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
    rows = json.loads((tmp_path / "rows.json").read_text(encoding="utf8"))["rows"]
    assert len(rows) == len(ROWS)
    assert all(each["equal"] and all(time > 0 for time in each["seconds"].values()) for each in rows)
    assert (tmp_path / "table.md").read_text(encoding="utf8").count("CPU in place of the device") == len(ROWS)

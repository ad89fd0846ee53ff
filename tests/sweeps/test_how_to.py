"""The how-to page on many runs, followed as it is written: its script, and its cluster from two shells."""

import csv
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import pgm_control

ROOT = Path(pgm_control.__file__).parent.parent
PAGE = ROOT / "docs" / "howto" / "many_runs.md"
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not PAGE.is_file(), reason="the page is not shipped")]


def block(language, containing=""):
    """The only block of the page in this language that contains a text."""
    found = re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(encoding="utf8"), re.MULTILINE | re.DOTALL)
    [text] = [each for each in found if containing in each]
    return text


@pytest.fixture
def shell(tmp_path):
    """A function that starts a command in the folder of `runs.py`; what it leaves running ends with the test."""
    (tmp_path / "runs.py").write_text(block("python", "# runs.py"))
    (tmp_path / "settings.json").write_text(block("json"))
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    variables = os.environ | {"PYTHONPATH": str(ROOT), "PATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    started = []

    def start(command):
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        run = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", command], cwd=tmp_path, env=variables, start_new_session=True, **pipes
        )
        started.append(run)
        return run

    yield start
    for run in started:
        try:
            os.killpg(run.pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
        run.communicate()


def finished(run):
    said, _ = run.communicate(timeout=240)
    assert run.returncode == 0, said
    return said


def table(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def test_the_script_of_the_page_runs_and_resumes(tmp_path, shell):
    pytest.importorskip("joblib")
    said = finished(shell("python runs.py"))
    assert said.rstrip().endswith("4 rows, 0 failed, 0 left.")
    rows = table(tmp_path / "runs" / "results.csv")
    assert [(row["temperature"], row["seed"], row["steps"]) for row in rows] == [
        ("0.5", "0", "300"), ("0.5", "1", "300"), ("2.0", "0", "300"), ("2.0", "1", "300"),
    ]  # fmt: skip
    before = (tmp_path / "runs" / "results.jsonl").read_bytes()
    assert finished(shell("python runs.py")) == said
    assert (tmp_path / "runs" / "results.jsonl").read_bytes() == before
    (tmp_path / "runs").rename(tmp_path / "first")
    assert finished(shell("python runs.py")) == said  # from finished checkpoints
    (tmp_path / "runs").rename(tmp_path / "second")
    (tmp_path / "checkpoints").rename(tmp_path / "kept")
    assert finished(shell("python runs.py")) == said  # from the beginning, since the function depends on its seed only


def test_the_cluster_of_the_page_runs_from_two_shells(tmp_path, shell):
    pytest.importorskip("distributed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shell(block("sh", "dask scheduler").replace("8786", port))
    said = finished(shell(block("sh", "pgm-control sweep").replace("8786", port)))
    assert "4 rows, 0 failed, 0 left." in said
    assert [row["steps"] for row in table(tmp_path / "cluster_runs" / "results.csv")] == ["300"] * 4
    assert len(list((tmp_path / "checkpoints").iterdir())) == 4

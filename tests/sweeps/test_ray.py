"""Sweeps on Ray, by its own tasks; left out where Ray is not installed."""

import json

import pytest
from sweep_functions import calls, lost, measure

from pgm_control import bench, sweep

ray = pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
CROSSED = {"x": [0.5, 2, 3.0], "seed": [0, 1]}


@pytest.fixture(scope="module")
def cluster():
    """Ray with two processes, to which this process is connected."""
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def lines_of(folder):
    return [json.loads(line) for line in (folder / "results.jsonl").read_bytes().splitlines()]


def test_ray_is_started_and_ends_with_the_sweep(tmp_path):
    assert not ray.is_initialized()
    expected = sweep(measure, CROSSED)
    found = sweep(measure, CROSSED, engine="ray", jobs=2, out=tmp_path)
    assert not ray.is_initialized()
    assert repr(found.rows) == repr(expected.rows)
    assert found.keys == expected.keys
    assert sorted(line["key"] for line in lines_of(tmp_path)) == sorted(found.keys)


def test_a_connected_process_runs_its_jobs_there(cluster):
    expected = sweep(measure, CROSSED)
    for jobs in (None, 1):
        assert repr(sweep(measure, CROSSED, engine="ray", jobs=jobs).rows) == repr(expected.rows)
    assert ray.is_initialized()
    scale = 3.0
    assert sweep(lambda x: {"value": scale * x}, {"x": [1, 2]}, engine="ray").column("value") == [3.0, 6.0]


def test_results_come_one_by_one(cluster, tmp_path):
    """The progress sees each result on the disk when it is reported."""
    seen = []
    sweep(measure, CROSSED, engine="ray", out=tmp_path, progress=lambda step, _: seen.append((step, on_disk(tmp_path))))
    assert seen == [(n, n) for n in range(7)]


def on_disk(folder):
    path = folder / "results.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_the_jobs_of_a_lost_worker_run_again(cluster, tmp_path):
    settings = {"x": list(range(8)), "folder": [str(tmp_path)], "times": [2]}
    found = sweep(lost, settings, engine="ray", out=tmp_path / "out")
    assert found.column("value") == [2 * x for x in range(8)]
    assert len(calls(tmp_path, 3)) == 3
    assert sorted(line["setting"]["x"] for line in lines_of(tmp_path / "out")) == list(range(8))


def test_a_job_that_always_loses_its_worker_has_failed(cluster, tmp_path):
    settings = {"x": list(range(6)), "folder": [str(tmp_path)], "times": [100]}
    found = sweep(lost, settings, engine="ray")
    assert [row["x"] for row in found.rows if row["failure"] is not None] == [3]
    assert found.rows[3]["failure"].startswith("WorkerLost: the process of the job ended 4 times")
    assert len(calls(tmp_path, 3)) == 4


def test_a_bench_on_ray_is_that_of_one_process(cluster):
    asked = {"models": ["restaurant", "lottery"], "guides": ["clamped"], "num_seeds": 2, "num_steps": 20}
    numbers = [
        [(row.model, row.guide, row.seed, row.elbo, row.status) for row in found.rows]
        for found in (bench(**asked), bench(**asked, engine="ray"))
    ]
    assert numbers[0] == numbers[1]

"""The engines of a sweep: all give what a plain loop gives, and a lost process costs its own jobs only."""

import gc
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from sweep_functions import alone, calls, failing, lost, measure, meeting, noted

import pgm_control
from pgm_control import InvalidArgument, MissingExtra, PGMControlError, bench, sweep
from pgm_control.sweeps import dask_engine, processes, ray_engine
from pgm_control.sweeps.functions import Named, NotHere, digest_of, for_workers
from pgm_control.sweeps.job import Job

CROSSED = {"x": [0.5, 2, 3.0], "seed": [0, 1]}


@pytest.fixture(scope="module")
def client():
    """A client of dask with two processes."""
    distributed = pytest.importorskip("distributed")
    patient = importlib.import_module("dask").config.set({"distributed.deploy.lost-worker-timeout": "1h"})
    with (
        patient,  # a killed worker may take long to come back beside other tests
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture(params=["loky", "threading", "dask", "address"])
def engine(request):
    """An engine by name; "dask" stands for a client."""
    if request.param == "loky":
        pytest.importorskip("joblib")
    if request.param in ("dask", "address"):
        client = request.getfixturevalue("client")
        address = client.scheduler.address
        return client if request.param == "dask" else address.replace("tcp://", "dask://")
    return request.param


def lines_of(folder):
    return [json.loads(line) for line in (folder / "results.jsonl").read_bytes().splitlines()]


def test_every_engine_gives_what_a_plain_loop_gives(engine, tmp_path):
    expected = sweep(measure, CROSSED)
    found = sweep(measure, CROSSED, engine=engine, jobs=2, out=tmp_path)
    assert repr(found.rows) == repr(expected.rows)
    assert (found.keys, found.status, found.num_left) == (expected.keys, expected.status, 0)
    assert sorted(line["key"] for line in lines_of(tmp_path)) == sorted(found.keys)


def test_failures_are_rows_on_every_engine(engine):
    expected = sweep(failing, {"x": [1, 3, 4]})
    assert sweep(failing, {"x": [1, 3, 4]}, engine=engine, jobs=2).rows == expected.rows
    assert expected.num_failed == 1


def test_more_jobs_than_places_and_fewer(engine, tmp_path):
    for number in (1, 7):
        settings = {"x": list(range(number)), "folder": [str(tmp_path)]}
        assert sweep(noted, settings, engine=engine, jobs=3).column("value") == [2 * x for x in range(number)]


def test_functions_without_a_module_of_their_own_are_sent_whole(engine):
    scale = 3.0
    assert sweep(lambda x: {"value": scale * x}, {"x": [1, 2]}, engine=engine, jobs=2).column("value") == [3.0, 6.0]


def test_jobs_run_side_by_side(engine, tmp_path):
    """Each of two jobs waits until the other has begun."""
    settings = {"x": [0, 1], "folder": [str(tmp_path)]}
    found = sweep(meeting, settings, engine=engine, jobs=2)
    assert found.num_failed == 0, found.rows


@pytest.mark.parametrize("engine", ["threading", "dask"])
def test_no_more_jobs_at_a_time_than_asked_for(engine, tmp_path, request):
    taken = request.getfixturevalue("client") if engine == "dask" else engine
    settings = {"x": list(range(6)), "folder": [str(tmp_path)]}
    assert sweep(alone, settings, engine=taken, jobs=1).num_failed == 0


# Lost workers


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["loky", "dask"])
def test_the_jobs_of_a_lost_worker_run_again(engine, tmp_path, request):
    taken = request.getfixturevalue("client") if engine == "dask" else engine
    settings = {"x": list(range(8)), "folder": [str(tmp_path)], "times": [2]}
    found = sweep(lost, settings, engine=taken, jobs=2, out=tmp_path / "out")
    assert found.column("value") == [2 * x for x in range(8)]
    assert len(calls(tmp_path, 3)) == 3
    assert sorted(line["setting"]["x"] for line in lines_of(tmp_path / "out")) == list(range(8))
    if engine == "loky":
        assert [len(calls(tmp_path, x)) for x in (0, 1, 2, 4, 5, 6, 7)] == [1] * 7, "no other job was disturbed"


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["loky", "dask"])
def test_a_job_that_always_loses_its_worker_has_failed(engine, tmp_path, request):
    taken = request.getfixturevalue("client") if engine == "dask" else engine
    settings = {"x": list(range(6)), "folder": [str(tmp_path)], "times": [100]}
    found = sweep(lost, settings, engine=taken, jobs=2, out=tmp_path / "out")
    assert [row["x"] for row in found.rows if row["failure"] is not None] == [3]
    assert found.rows[3]["failure"].startswith("WorkerLost: ")
    assert len(calls(tmp_path, 3)) == 4
    again = sweep(lost, {**settings, "lethal": [-1]}, engine=taken, jobs=2, out=tmp_path / "out")
    assert again.num_failed == 0


@pytest.mark.slow
def test_a_process_that_dies_between_jobs_costs_nothing(tmp_path):
    pytest.importorskip("joblib")
    killed = []

    def kill(step, metrics):
        alive = [pid for x in range(6) for pid in calls(tmp_path, x) if pid not in killed]
        if step in (1, 3):
            killed.append(alive[-1])
            os.kill(alive[-1], signal.SIGKILL)
            time.sleep(0.3)

    settings = {"x": list(range(6)), "folder": [str(tmp_path)]}
    found = sweep(noted, settings, engine="loky", jobs=1, progress=kill)
    assert found.column("value") == [2 * x for x in range(6)]
    assert [len(calls(tmp_path, x)) for x in range(6)] == [1] * 6


def test_an_interruption_right_after_a_job_was_given_leaves_no_broken_thread(monkeypatch):
    """In that millisecond, loky's own thread ended with a KeyError."""
    pytest.importorskip("joblib")
    problems = []
    monkeypatch.setattr("threading.excepthook", problems.append)

    waits, wait = [], processes.wait

    def interrupted(*args, **settings):
        waits.append(args)
        if len(waits) % 2 == 0:
            raise KeyboardInterrupt
        return wait(*args, **settings)

    monkeypatch.setattr(processes, "wait", interrupted)
    jobs = [Job(str(seed), {}, {"x": 1.0, "seed": seed}) for seed in range(2)]
    for _ in range(10):
        with pytest.raises(KeyboardInterrupt):
            list(processes.on_processes(measure, jobs, 1))
    assert problems == []


# Functions in workers

MODULE = "def f(x):\n    return {'value': x}\n"


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module of a folder, which only this process has on its path."""
    (tmp_path / "only_here.py").write_text(MODULE)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(str(tmp_path))
    import only_here  # pyright: ignore[reportMissingImports]

    yield only_here
    sys.modules.pop("only_here", None)


@pytest.mark.slow
def test_workers_import_a_module_of_the_callers_folder_and_load_it_again_when_it_changes(module, client, tmp_path):
    assert sweep(module.f, {"x": [1]}, engine=client).column("value") == [1]
    (tmp_path / "only_here.py").write_text(MODULE.replace("x}", "x + 10}"))
    assert sweep(module.f, {"x": [1, 2]}, engine=client).column("value") == [11, 12]
    away = {**vars(for_workers(module.f)), "module": "nowhere", "folder": None}
    sent = Named(**away)
    with pytest.raises(NotHere, match="nowhere:f cannot be imported: ModuleNotFoundError"):
        sent(x=1)


def test_workers_search_the_folder_in_which_they_were_started(module, tmp_path):
    """As on a machine that does not have the folder of the caller; workers of dask do not search their own folder."""
    sent = for_workers(module.f)
    away = {**vars(sent), "folder": str(tmp_path / "of_another_machine")}
    program = f"from pgm_control.sweeps.functions import Named; print(Named(**{away!r})(x=3))"
    path = {**os.environ, "PYTHONPATH": str(Path(pgm_control.__file__).parent.parent)}
    run = [sys.executable, "-P", "-c", program]  # -P: the current folder is not on the path
    found = subprocess.run(run, cwd=tmp_path, env=path, capture_output=True, text=True, check=False)
    assert found.stdout == "{'value': 3}\n", found.stderr


def test_jobs_that_wait_for_a_worker_say_so(caplog):
    said = "The scheduler of dask has no workers: the jobs wait for one."
    distributed = pytest.importorskip("distributed")
    patient = importlib.import_module("dask").config.set({"distributed.deploy.lost-worker-timeout": "1h"})
    with (
        patient,  # a killed worker may take long to come back beside other tests
        distributed.LocalCluster(n_workers=0, threads_per_worker=1, dashboard_address=":0") as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):

        def start():
            end = time.monotonic() + 20
            while said not in caplog.text and time.monotonic() < end:
                time.sleep(0.1)
            cluster.scale(1)

        threading.Thread(target=start, daemon=True).start()
        assert sweep(measure, {"x": [2]}, engine=client).num_failed == 0
    assert said in caplog.text


def test_processes_of_dask_take_a_port_that_is_free():
    pytest.importorskip("distributed")
    with socket.socket() as taken:
        with suppress(OSError):  # another cluster of this machine has it already
            taken.bind(("", 8787))
            taken.listen()
        assert sweep(measure, {"x": [2]}, engine="dask", jobs=1).num_failed == 0  # a warning would be an error


def test_a_worker_with_another_file_refuses_the_job(module, tmp_path, monkeypatch):
    sent = for_workers(module.f)
    assert sent(x=1) == {"value": 1}
    (tmp_path / "only_here.py").write_text(MODULE + "# edited\n")
    with pytest.raises(NotHere, match=r"only_here\.py differs from that of the caller"):
        sent(x=1)
    assert for_workers(module.f)(x=1) == {"value": 1}
    assert digest_of(module.f) != vars(sent)["digest"]


@pytest.mark.parametrize("engine", ["loky"])
def test_a_function_that_workers_cannot_import_ends_the_sweep_with_an_error(engine, monkeypatch, tmp_path):
    pytest.importorskip("joblib")
    monkeypatch.setattr("pgm_control.sweeps.run.for_workers", lambda function: Named("nowhere", "f", "", None))
    with pytest.raises(InvalidArgument, match="`function` must be importable in the workers, but nowhere:f cannot be"):
        sweep(measure, {"x": [1, 2]}, engine=engine, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


# What is missing, and mistakes


@pytest.mark.parametrize(
    ("package", "asked", "install"),
    [
        ("joblib", {"jobs": 2}, "pip install joblib"),
        ("joblib", {"engine": "loky"}, "pip install joblib"),
        ("distributed", {"engine": "dask"}, "pip install distributed"),
        ("distributed", {"engine": "tcp://localhost:1"}, "pip install distributed"),
        ("ray", {"engine": "ray"}, "pip install ray"),
    ],
)
def test_a_missing_package_is_named_before_anything_runs(monkeypatch, tmp_path, package, asked, install):
    for name in [each for each in sys.modules if each.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=install):
        sweep(measure, {"x": [1]}, out=tmp_path / "out", **asked)
    assert not (tmp_path / "out").exists()
    assert sweep(measure, {"x": [1]}, engine="threading", jobs=1).num_failed == 0


@pytest.mark.parametrize("name", ["nobody", "127.0.0.1:1"])
def test_an_address_where_nobody_answers_is_an_error(monkeypatch, name):
    pytest.importorskip("distributed")
    monkeypatch.setattr(dask_engine, "_PATIENCE", "1s")
    with pytest.raises(InvalidArgument, match="`engine` must be the address of a scheduler of dask, but none answers"):
        sweep(measure, {"x": [1]}, engine=f"tcp://{name}")
    distributed = importlib.import_module("distributed")
    left = [each for each in gc.get_objects() if type(each) is distributed.Client]
    assert "connecting" not in {each.status for each in left}, "collected, it would wait for a lock that it holds"


def test_a_closed_client_is_refused(client):
    distributed = pytest.importorskip("distributed")
    other = distributed.Client(client.scheduler.address, set_as_default=False)
    other.close()
    with pytest.raises(InvalidArgument, match="`engine` must be a client of dask that is connected, but it is closed"):
        sweep(measure, {"x": [1]}, engine=other)


def test_a_client_that_is_closed_meanwhile_is_an_error_that_says_how_to_go_on(client, tmp_path):
    distributed = pytest.importorskip("distributed")
    other = distributed.Client(client.scheduler.address, set_as_default=False)
    with pytest.raises(PGMControlError, match=r"lost, or has dropped.*Finished jobs are kept.*run the sweep again"):
        sweep(measure, {"x": list(range(9))}, engine=other, jobs=1, out=tmp_path, progress=lambda *_: other.close())
    assert sweep(measure, {"x": list(range(9))}, engine=client, out=tmp_path).num_left == 0


def test_finished_sweeps_start_no_engine(tmp_path, monkeypatch):
    sweep(measure, CROSSED, out=tmp_path)
    monkeypatch.setattr(processes, "_executor", None)
    monkeypatch.setattr(dask_engine, "require_dask", lambda: None)
    monkeypatch.setattr(ray_engine, "require_ray", lambda: None)
    known = ("loky", "dask", *(("ray",) if importlib.util.find_spec("ray") else ()))
    for engine in known:
        assert sweep(measure, CROSSED, out=tmp_path, engine=engine).num_left == 0


# The bench, which is a sweep


@pytest.mark.slow
def test_a_bench_on_a_cluster_is_that_of_one_process(client, tmp_path):
    asked = {"models": ["restaurant", "lottery"], "guides": ["clamped"], "num_seeds": 2, "num_steps": 20}
    expected = bench(**asked)
    found = bench(**asked, engine=client, out=tmp_path)
    numbers = [(row.model, row.guide, row.seed, row.elbo, row.status) for row in found.rows]
    assert numbers == [(row.model, row.guide, row.seed, row.elbo, row.status) for row in expected.rows]
    assert len(lines_of(tmp_path)) == 4

"""Blocks over processes: the numbers of one machine bit for bit, also when processes are killed or silent."""

import functools
import importlib
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from block_problems import Garnet, evaluated, maskings, solved
from dask_clusters import QUIET, two_workers

from pgm_control import (
    InvalidArgument,
    InvalidProblem,
    ValueStatus,
    WorkersLost,
    value_iteration_blocks,
)
from pgm_control.inference.infinite_horizon.blocks.cluster import Cluster, Worker
from pgm_control.sweeps.dask_engine import workers_of

pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")
pytestmark = QUIET
LONG = (0.5, 1.0, 0.97, 1e-9)  # nearly a thousand sweeps by the supremum norm
TABLES = Garnet(20_000, 2, 3)


@pytest.fixture(scope="module")
def client():
    with two_workers() as client:
        yield client


@pytest.fixture(scope="module")
def whole():
    return solved(TABLES, *LONG, stopping="sup_norm")


def processes(client):
    """The process of each worker, by its name."""
    addresses = {about["name"]: address for address, about in workers_of(client).items()}
    pids = client.run(os.getpid)
    return {name: pids[address] for name, address in addresses.items()}


def at_some_step(act, first=1):
    """A progress function that acts once, when it is called after `first` sweeps."""
    done = []

    def progress(step, metrics):
        if not done and step >= first:
            done.append(step)
            act()

    return progress, done


def assert_same(found, one):
    states = range(one.num_states)
    assert torch.equal(found.value(states), one.value(states))
    assert torch.equal(found.action_value(states), one.action_value(states))
    assert (found.error_bound, found.num_sweeps, found.status) == (one.error_bound, one.num_sweeps, one.status)
    assert torch.equal(found.span_history, one.span_history)


@pytest.mark.parametrize(("temperature", "optimism"), [(0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.5, -0.7)])
def test_two_processes_are_one_machine(client, temperature, optimism):
    problem = Garnet(1500, forbidden=0.02)
    common = (temperature, optimism, 0.95, 1e-8)
    one = solved(problem, *common, action_prior=maskings(4))
    with solved(problem, *common, action_prior=maskings(4), client=client) as found:
        assert found.bounds == (0, 750, 1500)
        assert sum(found.num_sent) == 8 * sum(found.num_ghosts) > 0
        assert_same(found, one)
        assert torch.equal(found.policy([1499, 0]), one.policy([1499, 0]))


def test_what_a_client_keeps_of_its_workers_is_not_asked(client, monkeypatch):
    """A thread of the client empties it every few seconds; that once made a worker that was there a lost one."""
    emptied = property(lambda _: {"workers": {}}, lambda client, found: None)
    monkeypatch.setattr(type(client), "_scheduler_identity", emptied, raising=False)
    assert client.scheduler_info(n_workers=-1)["workers"] == {}
    assert [worker.name for worker in Cluster(client).workers()] == ["0", "1"]
    with solved(Garnet(100), 0.5, 0.0, 0.9, client=client) as found:
        assert found.value([0, 99]).isfinite().all()


@pytest.mark.slow
@pytest.mark.parametrize("problem", [Garnet(50_000, forbidden=0.02), Garnet(50_000)], ids=str)
@pytest.mark.parametrize(("temperature", "optimism"), [(0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.5, -0.7)])
def test_two_processes_with_large_blocks(client, problem, temperature, optimism):
    common = (temperature, optimism, 0.99, 1e-6)
    one = solved(problem, *common, max_sweeps=20)
    with solved(problem, *common, client=client, max_sweeps=20) as found:
        assert_same(found, one)


def test_a_policy_over_two_processes(client):
    problem, policy = Garnet(500), maskings(4)
    one = evaluated(problem, policy, 0.5, 0.95, 1e-9)
    with evaluated(problem, policy, 0.5, 0.95, 1e-9, client=client) as found:
        assert_same(found, one)
        assert torch.equal(found.policy([3]), torch.as_tensor(policy(3, 4)))


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_worker_changes_nothing(client, whole, tmp_path, rank):
    kill, done = at_some_step(lambda: os.kill(processes(client)[rank], signal.SIGKILL), 50)
    with solved(
        TABLES, *LONG, stopping="sup_norm", client=client, folder=tmp_path, save_every=50, progress=kill
    ) as found:
        assert done
        assert found.num_restarts >= 1
        assert_same(found, whole)


@pytest.mark.slow
def test_without_a_folder_it_begins_again(client, whole):
    kill, done = at_some_step(lambda: os.kill(processes(client)[1], signal.SIGKILL), 50)
    with solved(TABLES, *LONG, stopping="sup_norm", client=client, progress=kill) as found:
        assert done
        assert found.num_restarts >= 1
        assert_same(found, whole)


@pytest.mark.slow
def test_a_silent_worker_is_started_again(client, whole, tmp_path):
    stop, done = at_some_step(lambda: os.kill(processes(client)[1], signal.SIGSTOP), 50)
    with solved(TABLES, *LONG, stopping="sup_norm", client=client, folder=tmp_path, save_every=50, timeout=10.0,
        progress=stop,
    ) as found:  # fmt: skip
        assert done
        assert found.num_restarts >= 1
        assert_same(found, whole)


@pytest.mark.slow
def test_too_many_losses_are_an_error_that_says_how_to_go_on(client, whole, tmp_path):
    kill, done = at_some_step(lambda: os.kill(processes(client)[0], signal.SIGKILL), 50)
    given = {"stopping": "sup_norm", "client": client, "folder": tmp_path, "save_every": 50}
    with pytest.raises(WorkersLost, match="Run again with the same `folder` to go on"):
        solved(TABLES, *LONG, **given, progress=kill, max_restarts=0)
    assert done
    client.wait_for_workers(2, timeout=60)
    with solved(TABLES, *LONG, **given) as found:
        assert found.num_restarts == 0
        assert_same(found, whole)


@pytest.mark.slow
def test_ctrl_c_ends_all_processes_after_a_sweep(client, whole, tmp_path):
    stop, done = at_some_step(lambda: os.kill(os.getpid(), signal.SIGINT), 50)
    given = {"stopping": "sup_norm", "client": client, "folder": tmp_path, "save_every": 50}
    with solved(TABLES, *LONG, **given, progress=stop) as cut:
        assert done
        assert cut.status is ValueStatus.interrupted
        assert 50 < cut.num_sweeps < whole.num_sweeps
        assert cut.value([5]).isfinite().all()
    with solved(TABLES, *LONG, **given) as found:
        assert_same(found, whole)


@pytest.mark.slow
def test_values_on_a_worker_that_was_killed_are_said_to_be_lost(client, tmp_path):
    with solved(TABLES, 0.5, 1.0, 0.9, client=client) as found:
        kept = found.value([0, 19_999])
        found.save(tmp_path)
        os.kill(processes(client)[1], signal.SIGKILL)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                found.value([19_999])
            except WorkersLost as problem:
                assert "The values of block 1 are lost" in str(problem)  # noqa: PT017
                break
            time.sleep(0.2)
        else:
            pytest.fail("values of a dead process were given")
        assert torch.equal(found.value([0]), kept[:1])
    client.wait_for_workers(2, timeout=60)
    assert torch.equal(type(found).load(tmp_path).value([0, 19_999]), kept)


def test_errors_of_the_user_are_raised_as_they_are(client):
    def broken(start, stop):
        p, successor, reward = TABLES(start, stop)
        return p, successor + (20_000 if start >= 10_000 else 0), reward

    with pytest.raises(InvalidProblem, match=r"must be a state, 0 to 19999.*Index 0 of this block is state 10000 of"):
        value_iteration_blocks(broken, 20_000, 2, 3, 0.5, 1.0, 0.9, client=client)
    with pytest.raises(ZeroDivisionError):
        value_iteration_blocks(lambda start, stop: 1 / 0, 20_000, 2, 3, 0.5, 1.0, 0.9, client=client)
    with pytest.raises(InvalidArgument, match="`num_blocks` must be at most the 2 workers"):
        solved(TABLES, *LONG, client=client, num_blocks=3)


def test_a_client_that_is_closed_meanwhile_hides_no_error(client, monkeypatch):
    """A client that gives up its scheduler raises errors of its own wherever it is used, also where it cancels."""

    def fails(*_, **__):
        raise RuntimeError("Client is closed. Can't send cancel-keys message.")

    with distributed.Client(client.scheduler.address, set_as_default=False) as second:
        monkeypatch.setattr(type(second), "cancel", fails)
        with pytest.raises(ZeroDivisionError):
            value_iteration_blocks(lambda start, stop: 1 / 0, 20_000, 2, 3, 0.5, 1.0, 0.9, client=second)
        cluster = Cluster(second)
        worker = cluster.workers()[0]
        done = cluster.submit(worker, int)
        distributed.wait(done)
        with pytest.raises(WorkersLost, match="does not answer"):
            cluster.result(worker, cluster.submit(worker, time.sleep, 3), lambda: True)
    with pytest.raises(WorkersLost, match="`client` is closed"):
        cluster.result(worker, done, lambda: False)


def test_functions_that_cannot_be_sent_are_refused(client, tmp_path):
    with (tmp_path / "open").open("w") as file, pytest.raises(InvalidArgument, match="`block` and the other functions"):
        value_iteration_blocks(lambda start, stop: file, 20, 2, 3, 0.5, 1.0, 0.9, client=client)


def test_functions_that_workers_cannot_import_are_named(client, tmp_path, monkeypatch):
    (tmp_path / "of_this_process.py").write_text("def block(start, stop):\n    return None\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    block = importlib.import_module("of_this_process").block
    with pytest.raises(InvalidArgument, match=r"workers can import.*'of_this_process'.*PYTHONPATH=. in its folder"):
        value_iteration_blocks(block, 20, 2, 3, 0.5, 1.0, 0.9, client=client)


def test_a_closed_client_is_an_error_that_says_so(client, tmp_path):
    with distributed.Client(client.scheduler.address, set_as_default=False) as second:
        found = solved(Garnet(100), 0.5, 0.0, 0.9, client=second)
    with pytest.raises(WorkersLost, match="`client` is closed"):
        found.value([0])
    with pytest.raises(WorkersLost, match="`client` is closed"):
        found.save(tmp_path)
    cluster, worker = Cluster(second), Worker("a", "tcp://a:1")
    for ask in (cluster.workers, lambda: cluster.silent(1.0), lambda: cluster.submit(worker, int)):
        with pytest.raises(WorkersLost, match="`client` is closed, or its scheduler is gone"):
            ask()
    found.close()
    with pytest.raises(InvalidArgument, match="`client` must be connected, but is closed"):
        solved(Garnet(100), 0.5, 0.0, 0.9, client=second)


@pytest.mark.wrong_types
def test_clients_that_are_none():
    for client in (5, "tcp://127.0.0.1:1", object()):
        with pytest.raises(InvalidArgument, match=r"`client` must be a distributed.Client"):
            solved(TABLES, *LONG, client=client)


@contextmanager
def by_hand(tmp_path, timeout):
    """A client, and the processes of a scheduler and two workers, as from shells."""
    dask = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--port", "0", "--dashboard-address", ":0"]
    file = tmp_path / "scheduler.json"
    here = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}  # where `block` is imported from
    start = functools.partial(subprocess.Popen, stderr=subprocess.DEVNULL, env=here)
    started = [start([*dask, "--scheduler-file", str(file)])]
    try:
        work = [sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", str(file), "--nthreads", "1"]
        for name in ("left", "right"):
            started.append(start([*work, "--name", name, "--dashboard-address", ":0"]))
        for _ in range(600):
            if file.exists():
                break
            time.sleep(0.1)
        with distributed.Client(scheduler_file=str(file), timeout=timeout) as client:
            client.wait_for_workers(2, timeout=60)
            yield client, started
    finally:
        for each in started:
            each.terminate()  # a nanny ends its worker
        for each in started:
            each.wait()


@pytest.mark.slow
def test_processes_that_were_started_by_hand(tmp_path):
    """The how-to page: a scheduler and two workers from shells."""
    with by_hand(tmp_path, 60) as (client, _):
        problem = Garnet(300)
        one = solved(problem, 0.5, 0.0, 0.9, num_blocks=2)
        with solved(problem, 0.5, 0.0, 0.9, client=client) as found:
            assert_same(found, one)
            assert np.isfinite(found.error_bound)


@pytest.mark.slow
def test_a_scheduler_that_is_killed_is_an_error_that_says_how_to_go_on(tmp_path, whole):
    folder = tmp_path / "states"
    with by_hand(tmp_path, 3) as (client, started):
        kill, done = at_some_step(started[0].kill, 60)
        with pytest.raises(WorkersLost, match=r"its scheduler is gone.*with the same `folder` the run goes on"):
            solved(TABLES, *LONG, stopping="sup_norm", client=client, folder=folder, save_every=20, progress=kill)
        assert done
    (tmp_path / "scheduler.json").unlink()
    with by_hand(tmp_path, 60) as (client, _):
        first, begun = at_some_step(lambda: None, 0)
        with solved(
            TABLES, *LONG, stopping="sup_norm", client=client, folder=folder, save_every=20, progress=first
        ) as found:
            assert begun[0] > 40, str(begun)
            if begun[0] < whole.num_sweeps - 1:
                assert_same(found, whole)
            else:  # the workers had converged before they noticed; the run that goes on makes one more sweep
                apart = (found.value(range(whole.num_states)) - whole.value(range(whole.num_states))).abs().max()
                assert found.num_sweeps == whole.num_sweeps + 1
                assert float(apart) <= found.error_bound + whole.error_bound

"""Blocks on workers that are gone, whose functions end the process, or that are interrupted while tables are made."""

import os
import signal
import sys
import threading
import time
from typing import Any

import pytest
from block_problems import Garnet, solved
from dask_clusters import QUIET, two_workers

from pgm_control import InvalidArgument, InvalidProblem, ValueStatus, WorkersLost, value_iteration_blocks
from pgm_control.sweeps.dask_engine import workers_of

pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")
pytestmark = QUIET
COMMON = (0.5, 1.0, 0.9)
PROBLEM = Garnet(30)


@pytest.fixture
def client():
    with two_workers() as client:
        yield client


def meetings(client):
    """The number of meeting points that are open, over all workers."""

    def count():
        from pgm_control.inference.infinite_horizon.blocks import on_worker

        return len(on_worker._STORES)

    return sum(client.run(count).values())


def test_functions_that_end_the_process_or_fail_leave_the_workers_as_they_were(client):
    def leaving(start, stop):  # here, so that it travels whole
        return sys.exit(3) if start >= 15 else PROBLEM(start, stop)

    def failing(start, stop):
        return 1 / 0 if start >= 15 else PROBLEM(start, stop)

    before = client.run(os.getpid)
    said = "must return, or raise an Exception, but in the process of block 1 one ended by SystemExit: 3"
    with pytest.raises(InvalidProblem, match=said):
        value_iteration_blocks(leaving, 30, 4, 5, *COMMON, client=client)
    with pytest.raises(ZeroDivisionError):
        value_iteration_blocks(failing, 30, 4, 5, *COMMON, client=client)
    with solved(PROBLEM, *COMMON, client=client) as found:
        assert found.num_restarts == 0
        assert meetings(client) == 0
    end = time.monotonic() + 20
    while meetings(client) and time.monotonic() < end:  # they are let go without waiting
        time.sleep(0.1)
    assert meetings(client) == 0
    assert client.run(os.getpid) == before


@pytest.mark.slow
def test_ctrl_c_while_tables_are_made_ends_after_one_sweep(client):
    def slow(start, stop):
        time.sleep(2.0)
        return PROBLEM(start, stop)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    solved(PROBLEM, *COMMON, client=client).close()  # workers have imported all
    press = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT))
    press.start()
    try:
        with value_iteration_blocks(slow, 30, 4, 5, *COMMON, 1e-12, client=client) as found:
            assert found.num_restarts == 0
            assert found.status is ValueStatus.interrupted
            assert found.value([0]).isfinite().all()
    finally:
        press.join()
        signal.signal(signal.SIGINT, before)


def test_results_of_a_worker_that_is_gone_are_not_waited_for(client, tmp_path):
    found = solved(PROBLEM, *COMMON, client=client, timeout=5.0)
    held: Any = found.held
    client.retire_workers([held._workers[1].address])
    end = time.monotonic() + 20
    while len(workers_of(client)) > 1 and time.monotonic() < end:
        time.sleep(0.1)
    with pytest.raises(WorkersLost, match="The values of block 1 are lost"):
        found.save(tmp_path)
    assert not (tmp_path / "blocks.json").exists()
    found.close()
    with pytest.raises(InvalidArgument, match="closed"):
        found.save(tmp_path)


def test_a_client_that_was_closed_is_refused():
    with distributed.LocalCluster(n_workers=0, processes=False, dashboard_address=":0") as cluster:
        client = cluster.get_client()
        client.close()
        with pytest.raises(InvalidArgument, match="`client` must be connected, but is closed"):
            solved(PROBLEM, *COMMON, client=client)

"""Two worker processes of Dask for tests, and the warnings of Dask that such tests leave aside."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import pytest

QUIET = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # sockets of dask
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:distributed"),
]


@contextmanager
def two_workers() -> Iterator[Any]:
    """The client of a cluster that does not give up workers that are killed twice."""
    dask, distributed = (import_module(name) for name in ("dask", "distributed"))
    with (
        dask.config.set({"distributed.deploy.lost-worker-timeout": "1h"}),
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0", memory_limit=0) as cluster,
        cluster.get_client() as client,
    ):
        yield client

"""Sweeps whose workers are killed: every row is there once, whatever was lost.

python -m tests.benchmarks.sweeps [--engines loky dask ray] [--settings N] [--kills N] [--workers N]

Each job leaves a line when it begins and one when it ends, and takes some tenths of a second. While the sweep runs,
processes with a job that has begun are killed with SIGKILL, each after a number of results chosen at random, by another
thread. The scheduler and the workers of dask are processes started by hand, without a nanny, and
a new worker is started for each that was killed. At the end the file must hold a line for each setting, with different
keys and the values of a plain loop.
"""

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pgm_control import sweep


def job(x: int, folder: str) -> dict[str, float]:
    """Leave a line, wait, leave another, and return two values."""
    note(folder, "begun")
    time.sleep(random.Random(x).uniform(0.1, 0.5))
    note(folder, "ended")
    return value(x)


def note(folder: str, what: str) -> None:
    """Add a line with the number of this process."""
    with (Path(folder) / "calls.txt").open("a") as file:
        file.write(f"{os.getpid()} {what}\n")


def value(x: int) -> dict[str, float]:
    """What a job returns."""
    return {"root": x**0.5, "share": x / 7}


class Workers:
    """A scheduler of dask and its workers, started by hand."""

    def __init__(self, number: int) -> None:
        self.folder = tempfile.mkdtemp()
        file = Path(self.folder) / "scheduler.json"
        self.scheduler = self._start("scheduler", "--port", "0", "--scheduler-file", str(file))
        while not file.exists():
            time.sleep(0.1)
        time.sleep(0.5)
        self.address = json.loads(file.read_text())["address"]
        self.processes = [self._worker() for _ in range(number)]

    def _start(self, kind: str, *args: str) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "dask", kind, *args, "--no-dashboard"]
        return subprocess.Popen(command, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def _worker(self) -> "subprocess.Popen[bytes]":
        return self._start("worker", self.address, "--nthreads", "1", "--no-nanny")

    def replace(self, pid: int) -> None:
        """Start a worker for one that was killed."""
        for i, each in enumerate(self.processes):
            if each.pid == pid:
                each.wait()
                self.processes[i] = self._worker()

    def end(self) -> None:
        for each in (*self.processes, self.scheduler):
            each.kill()
            each.wait()


class Killer(threading.Thread):
    """A thread that kills a process with a job, at random, whenever another of these numbers of results is reached."""

    def __init__(self, folder: Path, rng: random.Random, at: list[int]) -> None:
        super().__init__(daemon=True)
        self.folder, self.rng, self.at = folder, rng, at
        self.dead: list[int] = []
        self.replace: Callable[[int], None] = lambda pid: None

    def run(self) -> None:
        for results in self.at:
            busy: list[int] = []
            while count(self.folder / "out" / "results.jsonl") < results or not busy:
                time.sleep(self.rng.uniform(0.0, 0.1))
                last = dict(line.split() for line in text(self.folder / "calls.txt").splitlines())
                busy = [int(pid) for pid, what in last.items() if what == "begun" and int(pid) not in self.dead]
            pid = self.rng.choice(busy)
            os.kill(pid, signal.SIGKILL)
            self.dead.append(pid)
            self.replace(pid)


def text(path: Path) -> str:
    """What a file holds; nothing if there is none yet."""
    return path.read_text() if path.exists() else ""


def count(path: Path) -> int:
    """The number of lines of a file."""
    return text(path).count("\n")


@contextlib.contextmanager
def started(engine: str, number: int) -> Iterator[tuple[Any, Any]]:
    """The engine of a sweep, and a function that replaces a lost worker if the engine does not."""
    if engine == "dask":
        workers = Workers(number)
        try:
            yield workers.address, workers.replace
        finally:
            workers.end()
    elif engine == "ray":
        import ray

        ray.init(address="local", num_cpus=number, include_dashboard=False, log_to_driver=False, logging_level="error")
        try:
            yield engine, lambda pid: None
        finally:
            ray.shutdown()
    else:
        yield engine, lambda pid: None


def killed(engine: str, settings: int, kills: int, workers: int, seed: int) -> str:
    """A row of the table."""
    with tempfile.TemporaryDirectory() as name, started(engine, workers) as (taken, replace):
        folder = Path(name)
        killer = Killer(
            folder, random.Random(seed), sorted(random.Random(seed).sample(range(4 * settings // 5), kills))
        )
        killer.replace = replace
        since = time.perf_counter()
        killer.start()
        given = {"x": list(range(settings)), "folder": [name]}
        found = sweep(job, given, engine=taken, jobs=workers, out=folder / "out")
        seconds = time.perf_counter() - since
        killer.join()
        lines = [json.loads(line) for line in (folder / "out" / "results.jsonl").read_text().splitlines()]
        calls = (folder / "calls.txt").read_text().count("begun")
        right = sum(each["result"] == value(each["setting"]["x"]) for each in lines if "result" in each)
        right_rows = sum({**row, **value(row["x"])} == row for row in found.rows)
        keys = len({each["key"] for each in lines})
    assert (len(lines), keys, right, right_rows) == (settings,) * 4, (len(lines), keys, right, right_rows)
    return f"| {engine} | {settings} | {len(killer.dead)} | {len(lines)} | {keys} | {calls} | {seconds:.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", nargs="+", default=["loky", "dask", "ray"])
    parser.add_argument("--settings", type=int, default=200)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print("| engine | settings | kills | lines | keys | calls | seconds |")
    print("|---|---|---|---|---|---|---|")
    for engine in args.engines:
        print(killed(engine, args.settings, args.kills, args.workers, args.seed), flush=True)


if __name__ == "__main__":
    main()

"""Value iteration over blocks of states on worker processes: overhead, kills, memory limits, and what a sweep costs.

python -m tests.benchmarks.state_blocks overhead   # a sweep beside a task graph and beside actors, interleaved
python -m tests.benchmarks.state_blocks equal      # against one machine, bit for bit, for every cut
python -m tests.benchmarks.state_blocks kills      # --kills 50: SIGKILL at random sweeps
python -m tests.benchmarks.state_blocks memory     # four million states, more than one worker may hold
python -m tests.benchmarks.state_blocks cost       # seconds and bytes of a sweep, for the model of the how-to page
python -m tests.benchmarks.state_blocks hosts      # two network namespaces as hosts; needs root on Linux
"""

import argparse
import itertools
import math
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import dask.config
import distributed
import torch

from pgm_control import TabularModel, WorkersLost, mdp_from_blocks, value_iteration, value_iteration_blocks
from pgm_control.inference.infinite_horizon.blocks.cut import Cut, block_tables
from pgm_control.inference.infinite_horizon.blocks.solving import BlockProblem
from pgm_control.inference.infinite_horizon.operators.share import ALL_STATES
from pgm_control.sweeps.dask_engine import workers_of

from ..block_problems import Garnet, Grid, maskings

NUMBERS = (0.0, 0.0, 0.99)  # τ, β, γ
LONG = (0.0, 0.0, 0.9999, 1e-9)  # with a tolerance, for thousands of sweeps by the supremum norm
_HELD: dict[int, Any] = {}


def cluster(workers: int, memory: str | int = 0) -> Any:
    """A cluster of processes on this machine, one thread each, which waits for workers that are killed often."""
    dask.config.set({"distributed.deploy.lost-worker-timeout": "1h"})
    return distributed.LocalCluster(
        n_workers=workers, threads_per_worker=1, dashboard_address=":0", memory_limit=memory, silence_logs=50
    )


def equal() -> None:
    """Values, sweeps and bound of one machine, for 1, 2, 3 and 5 blocks in threads and for 2 in processes."""
    pairs = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.5, -0.7))
    problems = Garnet(50_000), Garnet(50_000, forbidden=0.02), Grid(220)
    done = same = 0
    with cluster(2) as here, here.get_client() as client:
        for problem, (temperature, optimism), masked in itertools.product(problems, pairs, (False, True)):
            prior = maskings(problem.num_actions) if masked else None
            rows = None if prior is None else prior(0, problem.num_states)
            mdp = mdp_from_blocks([problem(0, problem.num_states)], *problem.shape, horizon=1, discount=0.99)
            model = TabularModel(mdp, temperature, action_prior=rows)
            one = value_iteration(model, optimism, 1e-6, method="value_iteration")
            for blocks, where in ((1, None), (2, None), (3, None), (5, None), (2, client)):
                given = (*problem.shape, temperature, optimism, 0.99, 1e-6)
                with value_iteration_blocks(
                    problem, *given, num_blocks=blocks, client=where, action_prior=prior
                ) as found:
                    done += 1
                    same += (
                        torch.equal(found.value(range(problem.num_states)), one.v)
                        and (found.num_sweeps, found.error_bound) == (one.num_sweeps, one.error_bound)
                        and sum(found.num_sent) == 8 * sum(found.num_ghosts)
                    )
            print(
                f"{problem!s:.60} τ = {temperature}, β = {optimism}, masked {masked}: {one.num_sweeps} sweeps",
                flush=True,
            )
    print(f"{done} runs, {same} equal bit for bit")


def make(problem: Any, cut: Cut, rank: int) -> int:
    """Prepare the operator of a block in the process of a worker."""
    torch.set_num_threads(1)
    _, actions, outcomes = problem.shape
    made = block_tables(problem, cut, rank, actions, outcomes, torch.float64)
    every = torch.full((1, problem.num_actions), 1.0 / problem.num_actions, dtype=torch.float64)
    _HELD[rank] = BlockProblem(made, every, *NUMBERS, ALL_STATES).bellman(), made.ghosts
    return rank


def one_sweep(rank: int, *parts: torch.Tensor) -> torch.Tensor:
    """The new values of a block, from the values of all blocks: a task of a graph, or the call of an actor."""
    bellman, ghosts = _HELD[rank]
    every = torch.cat(parts)
    v = torch.cat((parts[rank], every[ghosts]))
    out = torch.empty_like(v)
    bellman.sweep(v, out)
    return out[: bellman.num_states]


class BlockActor:
    """A block as an actor of Dask: the driver asks it for each sweep."""

    def __init__(self, problem: Any, cut: Cut, rank: int) -> None:
        self.rank = make(problem, cut, rank)

    def sweep(self, *parts: torch.Tensor) -> torch.Tensor:
        """The new values."""
        return one_sweep(self.rank, *parts)


def overhead(rounds: int) -> None:
    """A sweep of 10³ states in two processes, three ways in turn; two of them without their certificate."""
    problem, sweeps = Garnet(1000), 200
    cut = Cut.even(problem.num_states, 2)
    with cluster(2) as here, here.get_client() as client:
        addresses = sorted(workers_of(client))
        actors = [
            client.submit(BlockActor, problem, cut, rank, workers=[address], actor=True).result()
            for rank, address in enumerate(addresses)
        ]
        start = [torch.zeros(cut.bounds[rank + 1] - cut.bounds[rank], dtype=torch.float64) for rank in range(2)]

        def ours() -> float:
            given = (*problem.shape, *LONG)
            with value_iteration_blocks(
                problem, *given, stopping="sup_norm", client=client, max_sweeps=10 * sweeps
            ) as found:
                return found.seconds / found.num_sweeps

        def graph() -> float:
            began, parts = time.perf_counter(), list(start)
            for n in range(sweeps):
                parts = [
                    client.submit(one_sweep, rank, *parts, workers=[address], pure=False, key=f"{n}-{rank}-{began}")
                    for rank, address in enumerate(addresses)
                ]
            distributed.wait(parts)
            return (time.perf_counter() - began) / sweeps

        def asked() -> float:
            began, parts = time.perf_counter(), list(start)
            for _ in range(sweeps):
                parts = [each.result() for each in [actor.sweep(*parts) for actor in actors]]
            return (time.perf_counter() - began) / sweeps

        ways = {"blocks": ours, "task graph": graph, "actors": asked}
        times: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(rounds + 1):
            for name, way in ways.items():
                seconds = way()
                if turn:  # the first compiles
                    times[name].append(seconds)
        for name, each in times.items():
            ratios = [mine / first for mine, first in zip(each, times["blocks"], strict=True)]
            print(
                f"{name:14} {1e6 * statistics.median(each):9.0f} us a sweep (fastest {1e6 * min(each):.0f}), "
                f"{statistics.median(ratios):6.1f} x ({min(ratios):.1f} to {max(ratios):.1f})"
            )


def kills(number: int) -> None:
    """SIGKILL of a worker at random sweeps, until `number` have died: the answer of one machine, bit for bit."""
    problem, numbers = Garnet(20_000, 2, 3), (0.5, 1.0, 0.97, 1e-9)
    given = (*problem.shape, *numbers)
    one = value_iteration_blocks(problem, *given, stopping="sup_norm")
    states = range(problem.num_states)
    killed = differ = lost = runs = 0
    chance = random.Random(0)
    with cluster(2) as here, here.get_client() as client:
        while killed < number:
            folder = tempfile.mkdtemp()
            at = sorted(chance.sample(range(one.num_sweeps // 2), 5))

            def progress(step: int, metrics: Any, at: list[int] = at) -> None:
                nonlocal killed
                if at and step >= at[0] and len(workers_of(client)) == 2:
                    at.pop(0)
                    pids = client.run(os.getpid)
                    os.kill(pids[chance.choice(sorted(pids))], signal.SIGKILL)
                    killed += 1

            try:
                with value_iteration_blocks(
                    problem, *given, stopping="sup_norm", client=client, folder=folder, save_every=25, progress=progress
                ) as found:
                    same = torch.equal(found.value(states), one.value(states))
                    differ += not (same and found.num_sweeps == one.num_sweeps and found.error_bound == one.error_bound)
            except WorkersLost as problem_:
                if at:
                    raise
                lost += 1
                print(problem_)
            runs += 1
            client.wait_for_workers(2, timeout=120)
            shutil.rmtree(folder)
            print(f"{killed} kills in {runs} runs: {differ} differ, {lost} lost", flush=True)


def memory(states: int) -> None:
    """Tables that one worker with this limit cannot hold: one block fails, three blocks do not."""
    problem = Garnet(states)
    each = 20 * math.prod(problem.shape) + 8 * states * problem.num_actions
    print(f"{states:,} states: tables and mean rewards of {each / 1e9:.2f} GB")
    for workers in (1, 3):
        limit = int(0.65e9 + 0.45 * each)
        with cluster(workers, limit) as here, here.get_client() as client:
            began = time.perf_counter()
            try:
                found = value_iteration_blocks(
                    problem, *problem.shape, *NUMBERS, 1e-6, client=client, max_restarts=1, patience=120.0
                )
                peak = max(client.run(peak_memory).values())
                print(
                    f"{workers} workers of at most {limit / 1e9:.2f} GB: {found}, {time.perf_counter() - began:.0f} s, "
                    f"largest peak {peak / 1e9:.2f} GB"
                )
            except WorkersLost as problem_:
                print(f"{workers} worker of at most {limit / 1e9:.2f} GB: {problem_}")


def peak_memory() -> int:
    """The largest resident memory of this process so far, in bytes."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def cost() -> None:
    """Seconds a sweep against outcomes and ghosts, and ghosts against their formula."""
    print("ghosts a block: counted, and n (1 − exp(−A K / P)) of the other states, or the border of a grid")
    for problem in (Garnet(100_000), Grid(316)):
        for blocks in (2, 4, 8, 16):
            cut = Cut.even(problem.num_states, blocks)
            _, actions, outcomes = problem.shape
            made = block_tables(problem, cut, blocks // 2, actions, outcomes, torch.float64)
            others = problem.num_states * (blocks - 1) / blocks
            is_grid = isinstance(problem, Grid)
            formula = 2 * problem.side if is_grid else others * (1 - math.exp(-actions * outcomes / blocks))
            print(f"  {problem!s:.40} {blocks:3} blocks: {len(made.ghosts):7} counted, {formula:9.0f} by formula")
    with cluster(2) as here, here.get_client() as client:
        print("a sweep of two processes: states, outcomes, ghosts, us")
        rows = []
        for problem in (Garnet(1000), Garnet(10_000), Garnet(50_000), Garnet(200_000), Grid(100), Grid(300), Grid(700)):
            given = (*problem.shape, *LONG)
            best, sent = math.inf, 0
            for _ in range(3):
                with value_iteration_blocks(
                    problem, *given, stopping="sup_norm", client=client, max_sweeps=500
                ) as found:
                    best, sent = min(best, found.seconds / found.num_sweeps), max(found.num_sent)
            many = math.prod(problem.shape)
            rows.append((many / 2, sent, best))
            print(f"  {problem!s:.40} {many:9} {sent // 8:7} {1e6 * best:9.0f}")
        design = torch.tensor([[many, 1.0, sent] for many, sent, _ in rows], dtype=torch.float64)
        taken = torch.tensor([seconds for *_, seconds in rows], dtype=torch.float64)
        weight = 1 / taken
        c, latency, a_byte = torch.linalg.lstsq(design * weight[:, None], taken * weight).solution.tolist()
        print(f"c = {1e9 * c:.2f} ns an outcome, latency {1e6 * latency:.0f} us, {1e-9 / a_byte:.2f} GB/s")


def hosts() -> None:
    """Two hosts: network namespaces that reach each other by a virtual cable, and nothing else."""
    names, bridge = ("pgm0", "pgm1"), "pgmbr"

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True)

    started: list[subprocess.Popen[bytes]] = []
    file = Path(tempfile.mkdtemp()) / "scheduler.json"
    try:
        ip("link", "add", bridge, "type", "bridge")
        ip("addr", "add", "10.77.0.254/24", "dev", bridge)
        ip("link", "set", bridge, "up")
        for number, name in enumerate(names):
            ip("netns", "add", name)
            ip("link", "add", f"{name}a", "type", "veth", "peer", "name", f"{name}b", "netns", name)
            ip("link", "set", f"{name}a", "master", bridge, "up")
            ip("-n", name, "addr", "add", f"10.77.0.{number + 1}/24", "dev", f"{name}b")
            ip("-n", name, "link", "set", f"{name}b", "up")
            ip("-n", name, "link", "set", "lo", "up")
        dask = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "10.77.0.254", "--port", "0"]
        started.append(subprocess.Popen([*dask, "--scheduler-file", str(file), "--dashboard-address", ":0"]))
        work = [sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", str(file), "--nthreads", "1"]
        for number, name in enumerate(names):
            address = ["--host", f"10.77.0.{number + 1}", "--name", name, "--dashboard-address", ":0"]
            started.append(subprocess.Popen(["ip", "netns", "exec", name, *work, *address]))
        with distributed.Client(scheduler_file=str(file), timeout=60) as client:
            client.wait_for_workers(2, timeout=60)
            problem = Garnet(5000, forbidden=0.02)
            given = (*problem.shape, 0.5, -0.7, 0.95, 1e-8)
            one = value_iteration_blocks(problem, *given, num_blocks=2)
            with value_iteration_blocks(problem, *given, client=client) as found:
                states = range(problem.num_states)
                same = torch.equal(found.value(states), one.value(states)), found.error_bound == one.error_bound
                print(f"two hosts: {found}; the same values and bound as here: {same}")
                print(f"workers at {sorted(workers_of(client))}")
    finally:
        for each in started:
            each.terminate()
        for each in started:
            each.wait()
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False)
        subprocess.run(["ip", "link", "del", bridge], check=False)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["overhead", "equal", "kills", "memory", "cost", "hosts"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--states", type=int, default=4_000_000)
    given = parser.parse_args()
    torch.set_num_threads(1)
    {
        "overhead": lambda: overhead(given.rounds),
        "kills": lambda: kills(given.kills),
        "memory": lambda: memory(given.states),
        "cost": cost,
        "equal": equal,
        "hosts": hosts,
    }[given.what]()

"""Problems without a horizon: time of a sweep and of a solution to 1e-6, slowly mixing problems, peak memory.

python -m tests.benchmarks.infinite [--states N ...] [--full] [--parts sweep solve slow memory]
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pgm_control import mdp_from_blocks

from . import peers_infinite as peers
from .harness import race, readable, require_close, versions
from .limit.compiled import available
from .problems_infinite import Arrays, corridor, garnet, grid

TOLERANCE = 1e-6
SOFT = 0.1  # temperature
_FAST, _TURN = 0.05, 0.2  # seconds: of a call that is repeated, and of all calls of its turn
PARTS = ("sweep", "solve", "slow", "memory")


def sweeps(problem: Arrays, seconds: float) -> None:
    """Time one sweep, hard and soft, as a multiple of C on one thread."""
    v, mdp, half = np.random.default_rng(1).normal(size=problem.states), problem.mdp(), problem.half()
    half_mdp = half.mdp()
    for temperature in (0.0, SOFT):
        print(f"{problem.name}: one sweep, {'soft' if temperature else 'hard'}")
        found: dict[str, peers.Sweep | None] = {}
        if available():
            found["C (limit)"] = peers.limit_sweep(problem, v, temperature)
            found["C, 2 threads"] = peers.limit_sweep(problem, v, temperature, 2)
            found["C, float32"] = peers.limit_sweep(half, v, temperature)
        found["pgm-control"] = peers.our_sweep(mdp, v, temperature)
        found["pgm-control, 2 threads"] = peers.our_sweep(mdp, v, temperature, 2)
        found["pgm-control, tables in float32"] = peers.our_sweep(half_mdp, v, temperature)
        found["scipy CSR"] = peers.scipy_sweep(problem, v, temperature)
        found["torch gather"] = peers.torch_sweep(problem, v, temperature)
        found["JAX gather, jit"] = peers.jax_sweep(problem, v, temperature)
        if temperature == 0:
            found["quantecon DiscreteDP.bellman_operator"] = peers.quantecon_sweep(problem, v)
        present = {name: sweep for name, sweep in found.items() if sweep is not None}
        expected = np.asarray(peers.torch_sweep(problem, v, temperature)())
        for name, sweep in present.items():
            require_close(name, np.asarray(sweep()), expected, 1e-5 if "float32" in name else 1e-10)
        race(present, rounds=5, seconds=seconds)


def solvers(problem: Arrays, big: bool, threads: int = 2) -> dict[str, peers.Solve | None]:
    """The solvers that reach the tolerance with a hard maximum."""
    found: dict[str, peers.Solve | None] = {}
    mdp = problem.mdp()
    if available():
        kernel = peers.limit(problem)
        found["C, modified policy iteration, k = 5 (limit)"] = lambda: kernel.solve(evaluations=5)[0]
        found["C, modified policy iteration, k = 20"] = lambda: kernel.solve(evaluations=peers.MPI_STEPS)[0]
        found["C, value iteration"] = lambda: kernel.solve()[0]
        if problem.states >= 100_000:
            found[f"C, k = 5, {threads} threads"] = lambda: kernel.solve(evaluations=5, threads=threads)[0]
    for method in ("auto", "value_iteration", "modified_policy_iteration", "gauss_seidel", "anderson"):
        if method != "gauss_seidel" or problem.states <= 100_000:  # takes minutes for many states that mix
            found[f"pgm-control, {method}"] = peers.ours(mdp, TOLERANCE, method)
    found[f"pgm-control, auto, {threads} threads"] = peers.ours(mdp, TOLERANCE, threads=threads)
    found["quantecon, modified policy iteration, k = 20"] = peers.quantecon(
        problem, TOLERANCE, "modified_policy_iteration"
    )
    if not big:
        found["quantecon, value iteration"] = peers.quantecon(problem, TOLERANCE, "value_iteration")
    return found


def solve(problem: Arrays, full: bool) -> None:
    print(f"{problem.name}: solved to {TOLERANCE:g}, hard")
    found = solvers(problem, big=problem.states > 100_000)
    if problem.states <= 100_000 or full:
        for algorithm in ("vi", "mpi"):
            if peers.optional("mdpsolver") is not None:
                found[f"mdpsolver, {algorithm}, its own clock"] = peers.MdpSolver(problem, TOLERANCE, algorithm)
    if full and problem.states <= 10_000:
        found["hiive, value iteration (up to a constant)"] = peers.hiive(problem, TOLERANCE)
    timed(found, rounds=3)
    soft: dict[str, peers.Solve | None] = {}
    if available():
        kernel = peers.limit(problem)
        soft["C, value iteration (limit)"] = lambda: kernel.solve(SOFT)[0]
    mdp = problem.mdp()
    soft["pgm-control, auto"] = peers.ours(mdp, TOLERANCE, temperature=SOFT)
    soft["pgm-control, auto, 2 threads"] = peers.ours(mdp, TOLERANCE, temperature=SOFT, threads=2)
    print(f"{problem.name}: solved to {TOLERANCE:g}, soft, temperature {SOFT}")
    timed(soft, rounds=3)


def timed(solves: Mapping[str, peers.Solve | None], rounds: int, cap: float = 30.0) -> None:
    """Time each solver in each round, until it has used `cap` seconds; raise AssertionError if values differ.

    A turn of a fast one is several calls after one that does not count, which finds the memory of another contestant.
    """
    present = {name: each for name, each in solves.items() if each is not None}
    torch.set_num_threads(1)
    reference: np.ndarray | None = None
    times: dict[str, list[float]] = {name: [] for name in present}
    for round_ in range(rounds + 1):  # the first round compiles
        for name, call in present.items():
            if round_ > 0 and sum(times[name]) > (cap if round_ > 1 else cap / 3):
                continue  # so long a first call was not mostly compilation
            values, seconds = _once(call)
            if seconds < _FAST:
                seconds = statistics.median(_once(call)[1] for _ in range(int(_TURN / seconds)))
            if round_ == 1:
                times[name].clear()
            times[name].append(seconds)
            if reference is None:
                reference = values
            if "up to a constant" in name:
                values = values + np.mean(reference - values)
            require_close(f"{name}", values, reference, 3 * TOLERANCE)
    first = next(iter(times.values()))
    for name, each in times.items():
        ratio = statistics.median(mine / theirs for mine, theirs in zip(each, first, strict=False))
        print(f"  {name:<52} {readable(statistics.median(each)):>10} {ratio:>10.3g} x")


def _once(call: peers.Solve) -> tuple[np.ndarray, float]:
    """The values, and the time of the call."""
    start = time.perf_counter()
    values = np.asarray(call())
    return values, call.seconds if isinstance(call, peers.MdpSolver) else time.perf_counter() - start


def slow(full: bool) -> None:
    for problem in (corridor(100_000 if full else 10_000), grid(1000 if full else 100)):
        print(f"{problem.name}: solved to {TOLERANCE:g}, hard")
        found = solvers(problem, big=True)
        for call in solvers(corridor(6000, 0.5), big=True).values():  # compiles
            _ = call is not None and call()
        try:
            timed(found, rounds=1)
        except AssertionError as problem_:
            print(f"  not measured: {problem_}")


MEMORY: dict[str, Callable[[Arrays], Any]] = {
    "C, modified policy iteration": lambda problem: peers.limit(problem).solve(evaluations=peers.MPI_STEPS),
    "pgm-control, auto, hard": lambda problem: peers.ours(problem.mdp(), TOLERANCE)(),
    "pgm-control, auto, soft": lambda problem: peers.ours(problem.mdp(), TOLERANCE, temperature=SOFT)(),
    "pgm-control, auto, hard, tables by `mdp_from_blocks`": lambda problem: None,  # see `child`
    "quantecon, modified policy iteration": lambda problem: _called(
        peers.quantecon(problem, TOLERANCE, "modified_policy_iteration")
    ),
    "scipy CSR, one sweep": lambda problem: _called(peers.scipy_sweep(problem, np.zeros(problem.states), 0.0)),
    "torch gather, one sweep": lambda problem: peers.torch_sweep(problem, np.zeros(problem.states), 0.0)(),
    "JAX gather, one sweep": lambda problem: _called(peers.jax_sweep(problem, np.zeros(problem.states), 0.0)),
    "mdpsolver, mpi": lambda problem: peers.MdpSolver(problem, TOLERANCE, "mpi")(),
}


def _called(call: Callable[[], Any] | None) -> Any:
    if call is None:
        raise SystemExit(3)
    return call()


def memory(problem: Arrays) -> None:
    """Print the peak memory of a process that loads the arrays and solves, above its start, relative to the arrays."""
    print(f"{problem.name}: peak memory, arrays included ({problem.bytes / 1e6:.0f} MB)")
    with tempfile.TemporaryDirectory() as folder:
        for name in ("p", "successor", "reward"):
            np.save(Path(folder) / f"{name}.npy", getattr(problem, name))
        for name in MEMORY:
            command = [sys.executable, "-m", "tests.benchmarks.infinite", "--child", name, folder]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                print(f"  {name:<52} left out: {(done.stdout + done.stderr).strip().splitlines()[-1]}")
            else:
                peak = float(done.stdout.split()[-1])
                print(f"  {name:<52} {peak / 1e6:>7.0f} MB {peak / problem.bytes:>10.2f} x")


def child(name: str, folder: str) -> None:
    """Run on a small problem, which compiles, then on the one in the folder; print the growth of the peak memory."""
    torch.set_num_threads(1)
    if "mdp_from_blocks" in name:
        peers.ours(garnet(5000).mdp(), TOLERANCE)()
        before = peak(reset=True)
        pieces = read_in_pieces(Path(folder))
        states = next(pieces)
        peers.ours(mdp_from_blocks(pieces, states, 4, 5, horizon=1, discount=0.99), TOLERANCE)()
        print(peak() - before)
        return
    MEMORY[name](garnet(5000))
    before = peak(reset=True)
    p, successor, reward = (np.load(Path(folder) / f"{each}.npy") for each in ("p", "successor", "reward"))
    MEMORY[name](Arrays("loaded", p, successor, reward, 0.99))
    print(peak() - before)


def read_in_pieces(folder: Path, size: int = 4096) -> Iterator[Any]:
    """Yield the number of states, then the blocks for `mdp_from_blocks`."""
    with ExitStack() as files:
        tables = []
        for name in ("p", "successor", "reward"):
            file = files.enter_context((folder / f"{name}.npy").open("rb"))
            np.lib.format.read_magic(file)
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
            tables.append((file, shape, dtype))
        states = tables[0][1][0]
        yield states
        for start in range(0, states, size):
            many = min(size, states - start)
            p, successor, reward = (
                np.fromfile(file, dtype, many * int(np.prod(shape[1:]))).reshape(many, *shape[1:])
                for file, shape, dtype in tables
            )
            yield p, successor, np.broadcast_to(reward[..., None], p.shape)


def peak(reset: bool = False) -> float:
    """The peak memory of this process, in bytes; with `reset`, the peak is first set to the present memory.

    The operating system's figure for a finished process includes the size of its parent at the start.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return float(line.split()[1]) * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--states", type=int, nargs="+", default=[10_000])
    parser.add_argument(
        "--full", action="store_true", help="10000, 100000 and 1000000 states and the larger slow families"
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(*options.child)
        return
    print(versions(("torch", "jax", "numba", "scipy", "quantecon", "mdpsolver", "mdptoolbox-hiive")))
    for states in [10_000, 100_000, 1_000_000] if options.full else options.states:
        problem = garnet(states)
        if "sweep" in options.parts:
            sweeps(problem, seconds=min(0.1 + 2e-6 * states, 1.0))
        if "solve" in options.parts:
            solve(problem, options.full)
        if "memory" in options.parts:
            memory(problem if states >= 100_000 else garnet(100_000))
    if "slow" in options.parts:
        slow(options.full)


if __name__ == "__main__":
    main()

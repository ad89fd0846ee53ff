"""Record the numbers that the library computes, and check that a change of the code does not alter them.

python -m tests.golden record FILE
python -m tests.golden check FILE [--tolerance-torch 1e-13] [--map RENAMES] [--with OTHER]

`record` runs all parts with the compiled and with the torch back end, one process each, on one thread, and writes their
entries to FILE. `check` runs them again and compares bit for bit; entries of the torch back end may differ by the
tolerance. It exits with 1 if an entry differs or is missing. The name of an entry is PART/BACKEND/CASE/…; a record is
valid only on the machine and with the versions that made it. A run takes about three minutes of CPU time; the first run
takes longer because the loops are compiled.

The parts are printed (README, examples, commands), zoo, infinite_horizon, analysis, fits, rewards, checkpoints and
learners; `--only PART …` selects some. RENAMES is a file of lines PATTERN=REPLACEMENT, regular expressions that are
applied in order to the recorded names and texts. `--with OTHER` compares with another record instead of running.
"""

import argparse
import importlib
import importlib.util
import os
import platform
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import pyro
import torch

from .entries import Entry, compare, entries, renamed

ROOT = Path(__file__).parent.parent.parent
PARTS = ("printed", "zoo", "infinite_horizon", "analysis", "fits", "rewards", "checkpoints", "learners")
BACKENDS = ("compiled", "torch")
ONCE = ("learners",)  # do not use the compiled loops
ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


def main() -> int:
    """Run a command and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    recorder, checker = commands.add_parser("record"), commands.add_parser("check")
    for command in (recorder, checker):
        command.add_argument("file", type=Path)
        command.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="run these parts alone")
    checker.add_argument("--tolerance-torch", type=float, default=0.0, help="absolute and relative")
    checker.add_argument("--map", type=Path, help="lines PATTERN=REPLACEMENT for the recorded names and texts")
    checker.add_argument("--with", type=Path, dest="other", help="compare with this record instead of running")
    checker.add_argument("--all", action="store_true", help="also list the entries that are equal")
    part = commands.add_parser("part")  # the process that `record` and `check` start for each back end
    part.add_argument("file", type=Path)
    part.add_argument("backend", choices=BACKENDS)
    part.add_argument("parts", nargs="+", choices=PARTS)
    given = parser.parse_args()
    if given.command == "part":
        torch.save(run(given.backend, given.parts), given.file)
        return 0
    if given.command == "record":
        found, failures = run_all(given.only)
        torch.save({"about": about(), "entries": found}, given.file)
        print(f"{len(found)} entries in {given.file}; {failures} cases failed")
        return int(failures > 0)
    return check(given)


def check(given: argparse.Namespace) -> int:
    """Compare a record with the current code or with another record; return 1 if an entry differs or is missing."""
    past = torch.load(given.file, weights_only=True)
    if given.other is None:
        new, here = run_all(given.only)[0], about()
    else:
        other = torch.load(given.other, weights_only=True)
        new, here = other["entries"], other["about"]
    if past["about"] != here:
        print(f"The record was made with other versions, so bits may differ:\n  {past['about']}\n  {here}")
    rules = []
    if given.map is not None:
        lines = [line.strip() for line in given.map.read_text(encoding="utf8").splitlines()]
        rules = [tuple(line.split("=", 1)) for line in lines if line and not line.startswith("#")]
    old, new = (
        {name: each for name, each in record.items() if name.split("/")[0] in given.only}
        for record in (renamed(past["entries"], rules), new)
    )
    verdicts = compare(old, new, given.tolerance_torch)
    for each in verdicts:
        if given.all or each.kind != "equal":
            print(f"{each.kind:<8} {each.name}  {each.detail}".rstrip())
    kinds = ("equal", "close", "differs", "missing", "new")
    counts = Counter(("/".join(each.name.split("/")[:2]), each.kind) for each in verdicts)
    print(f"\n{'':<28}" + "".join(f"{kind:>9}" for kind in kinds))
    for place in dict.fromkeys(place for place, _ in counts):
        print(f"{place:<28}" + "".join(f"{counts[place, kind]:>9}" for kind in kinds))
    return int(any(each.kind in ("differs", "missing") for each in verdicts))


def run_all(parts: tuple[str, ...]) -> tuple[dict[str, Entry], int]:
    """Run the parts with both back ends; return all entries and the number of cases that failed."""
    if importlib.util.find_spec("numba") is None:
        sys.exit("There is no compiled back end to record: pip install numba.")
    found: dict[str, Entry] = {}
    for backend in BACKENDS:
        wanted = [part for part in parts if part not in ONCE or backend == BACKENDS[0]]
        if wanted:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "entries.pt"
                command = [sys.executable, "-m", "tests.golden", "part", str(path), backend, *wanted]
                subprocess.run(command, cwd=ROOT, env=environment(backend), check=True)
                found |= torch.load(path, weights_only=True)
    return found, sum(name.endswith("/failed") for name in found)


def environment(backend: str) -> dict[str, str]:
    """The environment of a process: one thread, a terminal of 80 columns, no windows."""
    here = {name: value for name, value in os.environ.items() if name != "PGM_CONTROL_BACKEND"}
    here |= dict.fromkeys(ONE_THREAD, "1") | {"COLUMNS": "80", "MPLBACKEND": "Agg", "PYTHONHASHSEED": "0"}
    return here | ({"PGM_CONTROL_BACKEND": "torch"} if backend == "torch" else {})


def run(backend: str, parts: list[str]) -> dict[str, Entry]:
    """Run parts in this process and return their entries."""
    torch.set_num_threads(1)
    found: dict[str, Entry] = {}
    for part in parts:
        start, before, cases = sum(os.times()[:4]), len(found), {}
        with failures_in(found, f"{part}/{backend}"):
            cases = importlib.import_module(f".{part}", __package__).cases()
        for name, case in cases.items():
            pyro.clear_param_store()
            pyro.set_rng_seed(0)
            with failures_in(found, f"{part}/{backend}/{name}"):
                found |= entries(f"{part}/{backend}/{name}", case())
        seconds = sum(os.times()[:4]) - start  # CPU time of this process and its forks
        print(f"{part}/{backend}: {len(found) - before} entries, {seconds:.0f} s of CPU", file=sys.stderr, flush=True)
    return found


@contextmanager
def failures_in(found: dict[str, Entry], place: str) -> Iterator[None]:
    """Record an exception as an entry and continue."""
    try:
        yield
    except Exception as problem:
        traceback.print_exc()
        found[f"{place}/failed"] = f"{type(problem).__name__}: {problem}"


def about() -> str:
    """Versions and processor features, on which the last bits depend."""
    packages = " ".join(f"{name} {version(name)}" for name in ("torch", "numpy", "numba", "pyro-ppl", "gymnasium"))
    return f"python {platform.python_version()} {packages} {torch.backends.cpu.get_cpu_capability()}"


if __name__ == "__main__":
    sys.exit(main())

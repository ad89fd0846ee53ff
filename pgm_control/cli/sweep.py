"""The command `sweep`: call a function of your own with many settings."""

import json
import shlex
from pathlib import Path
from typing import Annotated, Any

import tyro

from ..errors import InvalidArgument
from ..text.terminal import bar_over, folded
from .options import require_options


def sweep(
    function: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODULE:FUNCTION")],
    settings: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE.json")],
    num_seeds: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None,
    engine: Annotated[str | None, tyro.conf.arg(metavar="loky|threading|dask|ray|tcp://HOST:PORT")] = None,
    jobs: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None,
    version: Annotated[str | None, tyro.conf.arg(metavar="TEXT")] = None,
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None,
) -> int:
    """Call a function with every setting of a file, here or on a cluster, and write one table.

    Every finished job is kept, as a line of results.jsonl: after Ctrl-C or a crash the same command continues; failed
    jobs run again. The exit status is 1 if a job failed.

    Args:
        function: A function as module:function, such as my_module:run. The module is installed or in the current
            folder. It takes a setting as keyword arguments, and returns a mapping from names to numbers or strings.
        settings: A file of JSON: a list of settings, [{"x": 1}, {"x": 2}], or lists that are crossed, {"x": [1, 2]}.
        num_seeds: Run each setting with seed=0, seed=1, … Default: the settings as they are.
        engine: What runs the jobs. loky: processes of this machine. threading: threads. dask, ray: processes that this
            package starts here; with RAY_ADDRESS, the cluster of Ray. tcp://HOST:PORT or dask://HOST:PORT: the
            scheduler of a cluster of dask. Default: this process, one job after another.
        jobs: Jobs at a time, -1 for one per core. More than one without an engine means loky. Default: one per core, or
            as many as a cluster takes.
        version: A text that is part of every key: with another one everything runs again. Default: a digest of the
            module's file.
        out: Folder for results.jsonl and results.csv. Default: pgm-control-out/FUNCTION.
    """
    require_options(locals(), folder="out")
    from ..sweeps.functions import importable, imported
    from ..sweeps.sweep import sweep as run_sweep

    with importable(str(Path.cwd())):
        called = imported(function, "function", "function", "my_module:run")
        given = _settings(settings, num_seeds)
        folder = Path("pgm-control-out") / function.partition(":")[2] if out is None else out
        with bar_over(_number(given), "sweep") as bar:
            found = run_sweep(called, given, engine=engine, jobs=jobs, out=folder, version=version, progress=bar)
    print(folded(str(found), left=0))
    print(f"\nTable: {folder / 'results.csv'}\nLines: {folder / 'results.jsonl'}")
    if found.num_left:
        options = {
            "num-seeds": num_seeds,
            "engine": engine,
            "jobs": jobs,
            "version": version,
            "out": out,
        }
        words = [word for name, value in options.items() if value is not None for word in (f"--{name}", str(value))]
        again = shlex.join(["pgm-control", "sweep", function, str(settings), *words])
        print(f"{found.num_left} of {found.num_left + len(found.rows)} jobs are left. To continue:\n  {again}")
        raise KeyboardInterrupt
    return 1 if found.num_failed else 0


def _settings(path: Path, num_seeds: int | None) -> Any:
    """The settings in a file, each with every seed if seeds are asked for."""
    try:
        found = json.loads(path.read_bytes())
    except OSError as problem:
        raise InvalidArgument(
            f"`settings` must be a file that can be read, but {path} is not: {problem.strerror}."
        ) from problem
    except (ValueError, RecursionError) as problem:
        raise InvalidArgument(f"`settings` must be a file of JSON, but {path} is not: {problem}") from problem
    if num_seeds is None:
        return found
    entries = found if isinstance(found, list) else [found]
    if any(isinstance(each, dict) and "seed" in each for each in entries):
        raise InvalidArgument(f"`num_seeds` cannot be given, because the settings in {path} have seeds already.")
    seeds = list(range(num_seeds))
    if isinstance(found, dict):
        return {**found, "seed": seeds}
    if not isinstance(found, list):
        return found
    return [{**each, "seed": seed} if isinstance(each, dict) else each for each in found for seed in seeds]


def _number(given: Any) -> int:
    """The number of settings, if they are valid."""
    if isinstance(given, list):
        return len(given)
    number = 1
    for values in given.values() if isinstance(given, dict) else ():
        number *= len(values) if isinstance(values, list) else 1
    return number

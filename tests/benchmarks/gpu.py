"""Times on one GPU beside those on the CPU, with the answers compared, in less than ten minutes.

python -m tests.benchmarks.gpu [--out FOLDER]                      (needs a CUDA device)
python -m tests.benchmarks.gpu --device cpu --smoke                (tries the script out: small sizes, the CPU twice)

Each row runs in a process of its own, which is ended at its limit. A row compares the results before it times them.
`table.md` and `rows.json` in the folder hold what was found.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from .gpu_rows import ROWS, Row
from .harness import readable, versions

LIMIT = 60.0  # seconds a row, with the start of its process
SHARE = 5.0  # seconds of timing a contestant
ROUNDS = 5
COMPARED = 3  # calls, where a call changes what the next one computes


def waiting(call: Callable[[], Tensor], device: torch.device) -> Callable[[], Tensor]:
    def wrapped() -> Tensor:
        found = call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return found

    return wrapped


def captured(call: Callable[[], Tensor], device: torch.device) -> tuple[Callable[[], Tensor] | None, str]:
    """The call replayed from a CUDA graph, or None and why it cannot be captured."""
    if device.type != "cuda":
        return None, ""
    try:
        side = torch.cuda.Stream(device)
        side.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(side):
            for _ in range(3):
                call()
        torch.cuda.current_stream(device).wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            found = call()
    except RuntimeError as problem:
        return None, f"not captured as a CUDA graph: {str(problem).splitlines()[0]}"

    def replay() -> Tensor:
        graph.replay()
        return found

    return waiting(replay, device), ""


def timed(calls: dict[str, Callable[[], Tensor]], seconds: float) -> dict[str, float]:
    """The median time of a call of each, in turns."""
    counts = {}
    for name, call in calls.items():
        call()
        start = time.perf_counter()
        call()
        counts[name] = max(1, int(seconds / ROUNDS / max(time.perf_counter() - start, 1e-7)))
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            start = time.perf_counter()
            for _ in range(counts[name]):
                call()
            times[name].append((time.perf_counter() - start) / counts[name])
            if time.perf_counter() - start > 2 * seconds / ROUNDS:
                counts[name] = 1  # a slow call: one a round
    return {name: statistics.median(each) for name, each in times.items()}


def measured(row: Row, device: torch.device, smoke: bool) -> dict[str, object]:
    """The largest difference of a row, and the times of its contestants."""
    rounds = COMPARED if row.again else 1
    calls = {f"CPU, {name}": call for name, call in row.cpu.items()}
    notes = [row.note] if row.note else []
    first = next(iter(calls.values()))
    expected = torch.stack([first().cpu().double() for _ in range(rounds)])
    scale = 1e-300 + float(expected.abs().max())
    there = waiting(row.device, device)
    found = torch.stack([there().cpu().double() for _ in range(rounds)])
    difference = float((found - expected).abs().max()) / scale
    calls[str(device) if device.type == "cuda" else "CPU in place of the device"] = there
    graph, why = captured(row.device, device)
    if graph is not None:
        if not row.again:
            difference = max(difference, float((graph().cpu().double() - expected[0]).abs().max()) / scale)
        calls[f"{device}, CUDA graph"] = graph
    elif why:
        notes.append(why)
    times, is_equal = timed(calls, 0.05 if smoke else SHARE), difference <= row.tolerance
    return {
        "row": row.name, "seconds": times, "difference": difference, "tolerance": row.tolerance, "equal": is_equal,
        "notes": notes,
    }  # fmt: skip


def run_row(name: str, device: torch.device, smoke: bool, limit: float) -> dict[str, object]:
    """A row, measured in a process of its own, or why there is none."""
    command = [sys.executable, "-m", __spec__.name, "--row", name, "--device", str(device)]
    try:
        found = subprocess.run(
            [*command, *(["--smoke"] if smoke else [])], capture_output=True, text=True, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired:
        return {"row": name, "problem": f"not finished in {limit:.0f} s"}
    if found.returncode:
        return {"row": name, "problem": (found.stderr.strip().splitlines() or ["no message"])[-1]}
    return json.loads(found.stdout.splitlines()[-1])


def table(rows: list[dict], about: str) -> str:
    """The rows in Markdown."""
    lines = [about, "", "| row | contestant | a call | largest relative difference |", "|---|---|---|---|"]
    for row in rows:
        if "problem" in row:
            lines.append(f"| {row['row']} | | | {row['problem']} |")
            continue
        for i, (name, seconds) in enumerate(row["seconds"].items()):
            said = f"{row['difference']:.1e} (at most {row['tolerance']:g})"
            said = said if row["equal"] else f"**{said}**"
            lines.append(f"| {'' if i else row['row']} | {name} | {readable(seconds)} | {'' if i else said} |")
        lines += [f"| | {note} | | |" for note in row["notes"]]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--smoke", action="store_true", help="small sizes and short times")
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds a row")
    parser.add_argument("--out", type=Path, default=None, help="folder of table.md and rows.json")
    parser.add_argument("--row", choices=tuple(ROWS), help="measure one row here and print it as JSON")
    options = parser.parse_args()
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print("no CUDA device")
        return 0
    if options.row is not None:
        torch.set_num_threads(os.cpu_count() or 1)
        row = ROWS[options.row](device, options.smoke)
        print(json.dumps(measured(row, device, options.smoke)))
        return 0
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
    about = f"{versions(('torch',))}, {os.cpu_count()} cores, {where}{', small sizes' if options.smoke else ''}"
    rows = [run_row(name, device, options.smoke, options.limit) for name in ROWS]
    print(table(rows, about))
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "table.md").write_text(table(rows, about), encoding="utf8")
        (options.out / "rows.json").write_text(json.dumps({"about": about, "rows": rows}, indent=1), encoding="utf8")
    return int(any("problem" in row or not row["equal"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())

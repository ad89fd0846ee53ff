"""`python -m tests.example_outputs [WORD]` runs the examples of the reference and writes what they print below them.

`test_api_examples.py` compares. With a word only the files whose names hold it.
"""

import contextlib
import io
import sys
import time
import traceback
from pathlib import Path

import pyro
import torch

sys.path.append(str(Path(__file__).parent.parent / "docs" / "_ext"))

from api_examples import Example, examples


def printed(example: Example) -> str:
    """What an example prints, from the seed that each test starts from."""
    pyro.set_rng_seed(0)
    with contextlib.redirect_stdout(io.StringIO()) as said:
        exec(compile(example.code, f"{example.file.name}: {example.names[0]}", "exec"), {"__name__": "example"})
    return said.getvalue()


def main(word: str) -> None:
    """Run and rewrite."""
    torch.set_num_threads(1)
    for path in sorted({each.file for each in examples() if word in each.file.name}):
        out = []
        for each in examples():
            if each.file == path:
                start = time.perf_counter()
                try:
                    said = printed(each)
                except Exception:
                    traceback.print_exc()
                    said = each.printed
                if (seconds := time.perf_counter() - start) > 2:
                    print(f"{path.name}: {each.names[0]}: {seconds:.1f} s")  # noqa: T201
                quoted = f"\n```text\n{said.rstrip()}\n```\n" if said.strip() else ""
                out.append(f"## {', '.join(each.names)}\n\n```python\n{each.written}```\n{quoted}")
        path.write_text("\n".join(out), encoding="utf8")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "")

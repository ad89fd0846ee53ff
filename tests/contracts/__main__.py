"""`python -m tests.contracts`, from the folder of the repository: every kind of guide through every function."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import pyro

from contracts.verbs import ROWS, VERBS, answer


def main() -> None:
    """Print the table, and the reasons of the refusals."""
    reasons: dict[str, str] = {}
    print(f"{'':<24}" + "".join(f"{verb:>16}" for verb in VERBS))
    for row in ROWS:
        cells = []
        for verb in VERBS:
            said = answer(row, verb)
            if said != "yes":
                reasons.setdefault(said[:90], f"{row}, {verb}: {said}")
            cells.append("yes" if said == "yes" else "WRONG" if said.startswith("wrong") else "refused")
            pyro.clear_param_store()
        print(f"{row:<24}" + "".join(f"{cell:>16}" for cell in cells))
    print("\n".join(reasons.values()))


if __name__ == "__main__":
    main()

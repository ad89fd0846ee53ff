"""Try every bad value for every argument of the public functions, and list the faults.

python -m tests.bad_inputs [FUNCTION …]

A FUNCTION is named as in `calls.py`: infer, TabularMDP.from_dense, plot:curves; default: all, some ten minutes of CPU
time. The exit status is 1 if there is a fault.
"""

import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from bad_inputs.check import CALLS, cases, fault

found = Counter()
for name in sys.argv[1:] or CALLS:
    for case in cases([name]):
        found["cases"] += 1
        wrong = fault(case)
        if wrong is not None:
            found["faults"] += 1
            print(f"{case}: {wrong[:200]}", flush=True)
print(f"{found['cases']} cases, {found['faults']} faults")
sys.exit(found["faults"] > 0)

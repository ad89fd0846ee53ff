"""`python -m tests.equations`, from the folder of the repository: write the page of equations."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from equations.page import PAGE, page

if __name__ == "__main__":
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page(), encoding="utf8")

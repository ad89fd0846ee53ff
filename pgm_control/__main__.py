"""`python -m pgm_control` is `pgm-control`."""

import sys

from .cli import main

sys.exit(main())

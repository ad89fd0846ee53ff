"""`python -m pgm_control` is `pgm-control`."""

import sys

from .cli.main import main

sys.exit(main())

"""Makes `python -m ladderlog` the same program as `ladderlog`."""

import sys

from ladderlog.cli import main

sys.exit(main())

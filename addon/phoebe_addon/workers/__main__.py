"""`python -m phoebe_addon.workers`, which is what `phoebe proxy` runs."""

import sys

from phoebe_addon.workers.program import main

sys.exit(main(sys.argv[1:]))

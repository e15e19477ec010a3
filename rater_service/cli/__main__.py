"""`python -m rater_service.cli` is `phoebe`."""

import sys

from rater_service.cli import main

sys.exit(main())

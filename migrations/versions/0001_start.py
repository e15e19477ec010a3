"""The start, release 0.1.0: events and their sums, producers, prices, runs, rollups and their ledger.

Text columns never hold '': a text that is not known is NULL, and the constraints named `..._no_empty_text`
keep it so.
"""

import re

from rater_service.migrations.sql_files import execute, read

revision = "0001"
down_revision = None
phase = "expand"


def upgrade() -> None:
    """Create everything, in an order in which each finds what it refers to."""
    for name in ("schema_revision", "producers", "events"):
        execute(read(__file__, name))
    # The sums are defined once, for the rows that a statement adds or removes and for those of a window.
    sums = read(__file__, "hourly_usage_sums")
    hourly_usage = read(__file__, "hourly_usage")
    execute(re.sub(r"\{sums of (.*?)\}", lambda found: sums.format(events=found[1]), hourly_usage))
    for name in ("pruned_events", "prices", "rating"):
        execute(read(__file__, name))

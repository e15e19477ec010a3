"""Names that may only repeat the client's are summed by the hour, so that runs need no events to compare."""

import re

from rater_service.migrations.sql_files import execute, read

revision = "0019"
down_revision = "0018"
phase = "expand"
locks = {"hourly_usage": "ACCESS EXCLUSIVE", "touched_hour": "SHARE ROW EXCLUSIVE"}


def upgrade() -> None:
    """Add the sums. As in the first revision, the sums are defined once."""
    sums = read(__file__, "hourly_usage_sums")
    hourly_usage = read(__file__, "hourly_usage")
    execute(re.sub(r"\{sums of (.*?)\}", lambda found: sums.format(events=found[1]), hourly_usage))
    # Whoever writes there has written the sums before, in the same transaction: nobody is in between.
    execute(read(__file__, "touched_hour"))

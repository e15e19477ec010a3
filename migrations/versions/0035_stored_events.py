"""Events are kept without what they have in common with others; the view billing_event has them whole."""

import re

from rater_service.migrations.sql_files import execute, read

revision = "0035"
down_revision = "0034"
phase = "expand"
locks = {"billing_event": "ACCESS EXCLUSIVE"}
renames = {"billing_event": "stored_event"}


def upgrade() -> None:
    """Rename the table, and make the view, through which earlier versions of the code read and store."""
    execute(read(__file__, "stored_event"))
    execute(read(__file__, "billing_event"))
    sums = read(__file__, "hourly_usage_sums")
    event = read(__file__, "summed_event")
    hourly_usage = read(__file__, "hourly_usage")
    execute(
        re.sub(
            r"\{sums of (.*?)\}",
            lambda found: sums.format(events=event.format(events=found[1])),
            hourly_usage,
        )
    )

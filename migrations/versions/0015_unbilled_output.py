"""What clients were given and is not billed is summed by the hour: every run can name it without events."""

import re

from rater_service.migrations.sql_files import execute, read

revision = "0015"
down_revision = "0014"
phase = "expand"
locks = {"hourly_usage": "ACCESS EXCLUSIVE"}


def upgrade() -> None:
    """Add the sums. As in the first revision, the sums are defined once."""
    sums = read(__file__, "hourly_usage_sums")
    hourly_usage = read(__file__, "hourly_usage")
    execute(re.sub(r"\{sums of (.*?)\}", lambda found: sums.format(events=found[1]), hourly_usage))

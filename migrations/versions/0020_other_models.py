"""Usage of further models than a customer may have in an hour is summed under one name."""

import re

from rater_service.migrations.sql_files import execute, read

revision = "0020"
down_revision = "0019"
phase = "expand"
locks = {"billing_event": "ACCESS EXCLUSIVE"}


def upgrade() -> None:
    """Mark events, and sum those that are marked. As in the first revision, the sums are defined once."""
    sums = read(__file__, "hourly_usage_sums")
    hourly_usage = read(__file__, "hourly_usage")
    execute(re.sub(r"\{sums of (.*?)\}", lambda found: sums.format(events=found[1]), hourly_usage))

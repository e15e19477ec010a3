"""Usage that lacks a count is summed by the hour, so that every run can name it without reading events."""

import re

from rater_service.migrations.sql_files import execute, read

revision = "0009"
down_revision = "0008"
phase = "expand"
locks = {"hourly_usage": "ACCESS EXCLUSIVE"}


def upgrade() -> None:
    """Add the sum. As in the first revision, the sums are defined once."""
    sums = read(__file__, "hourly_usage_sums")
    hourly_usage = read(__file__, "hourly_usage")
    execute(re.sub(r"\{sums of (.*?)\}", lambda found: sums.format(events=found[1]), hourly_usage))

"""Bills are summed by the day: what a month comes to can be read at once, however many rollups it has."""

import re

from rater_service.migrations.sql_files import execute, read

revision = "0027"
down_revision = "0025"
phase = "expand"
locks = {"rated_usage": "SHARE ROW EXCLUSIVE"}
reads = ("rated_usage",)


def upgrade() -> None:
    """Add the sums. Only runs write to rated_usage: they wait, and no batch does."""
    sums = read(__file__, "rated_day_sums")
    rated_day = read(__file__, "rated_day")
    execute(re.sub(r"\{sums of (.*?)\}", lambda found: sums.format(rollups=found[1]), rated_day))

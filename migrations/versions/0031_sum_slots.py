"""Sums of one key may stand in several rows, told apart by a slot: each batch adds to one of its own."""

import re

from rater_service.migrations.sql_files import execute, read

revision = "0031"
down_revision = "0030"
phase = "expand"
locks = {"hourly_usage": "ACCESS EXCLUSIVE"}


def upgrade() -> None:
    """Add the slot. As in the first revision, the sums are defined once."""
    sums = read(__file__, "hourly_usage_sums")
    hourly_usage = read(__file__, "hourly_usage")
    execute(re.sub(r"\{sums of (.*?)\}", lambda found: sums.format(events=found[1]), hourly_usage))

"""Finds the rollups that runs deleted, in the order in which rollups are listed."""

from rater_service.migrations.sql_files import execute, read

revision = "0013"
down_revision = "0012"
phase = "expand"
locks = {"rated_usage_change": "SHARE"}
reads = ("rated_usage_change",)


def upgrade() -> None:
    """Make the index."""
    execute(read(__file__, "rated_usage_change"))

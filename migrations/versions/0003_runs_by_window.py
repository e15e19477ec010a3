"""Finds the runs over an hour from an index, however many runs there are."""

from rater_service.migrations.sql_files import execute, read

revision = "0003"
down_revision = "0002"
phase = "expand"
locks = {"rating_run": "SHARE"}
reads = ("rating_run",)


def upgrade() -> None:
    """Make the index."""
    execute(read(__file__, "rating_run"))

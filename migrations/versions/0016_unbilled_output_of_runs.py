"""Runs keep what they said of output that is not billed."""

from rater_service.migrations.sql_files import execute, read

revision = "0016"
down_revision = "0015"
phase = "expand"
locks = {"rating_run": "ACCESS EXCLUSIVE"}


def upgrade() -> None:
    """Add the columns. Of runs from before nothing is known."""
    execute(read(__file__, "rating_run"))

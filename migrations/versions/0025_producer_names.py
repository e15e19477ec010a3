"""What people call each producer's proxy."""

from rater_service.migrations.sql_files import execute, read

revision = "0025"
down_revision = "0021"
phase = "expand"
locks = {"producer": "ACCESS EXCLUSIVE"}


def upgrade() -> None:
    """Add the column."""
    execute(read(__file__, "producers"))

"""Lets the hourly sums be published: PostgreSQL refuses changes of a table that has no identity."""

from rater_service.migrations.sql_files import execute, read

revision = "0011"
down_revision = "0010"
phase = "expand"
locks = {"hourly_usage": "ACCESS EXCLUSIVE"}


def upgrade() -> None:
    """Name the whole row as what tells it from others."""
    execute(read(__file__, "hourly_usage"))

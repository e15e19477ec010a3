"""Whoever stores events notes the hours it touches in rows of its own as well."""

from rater_service.migrations.sql_files import execute, read

revision = "0032"
down_revision = "0031"
phase = "expand"
locks = {"touched_hour": "ACCESS EXCLUSIVE"}


def upgrade() -> None:
    """Add the slot."""
    execute(read(__file__, "touched_hour"))

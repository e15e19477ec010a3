"""How much of its answer the client of an exchange was given."""

from rater_service.migrations.sql_files import execute, read

revision = "0002"
down_revision = "0001"
phase = "expand"
locks = {"billing_event": "ACCESS EXCLUSIVE"}


def upgrade() -> None:
    """Add a column to the events."""
    execute(read(__file__, "events"))

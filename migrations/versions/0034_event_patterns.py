"""What many events have in common can be kept once, under a number."""

from rater_service.migrations.sql_files import execute, read

revision = "0034"
down_revision = "0033"
phase = "expand"


def upgrade() -> None:
    """Add the table. Nobody uses it yet."""
    execute(read(__file__, "event_pattern"))

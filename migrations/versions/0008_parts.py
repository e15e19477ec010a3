"""Parts of exchanges: the usage of further models that one answer states has events of its own.

And usage that lacks a count: whether an event's does.
"""

from rater_service.migrations.sql_files import execute, read

revision = "0008"
down_revision = "0007"
phase = "expand"
locks = {"billing_event": "ACCESS EXCLUSIVE"}


def upgrade() -> None:
    """Add the columns to the events. Earlier versions of the code leave them at their defaults."""
    execute(read(__file__, "events"))

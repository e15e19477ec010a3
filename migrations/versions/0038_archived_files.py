"""Which files of an archive hold what was dropped, and what is in each."""

from rater_service.migrations.sql_files import execute, read

revision = "0038"
down_revision = "0037"
phase = "expand"
# By the reference to it.
locks = {"pruned_event_range": "SHARE ROW EXCLUSIVE"}


def upgrade() -> None:
    """Make the table. Earlier versions of the code take archived events for pruned ones, as they are."""
    execute(read(__file__, "archived_file"))

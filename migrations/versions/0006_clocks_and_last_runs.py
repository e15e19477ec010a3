"""How far the clock of each producer is from the rater's; and when the last run of a mode had ended."""

from rater_service.migrations.sql_files import execute, read

revision = "0006"
down_revision = "0005"
phase = "expand"
locks = {"producer": "ACCESS EXCLUSIVE", "rating_run": "SHARE"}
reads = ("rating_run",)


def upgrade() -> None:
    """Add the column and the index."""
    # First what may take a moment: batches wait for the other.
    execute(read(__file__, "runs"))
    execute(read(__file__, "producers"))

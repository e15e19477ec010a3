"""Hours whose usage is newer than their last run: those of before."""

from rater_service.migrations.sql_files import execute, read

revision = "0005"
down_revision = "0004"
phase = "expand"
reads = (
    "hourly_usage",
    "rating_run",
)


def upgrade() -> None:
    """Find them; events are stored meanwhile, and nothing is locked that batches wait for."""
    execute(read(__file__, "late_hours_so_far"))

"""Which events forgot whose they were, and that somebody had persons erased."""

from rater_service.migrations.sql_files import execute, read

revision = "0007"
down_revision = "0006"
phase = "expand"


def upgrade() -> None:
    """Create the tables."""
    execute(read(__file__, "forgotten"))

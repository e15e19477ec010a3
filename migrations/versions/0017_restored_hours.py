"""Lets the hours that were touched be restored into a database whose triggers have noted them already."""

from rater_service.migrations.sql_files import execute, read

revision = "0017"
down_revision = "0016"
phase = "expand"
locks = {"touched_hour": "SHARE ROW EXCLUSIVE"}


def upgrade() -> None:
    """Make the trigger."""
    execute(read(__file__, "touched_hour"))

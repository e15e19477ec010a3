"""The installation: an id of this database, so that a spool can tell to whom its events belong."""

from rater_service.migrations.sql_files import execute, read

revision = "0014"
down_revision = "0013"
phase = "expand"


def upgrade() -> None:
    """Make the table and the id in it."""
    execute(read(__file__, "installation"))

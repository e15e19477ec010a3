"""How wide new partitions of events are: a week, or a day."""

from rater_service.migrations.sql_files import execute, read

revision = "0037"
down_revision = "0036"
phase = "expand"


def upgrade() -> None:
    """Make the table. Earlier versions of the code make partitions by week whatever it says."""
    execute(read(__file__, "partition_width"))

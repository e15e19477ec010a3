"""Events say which trace their exchange is a part of."""

from rater_service.migrations.sql_files import execute, read

revision = "0030"
down_revision = "0029"
phase = "expand"
locks = {"billing_event": "ACCESS EXCLUSIVE"}


def upgrade() -> None:
    """Add the column. Earlier versions of the code leave it empty."""
    execute(read(__file__, "events"))

"""Events say whether their model's name is what the client asked for, and perhaps only that."""

from rater_service.migrations.sql_files import execute, read

revision = "0018"
down_revision = "0017"
phase = "expand"
locks = {"billing_event": "ACCESS EXCLUSIVE"}


def upgrade() -> None:
    """Add the column. Earlier versions of the code leave it at its default."""
    execute(read(__file__, "events"))

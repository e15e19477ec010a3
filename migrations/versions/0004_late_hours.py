"""Late hours: what runs saw of each hour, and which hours changed since."""

from rater_service.migrations.sql_files import execute, read

revision = "0004"
down_revision = "0003"
phase = "expand"
locks = {"hourly_usage": "SHARE ROW EXCLUSIVE"}


def upgrade() -> None:
    """Create the tables, and the triggers that fill one of them from now on."""
    execute(read(__file__, "late_hours"))

"""Which version of Phoebe sends what each producer says."""

from rater_service.migrations.sql_files import execute, read

revision = "0036"
down_revision = "0035"
phase = "expand"
locks = {"producer": "ACCESS EXCLUSIVE"}


def upgrade() -> None:
    """Add the column. Earlier versions of the code leave it as it is."""
    execute(read(__file__, "producers"))

"""Loadings: every act of putting a price file into service, with its time, instead of times of files."""

from rater_service.migrations.sql_files import execute, read

revision = "0010"
down_revision = "0009"
phase = "expand"
locks = {"price_book": "SHARE ROW EXCLUSIVE"}
reads = ("price_book",)


def upgrade() -> None:
    """Create the table of loadings; every book that is kept becomes one."""
    execute(read(__file__, "price_loading"))

"""Lets data be restored into a migrated database: triggers find their tables, its version stays."""

from rater_service.migrations.sql_files import execute, read

revision = "0012"
down_revision = "0011"
phase = "expand"
locks = {"alembic_version": "SHARE ROW EXCLUSIVE", "schema_revision": "SHARE ROW EXCLUSIVE"}


def upgrade() -> None:
    """Fix the search paths, and guard what the migrations know."""
    execute(read(__file__, "search_paths"))
    execute(read(__file__, "schema_version"))

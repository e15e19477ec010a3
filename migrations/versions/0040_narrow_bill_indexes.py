"""Finds the rollups of a customer or a resource by indexes without the other names."""

from rater_service.migrations.long_work import Tell, make_index
from rater_service.migrations.sql_files import execute, read

from rater_service.database.database import Connection

revision = "0040"
down_revision = "0039"
# What is taken away only makes earlier versions slower.
phase = "contract"
locks = {"rated_usage": "ACCESS EXCLUSIVE"}
prepares = ("rated_usage",)


async def prepare(connection: Connection, tell: Tell) -> None:
    """Make the indexes that take the places of those with all names."""
    for name in ("auth", "resource"):
        columns = f"({name}_id, window_start)"
        await make_index(connection, f"rated_usage_{name}_hour", "rated_usage", columns, tell)


def upgrade() -> None:
    """Drop the indexes with all names."""
    execute(read(__file__, "rated_usage"))

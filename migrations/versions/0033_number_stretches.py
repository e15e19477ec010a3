"""The audit finds events by stretches of 256 numbers, of which each needs one entry in the index."""

from rater_service.migrations.long_work import Tell, make_index
from rater_service.migrations.sql_files import execute, read

from rater_service.database.database import Connection

revision = "0033"
down_revision = "0032"
phase = "expand"
locks = {"billing_event": "ACCESS EXCLUSIVE"}
prepares = ("billing_event",)


async def prepare(connection: Connection, tell: Tell) -> None:
    """Make the index. Batches bring numbers in a row, so its entries grow at the end of each producer's."""
    definition = "(producer_id, (producer_seq >> 8)) WHERE producer_seq IS NOT NULL"
    await make_index(connection, "billing_event_producer_stretch", "billing_event", definition, tell)


def upgrade() -> None:
    """Drop the index of single numbers. Audits of an earlier version take longer without it."""
    execute(read(__file__, "events"))

"""What is known of events that were pruned: which numbers they had."""

from collections.abc import Sequence

from rater_service.database.database import Connection
from rater_service.events.validation import EventRow
from rater_service.statements import bound


async def were_stored(connection: Connection, rows: Sequence[EventRow]) -> list[bool]:
    """Tell for each event whether one with its number was stored by its producer and pruned since."""
    if not rows:
        return []
    found = await connection.fetch(
        *bound(
            "events/pruned_numbers_known",
            producer_ids=[row.producer_id for row in rows],
            producer_seqs=[row.producer_seq for row in rows],
        )
    )
    return [record["known"] for record in found]

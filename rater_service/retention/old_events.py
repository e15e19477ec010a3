"""Old events: of each partition those from before a time, and what is to be known of them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

import asyncpg

from rater_service.database.database import Connection, Pool
from rater_service.database.long_statements import STATEMENT_TIMEOUT_S
from rater_service.events.partitions import Partition, first_id, list_partitions
from rater_service.hours import HOUR, hour_of
from rater_service.statements import statement

type OnProgress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class OldEvents:
    """The events of a partition from before a time, of which there may be none; token counts are sums.

    later_events: how many of the partition ended later, and stay. numbers: for each producer those of its
    events, as the text of an int8multirange. Times are UTC-aware; with events they are not None.
    """

    partition: Partition
    before: datetime
    later_events: int
    event_count: int
    prompt_tokens: Decimal
    cached_tokens: Decimal
    completion_tokens: Decimal
    first_event_time: datetime | None
    last_event_time: datetime | None
    numbers: tuple[tuple[str, str], ...]

    @property
    def window(self) -> tuple[datetime, datetime]:
        """The whole hours that hold all of them, [start, end)."""
        assert self.first_event_time is not None
        assert self.last_event_time is not None
        return hour_of(self.first_event_time), hour_of(self.last_event_time) + HOUR


async def read_old_events(pool: Pool, before: datetime, on_progress: OnProgress) -> list[OldEvents]:
    """Read what is old, by the time of the last event: of partitions whose ids all are from before a time,
    and of the default one, if any are. A partition without events comes first.
    """
    async with pool.acquire() as connection:
        found = []
        for partition in await list_partitions(connection):
            if partition.is_default or (partition.upper_id and partition.upper_id <= first_id(before)):
                on_progress(f"reading {partition.name}")
                found += await _read(connection, partition, before)
    return sorted(found, key=lambda events: events.last_event_time or datetime.min.replace(tzinfo=UTC))


async def _read(connection: Connection, partition: Partition, before: datetime) -> list[OldEvents]:
    """Return the partition's old events; nothing if it has only later ones."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        (extent,) = await fetch_of(connection, "retention/extent", partition, before=before)
        columns = dict(extent)
        if not columns["event_count"] and (partition.is_default or columns["later_events"]):
            return []
        numbers = await fetch_of(connection, "retention/numbers", partition, before=before)
    return [
        OldEvents(
            partition=partition,
            before=before,
            numbers=tuple((row["producer_id"], row["numbers"]) for row in numbers),
            **columns,
        )
    ]


async def fetch_of(
    connection: Connection, name: str, partition: Partition, /, **arguments: object
) -> list[asyncpg.Record]:
    """Execute a statement on a partition and return its rows."""
    of_partition = statement(name, partition=partition.name)
    return await connection.fetch(*of_partition.bind(arguments), timeout=STATEMENT_TIMEOUT_S)

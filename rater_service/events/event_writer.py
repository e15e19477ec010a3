"""Writes the events of one transaction into their partitions, and adds their hourly sums."""

from collections.abc import AsyncIterator, Container, Iterable, Sequence
from datetime import datetime
from functools import cache
from uuid import UUID

from rater_service.database.database import Connection, DatabaseUnavailableError
from rater_service.database.sessions import is_distributed
from rater_service.events.columns import EventColumns, micros
from rater_service.events.copy_format import COLUMNS, COPIED, TYPES, pieces
from rater_service.events.patterned import Patterned
from rater_service.events.patterns import PatternsLost
from rater_service.events.routes import Routes, RoutesOutdated, noticing_outdated_routes
from rater_service.events.sums import KeyedEvents, sum_up
from rater_service.events.validation import EventRow
from rater_service.hours import HOUR
from rater_service.statements import Statement, bound, by_producer, part, statement
from rater_service.wire_time import EPOCH

_TOUCH = statement("events/touch_hours")
_ARRAYS = ", ".join(f":{name}::{TYPES[name]}[]" for name in COLUMNS)


class PrunedEvents(DatabaseUnavailableError):  # noqa: N818 - nothing failed
    """Events were written that had been pruned. What looks at each of them leaves those out."""

    def __init__(self) -> None:
        super().__init__("events were pruned while they were stored")


type SentRow = tuple[EventRow, bool]
"""A row, and whether it is summed as an event of other models."""


class EventWriter:
    """Writes events within the caller's transaction. stored_at: UTC-aware.

    Whatever is written must be added to the sums before the commit. Batches take partitions, events and then
    their slot of the sums in the same order: they may wait for each other over an event that two have, and
    never deadlock.
    """

    def __init__(self, connection: Connection, routes: Routes, stored_at: datetime) -> None:
        self.connection = connection
        self.stored_at = stored_at
        self._routes = routes
        self._is_distributed = is_distributed(connection)
        self._partitions: set[int] = set()
        self._patterns: dict[int, bytes] = {}

    async def copy(
        self,
        events: EventColumns,
        places: Sequence[int],
        others: Container[int],
        patterned: Patterned | None,
    ) -> None:
        """Write the events at some places, in the order of their ids, in less time than INSERT takes.

        others: the places of those that are summed as events of other models. patterned: their patterns;
        None: they have none. Raises RoutesOutdated, and asyncpg's errors, also if an event is there already.
        """
        if patterned and places:
            self._patterns.update(patterned.used)
        for route, some in await self._routes.split(self.connection, events.ids, places):
            self._partitions.add(route.id)
            source = _each(pieces(events, some, self.stored_at, others, patterned))
            with noticing_outdated_routes(named=not self._is_distributed):
                await self.connection.copy_to_table(
                    route.name, schema_name=route.schema, source=source, columns=COPIED, format="binary"
                )
            if self._is_distributed and route.is_default:
                await self._refuse_pruned([(events.ids[place], events.times[place]) for place in some])

    async def insert(self, sent: Sequence[SentRow]) -> set[UUID]:
        """Write the events that are new, of several with one id the first; return their ids.

        Raises what `copy` raises, but for events that are there.
        """
        first = {row.request_id: (row, is_other) for row, is_other in reversed(sent)}
        rows = list(first.values())
        ids = [row.request_id.bytes for row, _ in rows]
        # Whoever inserts looks in the whole table for the events that were there. Taken only then, after the
        # partitions, it would be waited for in a circle with those who lock the table to drop a partition.
        await self.connection.execute(*bound("events/take_table"))
        inserted: set[UUID] = set()
        for route, places in await self._routes.split(self.connection, ids, range(len(rows))):
            self._partitions.add(route.id)
            values = zip(
                *((*row, self.stored_at, is_other) for row, is_other in map(rows.__getitem__, places)),
                strict=True,
            )
            insert = _insert_into(route.quoted).bind(dict(zip(COLUMNS, values, strict=True)))
            with noticing_outdated_routes(named=not self._is_distributed):
                records = await self.connection.fetch(*insert)
            new = {record["request_id"] for record in records}
            if self._is_distributed and route.is_default:
                written = (row for row, _ in map(rows.__getitem__, places) if row.request_id in new)
                await self._refuse_pruned([(row.request_id.bytes, micros(row.event_time)) for row in written])
            inserted |= new
        return inserted

    async def _refuse_pruned(self, written: Sequence[tuple[bytes, int]]) -> None:
        """Raise PrunedEvents if some of the default partition's events, by id and time, were there once.

        A distributed table has no trigger that would. To be called when they are written: from then on nobody
        prunes that partition.
        """
        arguments = {
            "request_ids": [UUID(bytes=request_id) for request_id, _ in written],
            "event_times": [ended for _, ended in written],
        }
        if await self.connection.fetchval(*bound("events/some_were_pruned", **arguments)):
            raise PrunedEvents

    async def require_routes(self, request_id: bytes) -> None:
        """Raise RoutesOutdated if the partition that an event was refused by is not its own.

        Citus does not say which rule an event breaks: that of its partition, perhaps.
        """
        if self._is_distributed and not await self._routes.holds(self.connection, request_id):
            raise RoutesOutdated

    async def add_sums(self, keyed: KeyedEvents) -> None:
        """Add the sums of all events that were written, each once.

        From here to the commit the transaction has a slot of the sums for itself. Raises RoutesOutdated if an
        event was written into what is no partition any more, and PatternsLost if it relies on a pattern that
        the database lacks.
        """
        if not keyed.keys:
            return
        add = self._add_by_producer if self._is_distributed else self._add
        partitions, patterns = await add(keyed)
        if partitions != len(self._partitions):
            raise RoutesOutdated
        if patterns != len(self._patterns):
            raise PatternsLost(len(self._patterns) - patterns)

    async def _add(self, keyed: KeyedEvents) -> tuple[int, int]:
        """Add sums; return how many of the partitions and of the patterns that were used are there."""
        sums = sum_up(keyed)
        arguments = {**sums.keys, **sums.numbers, "stored_at": self.stored_at, **self._used_patterns()}
        add = _add_statement(fit_in_bigint=sums.fit_in_bigint)
        found = await self.connection.fetchrow(*add.bind({**arguments, "partitions": [*self._partitions]}))
        assert found is not None
        return found["partitions"], found["patterns"]

    async def _add_by_producer(self, keyed: KeyedEvents) -> tuple[int, int]:
        """Do the same in a distributed database, by statements that it sends to a single node as they are."""
        there = bound("events/partitions_there", partitions=[*self._partitions])
        partitions: int = await self.connection.fetchval(*there)
        if partitions != len(self._partitions):
            return partitions, 0  # an event is beside the table, where sums don't find it
        for producer_id, some in keyed.by_producer().items():
            sums = sum_up(some)
            # First: batches of a producer wait for each other at an hour, and then at none of its sums.
            hours = [EPOCH + hour * HOUR for hour in sorted({hour for hour, *_ in some.keys})]
            await self.connection.executemany(
                _TOUCH.text,
                [_TOUCH.bind({"window_start": hour, "producer_id": producer_id})[1:] for hour in hours],
            )
            add = by_producer(_add_statement(fit_in_bigint=sums.fit_in_bigint))
            arguments = {
                **sums.keys,
                **sums.numbers,
                "stored_at": self.stored_at,
                "producer_id": producer_id,
                "request_id": UUID(bytes=some.events.ids[0]),
            }
            added = await self.connection.execute(*add.bind(arguments))
            if added != f"INSERT 0 {len(some.keys)}":
                raise RuntimeError(f"sums to add: {len(some.keys)}; the database says {added}")
        used = self._used_patterns()
        patterns = (
            await self.connection.fetchval(*bound("events/patterns_there", **used)) if self._patterns else 0
        )
        return partitions, patterns

    def _used_patterns(self) -> dict[str, object]:
        return {"numbers": [*self._patterns], "digests": [*self._patterns.values()]}


@cache
def _add_statement(*, fit_in_bigint: bool) -> Statement:
    sent = part("events/sums_sent", sum_type="bigint" if fit_in_bigint else "numeric")
    return statement(
        "events/hourly_usage_add",
        sent=sent,
        added=part("events/sums_added"),
        partitions=part("events/partitions_there"),
        patterns=part("events/patterns_there"),
    )


def _insert_into(partition: str) -> Statement:
    return statement("events/store_events", partition=partition, columns=", ".join(COLUMNS), arrays=_ARRAYS)


async def _each(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece

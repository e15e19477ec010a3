"""Stores batches of metering events: each event once, and none dropped."""

from collections.abc import Awaitable, Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import cast

import asyncpg

from phoebe_proto.v1.metering_pb2 import MeteringEvent
from rater_service.database.database import Connection, Pool
from rater_service.database.sessions import is_distributed
from rater_service.events.columns import EventColumns, check
from rater_service.events.event_writer import EventWriter, PrunedEvents
from rater_service.events.fates import DUPLICATE, STORED, Fate, Result
from rater_service.events.insertion import FIRST_STORED, REFUSALS, insert_rows, look_up, store_rows
from rater_service.events.model_names import ModelNames
from rater_service.events.patterned import Patterned
from rater_service.events.patterns import Patterns, PatternsLost
from rater_service.events.personal import forgotten_among, without_person
from rater_service.events.producer_status import StatusRow
from rater_service.events.producers import keep_status
from rater_service.events.routes import Routes, RoutesOutdated
from rater_service.events.sums import KeyedEvents
from rater_service.events.validation import PRODUCER_SEQ_MAX, EventRow, InvalidEvent, row_of
from rater_service.statements import bound

__all__ = ["DUPLICATE", "STORED", "Fate", "Result", "store_events", "store_rows"]

# Four times what a valid producer_id may have, so that one that is cut is never taken for another.
INDEXED_LENGTH_MAX = 256

# A partition is made once a week, and dropped hardly more often; patterns are lost with a server.
_ROUTES_READ_MAX = 3

type _Write = Callable[[EventWriter, "_Batch", Container[int]], Awaitable[list[Result]]]
_NO_PLACES: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class _Batch:
    """Events; those that are valid, once more as columns and by their keys; why the others are not, by their
    places; the status that came with them; when they came; which models have sums of their own (None: all);
    the patterns of the valid ones (None: none is used).
    """

    events: Sequence[MeteringEvent]
    valid: Sequence[MeteringEvent]
    columns: EventColumns
    keyed: KeyedEvents
    invalid: Mapping[int, InvalidEvent]
    status: StatusRow | None
    now: datetime
    names: ModelNames | None
    patterned: Patterned | None = None

    def rows(self, places: Iterable[int]) -> list[EventRow]:
        """Return the rows of valid events at some places among them."""
        return [row_of(self.valid[place]) for place in places]

    def numbers(self) -> Iterator[tuple[str, int | None]]:
        """Give the producer of each event, and the number that it gave it; "" and None or 0 for none."""
        seqs = cast("Sequence[int | None]", self.columns.by_name["producer_seq"])
        yield from zip(self.columns.texts("producer_id"), seqs, strict=True)
        for place in self.invalid:
            yield self.events[place].producer_id, self.events[place].producer_seq


async def store_events(  # noqa: PLR0913 - one for each thing that is known of a batch
    pool: Pool,
    events: Sequence[MeteringEvent],
    now: datetime,
    status: StatusRow | None = None,
    *,
    perhaps_sent_before: bool = False,
    names: ModelNames | None = None,
    routes: Routes | None = None,
    patterns: Patterns | None = None,
) -> list[Result]:
    """Store a batch, its hourly sums, and the status that came with it, in one transaction; when this
    returns, it is committed.

    perhaps_sent_before: some of the events are likely to be there. names: which models have sums of their
    own; None: all. routes: what is known of the partitions; None: nothing yet. patterns: those that are
    known; None: none is to be used. Returns one result for each event, in order. Of several events with one
    id the first wins. Database errors are raised as asyncpg raises them; then nothing of the batch is stored.
    """
    batch = _checked(events, now, status, names)
    routes = routes or Routes()
    ways = (_copy_unknown,) if perhaps_sent_before else (_copy_all, _copy_unknown)
    async with pool.acquire(changes_session=False) as connection:
        if patterns and batch.valid:
            batch = replace(batch, patterned=await patterns.find(connection, batch.columns))
        for _ in range(_ROUTES_READ_MAX - 1):
            try:
                return await _store_somehow(connection, batch, ways, routes)
            except RoutesOutdated:
                routes.forget()
            except PatternsLost as lost:
                assert patterns is not None
                patterns.forget(lost)
                batch = replace(batch, patterned=None)
        return await _store_somehow(connection, batch, ways, routes)


def _checked(
    events: Sequence[MeteringEvent], now: datetime, status: StatusRow | None, names: ModelNames | None
) -> _Batch:
    # Each time an event is taken from a message, it is made anew.
    events = list(events)
    columns, invalid = check(events)
    valid = [event for place, event in enumerate(events) if place not in invalid] if invalid else events
    return _Batch(events, valid, columns, KeyedEvents.of(columns), invalid, status, now, names)


async def _store_somehow(
    connection: Connection, batch: _Batch, ways: Sequence[_Write], routes: Routes
) -> list[Result]:
    """Store a batch in the first of these ways that goes, or else event by event."""
    try:
        results = await _try_to_copy(connection, batch, ways, routes)
    except asyncpg.InternalServerError:
        # Forks say this of an event that is there.
        if not await _are_some_stored(connection, batch):
            raise
        results = None
    return await _store(connection, batch, _insert_all, routes) if results is None else results


async def _try_to_copy(
    connection: Connection, batch: _Batch, ways: Sequence[_Write], routes: Routes
) -> list[Result] | None:
    """Store a batch in the first way that goes; None: it has to be stored event by event."""
    for copy in ways:
        try:
            return await _store(connection, batch, copy, routes)
        except asyncpg.UniqueViolationError:
            continue  # an event was stored before
        except (*REFUSALS, PrunedEvents):
            return None  # an event is one that the database can't take
        except asyncpg.InternalServerError:
            # Citus says this of a COPY whatever its workers said, and of what is inserted it says what it is.
            if not is_distributed(connection):
                raise
    return None


async def _are_some_stored(connection: Connection, batch: _Batch) -> bool:
    ids = [event.request_id for event in batch.valid]
    return bool(await connection.fetch(*FIRST_STORED.bind({"request_ids": ids})))


async def _store(connection: Connection, batch: _Batch, write: _Write, routes: Routes) -> list[Result]:
    """Store what belongs to a batch in one transaction, its valid events in this way."""
    async with connection.transaction():
        others = await batch.names.find_others(connection, batch.keyed) if batch.names else _NO_PLACES
        writer = EventWriter(connection, routes, batch.now)
        results = await write(writer, batch, others)
        await _add_sums(writer, batch, results, others)
        if batch.invalid:
            stored = iter(results)
            results = [
                Result(Fate.REJECTED, batch.invalid[place].reason) if place in batch.invalid else next(stored)
                for place in range(len(batch.events))
            ]
        await _keep_refused(connection, batch.events, results, batch.now)
        if batch.status is not None:
            # Last, as the row is shared by all batches of the producer and stays locked until the commit.
            await keep_status(connection, batch.status, batch.numbers(), batch.now)
    return results


async def _add_sums(
    writer: EventWriter, batch: _Batch, results: Sequence[Result], others: Collection[int]
) -> None:
    """Add the sums of those valid events that were stored."""
    if results.count(STORED) == batch.columns.count and not others:
        await writer.add_sums(batch.keyed)
        return
    places = [place for place, result in enumerate(results) if result is STORED]
    others_of_them = frozenset(number for number, place in enumerate(places) if place in others)
    await writer.add_sums(KeyedEvents.of(batch.columns.at(places), others_of_them))


async def _copy_all(writer: EventWriter, batch: _Batch, others: Container[int]) -> list[Result]:
    """Store events that are all new, as nearly all are, in less time than INSERT takes.

    Raises one of REFUSALS if one is not new, or if the database refuses it; the transaction is lost then.
    """
    await _copy(writer, batch, range(batch.columns.count), others)
    return [STORED] * batch.columns.count


async def _copy_unknown(writer: EventWriter, batch: _Batch, others: Container[int]) -> list[Result]:
    """Store events of which some are there already, as after a connection was lost; those are left out, and
    told what they are. To look for them takes less time than INSERT, and much less than a COPY that fails.

    Raises what `_copy_all` raises, also if another batch stores one of them meanwhile.
    """
    request_ids = [event.request_id for event in batch.valid]
    there = await writer.connection.fetch(*bound("events/stored_ids", request_ids=request_ids))
    stored = {record["request_id"].bytes for record in there}
    is_known = [request_id in stored for request_id in batch.columns.ids]
    await _copy(writer, batch, [place for place, known in enumerate(is_known) if not known], others)
    known = [place for place, known in enumerate(is_known) if known]
    found = iter(await look_up(writer.connection, batch.rows(known)) if known else ())
    return [next(found) if known else STORED for known in is_known]


async def _copy(writer: EventWriter, batch: _Batch, places: Sequence[int], others: Container[int]) -> None:
    """Store the valid events at some places. In the order of the ids, as in `insert_rows`."""
    in_order: Sequence[int] = sorted(places, key=batch.columns.ids.__getitem__)
    if in_order == [*places]:
        in_order = places  # as nearly always; of a range columns are cut, which takes less time
    await writer.copy(batch.columns, in_order, others, batch.patterned)


async def _insert_all(writer: EventWriter, batch: _Batch, others: Container[int]) -> list[Result]:
    rows = batch.rows(range(batch.columns.count))
    return await insert_rows(writer, [(row, place in others) for place, row in enumerate(rows)])


async def _keep_refused(
    connection: Connection, events: Sequence[MeteringEvent], results: Sequence[Result], now: datetime
) -> None:
    if results.count(STORED) == len(results):
        return
    kept_aside = [
        (event, result)
        for event, result in zip(events, results, strict=True)
        if result.fate in (Fate.CONFLICT, Fate.REJECTED)
    ]
    ids = {known for event, _ in kept_aside if (known := _indexable(event.request_id.lower()))}
    forgotten = await forgotten_among(connection, ids)
    refused = [
        {
            "request_id": _indexable(event.request_id),
            "kind": result.fate,
            "reason": result.reason,
            "producer_id": _indexable(event.producer_id),
            "producer_seq": event.producer_seq if event.producer_seq <= PRODUCER_SEQ_MAX else None,
            "event": (
                without_person(event) if _indexable(event.request_id.lower()) in forgotten else event
            ).SerializeToString(deterministic=True),
            "received_at": now,
        }
        for event, result in kept_aside
    ]
    if refused:
        columns = {name: [row[name] for row in refused] for name in refused[0]}
        await connection.execute(*bound("events/keep_rejected", **columns))


def _indexable(text: str) -> str | None:
    """Make a text that PostgreSQL takes, in an index too; the message, which is kept whole, has it as it was.

    It has no NUL in texts, and refuses a row of an index of some kilobytes: with it the whole batch.
    """
    return text.replace("\0", "")[:INDEXED_LENGTH_MAX] or None

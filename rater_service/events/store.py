"""Stores batches of metering events: each event once, and none dropped."""

from collections.abc import AsyncIterator, Awaitable, Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

import asyncpg

from phoebe_proto.v1.metering_pb2 import MeteringEvent
from rater_service.database.database import Connection, Pool
from rater_service.events.columns import EventColumns, check
from rater_service.events.copy_format import COLUMNS, TYPES, pieces
from rater_service.events.model_names import ModelNames
from rater_service.events.personal import forgotten_among, row_without_person, without_person
from rater_service.events.producer_status import StatusRow
from rater_service.events.producers import keep_status
from rater_service.events.pruned import were_stored
from rater_service.events.validation import PRODUCER_SEQ_MAX, EventRow, InvalidEvent, row_of
from rater_service.statements import bound, statement


class Fate(StrEnum):
    """What became of an event; the values of EventOutcome without their prefix."""

    STORED = "STORED"
    DUPLICATE = "DUPLICATE"
    CONFLICT = "CONFLICT"
    REJECTED = "REJECTED"


@dataclass(frozen=True, slots=True)
class Result:
    """What became of an event, and for a conflict or a rejection why."""

    fate: Fate
    reason: str = ""


STORED = Result(Fate.STORED)
DUPLICATE = Result(Fate.DUPLICATE)
CONFLICT = Result(
    Fate.CONFLICT, "request_id: another event with this id was stored before, with other content"
)
TOO_LATE = Result(
    Fate.REJECTED,
    "event_time: the events of this time were pruned, and this one was not among them by its number",
)

# Four times what a valid producer_id may have, so that one that is cut is never taken for another.
INDEXED_LENGTH_MAX = 256

_STORE = statement(
    "events/store_events",
    columns=", ".join(COLUMNS),
    arrays=", ".join(f":{name}::{TYPES[name]}[]" for name in COLUMNS),
)
_FIRST_STORED = statement(
    "events/first_stored", columns=", ".join(name for name in COLUMNS if name != "summed_as_other")
)

# The database's errors that blame a single event. All others mean that the database is in trouble.
_REFUSALS = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
)


type _StoreValid = Callable[[Connection, "_Batch", Container[int]], Awaitable[list[Result]]]
_NONE: frozenset[UUID] = frozenset()
_NO_PLACES: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class _Batch:
    """Events; those that are valid, once more as columns; why the others are not, by their places; the status
    that came with them; when they came; which models have sums of their own (None: all).
    """

    events: Sequence[MeteringEvent]
    valid: Sequence[MeteringEvent]
    columns: EventColumns
    invalid: Mapping[int, InvalidEvent]
    status: StatusRow | None
    now: datetime
    names: ModelNames | None

    def rows(self, places: Iterable[int]) -> list[EventRow]:
        """Return the rows of valid events at some places among them."""
        return [row_of(self.valid[place]) for place in places]


async def store_events(  # noqa: PLR0913 - one for each thing that is known of a batch
    pool: Pool,
    events: Sequence[MeteringEvent],
    now: datetime,
    status: StatusRow | None = None,
    *,
    perhaps_sent_before: bool = False,
    names: ModelNames | None = None,
) -> list[Result]:
    """Store a batch, and the status that came with it, in one transaction; when this returns, it is
    committed.

    perhaps_sent_before: some of the events are likely to be there. names: which models have sums of their
    own; None: all. Returns one result for each event, in order. Of several events with one id the first wins.
    Database errors are raised as asyncpg raises them; then nothing of the batch is stored.
    """
    batch = _checked(events, now, status, names)
    ways = (_copy_unknown,) if perhaps_sent_before else (_copy_all, _copy_unknown)
    async with pool.acquire() as connection:
        try:
            results = await _try_to_copy(connection, batch, ways)
            return await _store(connection, batch, _insert_all) if results is None else results
        except asyncpg.InternalServerError:
            # Distributed databases and forks say this of an event that is there.
            if not await _are_some_stored(connection, batch):
                raise
            return await _store(connection, batch, _insert_all)


def _checked(
    events: Sequence[MeteringEvent], now: datetime, status: StatusRow | None, names: ModelNames | None
) -> _Batch:
    # Each time an event is taken from a message, it is made anew.
    events = list(events)
    columns, invalid = check(events)
    valid = [event for place, event in enumerate(events) if place not in invalid] if invalid else events
    return _Batch(events, valid, columns, invalid, status, now, names)


async def _try_to_copy(
    connection: Connection, batch: _Batch, ways: Sequence[_StoreValid]
) -> list[Result] | None:
    """Store a batch in the first way that goes; None: it has to be stored event by event."""
    for copy in ways:
        try:
            return await _store(connection, batch, copy)
        except asyncpg.UniqueViolationError:
            continue  # an event was stored before
        except _REFUSALS:
            return None  # an event is one that the database can't take
    return None


async def _are_some_stored(connection: Connection, batch: _Batch) -> bool:
    ids = [event.request_id for event in batch.valid]
    return bool(await connection.fetch(*_FIRST_STORED.bind({"request_ids": ids})))


async def _store(connection: Connection, batch: _Batch, store: _StoreValid) -> list[Result]:
    """Store what belongs to a batch in one transaction, its valid events in this way."""
    async with connection.transaction():
        others = await batch.names.find_others(connection, batch.columns) if batch.names else _NO_PLACES
        results = await store(connection, batch, others)
        if batch.invalid:
            stored = iter(results)
            results = [
                Result(Fate.REJECTED, batch.invalid[place].reason) if place in batch.invalid else next(stored)
                for place in range(len(batch.events))
            ]
        await _keep_refused(connection, batch.events, results, batch.now)
        if batch.status is not None:
            # Last, as the row is shared by all batches of the producer and stays locked until the commit.
            await keep_status(connection, batch.status, batch.events, batch.now)
    return results


async def _copy_all(connection: Connection, batch: _Batch, others: Container[int]) -> list[Result]:
    """Store events that are all new, as nearly all are, in less time than INSERT takes.

    Raises one of _REFUSALS if one is not new, or if the database refuses it; the transaction is lost then.
    """
    await _copy(connection, batch, range(batch.columns.count), others)
    return [STORED] * batch.columns.count


async def _copy_unknown(connection: Connection, batch: _Batch, others: Container[int]) -> list[Result]:
    """Store events of which some are there already, as after a connection was lost; those are left out, and
    told what they are. To look for them takes less time than INSERT, and much less than a COPY that fails.

    Raises what `_copy_all` raises, also if another batch stores one of them meanwhile.
    """
    request_ids = [event.request_id for event in batch.valid]
    there = await connection.fetch(*bound("events/stored_ids", request_ids=request_ids))
    stored = {record["request_id"].bytes for record in there}
    is_known = [request_id in stored for request_id in batch.columns.ids]
    await _copy(connection, batch, [place for place, known in enumerate(is_known) if not known], others)
    known = [place for place, known in enumerate(is_known) if known]
    found = iter(await _look_up(connection, batch.rows(known)) if known else ())
    return [next(found) if known else STORED for known in is_known]


async def _copy(connection: Connection, batch: _Batch, places: Sequence[int], others: Container[int]) -> None:
    """Store the valid events at some places. In the order of the ids, as in `store_rows`."""
    if not places:
        return
    in_order: Sequence[int] = sorted(places, key=batch.columns.ids.__getitem__)
    if in_order == [*places]:
        in_order = places  # as nearly always; of a range columns are cut, which takes less time
    source = _each(pieces(batch.columns, in_order, batch.now, others))
    await connection.copy_to_table("billing_event", source=source, columns=COLUMNS, format="binary")


async def _each(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def _insert_all(connection: Connection, batch: _Batch, others: Container[int]) -> list[Result]:
    rows = batch.rows(range(batch.columns.count))
    other_ids = {row.request_id for place, row in enumerate(rows) if place in others}
    return await store_rows(connection, rows, batch.now, other_ids)


async def store_rows(
    connection: Connection, rows: Sequence[EventRow], now: datetime, others: Container[UUID] = _NONE
) -> list[Result]:
    """Store rows within the caller's transaction, whatever the database thinks of some of them; see
    `store_events`. others: the ids of those that are to be summed as events of other models.

    If it refuses one, the halves are tried on their own: some twenty attempts find one bad event of a
    thousand. They go in the order of their ids, as in every batch, so that batches never deadlock over
    events. Over hourly sums they can, but only here: the sums of one half are locked before the other half's
    events are. PostgreSQL then ends one of the batches, and its sender sends it again.
    """
    if not rows:
        return []
    try:
        async with connection.transaction():
            return await _insert(connection, rows, now, others)
    except _REFUSALS as error:
        if len(rows) == 1:
            return [Result(Fate.REJECTED, f"the database refused the event: {type(error).__name__}")]
    by_id = sorted(range(len(rows)), key=lambda index: rows[index].request_id)
    middle = len(rows) // 2
    results: dict[int, Result] = {}
    for half in (by_id[:middle], by_id[middle:]):
        stored = await store_rows(connection, [rows[index] for index in half], now, others)
        results.update(zip(half, stored, strict=True))
    return [results[index] for index in range(len(rows))]


async def _insert(
    connection: Connection, rows: Sequence[EventRow], now: datetime, others: Container[UUID]
) -> list[Result]:
    values = zip(*((*row, now, row.request_id in others) for row in rows), strict=True)
    sent = _STORE.bind(dict(zip(COLUMNS, values, strict=True)))
    inserted: set[UUID] = {record["request_id"] for record in await connection.fetch(*sent)}
    results: list[Result | None] = []
    for row in rows:
        results.append(STORED if row.request_id in inserted else None)
        inserted.discard(row.request_id)
    left_out = [row for row, result in zip(rows, results, strict=True) if result is None]
    found = iter(await _look_up(connection, left_out) if left_out else ())
    return [result or next(found) for result in results]


async def _look_up(connection: Connection, rows: Sequence[EventRow]) -> list[Result]:
    """Say why events were not inserted: they are there, were there and are pruned since, or are too late."""
    ids = [row.request_id for row in rows]
    records = await connection.fetch(*_FIRST_STORED.bind({"request_ids": ids}))
    first = {record["request_id"]: record for record in records}
    pruned = [row for row in rows if row.request_id not in first]
    stored_once = iter(await were_stored(connection, pruned))
    different = [
        str(row.request_id)
        for row in rows
        if row.request_id in first and not _is_same(row, first[row.request_id])
    ]
    forgotten = await forgotten_among(connection, different)
    return [
        (DUPLICATE if _is_known(row, first[row.request_id], forgotten) else CONFLICT)
        if row.request_id in first
        else (DUPLICATE if next(stored_once) else TOO_LATE)
        for row in rows
    ]


def _is_same(row: EventRow, first: asyncpg.Record) -> bool:
    """Tell whether a stored event is the one sent; when it was stored does not matter.

    Nor does a trace that was not stored: an earlier version of the rater did not know of any.
    """
    if first["trace_id"] is None:
        row = row._replace(trace_id=None)
    return row.stored(first["stored_at"]) == dict(first)


def _is_known(row: EventRow, first: asyncpg.Record, forgotten: Container[str]) -> bool:
    """Tell the same also of an event from which a person was erased since it was stored."""
    return _is_same(row, first) or (
        str(row.request_id) in forgotten and _is_same(row_without_person(row), first)
    )


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

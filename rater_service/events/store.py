"""Stores batches of metering events: each event once, and none dropped."""

from collections.abc import Awaitable, Callable, Container, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from operator import attrgetter
from typing import get_args, get_type_hints
from uuid import UUID

import asyncpg

from phoebe_proto.v1.metering_pb2 import MeteringEvent
from rater_service.database.database import Connection, Pool
from rater_service.events.model_names import ModelNames
from rater_service.events.personal import forgotten_among, row_without_person, without_person
from rater_service.events.producer_status import StatusRow
from rater_service.events.producers import keep_status
from rater_service.events.pruned import were_stored
from rater_service.events.validation import PRODUCER_SEQ_MAX, EventRow, InvalidEvent, validate
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

# The columns of an event with their types; the database has one more, which says whether the event is summed
# under its model's name.
_TYPE_NAMES = {UUID: "uuid", str: "text", int: "bigint", bool: "boolean", datetime: "timestamptz"}
_TYPES = {
    name: next(_TYPE_NAMES[kind] for kind in (*get_args(hint), hint) if kind in _TYPE_NAMES)
    for name, hint in get_type_hints(EventRow).items()
} | {"stored_at": "timestamptz"}
_STORED_TYPES = _TYPES | {"summed_as_other": "boolean"}
_COLUMNS = tuple(_STORED_TYPES)
_STORE = statement(
    "events/store_events",
    columns=", ".join(_COLUMNS),
    arrays=", ".join(f":{name}::{type_name}[]" for name, type_name in _STORED_TYPES.items()),
)
_FIRST_STORED = statement("events/first_stored", columns=", ".join(_TYPES))
_request_id = attrgetter("request_id")

# The database's errors that blame a single event. All others mean that the database is in trouble.
_REFUSALS = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
)


type _StoreRows = Callable[
    [Connection, Sequence[EventRow], datetime, Container[UUID]], Awaitable[list[Result]]
]
_NONE: frozenset[UUID] = frozenset()


@dataclass(frozen=True, slots=True)
class _Batch:
    """Events and what was made of them, one for one; the status that came with them; when they came; which
    models have sums of their own (None: all).
    """

    events: Sequence[MeteringEvent]
    checked: Sequence[EventRow | InvalidEvent]
    status: StatusRow | None
    now: datetime
    names: ModelNames | None


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
    batch = _Batch(events, [validate(event) for event in events], status, now, names)
    ways = (_copy_unknown,) if perhaps_sent_before else (_copy, _copy_unknown)
    async with pool.acquire() as connection:
        try:
            results = await _try_to_copy(connection, batch, ways)
            return await _store(connection, batch, store_rows) if results is None else results
        except asyncpg.InternalServerError:
            # Distributed databases and forks say this of an event that is there.
            if not await _are_some_stored(connection, batch):
                raise
            return await _store(connection, batch, store_rows)


async def _try_to_copy(
    connection: Connection, batch: _Batch, ways: Sequence[_StoreRows]
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
    ids = [row.request_id for row in batch.checked if isinstance(row, EventRow)]
    return bool(await connection.fetch(*_FIRST_STORED.bind({"request_ids": ids})))


async def _store(connection: Connection, batch: _Batch, store: _StoreRows) -> list[Result]:
    """Store what belongs to a batch in one transaction, its valid events in this way."""
    rows = [row for row in batch.checked if isinstance(row, EventRow)]
    async with connection.transaction():
        others = await batch.names.find_others(connection, rows) if batch.names else _NONE
        row_results = iter(await store(connection, rows, batch.now, others))
        results = [
            Result(Fate.REJECTED, row.reason) if isinstance(row, InvalidEvent) else next(row_results)
            for row in batch.checked
        ]
        await _keep_refused(connection, batch.events, results, batch.now)
        if batch.status is not None:
            # Last, as the row is shared by all batches of the producer and stays locked until the commit.
            await keep_status(connection, batch.status, batch.events, batch.now)
    return results


async def _copy(
    connection: Connection, rows: Sequence[EventRow], now: datetime, others: Container[UUID]
) -> list[Result]:
    """Store rows that are all new, as nearly all are, in less time than INSERT takes.

    Raises one of _REFUSALS if one is not new, or if the database refuses it; the transaction is lost then. In
    the order of the ids, as in `store_rows`.
    """
    if rows:
        records = ((*row, now, row.request_id in others) for row in sorted(rows, key=_request_id))
        await connection.copy_records_to_table("billing_event", columns=_COLUMNS, records=records)
    return [STORED] * len(rows)


async def _copy_unknown(
    connection: Connection, rows: Sequence[EventRow], now: datetime, others: Container[UUID]
) -> list[Result]:
    """Store rows of which some are there already, as after a connection was lost; those are left out, and
    told what they are. To look for them takes less time than INSERT, and much less than a COPY that fails.

    Raises what `_copy` raises, also if another batch stores one of them meanwhile.
    """
    ids = [row.request_id for row in rows]
    there = await connection.fetch(*bound("events/stored_ids", request_ids=ids))
    stored = {record["request_id"] for record in there}
    new = iter(await _copy(connection, [row for row in rows if row.request_id not in stored], now, others))
    known = [row for row in rows if row.request_id in stored]
    found = iter(await _look_up(connection, known) if known else ())
    return [next(found if row.request_id in stored else new) for row in rows]


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
    sent = _STORE.bind(dict(zip(_COLUMNS, values, strict=True)))
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
    """Tell whether a stored event is the one sent; when it was stored does not matter."""
    return row.stored(first["stored_at"]) == dict(first)


def _is_known(row: EventRow, first: asyncpg.Record, forgotten: Container[str]) -> bool:
    """Tell the same also of an event from which a person was erased since it was stored."""
    return _is_same(row, first) or (
        str(row.request_id) in forgotten and _is_same(row_without_person(row), first)
    )


async def _keep_refused(
    connection: Connection, events: Sequence[MeteringEvent], results: Sequence[Result], now: datetime
) -> None:
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

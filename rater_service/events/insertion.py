"""Stores events one by one where need be: some are there already, or the database refuses them."""

from collections.abc import Container, Sequence
from datetime import datetime

import asyncpg

from rater_service.database.database import Connection
from rater_service.events.columns import columns_of
from rater_service.events.copy_format import COLUMNS
from rater_service.events.event_writer import EventWriter, SentRow
from rater_service.events.fates import CONFLICT, DUPLICATE, STORED, TOO_LATE, Fate, Result
from rater_service.events.personal import forgotten_among, row_without_person
from rater_service.events.pruned import were_stored
from rater_service.events.routes import Routes
from rater_service.events.sums import KeyedEvents
from rater_service.events.validation import EventRow
from rater_service.statements import statement

FIRST_STORED = statement(
    "events/first_stored", columns=", ".join(name for name in COLUMNS if name != "summed_as_other")
)
REFUSALS = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
)
"""The database's errors that blame a single event. All others mean that the database is in trouble."""


async def store_rows(connection: Connection, rows: Sequence[EventRow], now: datetime) -> list[Result]:
    """Store rows, and add their sums, within the caller's transaction; see `insert_rows`."""
    writer = EventWriter(connection, Routes(), now)
    results = await insert_rows(writer, [(row, False) for row in rows])
    stored = [row for row, result in zip(rows, results, strict=True) if result is STORED]
    await writer.add_sums(KeyedEvents.of(columns_of(stored)))
    return results


async def insert_rows(writer: EventWriter, sent: Sequence[SentRow]) -> list[Result]:
    """Store rows whatever the database thinks of some of them, without their sums. Returns one result for
    each, in order; of several with one id the first wins.

    If it refuses one, the halves are tried on their own: some twenty attempts find one bad event of a
    thousand. They go in the order of their ids, as in every batch, so that batches never deadlock over
    events.
    """
    if not sent:
        return []
    try:
        async with writer.connection.transaction():
            return await _insert(writer, sent)
    except REFUSALS as error:
        if len(sent) == 1:
            ((row, _),) = sent
            await writer.require_routes(row.request_id.bytes)
            return [Result(Fate.REJECTED, f"the database refused the event: {type(error).__name__}")]
    by_id = sorted(range(len(sent)), key=lambda index: sent[index][0].request_id)
    middle = len(sent) // 2
    results: dict[int, Result] = {}
    for half in (by_id[:middle], by_id[middle:]):
        stored = await insert_rows(writer, [sent[index] for index in half])
        results.update(zip(half, stored, strict=True))
    return [results[index] for index in range(len(sent))]


async def _insert(writer: EventWriter, sent: Sequence[SentRow]) -> list[Result]:
    inserted = await writer.insert(sent)
    results: list[Result | None] = []
    for row, _ in sent:
        results.append(STORED if row.request_id in inserted else None)
        inserted.discard(row.request_id)
    left_out = [row for (row, _), result in zip(sent, results, strict=True) if result is None]
    found = iter(await look_up(writer.connection, left_out) if left_out else ())
    return [result or next(found) for result in results]


async def look_up(connection: Connection, rows: Sequence[EventRow]) -> list[Result]:
    """Say why events were not inserted: they are there, were there and are pruned since, or are too late."""
    ids = [row.request_id for row in rows]
    records = await connection.fetch(*FIRST_STORED.bind({"request_ids": ids}))
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

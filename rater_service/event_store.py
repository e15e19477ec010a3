"""Stores batches of metering events: each event once, and none dropped."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

import asyncpg

from phoebe_proto.v1.metering_pb2 import MeteringEvent
from rater_service.database import Connection, Pool
from rater_service.event_validation import EventRow, InvalidEvent, validate
from rater_service.producer_status import StatusRow
from rater_service.producers import keep_status
from rater_service.statements import statement


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

# What the database says when it is one event that it can't take, and not the database that is in trouble.
_REFUSALS = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
)


async def store_events(
    pool: Pool, events: Sequence[MeteringEvent], now: datetime, status: StatusRow | None = None
) -> list[Result]:
    """Store a batch, and the status that came with it, in one transaction; when this returns, it is
    committed.

    Returns one result for each event, in order. Of several events with one id the first wins. Database errors
    are raised as asyncpg raises them; then nothing of the batch is stored.
    """
    checked = [validate(event) for event in events]
    rows = [row for row in checked if isinstance(row, EventRow)]
    async with pool.acquire() as connection, connection.transaction():
        row_results = iter(await store_rows(connection, rows, now))
        results = [
            Result(Fate.REJECTED, row.reason) if isinstance(row, InvalidEvent) else next(row_results)
            for row in checked
        ]
        await _keep_refused(connection, events, results, now)
        if status is not None:
            # Last, as the row is shared by all batches of the producer and stays locked until the commit.
            await keep_status(connection, status, events, now)
    return results


async def store_rows(connection: Connection, rows: Sequence[EventRow], now: datetime) -> list[Result]:
    """Store rows within the caller's transaction, whatever the database thinks of some of them; see
    `store_events`.

    If it refuses one, the halves are tried on their own: some twenty attempts find one bad event of a
    thousand. They go in the order of their ids, as in every batch, so that batches never deadlock.
    """
    if not rows:
        return []
    try:
        async with connection.transaction():
            return await _insert(connection, rows, now)
    except _REFUSALS as error:
        if len(rows) == 1:
            return [Result(Fate.REJECTED, f"the database refused the event: {type(error).__name__}")]
    by_id = sorted(range(len(rows)), key=lambda index: rows[index].request_id)
    middle = len(rows) // 2
    results: dict[int, Result] = {}
    for half in (by_id[:middle], by_id[middle:]):
        stored = await store_rows(connection, [rows[index] for index in half], now)
        results.update(zip(half, stored, strict=True))
    return [results[index] for index in range(len(rows))]


async def _insert(connection: Connection, rows: Sequence[EventRow], now: datetime) -> list[Result]:
    sent = [row.stored(now) for row in rows]
    inserted: set[UUID] = {
        record["request_id"] for record in await connection.fetch(statement("store_events"), sent)
    }
    results: list[Result | None] = []
    for row in rows:
        results.append(STORED if row.request_id in inserted else None)
        inserted.discard(row.request_id)
    seen_before = [event for event, result in zip(sent, results, strict=True) if result is None]
    if seen_before:
        compared = await connection.fetch(statement("compare_events"), seen_before)
        assert len(compared) == len(seen_before)
        verdicts = iter(DUPLICATE if record["same"] else CONFLICT for record in compared)
        return [result or next(verdicts) for result in results]
    return [result for result in results if result]


async def _keep_refused(
    connection: Connection, events: Sequence[MeteringEvent], results: Sequence[Result], now: datetime
) -> None:
    refused = [
        (event, result)
        for event, result in zip(events, results, strict=True)
        if result.fate in (Fate.CONFLICT, Fate.REJECTED)
    ]
    if not refused:
        return
    await connection.execute(
        statement("keep_rejected"),
        [_storable(event.request_id) for event, _ in refused],
        [result.fate for _, result in refused],
        [result.reason for _, result in refused],
        [_storable(event.producer_id) for event, _ in refused],
        [event.producer_seq for event, _ in refused],
        [event.SerializeToString(deterministic=True) for event, _ in refused],
        now,
    )


def _storable(text: str) -> str | None:
    """PostgreSQL has no NUL in texts; the message itself, which is kept too, still has it."""
    return text.replace("\0", "") or None

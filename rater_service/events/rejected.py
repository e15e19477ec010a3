"""Events that were kept aside: what is wrong with them, and how they are tried again."""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from phoebe_proto.v1.metering_pb2 import MeteringEvent
from rater_service.database.database import Connection, Pool
from rater_service.events.store import Fate, Result, store_rows
from rater_service.events.validation import TIMES, EventRow, InvalidEvent, validate
from rater_service.hours import utc_text
from rater_service.statements import bound
from rater_service.wire_time import to_datetime

PAGE = 500


@dataclass(frozen=True, slots=True)
class RejectedEvent:
    """An event that was kept aside and is not settled.

    kind: REJECTED or CONFLICT. differs: for a conflict the fields in which it differs from the event that was
    stored first, each with the first's value and its own; otherwise empty. received_at is UTC-aware.
    """

    id: int
    request_id: str | None
    kind: str
    reason: str
    producer_id: str | None
    producer_seq: int | None
    received_at: datetime
    differs: dict[str, tuple[object, object]]


@dataclass(frozen=True, slots=True)
class OpenEvent:
    """An event that is not settled. ended_at: when its exchange ended or, if that can't be told, it came."""

    id: int
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class Retried:
    """What became of an event at another attempt. event_time: when its exchange ended, if it is known."""

    id: int
    request_id: str
    fate: Fate
    reason: str
    event_time: datetime | None


async def list_rejected(pool: Pool, reason: str | None, limit: int) -> list[RejectedEvent]:
    """Read the oldest events that are not settled, of those whose reason contains a text (None: all)."""
    rows = await pool.fetch(*bound("events/list_rejected", reason=reason, ids=None, after=0, limit=limit))
    conflicts = [row["event"] for row in rows if row["kind"] == Fate.CONFLICT]
    async with pool.acquire() as connection:
        differences = await _differences(connection, conflicts)
    return [_rejected(row, differences.get(row["event"], {})) for row in rows]


async def _differences(
    connection: Connection, events: Sequence[bytes]
) -> dict[bytes, dict[str, tuple[object, object]]]:
    found = {}
    for event in events:
        row = validate(MeteringEvent.FromString(event))
        if isinstance(row, EventRow):
            sent = json.dumps(row._asdict(), default=str)
            compared = await connection.fetchrow(*bound("events/compare_with_first", event=sent))
            if compared is not None:
                fields = json.loads(compared["fields"])
                found[event] = {
                    name: (_shown(name, first), _shown(name, other))
                    for name, (first, other) in fields.items()
                }
    return found


def _shown(field: str, value: object) -> object:
    """Write times in UTC: the database writes them in the time zone of the session."""
    if field in TIMES and isinstance(value, str):
        return utc_text(datetime.fromisoformat(value))
    return value


def _rejected(row: asyncpg.Record, differs: dict[str, tuple[object, object]]) -> RejectedEvent:
    return RejectedEvent(
        id=row["id"],
        request_id=row["request_id"],
        kind=row["kind"],
        reason=row["reason"],
        producer_id=row["producer_id"],
        producer_seq=row["producer_seq"],
        received_at=row["received_at"],
        differs=differs,
    )


async def retry_rejected(pool: Pool, ids: Sequence[int] | None, now: datetime) -> AsyncIterator[Retried]:
    """Try events again that are not settled (None: all of them), and yield what became of each, oldest first.

    What is yielded is committed. An id that is not among them yields nothing.
    """
    async for rows in _pages(pool, ids):
        for retried in await _retry(pool, [row["id"] for row in rows], now):
            yield retried


async def list_open(pool: Pool) -> list[OpenEvent]:
    """Read all events that are not settled, oldest first."""
    return [OpenEvent(row["id"], _ended_at(row)) async for rows in _pages(pool, None) for row in rows]


async def _pages(pool: Pool, ids: Sequence[int] | None) -> AsyncIterator[list[asyncpg.Record]]:
    """Read the events that are not settled, of those with these ids (None: all), some at a time."""
    after = 0
    wanted = None if ids is None else list(ids)
    while rows := await pool.fetch(
        *bound("events/list_rejected", reason=None, ids=wanted, after=after, limit=PAGE)
    ):
        yield rows
        after = rows[-1]["id"]


def _ended_at(row: asyncpg.Record) -> datetime:
    """Return when an event ended; if that is what is wrong with it, when it came."""
    event = MeteringEvent.FromString(row["event"])
    received_at: datetime = row["received_at"]
    if not event.HasField("event_time"):
        return received_at
    try:
        return to_datetime(event.event_time)
    except ValueError:
        return received_at


async def _retry(pool: Pool, ids: Sequence[int], now: datetime) -> list[Retried]:
    async with pool.acquire() as connection, connection.transaction():
        kept = await connection.fetch(*bound("events/lock_rejected", ids=ids))
        events = [MeteringEvent.FromString(row["event"]) for row in kept]
        checked = [validate(event) for event in events]
        rows = [row for row in checked if isinstance(row, EventRow)]
        stored = iter(await store_rows(connection, rows, now))
        results = [
            Result(Fate.REJECTED, row.reason) if isinstance(row, InvalidEvent) else next(stored)
            for row in checked
        ]
        await connection.execute(
            *bound(
                "events/settle_rejected",
                ids=[row["id"] for row in kept],
                fates=[result.fate for result in results],
                reasons=[result.reason for result in results],
                resolved_at=now,
            )
        )
    return [
        Retried(
            id=row["id"],
            request_id=event.request_id,
            fate=result.fate,
            reason=result.reason,
            event_time=good.event_time if isinstance(good, EventRow) else None,
        )
        for row, event, good, result in zip(kept, events, checked, results, strict=True)
    ]

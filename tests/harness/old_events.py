"""Events with ids that sort by time, in weeks that have partitions of their own."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg

from phoebe_proto.v1.metering_pb2 import MeteringEvent
from rater_service.database.database import Pool
from rater_service.events.partitions import first_id, make_partitions
from rater_service.events.producer_status import StatusRow
from rater_service.events.store import Fate, store_events
from rater_service.retention.drop import drop_events
from rater_service.retention.retention import Verdict, judge_old_events
from tests.harness.ledger import ONE_HOUR, Ledger, make_event

WEEK = timedelta(days=7)
OLDEST_WEEK = datetime(2026, 11, 2, tzinfo=UTC)
"""Monday of the week 2026w45, the first with a partition."""
NOW = datetime(2026, 11, 25, 12, 30, tzinfo=UTC)

MINUTE = timedelta(minutes=1)
BEFORE = OLDEST_WEEK + 2 * WEEK
"""What ended before this is old."""
STORED_AT = BEFORE + MINUTE
RATED_AT = BEFORE + WEEK
BILLS = (
    "SELECT *, ctid, xmin FROM rated_usage ORDER BY id",
    "SELECT *, ctid, xmin FROM rated_usage_change ORDER BY id",
    "SELECT *, ctid, xmin FROM rating_run ORDER BY id",
    "SELECT *, ctid, xmin FROM hourly_usage ORDER BY 1, 2, 3, 4, 5",
)

_VERSION_AND_VARIANT = 7 << 76 | 2 << 62


def timed_id(at: datetime, number: int) -> str:
    """Make the id that is minted at a moment; different numbers give different ones."""
    return str(UUID(int=first_id(at).int | _VERSION_AND_VARIANT | number))


def timed_event(at: datetime, number: int, /, **fields: object) -> MeteringEvent:
    """Make an event with such an id and with this number of its producer."""
    return make_event(at, **{"request_id": timed_id(at, number), "producer_seq": number} | fields)


async def store(pool: Pool, *events: MeteringEvent, at: datetime) -> list[Fate]:
    """Store events at a moment."""
    return [result.fate for result in await store_events(pool, events, at)]


async def make_weeks(pool: Pool) -> None:
    """Make partitions from the oldest week on."""
    async with pool.acquire() as connection:
        await make_partitions(connection, OLDEST_WEEK)


async def judge(
    pool: Pool, before: datetime, accepted: Sequence[str] = (), now: datetime = NOW
) -> list[Verdict]:
    """Judge what ended before a moment."""
    return [verdict async for verdict in judge_old_events(pool, before, now, accepted, lambda _: None)]


async def partition_of(pool: Pool, request_id: str) -> str | None:
    """Return the name of the partition that an event is in; None: there is no such event."""
    # Where the database is distributed, a node calls its part of it by the same name with six digits behind.
    name_of = r"regexp_replace(tableoid::regclass::text, '_\d{6}$', '')"
    query = f"SELECT {name_of} FROM stored_event WHERE request_id = $1"
    name: str | None = await pool.fetchval(query, UUID(request_id))
    return name


def two_weeks_of_events() -> list[MeteringEvent]:
    """Make events of two weeks and a later one, of every kind; one of the first week ended in the second."""
    first, second = OLDEST_WEEK, OLDEST_WEEK + WEEK
    return [
        timed_event(first, 1),
        timed_event(first + MINUTE, 2, auth_id="bob"),
        timed_event(first + ONE_HOUR, 3, model_id="no/price"),
        timed_event(first + 2 * ONE_HOUR, 4, auth_id=None),
        timed_event(first + 3 * ONE_HOUR, 5, usage_found=False),
        timed_event(first + 4 * ONE_HOUR, 6, model_id="ft:new", base_model="meta/base-a"),
        timed_event(second, 7, request_id=timed_event(second - MINUTE, 7).request_id),
        timed_event(second, 8),
        timed_event(second + 50 * ONE_HOUR, 9, auth_id="bob"),
        timed_event(BEFORE + ONE_HOUR, 10),
    ]


async def rate_everything(ledger: Ledger) -> None:
    """Rate the three weeks."""
    await ledger.rate(OLDEST_WEEK, OLDEST_WEEK + 3 * WEEK, now=RATED_AT)


async def store_two_weeks(ledger: Ledger) -> None:
    """Store two weeks of events that may be dropped, and one event of the week after; rate them."""
    await make_weeks(ledger.pool)
    status = StatusRow("spool-1", 10, 0, 0, NOW + WEEK, stopped=True, lost_rows=0)
    await store_events(ledger.pool, two_weeks_of_events(), STORED_AT, status)
    await rate_everything(ledger)


async def events_of(pool: Pool) -> list[asyncpg.Record]:
    """Read all events in the order of their ids."""
    return await pool.fetch("SELECT * FROM billing_event ORDER BY request_id")


async def bills_of(pool: Pool) -> list[list[asyncpg.Record]]:
    """Read everything bills are made of but for the events, down to which transaction wrote a row where."""
    return [await pool.fetch(query) for query in BILLS]


def kinds(verdicts: Sequence[Verdict]) -> dict[str, set[str]]:
    """Return for each partition the kinds of reasons that keep its events."""
    return {
        verdict.events.partition.name.removeprefix("billing_event_"): {
            reason.kind for reason in verdict.reasons
        }
        for verdict in verdicts
    }


async def prune_all(pool: Pool) -> list[Verdict]:
    """Drop what is old, all of which may be dropped."""
    verdicts = await judge(pool, BEFORE)
    for verdict in verdicts:
        assert not verdict.reasons
        await drop_events(pool, verdict, None, "ops", NOW)
    return verdicts

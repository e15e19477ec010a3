"""What is left on disk of events, sums and bills, and how much write-ahead log they make.

The rater stores events into the tables as they are now; plain COPY stores the same events into the tables as
they were made by revision LAYOUT_BEFORE, where the database's triggers summed them.

What is kept for ever of a key and hour is taken from more hours, so that what each table has once counts for
little, and when they are cold. Until then hours are cooled while others are stored, as by a service.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import mean

import asyncpg
import grpc

from bench.batches import BATCH_EVENTS, COLUMNS, Batch, make_batch
from bench.conservation import unequal
from bench.errors import BenchError
from bench.feeder import BATCH_TIMEOUT_S, STREAM_EVENTS, Stream, are_all
from bench.ratio import Pair, ratio_of
from bench.result import Result
from bench.stage import Stage
from phoebe_proto.v1.metering_pb2 import EVENT_OUTCOME_STORED
from phoebe_proto.v1.rating_pb2 import RATE_MODE_BACKFILL, RateWindowRequest
from phoebe_proto.v1.rating_pb2_grpc import RatingServiceStub
from rater_service.database.database import Pool, open_pool
from rater_service.database.revisions import Revisions
from rater_service.database.schema import known_revisions, migrate
from rater_service.events.slots import COLD_AFTER, cool_hours

NAMES = ("bytes_per_event", "wal_per_event", "bytes_per_key_hour")
LAYOUT_BEFORE = "0030"
REFERENCE = f"COPY into the tables of revision {LAYOUT_BEFORE}, whose triggers sum"
HOURS = 5
# In each hour a sum is added to so often, as in service by the batches of some seconds.
HOUR_BATCHES = 20
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
# Of the bytes that are kept: the hours before those, a week in all, with one event of each key in a batch.
HOURS_BEFORE = 7 * 24 - HOURS
BATCHES_BEFORE = 6
KEYS = 140
TIMEOUT_S = 600.0

# What the events take, of partitions, as the table itself is empty; and what they have in common.
EVENT_BYTES = """
SELECT
    sum(pg_total_relation_size(inhrelid))::bigint
        + coalesce(pg_total_relation_size(to_regclass('event_pattern')), 0) AS all,
    sum(pg_indexes_size(inhrelid))::bigint AS indexes
FROM pg_inherits
WHERE inhparent = coalesce(to_regclass('stored_event'), to_regclass('billing_event'))
"""
# By table, without what is the same however many events there are.
TABLE_BYTES = """
SELECT relname, pg_total_relation_size(oid) AS bytes
FROM pg_class
WHERE relname = ANY ($1::text[]) AND relnamespace = current_schema()::regnamespace
"""
SUMS = ("hourly_usage", "hourly_usage_cold")
BILLS = ("rated_usage",)
LEDGER = ("rated_usage_change",)
COMMON_COLUMNS = """
SELECT attname
FROM pg_attribute
WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped
ORDER BY attnum
"""
KEY_HOURS = "SELECT count(*) FROM rated_usage"
COUNTS = "SELECT (SELECT count(*) FROM billing_event), (SELECT count(*) FROM rejected_event)"


@dataclass(frozen=True, slots=True)
class Written:
    """Write-ahead log of some batches, in bytes, and how many whole pages are in it.

    A page is logged whole when it is first changed after a checkpoint, so that a torn one can be mended.
    """

    wal_bytes: int
    full_pages: int


@dataclass(frozen=True, slots=True)
class Stored:
    """Bytes on disk of a side. events: with their indexes, event_indexes: of these alone."""

    events: int
    event_indexes: int
    sums: int
    bills: int
    ledger: int


async def run(stage: Stage, rounds: int) -> list[Result]:
    """Measures bytes; more rounds are more events."""
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    start = end - HOURS * HOUR
    async with stage.database() as server:
        databases = Pair(*(server.replace("/postgres?", f"/{name}?") for name in ("now", "before")))
        await _execute(server, "CREATE DATABASE now", "CREATE DATABASE before")
        await stage.migrate(databases.phoebe)
        await migrate(databases.reference, revisions=_up_to(LAYOUT_BEFORE), tell=lambda _: None)
        address = await stage.start_rater("now-rater", databases.phoebe)
        channel = grpc.aio.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)])
        connections = Pair(*[await asyncpg.connect(url) for url in (databases.phoebe, databases.reference)])
        try:
            stores = (ByRater(channel).store, _ByCopy(connections.reference).store)
            written = []
            for number in range(rounds):
                stage.say(f"bytes   round {number + 1} of {rounds}")
                batches = batches_of(start, number, rounds)
                written.append(
                    Pair(*[await _written(connections.phoebe, store, batches) for store in stores])
                )
            events = rounds * HOURS * HOUR_BATCHES * BATCH_EVENTS
            sides = (connections.phoebe, connections.reference)
            stored = Pair(*[await read_stored(one) for one in sides])
            stage.say(f"bytes   {HOURS_BEFORE} hours before these")
            all_events = events + HOURS_BEFORE * BATCHES_BEFORE * KEYS
            async with open_pool(databases.phoebe) as pool:
                await _store_before(stores, pool, start, rounds)
                await rate_all(channel, start - HOURS_BEFORE * HOUR, end, all_events)
                await _cool(pool, end)
            await _copy_bills(connections)
            await _check(connections, all_events)
            kept = Pair(*[await read_stored(one) for one in sides])
            key_hours = await connections.phoebe.fetchval(KEY_HOURS)
        finally:
            await channel.close()
            for connection in (connections.phoebe, connections.reference):
                await connection.close()
    return results_of(written, stored, events, kept, key_hours)


def results_of(
    written: Sequence[Pair[Written]], stored: Pair[Stored], events: int, at_end: Pair[Stored], key_hours: int
) -> list[Result]:
    """The results: bytes and log of an event, and what is kept for ever of a key and hour.

    stored: with the events alone that were counted. at_end: with all hours, rated.
    """
    each = Pair(stored.phoebe.events / events, stored.reference.events / events)
    indexes = Pair(stored.phoebe.event_indexes / events, stored.reference.event_indexes / events)
    kept = Pair(*((side.sums + side.bills) / key_hours for side in (at_end.phoebe, at_end.reference)))
    sums = Pair(*(side.sums / key_hours for side in (at_end.phoebe, at_end.reference)))
    ledger = Pair(*(side.ledger / key_hours for side in (at_end.phoebe, at_end.reference)))
    round_events = events / len(written)
    log = [
        Pair(pair.phoebe.wal_bytes / round_events, pair.reference.wal_bytes / round_events)
        for pair in written
    ]
    pages = Pair(
        mean(pair.phoebe.full_pages for pair in written), mean(pair.reference.full_pages for pair in written)
    )
    return [
        Result(
            NAMES[0],
            ratio_of([each]),
            REFERENCE,
            "bytes",
            f"lower is better; {events:,} events with their indexes, which are {indexes.phoebe:.0f} and "
            f"{indexes.reference:.0f} bytes of it; after VACUUM",
        ),
        Result(
            NAMES[1],
            ratio_of(log),
            REFERENCE,
            "bytes",
            f"lower is better; {len(log)} rounds of {round_events:,.0f} events in batches of {BATCH_EVENTS}, "
            f"sums included, each after a checkpoint, so that {pages.phoebe:.0f} and {pages.reference:.0f} "
            "pages were logged whole, which is as if a checkpoint came after each round",
        ),
        Result(
            NAMES[2],
            ratio_of([kept]),
            REFERENCE,
            "bytes",
            f"lower is better; {key_hours:,} keys and cold hours, added to {BATCHES_BEFORE} times or more; "
            f"sums and bills with indexes, {sums.phoebe:.0f} and {sums.reference:.0f} bytes are of sums; "
            f"the ledger besides: {ledger.phoebe:.0f} and {ledger.reference:.0f} bytes; after VACUUM",
        ),
    ]


class ByRater:
    """Stores batches through a rater."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stream: Stream = channel.stream_stream(STREAM_EVENTS)()

    async def store(self, batch: Batch) -> None:
        """Store a batch, all of whose events are new. BenchError if one is not stored."""
        async with asyncio.timeout(BATCH_TIMEOUT_S):
            await self._stream.write(batch.request)
            answer = await self._stream.read()
        if not isinstance(answer, bytes) or not are_all(answer, EVENT_OUTCOME_STORED, len(batch.rows)):
            raise BenchError("the rater did not store every event")


class _ByCopy:
    """Stores batches as the rater did then."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._connection = connection

    async def store(self, batch: Batch) -> None:
        await self._connection.copy_records_to_table("billing_event", columns=COLUMNS, records=batch.rows)


def _up_to(revision: str) -> Revisions:
    every = known_revisions()
    return Revisions(tuple(one for one in every.known if one.id <= revision), every.folders)


def batches_of(start: datetime, number: int, rounds: int) -> list[Batch]:
    """The events of one round: of all the hours, in the order in which they end."""
    step = HOUR / HOUR_BATCHES
    spread = step / rounds
    batches = []
    for place in range(HOURS * HOUR_BATCHES):
        first_seq = (number * HOURS * HOUR_BATCHES + place) * BATCH_EVENTS + 1
        batches.append(make_batch(first_seq, start + place * step + (number + 1) * spread, spread=spread))
    return batches


def batches_before(start: datetime, hour: int, rounds: int) -> list[Batch]:
    """One event of each key in each batch of an hour before those that are measured; 0 is the first."""
    step = HOUR / BATCHES_BEFORE
    began = start - (HOURS_BEFORE - hour) * HOUR
    first_seq = rounds * HOURS * HOUR_BATCHES * BATCH_EVENTS + hour * BATCHES_BEFORE * KEYS + 1
    return [
        make_batch(
            first_seq + place * KEYS,
            began + (place + 1) * step - SECOND,
            count=KEYS,
            spread=step - 2 * SECOND,
        )
        for place in range(BATCHES_BEFORE)
    ]


async def _store_before(
    stores: Sequence[Callable[[Batch], Awaitable[None]]], pool: Pool, start: datetime, rounds: int
) -> None:
    for hour in range(HOURS_BEFORE):
        for batch in batches_before(start, hour, rounds):
            for store in stores:
                await store(batch)
        await _cool(pool, start - (HOURS_BEFORE - hour) * HOUR - COLD_AFTER)


async def _cool(pool: Pool, before: datetime) -> None:
    """Does what the rater does with cold hours every ten minutes, and autovacuum every minute."""
    await cool_hours(pool, before)
    await pool.execute("VACUUM hourly_usage")


async def _written(
    connection: "asyncpg.Connection[asyncpg.Record]",
    store: Callable[[Batch], Awaitable[None]],
    batches: Sequence[Batch],
) -> Written:
    await connection.execute("CHECKPOINT", timeout=TIMEOUT_S)
    before = await read_log(connection)
    for batch in batches:
        await store(batch)
    after = await read_log(connection)
    return Written(after.wal_bytes - before.wal_bytes, after.full_pages - before.full_pages)


async def read_log(connection: "asyncpg.Connection[asyncpg.Record]") -> Written:
    """Read how much was written to the log since the server was made."""
    row = await connection.fetchrow(
        "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint, wal_fpi FROM pg_stat_wal"
    )
    assert row is not None
    return Written(*row)


async def rate_all(channel: grpc.aio.Channel, start: datetime, end: datetime, events: int) -> None:
    """Rate all hours. BenchError if not every event is on a bill."""
    request = RateWindowRequest(mode=RATE_MODE_BACKFILL)
    request.window_start.FromDatetime(start)
    request.window_end.FromDatetime(end)
    run = await RatingServiceStub(channel).RateWindow(request, timeout=TIMEOUT_S)
    problems = unequal({"events": (run.events_in_window, events), "rated": (run.events_rated, events)})
    if problems:
        raise BenchError("the rating was not complete: " + "; ".join(problems))


async def _copy_bills(connections: "Pair[asyncpg.Connection[asyncpg.Record]]") -> None:
    """Gives the tables from before the bills that the rater wrote: no earlier rater is there to do it."""
    # Without what they refer to, and without what triggers make of them.
    await connections.reference.execute("SET session_replication_role = replica")
    for table in (*BILLS, *LEDGER):
        names = [row["attname"] for row in await connections.reference.fetch(COMMON_COLUMNS, table)]
        rows = await connections.phoebe.fetch(f"SELECT {', '.join(names)} FROM {table} ORDER BY id")
        await connections.reference.copy_records_to_table(
            table, columns=names, records=[tuple(row) for row in rows]
        )


async def _check(connections: "Pair[asyncpg.Connection[asyncpg.Record]]", events: int) -> None:
    problems = []
    for name, connection in (("now", connections.phoebe), ("before", connections.reference)):
        stored, rejected = await connection.fetchrow(COUNTS) or (0, 0)
        problems += unequal({f"events {name}": (stored, events), f"rejected events {name}": (rejected, 0)})
    if problems:
        raise BenchError("storing was not complete: " + "; ".join(problems))


async def read_stored(connection: "asyncpg.Connection[asyncpg.Record]") -> Stored:
    """Read what is on disk, once nothing is left of rows from before."""
    await connection.execute("VACUUM ANALYZE", timeout=TIMEOUT_S)
    events = await connection.fetchrow(EVENT_BYTES)
    assert events is not None
    of_kind = [
        sum(row["bytes"] for row in await connection.fetch(TABLE_BYTES, names))
        for names in (SUMS, BILLS, LEDGER)
    ]
    return Stored(events["all"], events["indexes"], *of_kind)


async def _execute(url: str, *commands: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for command in commands:
            await connection.execute(command)
    finally:
        await connection.close()

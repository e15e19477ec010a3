"""Events by week: partitions are made ahead of time, by several at once, and never in the way of events."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import asyncpg
import pytest

from rater_service.database.database import Pool, open_pool
from rater_service.events import partitions
from rater_service.events.partitions import (
    DAY,
    MadePartitions,
    Width,
    keep_making_partitions,
    list_partitions,
    make_partitions,
    read_width,
    set_width,
    try_to_make_partitions,
)
from rater_service.events.routes import Routes
from rater_service.events.store import Fate, store_events
from tests.harness.ledger import PRICES, Ledger, store_within
from tests.harness.old_events import (
    NOW,
    OLDEST_WEEK,
    WEEK,
    bills_of,
    kinds,
    make_weeks,
    partition_of,
    prune_all,
    store,
    timed_event,
    timed_id,
)
from tests.harness.served_rater import served_rater
from tests.integration.rater.cli.test_cli_with_database import phoebe

type Logs = pytest.LogCaptureFixture


async def make(pool: Pool, now: datetime = OLDEST_WEEK) -> MadePartitions:
    async with pool.acquire() as connection:
        return await make_partitions(connection, now)


async def names(pool: Pool) -> list[str]:
    async with pool.acquire() as connection:
        return [partition.name for partition in await list_partitions(connection)]


async def sums(pool: Pool) -> list[asyncpg.Record]:
    return await pool.fetch("SELECT * FROM hourly_usage ORDER BY 1, 2, 3, 4")


async def test_the_running_week_and_eight_more_get_partitions_and_again_nothing_is_made(pool: Pool) -> None:
    assert await names(pool) == ["billing_event_default"]
    result = await make(pool, datetime(2026, 12, 24, 23, 59, tzinfo=UTC))
    weeks = ("2026w52", "2026w53", *(f"2027w0{week}" for week in range(1, 8)))
    assert result == MadePartitions(made=tuple(f"billing_event_{week}" for week in weeks))
    assert await make(pool, datetime(2026, 12, 21, tzinfo=UTC)) == MadePartitions()
    assert await make(pool, datetime(2026, 12, 28, tzinfo=UTC)) == MadePartitions(("billing_event_2027w08",))


async def test_of_several_at_once_each_partition_is_made_by_one(pool: Pool) -> None:
    results = await asyncio.gather(*(make(pool) for _ in range(6)))
    made = [name for result in results for name in result.made]
    assert sorted(made) == sorted(set(made))
    assert len(made) == 9


async def make_by(pool: Pool, width: Width, now: datetime) -> list[str]:
    """Change the width, and make what is missing then."""
    async with pool.acquire() as connection:
        await set_width(connection, width, "ops")
    return [name.removeprefix("billing_event_") for name in (await make(pool, now)).made]


async def test_a_new_width_begins_where_the_partitions_of_the_other_end(pool: Pool) -> None:
    await make_weeks(pool)  # until Sunday of week 53
    assert await make_by(pool, Width.DAY, OLDEST_WEEK + 6 * WEEK) == []
    days = await make_by(pool, Width.DAY, OLDEST_WEEK + 7 * WEEK + timedelta(hours=30))
    assert days == [f"202701{day:02}" for day in range(4, 6)]
    weeks = await make_by(pool, Width.WEEK, OLDEST_WEEK + 9 * WEEK)
    assert weeks[:6] == ["20270106", "20270107", "20270108", "20270109", "20270110", "2027w02"]
    assert await make(pool, OLDEST_WEEK + 9 * WEEK) == MadePartitions()
    rows = await pool.fetch("SELECT width, set_by FROM partition_width ORDER BY id")
    assert [tuple(row) for row in rows] == [("day", "ops"), ("week", "ops")], "only what changes is kept"


async def test_events_of_days_and_weeks_are_stored_pruned_and_known_when_they_come_again(
    ledger: Ledger,
) -> None:
    pool = ledger.pool
    await make_by(pool, Width.DAY, OLDEST_WEEK)
    await make_by(pool, Width.WEEK, OLDEST_WEEK + 2 * WEEK)
    events = [timed_event(OLDEST_WEEK + day * DAY, number) for number, day in enumerate((0, 1, 15, 21), 1)]
    assert await store(pool, *events, at=NOW) == [Fate.STORED] * 4
    where = [await partition_of(pool, event.request_id) for event in events]
    assert where == [f"billing_event_{name}" for name in ("20261102", "20261103", "20261117", "2026w48")]
    await ledger.rate(OLDEST_WEEK, OLDEST_WEEK + 3 * WEEK, now=NOW + WEEK)
    before = await bills_of(pool)

    verdicts = await prune_all(pool)

    assert {name for name, reasons in kinds(verdicts).items() if not reasons} >= {"20261102", "20261103"}
    assert await bills_of(pool) == before
    assert await store(pool, *events[:2], at=NOW) == [Fate.DUPLICATE] * 2
    # Days without events may get another partition, as nothing is known of them.
    assert (await make(pool, OLDEST_WEEK)).made[0] == "billing_event_20261104"
    assert await store(pool, timed_event(OLDEST_WEEK, 9), at=NOW) == [Fate.REJECTED], "its time is closed"


async def test_the_width_is_changed_by_migrate_and_said(
    pool: Pool, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await phoebe(database_url, "migrate", "--partitions", "day") == 0
    assert "new partitions of events are by day" in capsys.readouterr().out
    assert f"billing_event_{datetime.now(UTC) + DAY:%Y%m%d}" in await names(pool)
    assert await phoebe(database_url, "migrate", "--json") == 0
    assert '"partition_width": "day"' in capsys.readouterr().out
    async with pool.acquire() as connection:
        assert await read_width(connection) is Width.DAY


async def test_an_event_is_stored_in_the_week_of_its_id_and_no_other_partition_is_touched(pool: Pool) -> None:
    await make_weeks(pool)
    late = timed_event(OLDEST_WEEK + WEEK - timedelta(milliseconds=1), 1)
    early = timed_event(OLDEST_WEEK + WEEK, 2)
    assert await store(pool, late, early, at=NOW) == [Fate.STORED] * 2
    assert await partition_of(pool, late.request_id) == "billing_event_2026w45"
    assert await partition_of(pool, early.request_id) == "billing_event_2026w46"

    async with pool.acquire() as connection, connection.transaction():
        await store_within(connection, timed_event(OLDEST_WEEK + 2 * WEEK, 3))
        locked = await connection.fetch(
            "SELECT DISTINCT relname FROM pg_locks JOIN pg_class ON pg_class.oid = relation"
            " WHERE pid = pg_backend_pid() AND mode = 'RowExclusiveLock' AND relkind IN ('r', 'p')"
            " AND relname LIKE '%\\_event%'"
        )
    assert {row["relname"] for row in locked} == {"billing_event_2026w47"}


async def test_an_id_is_looked_up_in_one_partition(pool: Pool) -> None:
    await make_weeks(pool)
    plan = await pool.fetch(
        f"EXPLAIN SELECT * FROM billing_event WHERE request_id = '{timed_id(OLDEST_WEEK, 1)}'"
    )
    text = "\n".join(row[0] for row in plan)
    assert "billing_event_2026w45_pkey" in text
    assert "2026w46" not in text
    assert "default" not in text


async def test_ids_of_no_week_go_to_the_default_partition(pool: Pool) -> None:
    await make_weeks(pool)
    odd = timed_event(OLDEST_WEEK, 1, request_id="6d9c8b1e-7c57-4d0e-9f0a-3b1f0e2d4c5b")
    future = timed_event(OLDEST_WEEK + 60 * WEEK, 2)
    assert await store(pool, odd, future, at=NOW) == [Fate.STORED] * 2
    assert await store(pool, odd, future, at=NOW) == [Fate.DUPLICATE] * 2
    for event in (odd, future):
        assert await partition_of(pool, event.request_id) == "billing_event_default"


async def test_events_that_came_before_their_partition_move_into_it_and_sums_stay(pool: Pool) -> None:
    moving, staying = timed_event(OLDEST_WEEK, 1), timed_event(OLDEST_WEEK - WEEK, 2)
    await store(pool, moving, staying, at=NOW)
    before = await sums(pool)
    assert len((await make(pool)).made) == 9
    assert await partition_of(pool, moving.request_id) == "billing_event_2026w45"
    assert await partition_of(pool, staying.request_id) == "billing_event_default"
    assert await sums(pool) == before
    assert await store(pool, moving, staying, at=NOW) == [Fate.DUPLICATE] * 2


async def test_a_week_with_too_many_events_to_move_stays_in_the_default_partition_and_that_is_told(
    pool: Pool, monkeypatch: pytest.MonkeyPatch, caplog: Logs
) -> None:
    monkeypatch.setattr(partitions, "MOVED_EVENTS_MAX", 2)
    events = [timed_event(OLDEST_WEEK + WEEK, number) for number in range(1, 4)]
    await store(pool, *events, at=NOW)
    result = await try_to_make_partitions(pool, OLDEST_WEEK)
    assert (len(result.made), result.left) == (8, ("billing_event_2026w46",))
    assert "billing_event_2026w46" in caplog.text
    assert await partition_of(pool, events[0].request_id) == "billing_event_default"


async def test_whoever_reads_events_for_long_only_puts_partitions_off(
    pool: Pool, monkeypatch: pytest.MonkeyPatch, caplog: Logs
) -> None:
    monkeypatch.setattr(partitions, "LOCK_TIMEOUT_MS", 20)
    monkeypatch.setattr(partitions, "LOCK_ATTEMPTS", 2)
    async with pool.acquire() as connection:
        async with connection.transaction():
            await connection.fetchval("SELECT count(*) FROM billing_event")
            assert await try_to_make_partitions(pool, OLDEST_WEEK) == MadePartitions()
            assert "will be tried again" in caplog.text
            assert await store(pool, timed_event(OLDEST_WEEK, 1), at=NOW) == [Fate.STORED]
        assert len((await make(pool)).made) == 9


async def test_a_service_that_may_not_make_tables_says_so_and_goes_on(
    pool: Pool, database_url: str, caplog: Logs
) -> None:
    await pool.execute(
        "DROP ROLE IF EXISTS phoebe_meter; CREATE ROLE phoebe_meter LOGIN;"
        " GRANT ALL ON ALL TABLES IN SCHEMA public TO phoebe_meter"
    )
    try:
        async with open_pool(f"{database_url}&role=phoebe_meter") as theirs:
            assert await theirs.fetchval("SELECT current_user") == "phoebe_meter"
            assert await try_to_make_partitions(theirs, OLDEST_WEEK) == MadePartitions()
            (record,) = caplog.records
            assert record.levelno == logging.WARNING
            assert "run `phoebe migrate` as the owner" in record.getMessage()
            event = timed_event(OLDEST_WEEK, 1)
            assert await store(theirs, event, at=NOW) == [Fate.STORED]
            assert await partition_of(pool, event.request_id) == "billing_event_default"
    finally:
        await pool.execute("DROP OWNED BY phoebe_meter; DROP ROLE phoebe_meter")


async def test_events_that_come_while_partitions_are_made_are_all_stored(pool: Pool) -> None:
    numbers = count(1)
    is_done = asyncio.Event()
    fates: list[Fate] = []

    async def send() -> None:
        while not is_done.is_set():
            batch = [timed_event(OLDEST_WEEK + next(numbers) % 30 * WEEK, next(numbers)) for _ in range(20)]
            fates.extend(await store(pool, *batch, at=NOW))

    async def part() -> None:
        for week in range(0, 30, 5):
            for _ in range(20):  # a transaction that is under way may put it off
                await try_to_make_partitions(pool, OLDEST_WEEK + week * WEEK)
        is_done.set()

    before = len(await names(pool))
    await asyncio.gather(part(), *(send() for _ in range(4)))
    assert len(await names(pool)) > before, "batches put it off every time"
    for week in range(0, 30, 5):  # on a busy machine some may have been put off every time
        await try_to_make_partitions(pool, OLDEST_WEEK + week * WEEK)
    assert set(fates) == {Fate.STORED}
    assert await pool.fetchval("SELECT count(*) FROM billing_event") == len(fates)
    assert await pool.fetchval("SELECT sum(event_count) FROM hourly_usage") == len(fates)
    assert len(await names(pool)) > 30
    misplaced = "SELECT count(*) FROM billing_event_default WHERE request_id >= $1 AND request_id < $2"
    bounds = (partitions.first_id(OLDEST_WEEK), partitions.first_id(OLDEST_WEEK + 30 * WEEK))
    assert await pool.fetchval(misplaced, *bounds) == 0


MOVES = {
    "made": None,
    "dropped": "DROP TABLE billing_event_2026w46",
    "detached": "ALTER TABLE stored_event DETACH PARTITION billing_event_2026w46",
}


@pytest.mark.every_postgres
@pytest.mark.parametrize("refused", [(), ("odd",)], ids=["copied", "inserted"])
@pytest.mark.parametrize("move", MOVES)
async def test_events_find_their_partition_although_it_came_or_went_since_it_was_looked_up(
    pool: Pool, move: str, refused: Sequence[str]
) -> None:
    """A batch with an event that the database refuses is not copied, but stored event by event."""
    await pool.execute("ALTER TABLE stored_event ADD CONSTRAINT odd CHECK (user_id <> 'odd')")
    if move != "made":
        await make_weeks(pool)
    routes = Routes()
    await store_events(pool, [timed_event(OLDEST_WEEK + WEEK, 1)], NOW, routes=routes)
    if moved := MOVES[move]:
        await pool.execute(moved)
    else:
        await make_weeks(pool)

    odd = [timed_event(OLDEST_WEEK, 9, user_id=user_id) for user_id in refused]
    new = timed_event(OLDEST_WEEK + WEEK, 2)
    stored = await store_events(pool, [*odd, new], NOW, routes=routes)

    assert stored[-1].fate is Fate.STORED
    where = "billing_event_2026w46" if move == "made" else "billing_event_default"
    assert await partition_of(pool, new.request_id) == where
    assert await pool.fetchval("SELECT sum(event_count) FROM hourly_usage") == 2


async def test_migrating_makes_the_partitions_of_the_coming_weeks(
    pool: Pool, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await phoebe(database_url, "migrate") == 0
    assert "made partitions: billing_event_20" in capsys.readouterr().out
    event = timed_event(datetime.now(UTC), 1)
    await store(pool, event, at=NOW)
    assert await partition_of(pool, event.request_id) != "billing_event_default"


async def test_a_service_makes_partitions_before_it_answers(
    pool: Pool, database_url: str, tmp_path: Path
) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_bytes(PRICES)
    async with served_rater(tmp_path, {"DATABASE_URL": database_url}, "--prices", str(prices)):
        assert len(await names(pool)) == 10


async def test_a_running_service_goes_on_making_partitions(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions, "CHECK_PERIOD_S", 0)
    making = asyncio.create_task(keep_making_partitions(pool))
    async with asyncio.timeout(60):
        while len(await names(pool)) < 10:
            assert not making.done()
        await pool.execute(f"DROP TABLE {(await names(pool))[8]}")
        while len(await names(pool)) < 10:
            assert not making.done()
    making.cancel()

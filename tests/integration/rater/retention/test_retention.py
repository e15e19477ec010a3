"""Old events are dropped only if they are billed and proved to be, and no bill ever changes by it."""

import asyncio
from pathlib import Path
from random import Random
from uuid import UUID

import asyncpg
import pytest

from rater_service.audit.audit import AuditRequest, audit
from rater_service.database.database import DatabaseUnavailableError, Pool
from rater_service.errors import OperatorError
from rater_service.events.partitions import list_partitions
from rater_service.events.store import Fate
from rater_service.hours import InvalidWindow
from rater_service.retention import drop as retention_drop
from rater_service.retention import retention
from rater_service.retention.csv_export import export_events
from rater_service.retention.drop import EventsCame, drop_events
from rater_service.retention.old_events import fetch_of, read_old_events
from rater_service.retention.retention import refuse_invalid_time
from tests.harness.ledger import ONE_HOUR, Ledger
from tests.harness.old_events import (
    BEFORE,
    MINUTE,
    NOW,
    OLDEST_WEEK,
    STORED_AT,
    WEEK,
    bills_of,
    events_of,
    judge,
    kinds,
    make_weeks,
    partition_of,
    prune_all,
    store,
    timed_event,
    two_weeks_of_events,
)
from tests.harness.sums import moved


async def test_what_is_billed_and_proved_is_dropped_and_no_bill_changes(old: Ledger) -> None:
    before = await bills_of(old.pool)

    verdicts = await prune_all(old.pool)

    assert kinds(verdicts) == {"2026w45": set(), "2026w46": set()}
    assert await bills_of(old.pool) == before
    assert [row["request_id"] for row in await events_of(old.pool)] == [
        UUID(two_weeks_of_events()[-1].request_id)
    ]
    async with old.pool.acquire() as connection:
        left = [partition.name for partition in await list_partitions(connection)]
    assert left[:1] == ["billing_event_2026w47"]


async def test_what_is_dropped_stays_known(old: Ledger) -> None:
    await prune_all(old.pool)
    first, second = await old.pool.fetch("SELECT * FROM pruned_event_range ORDER BY id")
    assert (first["partition_name"], first["event_count"], first["prompt_tokens"]) == (
        "billing_event_2026w45",
        7,
        600,
    )
    assert (first["window_start"], first["window_end"]) == (OLDEST_WEEK, OLDEST_WEEK + WEEK + ONE_HOUR)
    assert (second["event_count"], second["pruned_by"], second["pruned_at"]) == (2, "ops", NOW)
    numbers = await old.pool.fetch("SELECT producer_id, numbers::text FROM pruned_number ORDER BY range_id")
    assert [tuple(row) for row in numbers] == [("spool-1", "{[1,8)}"), ("spool-1", "{[8,10)}")]


@pytest.mark.parametrize(
    ("trouble", "found"),
    [
        ("DELETE FROM rated_usage; DELETE FROM rated_usage_change; DELETE FROM rating_run", "UNRATED_HOURS"),
        ("UPDATE rating_run SET dry_run = true", "UNRATED_HOURS"),
        (f"UPDATE stored_event SET {moved('stored_at', '30 days')} WHERE producer_seq = 2",
         "UNRATED_HOURS"),
        ("UPDATE rated_usage SET prompt_tokens = prompt_tokens + 1 WHERE auth_id = 'bob'",
         "ROLLUP_DIFFERS_FROM_EVENTS"),
        ("DELETE FROM rated_usage WHERE auth_id = 'bob'", "ROLLUP_MISSING"),
        ("UPDATE hourly_usage SET event_count = event_count + 1 WHERE auth_id = 'bob'", "SUMS_DIFFER"),
        ("UPDATE producer SET stopped = false, complete_until = '2026-11-01 00:00:00+00'",
         "INCOMPLETE_PRODUCER"),
        ("UPDATE stored_event SET producer_seq = 20 WHERE producer_seq = 3", "LOST_EVENTS"),
        ("UPDATE stored_event SET producer_seq = 2 WHERE producer_seq = 3", "REPEATED_NUMBERS"),
        ("UPDATE producer SET lost_rows = 1", "LOST_SPOOL_ROWS"),
    ],
)  # fmt: skip
async def test_what_is_not_rated_and_reconciled_stays(old: Ledger, trouble: str, found: str) -> None:
    await old.force(trouble)
    before = await events_of(old.pool)
    first, second = await judge(old.pool, BEFORE)
    (reason,) = [reason for reason in first.reasons if reason.kind == found]
    assert reason.advice
    assert second.reasons
    assert await events_of(old.pool) == before


async def test_hours_that_were_rated_too_soon_after_their_last_event_are_said_to_be(old: Ledger) -> None:
    await old.force(
        "UPDATE stored_event SET stored_at = (SELECT max(started_at) FROM rating_run) - interval '1 minute'"
        " WHERE producer_seq = 2"
    )
    first, _ = await judge(old.pool, BEFORE)
    (reason,) = first.reasons
    assert reason.kind == "UNRATED_HOURS"
    assert "(not rated 2 minutes or more after its last event was stored)" in reason.detail


async def test_an_event_that_is_kept_aside_keeps_those_of_its_hours(old: Ledger) -> None:
    await store(old.pool, timed_event(OLDEST_WEEK + ONE_HOUR, 10, outcome="?"), at=STORED_AT)
    assert kinds(await judge(old.pool, BEFORE)) == {
        "2026w45": {"OPEN_REJECTED_EVENTS"},
        "2026w46": {"OLDER_EVENTS_STAY"},
    }
    assert kinds(await judge(old.pool, BEFORE, ["OPEN_REJECTED_EVENTS"])) == {
        "2026w45": set(),
        "2026w46": set(),
    }


async def test_late_usage_and_wrong_times_of_other_weeks_keep_no_week(old: Ledger) -> None:
    late, in_2005, in_2099 = BEFORE + 5 * ONE_HOUR, OLDEST_WEEK.replace(2005), OLDEST_WEEK.replace(2099)
    for number, at in enumerate((late, in_2005, in_2099), 11):
        # Their ids are of the week of BEFORE, where they stand.
        event = timed_event(at, number, request_id=timed_event(BEFORE, number).request_id)
        assert await store(old.pool, event, at=NOW) == [Fate.STORED]
    assert {"LATE_USAGE", "OUT_OF_TIME"} <= set(
        (await audit(old.pool, AuditRequest(), NOW)).findings.difference_counts
    )

    verdicts = await judge(old.pool, BEFORE)

    assert kinds(verdicts) == {"2026w45": set(), "2026w46": set()}


async def test_late_usage_of_a_week_keeps_it(old: Ledger) -> None:
    late = timed_event(OLDEST_WEEK + ONE_HOUR, 11, usage_found=False)
    assert await store(old.pool, late, at=NOW) == [Fate.STORED]

    assert kinds(await judge(old.pool, BEFORE)) == {
        "2026w45": {"UNRATED_HOURS", "LATE_USAGE"},
        "2026w46": {"OLDER_EVENTS_STAY"},
    }


async def test_what_was_accepted_is_kept_with_what_was_pruned(old: Ledger) -> None:
    await old.force("UPDATE producer SET lost_rows = 1")
    for verdict in await judge(old.pool, BEFORE, ["LOST_SPOOL_ROWS"]):
        await drop_events(old.pool, verdict, None, "ops", NOW)
    rows = await old.pool.fetch("SELECT accepted FROM pruned_event_range")
    assert [row["accepted"] for row in rows] == [["LOST_SPOOL_ROWS"]] * 2


async def test_a_week_goes_and_what_began_in_it_and_ended_later_stays(old: Ledger) -> None:
    before = await bills_of(old.pool)
    over_midnight = two_weeks_of_events()[6]
    assert await partition_of(old.pool, over_midnight.request_id) == "billing_event_2026w45"

    (verdict,) = await judge(old.pool, OLDEST_WEEK + WEEK)
    assert (verdict.reasons, verdict.events.event_count, verdict.events.later_events) == ((), 6, 1)
    await drop_events(old.pool, verdict, None, "ops", NOW)

    assert await partition_of(old.pool, over_midnight.request_id) == "billing_event_default"
    assert len(await events_of(old.pool)) == 4
    assert await bills_of(old.pool) == before
    assert (await audit(old.pool, AuditRequest(), NOW)).proven
    again = await store(old.pool, *two_weeks_of_events()[:7], at=NOW)
    assert again == [Fate.DUPLICATE] * 7
    # It goes with the week in which it ended.
    assert kinds(await prune_all(old.pool)) == {"2026w46": set(), "default": set()}
    assert len(await events_of(old.pool)) == 1
    assert await bills_of(old.pool) == before


async def test_too_many_that_ended_later_keep_a_week_and_it_is_said(
    old: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "MOVED_EVENTS_MAX", 0)
    (verdict,) = await judge(old.pool, OLDEST_WEEK + WEEK)
    assert [reason.kind for reason in verdict.reasons] == ["MANY_LATER_EVENTS"]
    assert verdict.reasons[0].detail.startswith("1 of its events ended later")


async def test_batches_of_other_weeks_go_on_while_a_week_is_counted(
    old: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdicts = await judge(old.pool, BEFORE)
    stored: list[Fate] = []
    count = fetch_of

    async def store_and_count(*asked: object, **arguments: object) -> list[asyncpg.Record]:
        stored.extend(await store(old.pool, timed_event(BEFORE + 2 * ONE_HOUR, 11), at=NOW))
        return await count(*asked, **arguments)  # type: ignore[arg-type] # whatever is asked

    monkeypatch.setattr(retention_drop, "fetch_of", store_and_count)
    async with asyncio.timeout(20):
        await drop_events(old.pool, verdicts[0], None, "ops", NOW)
    assert stored == [Fate.STORED]


async def test_a_week_without_events_is_dropped_without_a_trace(pool: Pool) -> None:
    await make_weeks(pool)
    for verdict in await judge(pool, BEFORE):
        await drop_events(pool, verdict, None, "ops", NOW)
    assert await pool.fetchval("SELECT count(*) FROM pruned_event_range") == 0
    event = timed_event(OLDEST_WEEK, 1)
    assert await store(pool, event, at=NOW) == [Fate.STORED]
    assert await partition_of(pool, event.request_id) == "billing_event_default"


def test_only_whole_hours_that_routine_runs_leave_alone_are_old_enough() -> None:
    refuse_invalid_time(NOW.replace(minute=0) - 24 * ONE_HOUR, NOW)
    for moment in (NOW.replace(minute=0) - 23 * ONE_HOUR, OLDEST_WEEK + MINUTE):
        with pytest.raises(InvalidWindow):
            refuse_invalid_time(moment, NOW)


async def test_events_that_came_after_the_judgement_are_not_dropped(old: Ledger) -> None:
    first, second = await judge(old.pool, BEFORE)
    await store(old.pool, timed_event(OLDEST_WEEK + 6 * ONE_HOUR, 11), at=NOW)
    with pytest.raises(EventsCame, match="events when they were judged: 7, now: 8"):
        await drop_events(old.pool, first, None, "ops", NOW)
    await drop_events(old.pool, second, None, "ops", NOW)
    assert len(await events_of(old.pool)) == 9


async def test_a_prune_that_is_broken_off_changes_nothing(old: Ledger) -> None:
    before = await events_of(old.pool)
    await old.pool.execute(
        "CREATE FUNCTION die() RETURNS event_trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); END $$;"
        " CREATE EVENT TRIGGER die ON sql_drop EXECUTE FUNCTION die()"
    )
    verdict, _ = await judge(old.pool, BEFORE)
    with pytest.raises((asyncpg.PostgresError, DatabaseUnavailableError)):
        await drop_events(old.pool, verdict, None, "ops", NOW)
    assert await events_of(old.pool) == before
    assert await old.pool.fetchval("SELECT count(*) FROM pruned_event_range") == 0
    await old.pool.execute("DROP EVENT TRIGGER die")
    await prune_all(old.pool)


async def test_events_that_are_being_read_stay_and_that_is_told(
    old: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention_drop, "LOCK_TIMEOUT_MS", 20)
    monkeypatch.setattr(retention_drop, "LOCK_ATTEMPTS", 2)
    verdict, _ = await judge(old.pool, BEFORE)
    async with old.pool.acquire() as connection, connection.transaction():
        await connection.fetchval("SELECT count(*) FROM billing_event")
        with pytest.raises(OperatorError, match="being read"):
            await drop_events(old.pool, verdict, None, "ops", NOW)
    await drop_events(old.pool, verdict, None, "ops", NOW)


async def test_an_export_to_a_full_disk_says_so_at_once(pool: Pool, tmp_path: Path) -> None:
    """Also one that comes whole before the disk is found full: to break off that one takes for ever."""
    await make_weeks(pool)
    noise = Random(1)
    await store(
        pool,
        *(timed_event(OLDEST_WEEK, n, usage_raw=noise.randbytes(500).hex()) for n in range(1, 60)),
        at=STORED_AT,
    )
    (events,) = [each for each in await read_old_events(pool, BEFORE, lambda _: None) if each.event_count]
    (tmp_path / ".billing_event_2026w45.csv.gz.part").symlink_to("/dev/full")

    async with asyncio.timeout(20):
        with pytest.raises(OperatorError, match=r"can't be exported: .*No space left on device"):
            await export_events(pool, events, tmp_path, NOW)

    assert [*tmp_path.iterdir()] == []  # noqa: ASYNC240

"""Batches add to sums of their own: none waits for another's commit, and merging loses nothing."""

import asyncio
import logging

import asyncpg
import pytest

from rater_service.database.database import Pool
from rater_service.events import slots
from rater_service.events.hourly_usage import rebuild
from rater_service.events.slots import SLOTS, hold_slots, keep_cooling, merge_hour, try_to_cool_hours
from rater_service.events.store import store_events
from rater_service.statements import bound
from tests.harness.ledger import HOUR, ONE_HOUR, Ledger, make_event, nonzero, store_within
from tests.harness.plans import plan
from tests.harness.sums import counted_sums, kept_sums
from tests.harness.waiting import until, until_statements_wait
from tests.integration.rater.audit.test_audit import check

COLD = HOUR + 4 * ONE_HOUR


async def rows(pool: Pool) -> list[int]:
    """The slots of all rows."""
    return [row["slot"] for row in await pool.fetch("SELECT slot FROM hourly_usage ORDER BY slot")]


async def cold_rows(pool: Pool) -> int:
    """How many rows stand in the table of cold sums."""
    count: int = await pool.fetchval("SELECT count(*) FROM hourly_usage_cold")
    return count


async def store_at_once(pool: Pool, number: int) -> None:
    """Store an event of the same key in each of so many transactions that are open at the same time."""
    if number == 0:
        return
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL lock_timeout = '5s'")
        await store_within(connection, make_event())
        await store_at_once(pool, number - 1)


async def test_batches_of_the_same_keys_that_are_open_at_once_wait_for_nobody(ledger: Ledger) -> None:
    await store_at_once(ledger.pool, 4)
    assert await rows(ledger.pool) == [0, 1, 2, 3]
    assert await kept_sums(ledger.pool) == await counted_sums(ledger.pool)
    result = await ledger.rate()
    assert nonzero(result) == {"rated": 4}
    assert (result.rollups_written, result.anomalies) == (1, ())
    assert not [one for one in (await check(ledger.pool)).findings.differences if "SUM" in one.kind]


async def test_one_writer_after_the_other_adds_to_one_row(pool: Pool) -> None:
    for _ in range(3):
        await store_events(pool, [make_event()], HOUR)
    assert await rows(pool) == [0]


async def test_a_batch_waits_for_a_slot_where_all_are_taken(pool: Pool) -> None:
    async with pool.acquire() as other, other.transaction():
        await hold_slots(other, SLOTS)
        waiting = asyncio.create_task(store_events(pool, [make_event()], HOUR))
        await until_statements_wait(other)
        assert not waiting.done()
    await waiting
    assert await kept_sums(pool) == await counted_sums(pool)


async def test_the_sums_of_a_cold_hour_are_merged_and_bills_stay(ledger: Ledger) -> None:
    await store_at_once(ledger.pool, 3)
    await ledger.store(make_event(COLD), make_event(auth_id="bob"))
    await ledger.rate()
    before = await kept_sums(ledger.pool)
    assert await try_to_cool_hours(ledger.pool, HOUR + 2 * ONE_HOUR) == 0
    # Two that are merged, and then those of two keys.
    assert await try_to_cool_hours(ledger.pool, COLD) == 2 + 2
    assert await rows(ledger.pool) == [0, 0, 0]
    assert await cold_rows(ledger.pool) == 2
    assert await kept_sums(ledger.pool) == before
    again = await ledger.rate()
    assert (again.rollups_unchanged, again.rollups_written) == (2, 0)


async def test_a_batch_that_comes_while_sums_are_merged_is_not_lost(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "PAGE_ROWS", 1)
    await store_at_once(pool, 4)
    async with pool.acquire() as late, late.transaction():
        await store_within(late, make_event(), make_event(auth_id="bob"))
        merging = asyncio.create_task(try_to_cool_hours(pool, COLD))
        await until_statements_wait(late)
        # It holds slots that batches would take first: they take the next ones.
        async with asyncio.timeout(20):
            await store_events(pool, [make_event()], HOUR)
        assert not merging.done()
    assert await merging >= 3
    assert await kept_sums(pool) == await counted_sums(pool)
    async with pool.acquire() as connection:
        await merge_hour(connection, HOUR)
    assert await rows(pool) == [0, 0]
    assert await kept_sums(pool) == await counted_sums(pool)


async def test_merging_and_rebuilding_beside_batches_loses_nothing(pool: Pool) -> None:
    async def merge() -> None:
        for _ in range(10):
            await try_to_cool_hours(pool, COLD)

    async def store(number: int) -> None:
        for place in range(10):
            await store_events(pool, [make_event(auth_id=f"auth-{(number + place) % 3}")], HOUR)

    await asyncio.gather(merge(), *map(store, range(6)), rebuild(pool, None, None))
    assert await kept_sums(pool) == await counted_sums(pool)


async def test_a_rebuild_merges_and_mends_what_stands_in_several_slots(pool: Pool) -> None:
    await store_at_once(pool, 3)
    await pool.execute("UPDATE hourly_usage SET prompt_tokens = prompt_tokens + 1 WHERE slot = 1")
    assert (await rebuild(pool, None, None, dry_run=True)).difference_count == 1
    assert await rows(pool) == [0, 1, 2]
    assert (await rebuild(pool, None, None)).difference_count == 1
    assert await rows(pool) == [0]
    assert await kept_sums(pool) == await counted_sums(pool)


async def test_a_service_goes_on_merging_and_says_what_keeps_it_from_that(
    pool: Pool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(slots, "CHECK_PERIOD_S", 0)
    await store_at_once(pool, 2)
    await pool.execute("ALTER TABLE hourly_usage RENAME TO away")
    merging = asyncio.create_task(keep_cooling(pool))
    async with asyncio.timeout(60):
        await until(lambda: caplog.records)
        assert caplog.records[0].levelno == logging.WARNING
        assert "will be tried again" in caplog.text
        await pool.execute("ALTER TABLE away RENAME TO hourly_usage")
        while len(await rows(pool)) > 1:
            assert not merging.done()
    merging.cancel()


async def test_a_slot_that_nobody_looks_for_is_refused(ledger: Ledger) -> None:
    await ledger.store(make_event())
    with pytest.raises(asyncpg.CheckViolationError):
        await ledger.pool.execute("UPDATE hourly_usage SET slot = 64")


async def test_what_comes_to_a_cold_hour_is_added_to_its_cold_sums(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "PAGE_ROWS", 1)
    await ledger.store(make_event(), make_event(auth_id="bob"), make_event(auth_id=None, model_id=None))
    assert await try_to_cool_hours(ledger.pool, COLD) == 3
    await ledger.store(make_event(), make_event(auth_id=None, model_id=None), make_event(auth_id="carol"))
    assert await kept_sums(ledger.pool) == await counted_sums(ledger.pool)
    assert len(await rows(ledger.pool)) == 6
    assert await try_to_cool_hours(ledger.pool, COLD) == 3
    assert await try_to_cool_hours(ledger.pool, COLD) == 0
    assert await cold_rows(ledger.pool) == len(await rows(ledger.pool)) == 4
    assert await kept_sums(ledger.pool) == await counted_sums(ledger.pool)


async def test_sums_whose_parts_nobody_counted_stay_so_when_they_are_cold(pool: Pool) -> None:
    await store_events(pool, [make_event()], HOUR)
    await pool.execute("UPDATE hourly_usage SET partial_usage_events = NULL")
    await try_to_cool_hours(pool, COLD)
    await store_events(pool, [make_event()], HOUR)
    await try_to_cool_hours(pool, COLD)
    (row,) = await pool.fetch("SELECT event_count, partial_usage_events FROM hourly_usage")
    assert tuple(row) == (2, None)


async def test_cold_sums_that_were_changed_by_hand_are_found_and_made_again_once(ledger: Ledger) -> None:
    await ledger.store(make_event(), make_event(auth_id="bob"))
    await try_to_cool_hours(ledger.pool, COLD)
    await ledger.pool.execute(
        "UPDATE hourly_usage SET prompt_tokens = prompt_tokens + 1 WHERE auth_id = 'bob'"
    )
    found = (await check(ledger.pool)).findings.differences
    assert "SUMS_DIFFER" in [one.kind for one in found]
    await ledger.store(make_event(auth_id="bob"))
    assert (await rebuild(ledger.pool, None, None)).difference_count == 1
    assert (await rebuild(ledger.pool, None, None, dry_run=True)).difference_count == 0
    assert await kept_sums(ledger.pool) == await counted_sums(ledger.pool)
    assert await cold_rows(ledger.pool) == 2


async def test_the_database_refuses_impossible_cold_sums(ledger: Ledger) -> None:
    await ledger.store(make_event())
    await try_to_cool_hours(ledger.pool, COLD)
    for change in (
        "event_count = -1",
        "billable_prompt_tokens = prompt_tokens + 1",
        "model_id = ''",
        "slot = 1",
    ):
        with pytest.raises(asyncpg.CheckViolationError):
            await ledger.pool.execute(f"UPDATE hourly_usage SET {change}")


async def test_an_hour_is_read_from_the_index_of_cold_sums_and_slots_are_not_looked_for_there(
    pool: Pool,
) -> None:
    made = (
        "to_timestamp(0) + n * interval '1 hour', n % 5, 'r', 'm', 'b', true, false, true,"
        " 1, 1, 0, 1, 1, 0, 0, now(), now()"
    )
    columns = (
        "window_start, auth_id, resource_id, model_id, base_model, usage_found, model_untrusted, completed,"
        " event_count, prompt_tokens, cached_tokens, completion_tokens, billable_prompt_tokens,"
        " excess_cached_events, excess_cached_tokens, first_stored_at, last_stored_at"
    )
    await pool.execute(
        f"INSERT INTO hourly_usage_cold ({columns}) SELECT {made} FROM generate_series(1, 20000) AS n;ANALYZE"
    )
    assert "hourly_usage_cold_hour" in await plan(
        pool, bound("audit/totals", window_start=HOUR, window_end=COLD)
    )
    for asked in (bound("events/slots_of_hour", hour=HOUR), bound("events/hours_in_slots", before=HOUR)):
        assert "hourly_usage_cold" not in await plan(pool, asked)
    find = bound("events/hours_to_cool", before=HOUR, limit=10)
    assert "hourly_usage_cold" not in await plan(pool, find)

"""After events were pruned: bills are audited and rated as before, and events that come again are known."""

import asyncio
from itertools import count, pairwise

import asyncpg
import pytest

from rater_service.audit.findings import AuditResult
from rater_service.database.database import Connection, Pool
from rater_service.events.event_writer import EventWriter
from rater_service.events.fates import DUPLICATE
from rater_service.events.insertion import look_up
from rater_service.events.partitions import try_to_make_partitions
from rater_service.events.rejected import retry_rejected
from rater_service.events.routes import Routes
from rater_service.events.store import Fate
from rater_service.events.validation import EventRow, validate
from rater_service.hours import hour_of
from rater_service.retention.drop import LOCK_ALL, drop_events
from tests.harness.ledger import ONE_HOUR, Ledger, nonzero
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
    prune_all,
    rate_everything,
    store,
    timed_event,
    two_weeks_of_events,
)
from tests.harness.waiting import until_statements_wait
from tests.integration.rater.audit.test_audit import check


async def proof(pool: Pool) -> AuditResult:
    return await check(pool, now=NOW)


async def test_an_audit_of_pruned_hours_proves_them_and_says_what_was_pruned(old: Ledger) -> None:
    before = await proof(old.pool)
    await prune_all(old.pool)
    after = await proof(old.pool)
    assert after.proven
    assert (before.findings.pruned_events, after.findings.pruned_events) == (0, 9)
    (producer,) = after.findings.producers
    assert (producer.stored, producer.pruned, producer.lost) == (10, 9, 0)
    assert (after.window_start, after.window_end) == (before.window_start, before.window_end)
    assert (after.findings.events, after.findings.rollups) == (
        before.findings.events,
        before.findings.rollups,
    )


@pytest.mark.parametrize(
    ("tampering", "kind"),
    [
        ("UPDATE rated_usage SET prompt_tokens = prompt_tokens + 1 WHERE auth_id = 'bob'",
         "ROLLUP_DIFFERS_FROM_EVENTS"),
        ("DELETE FROM rated_usage WHERE auth_id = 'bob'", "ROLLUP_MISSING"),
        ("DELETE FROM hourly_usage WHERE auth_id = 'bob'", "ROLLUP_WITHOUT_EVENTS"),
    ],
)  # fmt: skip
async def test_an_audit_finds_what_was_changed_in_pruned_hours(
    old: Ledger, tampering: str, kind: str
) -> None:
    await prune_all(old.pool)
    await old.force(tampering)
    assert kind in (await proof(old.pool)).findings.difference_counts


async def test_rating_pruned_hours_again_gives_the_same_bills(old: Ledger) -> None:
    await prune_all(old.pool)
    rollups = await old.rollups()
    again = await old.rate(OLDEST_WEEK, BEFORE, now=NOW)
    assert (again.rollups_written, again.rollups_unchanged, again.reconciled_deletions) == (0, 5, 0)
    assert nonzero(again) == {"rated": 6, "unpriced": 1, "unattributable": 1, "missing_usage": 1}
    assert await old.rollups() == rollups


async def test_windows_share_pruned_numbers_as_they_share_others(old: Ledger) -> None:
    await prune_all(old.pool)
    edges = [None, OLDEST_WEEK, OLDEST_WEEK + 3 * ONE_HOUR, OLDEST_WEEK + WEEK, BEFORE, None]
    numbers = []
    for start, end in pairwise(edges):
        result = await check(old.pool, start, end, now=NOW)
        assert result.proven
        numbers += [(one.first_seq, one.last_seq, one.stored) for one in result.findings.producers]
    # Those that were pruned together belong to the window of the first of them.
    assert numbers == [(1, 0, 0), (1, 7, 7), (8, 7, 0), (8, 9, 2), (10, 10, 1)]


async def test_what_is_lost_stays_lost_after_the_others_were_pruned(old: Ledger) -> None:
    await old.force(
        "DELETE FROM stored_event WHERE producer_seq IN (3, 9); UPDATE producer SET last_seq = 12"
    )
    await old.pool.execute(
        "DELETE FROM hourly_usage; INSERT INTO hourly_usage SELECT * FROM"
        " hourly_usage_of_events('-infinity', 'infinity')"
    )
    await rate_everything(old)
    before = await proof(old.pool)
    for verdict in await judge(old.pool, BEFORE, ["LOST_EVENTS"]):
        assert not verdict.reasons
        await drop_events(old.pool, verdict, None, "ops", NOW)
    after = await proof(old.pool)
    assert [difference.detail for difference in after.findings.differences] == [
        "number 3",
        "number 9",
        "numbers 11 to 12",
    ]
    assert after.findings.difference_counts == before.findings.difference_counts


async def test_events_sent_again_are_known_by_their_numbers(old: Ledger) -> None:
    await prune_all(old.pool)
    bills = await bills_of(old.pool)
    assert await store(old.pool, *two_weeks_of_events(), at=NOW) == [Fate.DUPLICATE] * 10
    assert await bills_of(old.pool) == bills
    assert len(await events_of(old.pool)) == 1


async def test_a_pruned_time_takes_no_event_that_was_not_among_the_others(old: Ledger) -> None:
    await prune_all(old.pool)
    bills = await bills_of(old.pool)
    late = timed_event(OLDEST_WEEK + 5 * ONE_HOUR - MINUTE, 77)
    unnumbered = timed_event(OLDEST_WEEK, 78, producer_seq=None)
    new = timed_event(NOW, 11)
    assert await store(old.pool, late, new, unnumbered, at=NOW) == [
        Fate.REJECTED,
        Fate.STORED,
        Fate.REJECTED,
    ]
    kept = await old.pool.fetch("SELECT request_id, reason FROM rejected_event ORDER BY id")
    assert {row["request_id"] for row in kept} == {late.request_id, unnumbered.request_id}
    assert "pruned" in kept[0]["reason"]
    assert {row.fate async for row in retry_rejected(old.pool, None, NOW)} == {Fate.REJECTED}
    await old.force(
        "DELETE FROM stored_event WHERE producer_seq = 11;"
        f" DELETE FROM hourly_usage WHERE window_start = '{hour_of(NOW)}'"
    )
    assert await bills_of(old.pool) == bills


async def test_no_other_way_into_the_table_takes_a_pruned_event(old: Ledger) -> None:
    rows = await events_of(old.pool)
    await prune_all(old.pool)
    async with old.pool.acquire() as connection:
        with pytest.raises(asyncpg.CheckViolationError) as refused:
            await connection.copy_records_to_table(
                "billing_event_default", columns=list(rows[0].keys()), records=[tuple(rows[0])]
            )
        assert refused.value.constraint_name == "billing_event_not_pruned"


async def test_old_events_of_the_default_partition_are_deleted_and_known_again(old: Ledger) -> None:
    odd = "6d9c8b1e-7c57-4d0e-9f0a-3b1f0e2d4c5b"
    early = timed_event(OLDEST_WEEK + ONE_HOUR, 11, request_id=odd)
    later = timed_event(BEFORE, 12, request_id=odd.replace("6d", "7d"))
    await store(old.pool, early, later, at=STORED_AT)
    await old.force("UPDATE producer SET last_seq = 12")
    await rate_everything(old)
    bills = await bills_of(old.pool)
    verdicts = await prune_all(old.pool)
    assert set(kinds(verdicts)) == {"default", "2026w45", "2026w46"}
    assert await bills_of(old.pool) == bills
    assert (await proof(old.pool)).proven
    assert await store(old.pool, early, later, at=NOW) == [Fate.DUPLICATE] * 2
    other = timed_event(OLDEST_WEEK + ONE_HOUR, 13, request_id=odd.replace("6d", "8d"))
    assert await store(old.pool, other, at=NOW) == [Fate.REJECTED]


async def test_a_late_event_of_a_week_that_is_there_is_stored_although_others_of_its_time_were_pruned(
    old: Ledger,
) -> None:
    odd = timed_event(BEFORE + 2 * ONE_HOUR, 11, request_id="6d9c8b1e-7c57-4d0e-9f0a-3b1f0e2d4c5b")
    await store(old.pool, odd, at=STORED_AT)
    await old.force("UPDATE producer SET last_seq = 11")
    await rate_everything(old)
    for verdict in await judge(old.pool, BEFORE + 3 * ONE_HOUR):
        assert not verdict.reasons
        await drop_events(old.pool, verdict, None, "ops", NOW)
    late = timed_event(BEFORE + 2 * ONE_HOUR, 12)
    assert await store(old.pool, late, odd, at=NOW) == [Fate.STORED, Fate.DUPLICATE]


async def test_who_inserts_and_then_looks_events_up_does_not_wait_for_who_drops_a_partition(
    old: Ledger,
) -> None:
    known = timed_event(NOW, 11)
    row = validate(known)
    assert isinstance(row, EventRow)
    await store(old.pool, known, at=NOW)
    async with old.pool.acquire() as inserting, old.pool.acquire() as dropping:
        async with inserting.transaction():
            assert await EventWriter(inserting, Routes(), NOW).insert([(row, False)]) == set()
            dropped = asyncio.create_task(lock_all(dropping))
            await until_statements_wait(old.pool)
            await inserting.execute("SET LOCAL lock_timeout = '2s'")
            assert await look_up(inserting, [row]) == [DUPLICATE]
        await dropped


async def lock_all(connection: Connection) -> None:
    async with connection.transaction():
        await connection.execute(LOCK_ALL)


async def test_while_events_are_pruned_others_are_stored_and_old_ones_are_known(old: Ledger) -> None:
    numbers = count(100)
    is_done = asyncio.Event()
    new_fates: list[Fate] = []
    old_fates: list[Fate] = []

    async def send() -> None:
        while not is_done.is_set():
            batch = [timed_event(NOW, next(numbers)) for _ in range(10)]
            fates = await store(old.pool, *two_weeks_of_events(), *batch, at=NOW)
            old_fates.extend(fates[:10])
            new_fates.extend(fates[10:])

    async def drop() -> None:
        for verdict in await judge(old.pool, BEFORE):
            await drop_events(old.pool, verdict, None, "ops", NOW)
            await try_to_make_partitions(old.pool, NOW + WEEK)
        is_done.set()

    await asyncio.gather(drop(), *(send() for _ in range(4)))
    assert set(old_fates) == {Fate.DUPLICATE}
    assert set(new_fates) == {Fate.STORED}
    assert len(await events_of(old.pool)) == 1 + len(new_fates)
    assert await old.pool.fetchval("SELECT sum(event_count) FROM hourly_usage") == 10 + len(new_fates)

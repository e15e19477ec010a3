"""The audit proves what is right, and finds every kind of wrong that is made on purpose."""

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import grpc
import pytest

from phoebe_proto.v1 import rating_pb2
from phoebe_proto.v1.metering_pb2 import MeteringEvent
from rater_service.audit import numbers as audit_numbers
from rater_service.audit.audit import AuditRequest, audit
from rater_service.audit.findings import AuditedProducer, AuditResult, Finding
from rater_service.database.database import Pool
from rater_service.events.producer_status import StatusRow
from rater_service.events.producers import retire_producer
from rater_service.events.store import store_events
from rater_service.hours import InvalidWindow
from rater_service.statements import bound
from rater_service.wire_time import to_timestamp
from tests.harness import json_documents
from tests.harness.ledger import HOUR, ONE_HOUR, PRICES, Ledger, make_event
from tests.harness.plans import pages_read, plan
from tests.harness.rater import Rater
from tests.harness.rpc import failure
from tests.harness.sums import moved
from tests.integration.rater.cli.test_cli_with_database import phoebe
from tests.integration.rater.events import test_producers
from tests.integration.rater.events.test_producers import report

NOW = HOUR + 5 * ONE_HOUR
NEXT_DAY = HOUR + 30 * ONE_HOUR
LONG_AGO = HOUR - ONE_HOUR

type Capture = pytest.CaptureFixture[str]


def numbered(*numbers: int, at: datetime = HOUR, **fields: object) -> list[MeteringEvent]:
    return [make_event(at, producer_seq=number, **fields) for number in numbers]


def status(producer_id: str = "spool-1", last_seq: int = 0, **fields: Any) -> StatusRow:
    """Make what a producer says that has sent all it will ever have, unless fields say otherwise."""
    return test_producers.status(producer_id, last_seq, **{"complete_until": NEXT_DAY} | fields)


async def check(
    pool: Pool,
    start: datetime | None = None,
    end: datetime | None = None,
    *,
    now: datetime = NEXT_DAY,
    producer_id: str | None = None,
) -> AuditResult:
    """Audit, and check what must hold whatever is found."""
    result = await audit(pool, AuditRequest(start, end, producer_id), now)
    for producer in result.findings.producers:
        numbers = producer.last_seq - producer.first_seq + 1
        assert numbers == producer.stored + producer.rejected + producer.spooled + producer.lost
    return result


def counts(result: AuditResult) -> dict[Finding, int]:
    """What was found; that events are in no run, as in tests of their numbers, is another test's."""
    found = result.findings.difference_counts
    return {kind: count for kind, count in found.items() if kind is not Finding.LATE_USAGE}


def the_producer(result: AuditResult) -> AuditedProducer:
    (producer,) = result.findings.producers
    return producer


def details(result: AuditResult) -> list[str]:
    return [
        difference.detail
        for difference in result.findings.differences
        if difference.kind is not Finding.LATE_USAGE
    ]


@pytest.fixture
async def billed(ledger: Ledger) -> Ledger:
    """Three hours with events of three customers and two fine-tunes, all stored and rated."""
    events = [
        make_event(HOUR + hour * ONE_HOUR, producer_seq=3 * hour + n + 1, auth_id=auth)
        for hour in range(3)
        for n, auth in enumerate(("alice", "bob", "carol"))
    ]
    tuned = [
        make_event(producer_seq=10, model_id="ft:declared", base_model="meta/base-a"),
        make_event(producer_seq=11, model_id="ft:new", base_model="meta/base-b"),
        make_event(producer_seq=12, model_id="ft:new", base_model=""),
        make_event(producer_seq=13, model_id="ft:two", base_model="meta/base-a"),
        make_event(producer_seq=14, model_id="ft:two", base_model="meta/base-b"),
        make_event(producer_seq=15, model_id="nobody/knows"),
        make_event(producer_seq=16, usage_found=False),
        make_event(producer_seq=17, model_untrusted=True),
        make_event(producer_seq=18, auth_id=""),
    ]
    await store_events(ledger.pool, [*events, *tuned], LONG_AGO)
    await report(ledger.pool, status(last_seq=18, complete_until=NEXT_DAY))
    await ledger.rate(end=HOUR + 3 * ONE_HOUR, now=NOW)
    return ledger


async def test_an_empty_database_is_proven(pool: Pool) -> None:
    result = await check(pool)
    assert (result.proven, result.window_start, result.window_end) == (True, None, None)


async def test_what_was_stored_and_rated_is_proven(billed: Ledger) -> None:
    result = await check(billed.pool)
    assert result.proven, result.findings.differences
    assert (result.window_start, result.window_end) == (HOUR, HOUR + 3 * ONE_HOUR)
    found = result.findings
    assert (found.events, found.unnumbered_events, found.runs) == (18, 0, 1)
    rollups = await billed.rollups()
    assert (found.rollups, found.billed_events) == (len(rollups), sum(row["event_count"] for row in rollups))
    assert found.total_cost == sum(row["cost"] for row in rollups)
    producer = the_producer(result)
    assert (producer.first_seq, producer.last_seq, producer.stored) == (1, 18, 18)


async def test_numbers_that_neither_came_nor_wait_are_lost(ledger: Ledger) -> None:
    events = numbered(1, 2, 5, 6, 9)
    await report(ledger.pool, status(last_seq=10, spooled=6), *events)
    result = await check(ledger.pool)
    assert counts(result) == {Finding.LOST_EVENTS: 4}
    assert details(result) == ["numbers 3 to 4", "numbers 7 to 8"]
    producer = the_producer(result)
    assert (producer.stored, producer.spooled, producer.lost) == (5, 1, 4)


async def test_numbers_that_wait_in_the_spool_are_no_loss(ledger: Ledger) -> None:
    await report(ledger.pool, status(last_seq=6, spooled=5, running=2), *numbered(1, 3))
    result = await check(ledger.pool)
    assert (counts(result), the_producer(result).spooled) == ({Finding.LOST_EVENTS: 1}, 3)
    await report(ledger.pool, status(last_seq=6, spooled=4, running=2))
    result = await check(ledger.pool)
    assert (counts(result), the_producer(result).spooled) == ({}, 4)
    assert the_producer(result).open_exchanges == 2


async def test_a_gap_at_the_end_is_lost_when_the_spool_is_empty(ledger: Ledger) -> None:
    await report(ledger.pool, status(last_seq=5, stopped=True), *numbered(1, 2, 3))
    result = await check(ledger.pool)
    assert details(result) == ["numbers 4 to 5"]


async def test_numbers_given_since_its_last_word_may_still_come(ledger: Ledger) -> None:
    await report(ledger.pool, status(last_seq=2), *numbered(1, 2))
    await ledger.store(*numbered(3, 6))
    result = await check(ledger.pool)
    assert (counts(result), the_producer(result).spooled) == ({}, 2)


async def test_a_gap_of_a_sender_without_status_is_not_explained(ledger: Ledger) -> None:
    await ledger.store(*numbered(1, 4))
    result = await check(ledger.pool)
    assert (counts(result), details(result)) == ({Finding.UNEXPLAINED_GAP: 2}, ["numbers 2 to 3"])


async def test_what_a_retired_producer_still_had_is_lost(ledger: Ledger) -> None:
    await report(ledger.pool, status(last_seq=4, spooled=4), *numbered(1))
    await retire_producer(ledger.pool, "spool-1", "ops", NOW)
    result = await check(ledger.pool)
    assert (counts(result), details(result)) == ({Finding.LOST_EVENTS: 3}, ["numbers 2 to 4"])


async def test_rejected_and_conflicting_events_are_here(ledger: Ledger) -> None:
    first = make_event(producer_seq=1)
    bad = make_event(producer_seq=2, outcome="?")
    other = make_event(producer_seq=3, request_id=first.request_id)
    await report(ledger.pool, status(last_seq=3, spooled=3), first, bad, other)
    producer = the_producer(result := await check(ledger.pool))
    assert (counts(result), producer.stored, producer.rejected) == ({}, 1, 2)


async def test_numbers_that_several_events_have_are_found(ledger: Ledger) -> None:
    await report(
        ledger.pool, status(last_seq=3), *numbered(1, 2, 2, 3), make_event(producer_seq=3, outcome="?")
    )
    result = await check(ledger.pool)
    assert (counts(result), details(result)) == ({Finding.REPEATED_NUMBERS: 2}, ["number 2"])


async def test_a_conflict_under_one_number_repeats_nothing(ledger: Ledger) -> None:
    first = make_event(producer_seq=1)
    other = make_event(producer_seq=1, request_id=first.request_id.upper(), completion_tokens=99)
    await report(ledger.pool, status(last_seq=1), first, other)
    assert counts(await check(ledger.pool)) == {}


def exchange(number: int, parts: int, at: datetime = HOUR) -> list[MeteringEvent]:
    """Make the events of an exchange with parts; its own has the number."""
    own = make_event(at, producer_seq=number, part_count=parts)
    return [
        own,
        *(
            make_event(at, producer_seq=number + part, part_of=own.request_id, model_id="meta/base-b")
            for part in range(1, parts + 1)
        ),
    ]


async def test_parts_are_here_with_the_event_of_their_exchange(ledger: Ledger) -> None:
    events = [*exchange(1, 2), *exchange(4, 1), *numbered(6)]
    await report(ledger.pool, status(last_seq=6), *events)
    result = await check(ledger.pool)
    assert not counts(result), result.findings.differences
    assert (result.findings.events, result.findings.part_events) == (6, 3)


@pytest.mark.parametrize(
    ("tampering", "kind", "detail"),
    [
        ("UPDATE stored_event SET part_of = NULL WHERE producer_seq = 2", Finding.PARTS_DIFFER,
         "parts that it says it has: 2, here: 1"),
        ("UPDATE stored_event SET part_of = NULL WHERE part_of IS NOT NULL", Finding.PARTS_DIFFER,
         "parts that it says it has: 2, here: 0"),
        ("UPDATE stored_event SET part_count = 1 WHERE producer_seq = 1", Finding.PARTS_DIFFER,
         "parts that it says it has: 1, here: 2"),
        ("UPDATE stored_event SET part_count = 0 WHERE producer_seq = 1", Finding.PART_WITHOUT_EVENT,
         "it is not here, and parts of it are: 2"),
        (f"UPDATE stored_event SET {moved('event_time', '1 s')}"
         " WHERE producer_seq = 1",
         Finding.PART_WITHOUT_EVENT, "it is not here, and parts of it are: 2"),
    ],
)  # fmt: skip
async def test_parts_that_do_not_fit_their_exchange_are_found(
    ledger: Ledger, tampering: str, kind: Finding, detail: str
) -> None:
    await report(ledger.pool, status(last_seq=3), *exchange(1, 2))
    await ledger.pool.execute(tampering)
    result = await check(ledger.pool)
    assert kind in counts(result)
    assert detail in details(result)


async def test_a_part_that_was_refused_is_missing_from_its_exchange(ledger: Ledger) -> None:
    own, part = exchange(1, 1)
    part.outcome = "?"
    await report(ledger.pool, status(last_seq=2), own, part)
    assert counts(await check(ledger.pool)) == {Finding.PARTS_DIFFER: 1}


@pytest.mark.parametrize("kept", [slice(0, 1), slice(1, 3)], ids=["without its parts", "without itself"])
async def test_what_is_still_on_its_way_is_not_held_against_an_exchange(ledger: Ledger, kept: slice) -> None:
    events = [*numbered(1), *exchange(2, 2)[kept], *numbered(5)]
    await report(ledger.pool, status(last_seq=5, spooled=2), *events)
    assert set(counts(await check(ledger.pool))) <= {Finding.LOST_EVENTS}


async def test_rows_the_spool_lost_are_told(ledger: Ledger) -> None:
    await report(ledger.pool, status(lost_rows=3))
    assert counts(await check(ledger.pool)) == {Finding.LOST_SPOOL_ROWS: 3}


async def test_a_silent_producer_leaves_nothing_proven(ledger: Ledger) -> None:
    await report(ledger.pool, status(complete_until=HOUR))
    assert counts(await check(ledger.pool)) == {Finding.INCOMPLETE_PRODUCER: 1}
    assert counts(await check(ledger.pool, end=HOUR)) == {}


async def test_long_histories_are_counted_in_stretches(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_numbers, "STRETCH_EVENTS", 2)
    events = numbered(1, 2, 2, 3, 7, 8, 11)
    await report(
        ledger.pool, status(last_seq=13, spooled=8), *events, make_event(producer_seq=9, outcome="?")
    )
    producer = the_producer(result := await check(ledger.pool))
    assert (producer.stored, producer.rejected, producer.repeated, producer.lost) == (6, 1, 1, 5 + 1)
    assert details(result) == ["numbers 4 to 6", "number 10", "numbers 12 to 13", "number 2"]


async def test_the_highest_number_there_can_be_takes_no_longer(ledger: Ledger) -> None:
    await report(ledger.pool, status(last_seq=2**53), *numbered(1, 2**53))
    assert counts(await check(ledger.pool)) == {Finding.LOST_EVENTS: 2**53 - 2}


async def test_every_number_belongs_to_one_window_even_if_it_is_missing(ledger: Ledger) -> None:
    hours = [HOUR + n * ONE_HOUR for n in range(4)]
    for hour, numbers in zip(hours, ((2, 3), (), (7, 8), (11,)), strict=True):
        await ledger.store(*numbered(*numbers, at=hour))
    await report(ledger.pool, status(last_seq=14, spooled=1, complete_until=NEXT_DAY))
    windows = [await check(ledger.pool, hour, hour + ONE_HOUR) for hour in hours]
    bounds = [(the_producer(one).first_seq, the_producer(one).last_seq) for one in windows]
    assert bounds == [(1, 3), (4, 3), (4, 8), (9, 14)]
    lost = [the_producer(one).lost for one in windows]
    assert lost == [1, 0, 3, 2 + 2]
    assert sum(lost) == the_producer(await check(ledger.pool)).lost


async def test_a_window_in_which_everything_was_lost_shows_it(ledger: Ledger) -> None:
    await report(ledger.pool, status(last_seq=5, complete_until=NEXT_DAY), *numbered(1, 2))
    result = await check(ledger.pool, start=HOUR + ONE_HOUR)
    assert details(result) == ["numbers 3 to 5"]


async def test_one_producer_can_be_asked_for(ledger: Ledger) -> None:
    await report(ledger.pool, status("a", last_seq=1))
    await report(ledger.pool, status("b", last_seq=2))
    assert counts(await check(ledger.pool)) == {Finding.LOST_EVENTS: 3}
    assert counts(await check(ledger.pool, producer_id="a")) == {Finding.LOST_EVENTS: 1}
    assert counts(await check(ledger.pool, HOUR, producer_id="b")) == {Finding.LOST_EVENTS: 2}


async def test_of_many_producers_those_that_lost_most_are_kept(pool: Pool) -> None:
    for number in range(110):
        await report(pool, status(f"p{number:03}", last_seq=number))
    found = (await check(pool)).findings
    assert (found.producer_count, len(found.producers), len(found.differences)) == (110, 100, 10)
    assert min(producer.lost for producer in found.producers) == 10
    assert found.difference_counts[Finding.LOST_EVENTS] == sum(range(110))


@pytest.mark.parametrize(
    ("tampering", "kinds"),
    [
        ("UPDATE rated_usage SET cost = cost + 1 WHERE auth_id = 'bob'",
         {Finding.COST_NOT_EXPLAINED, Finding.RUN_DIFFERS_FROM_ROLLUPS}),
        ("UPDATE rated_usage SET event_count = event_count + 1 WHERE auth_id = 'bob'",
         {Finding.ROLLUP_DIFFERS_FROM_EVENTS, Finding.RUN_DIFFERS_FROM_ROLLUPS}),
        ("UPDATE rated_usage SET event_count = event_count + 9 WHERE model_id = 'ft:new'",
         {Finding.ROLLUP_DIFFERS_FROM_EVENTS, Finding.RUN_DIFFERS_FROM_ROLLUPS}),
        ("UPDATE rated_usage SET prompt_tokens = prompt_tokens + 1 WHERE auth_id = 'bob'",
         {Finding.ROLLUP_DIFFERS_FROM_EVENTS}),
        ("DELETE FROM rated_usage WHERE auth_id = 'bob'",
         {Finding.ROLLUP_MISSING, Finding.RUN_DIFFERS_FROM_ROLLUPS}),
        ("DELETE FROM rated_usage WHERE model_id = 'ft:new'",
         {Finding.ROLLUP_MISSING, Finding.RUN_DIFFERS_FROM_ROLLUPS}),
        ("UPDATE rated_usage SET auth_id = 'mallory' WHERE auth_id = 'bob'",
         {Finding.ROLLUP_WITHOUT_EVENTS, Finding.ROLLUP_MISSING}),
        ("DELETE FROM stored_event WHERE auth_id = 'bob'",
         {Finding.ROLLUP_WITHOUT_EVENTS, Finding.LOST_EVENTS, Finding.SUMS_DIFFER}),
        ("UPDATE stored_event SET completion_tokens = 1 WHERE auth_id = 'bob'",
         {Finding.ROLLUP_DIFFERS_FROM_EVENTS, Finding.SUMS_DIFFER}),
        ("UPDATE rating_run SET dry_run = true", {Finding.ROLLUP_WITHOUT_RUN}),
        ("UPDATE rating_run SET price_books = '{}'", {Finding.ROLLUP_WITHOUT_RUN}),
        ("UPDATE rating_run SET window_end = window_end - interval '1 hour', total_cost = 0",
         {Finding.ROLLUP_WITHOUT_RUN, Finding.RUN_DIFFERS_FROM_ROLLUPS}),
        ("UPDATE rating_run SET unpriced_events = unpriced_events + 1",
         {Finding.RUN_DIFFERS_FROM_ROLLUPS}),
        ("DELETE FROM stored_event WHERE NOT usage_found",
         {Finding.SUMS_DIFFER, Finding.LOST_EVENTS}),
    ],
)  # fmt: skip
async def test_tampering_is_found(billed: Ledger, tampering: str, kinds: set[Finding]) -> None:
    for table, constraint in (
        ("rated_usage", "rated_usage_cost_explained"),
        ("rating_run", "rating_run_every_event_once"),
    ):
        await billed.pool.execute(f"ALTER TABLE {table} DROP CONSTRAINT {constraint}")
    assert (await check(billed.pool)).proven
    await (billed.force if "rating_run" in tampering else billed.pool.execute)(tampering)
    assert set(counts(await check(billed.pool))) == kinds


async def test_of_a_kind_ten_are_shown_and_all_are_counted(ledger: Ledger) -> None:
    events = [make_event(HOUR + n % 3 * ONE_HOUR, auth_id=f"a{n}", producer_seq=n + 1) for n in range(60)]
    await store_events(ledger.pool, events, LONG_AGO)
    await ledger.rate(end=HOUR + 3 * ONE_HOUR, now=NOW)
    await ledger.pool.execute("UPDATE rated_usage SET prompt_tokens = prompt_tokens + 1")
    result = await check(ledger.pool)
    assert counts(result) == {Finding.ROLLUP_DIFFERS_FROM_EVENTS: 60}
    assert len(result.findings.differences) == 10


async def test_events_after_the_last_run_are_late_while_a_routine_run_will_take_them(billed: Ledger) -> None:
    late = [make_event(producer_seq=19), make_event(producer_seq=20, auth_id="dave")]
    await report(billed.pool, status(last_seq=20, complete_until=NEXT_DAY), *late, now=NOW)
    result = await check(billed.pool, now=NOW)
    assert (result.proven, result.findings.late_events) == (True, 2)
    result = await check(billed.pool, now=NEXT_DAY + 5 * ONE_HOUR)
    assert set(counts(result)) == {
        Finding.ROLLUP_DIFFERS_FROM_EVENTS,
        Finding.ROLLUP_MISSING,
        Finding.INCOMPLETE_PRODUCER,
    }


async def test_late_usage_without_tokens_is_told_in_the_hours_that_are_audited_too(billed: Ledger) -> None:
    """No rollup would show it."""
    late = make_event(producer_seq=19, usage_found=False)
    await report(billed.pool, status(last_seq=19, complete_until=NEXT_DAY), late, now=NOW)

    result = await check(billed.pool, HOUR, HOUR + ONE_HOUR, now=NEXT_DAY + 5 * ONE_HOUR)

    found = {one.kind: one.detail for one in result.findings.differences}
    assert found[Finding.LATE_USAGE].startswith(
        "1 event that run 1, the last over it, did not see: phoebe rate"
    )


async def test_events_that_a_run_saw_and_that_are_gone_are_told_as_such(billed: Ledger) -> None:
    await billed.correct("DELETE FROM stored_event WHERE producer_seq = 1")

    result = await check(billed.pool, HOUR, HOUR + ONE_HOUR, now=NEXT_DAY + 5 * ONE_HOUR)

    found = {one.kind: one.detail for one in result.findings.differences}
    assert found[Finding.LATE_USAGE].startswith(
        "gone: 1 event that run 1, the last over it, saw; this takes what is gone off the bill: phoebe rate"
    )


async def test_hours_nobody_rated_yet_are_told(ledger: Ledger) -> None:
    await report(ledger.pool, status(last_seq=2, complete_until=NEXT_DAY), *numbered(1, 2))
    result = await check(ledger.pool, now=NOW)
    assert (result.proven, result.findings.unrated_hours) == (True, 1)
    result = await check(ledger.pool)
    assert (result.findings.difference_counts, result.findings.unrated_hours) == ({Finding.LATE_USAGE: 1}, 1)
    result = await check(ledger.pool, now=HOUR + timedelta(minutes=5))
    assert result.findings.unrated_hours == 0
    await ledger.rate(dry_run=True, now=NOW)
    assert (await check(ledger.pool)).findings.unrated_hours == 1


async def test_a_price_that_came_later_shows_what_is_to_be_rated_again(billed: Ledger) -> None:
    more = PRICES.replace(b"free/free", b"nobody/knows")
    await billed.load(more, at=NOW)
    assert counts(await check(billed.pool)) == {Finding.ROLLUP_MISSING: 1}
    await billed.rate(end=HOUR + 3 * ONE_HOUR, now=NOW)
    assert (await check(billed.pool)).proven


async def test_only_the_last_run_over_an_hour_is_held_against_the_rollups(billed: Ledger) -> None:
    await billed.force("UPDATE rating_run SET total_cost = 99")
    await billed.rate(start=HOUR + ONE_HOUR, now=NOW)
    assert (await check(billed.pool)).proven
    await billed.rate(end=HOUR + 3 * ONE_HOUR, now=NOW)
    await billed.force("UPDATE rating_run SET total_cost = 99 WHERE id = (SELECT max(id) FROM rating_run)")
    assert counts(await check(billed.pool)) == {Finding.RUN_DIFFERS_FROM_ROLLUPS: 1}


async def test_a_window_leaves_out_what_is_outside(billed: Ledger) -> None:
    await billed.pool.execute(
        "UPDATE rated_usage SET prompt_tokens = prompt_tokens + 1 WHERE window_start = $1", HOUR
    )
    assert (await check(billed.pool, HOUR + ONE_HOUR, HOUR + 2 * ONE_HOUR)).proven
    assert not (await check(billed.pool, HOUR, HOUR + ONE_HOUR)).proven
    beyond = await check(billed.pool, HOUR + 9 * ONE_HOUR, HOUR + 10 * ONE_HOUR)
    assert (beyond.proven, beyond.findings.events, beyond.findings.rollups) == (True, 0, 0)


TIMES = {"stored_event": "event_time", "hourly_usage": "window_start", "rated_usage": "window_start"}


@pytest.mark.parametrize("kept", TIMES)
async def test_the_next_hour_to_audit_is_the_first_in_which_there_is_anything(
    ledger: Ledger, kept: str
) -> None:
    third, moment = HOUR + 2 * ONE_HOUR, timedelta(microseconds=1)
    await ledger.store(make_event(HOUR), make_event(third + ONE_HOUR / 2))
    await ledger.rate(HOUR, third + ONE_HOUR, now=NEXT_DAY)

    async def next_hours() -> list[datetime | None]:
        asked = (HOUR, HOUR + moment, third, third + ONE_HOUR)
        return [await ledger.pool.fetchval(*bound("audit/next_hour", window_start=start)) for start in asked]

    assert await next_hours() == [HOUR, third, third, None]
    for table in TIMES.keys() - {kept}:
        await ledger.force(f"DELETE FROM {table} WHERE {TIMES[table]} < '{third.isoformat()}'")
    assert await next_hours() == [HOUR, third, third, None]
    for table in TIMES.keys() - {kept}:
        await ledger.force(f"DELETE FROM {table}")
    assert await next_hours() == [HOUR, third, third, None]


IN_2099 = HOUR.replace(year=2099)


@pytest.mark.parametrize(
    ("kept", "found"),
    [
        ("stored_event", Finding.SUMS_DIFFER),
        ("hourly_usage", Finding.SUMS_DIFFER),
        ("rated_usage", Finding.ROLLUP_WITHOUT_EVENTS),
    ],
)
async def test_what_is_decades_away_is_audited_and_the_days_between_are_not_looked_at(
    billed: Ledger, kept: str, found: Finding
) -> None:
    await store_events(billed.pool, numbered(19, at=IN_2099), NEXT_DAY)
    await billed.rate(IN_2099, IN_2099 + ONE_HOUR, now=IN_2099 + 2 * ONE_HOUR)
    for table, column in (
        ("stored_event", "event_time"),
        ("hourly_usage", "window_start"),
        ("rated_usage", "window_start"),
    ):
        if table != kept:
            await billed.force(f"DELETE FROM {table} WHERE {column} > '2099-01-01'")
    said: list[str] = []

    result = await audit(billed.pool, AuditRequest(), NEXT_DAY, said.append)

    assert [words[:27] for words in said if words.startswith("checking bills of ")] == [
        f"checking bills of {day}" for day in ("2026-11-2", "2099-11-2")
    ], said
    assert found in counts(result)


@pytest.mark.parametrize(
    ("start", "end", "field"),
    [
        (HOUR + timedelta(seconds=1), None, "window_start"),
        (None, HOUR + timedelta(microseconds=1), "window_end"),
        (HOUR, HOUR, "window_end"),
    ],
)
async def test_a_window_that_breaks_a_rule_is_refused(
    pool: Pool, start: datetime | None, end: datetime | None, field: str
) -> None:
    with pytest.raises(InvalidWindow) as refused:
        await audit(pool, AuditRequest(start, end), NOW)
    assert refused.value.field == field


async def test_events_and_runs_that_come_meanwhile_raise_no_alarm(ledger: Ledger) -> None:
    finished = asyncio.Event()

    async def ingest() -> None:
        number = 0
        while not finished.is_set():
            events = numbered(*range(number + 1, number + 21))
            number += 20
            await report(ledger.pool, status(last_seq=number, complete_until=NEXT_DAY), *events, now=NOW)

    async def rate() -> None:
        while not finished.is_set():
            await ledger.rate(now=NOW)

    work = [asyncio.create_task(ingest()), asyncio.create_task(rate())]
    try:
        checked = 0
        while checked < 15 or not await ledger.pool.fetchval("SELECT max(id) > 5 FROM rating_run"):
            result = await check(ledger.pool, now=NOW)
            assert result.proven, result.findings.differences
            checked += 1
    finally:
        finished.set()
        await asyncio.gather(*work)
    assert the_producer(result).stored > 20


async def test_all_is_read_in_one_snapshot(billed: Ledger, database_url: str) -> None:
    async def tamper() -> None:
        connection = await asyncpg.connect(database_url)
        await connection.execute("DELETE FROM rated_usage; DELETE FROM stored_event")
        await connection.close()

    parts: list[str] = []

    def on_progress(part: str) -> None:
        parts.append(part)
        if part.startswith("checking numbers"):
            # In a thread, as this one must not go on before it is done.
            with ThreadPoolExecutor() as thread:
                thread.submit(asyncio.run, tamper()).result()

    result = await audit(billed.pool, AuditRequest(), NEXT_DAY, on_progress)
    assert (result.proven, result.findings.events) == (True, 18)
    assert parts[-1] == "checking runs"
    assert not (await check(billed.pool)).proven


async def test_the_command_line_says_proven_with_0_and_not_proven_with_2(
    billed: Ledger, database_url: str, capsys: Capture
) -> None:
    window = ["--until", "2026-11-20T13:00Z"]
    assert await phoebe(database_url, "audit", *window) == 0
    shown = capsys.readouterr().out
    assert "18 events (0 without a number)" in shown
    assert shown.endswith("proven: no differences\n")

    await billed.correct("DELETE FROM stored_event WHERE producer_seq = 5")
    assert await phoebe(database_url, "audit", *window) == 2
    shown = capsys.readouterr().out
    assert "LOST_EVENTS: 1: look for the spool folder" in shown
    assert "number 5" in shown

    assert await phoebe(database_url, "audit", *window, "--producer", "spool-1", "--json") == 2
    result = json_documents.read(capsys.readouterr().out)
    assert (result["proven"], result["difference_counts"]["LOST_EVENTS"]) == (False, 1)
    assert result["differences"][0]["advice"]
    assert result["producers"][0]["lost"] == 1


async def test_what_can_not_be_checked_exits_with_1(pool: Pool, database_url: str, capsys: Capture) -> None:
    assert await phoebe(database_url, "audit", "--since", "2026-11-20T10:30Z") == 1
    assert "--since must be a whole UTC hour" in capsys.readouterr().err
    await pool.execute("ALTER TABLE rated_usage RENAME TO elsewhere")
    assert await phoebe(database_url, "audit") == 1
    assert "it could not be checked" in capsys.readouterr().err


async def test_the_call_answers_what_the_audit_found(rater: Rater) -> None:
    await report(rater.pool, status(last_seq=3, complete_until=None, spooled=1, running=2), *numbered(1))
    answer = await rater.rating.Audit(rating_pb2.AuditRequest(window_start=to_timestamp(HOUR)))
    assert not answer.proven
    assert (answer.events, answer.unrated_hours, answer.producer_count) == (1, answer.unrated_hours, 1)
    (producer,) = answer.producers
    assert (producer.stored, producer.lost, producer.open_exchanges) == (1, 2, 2)
    assert not producer.HasField("complete_until")
    kinds = {count.kind: count.count for count in answer.difference_counts}
    assert kinds["LOST_EVENTS"] == 2
    assert {difference.kind for difference in answer.differences} == set(kinds)


async def test_a_call_with_a_wrong_window_or_producer_is_refused(rater: Rater) -> None:
    wrong = rating_pb2.AuditRequest(window_end=to_timestamp(HOUR + timedelta(seconds=1)))
    assert await failure(rater.rating.Audit(wrong)) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_WINDOW",
        "window_end",
    )
    odd = rating_pb2.AuditRequest(producer_id="\0")
    assert await failure(rater.rating.Audit(odd)) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_REQUEST",
        "producer_id",
    )


async def test_numbers_are_read_from_their_index(ledger: Ledger) -> None:
    await ledger.store(make_event(producer_seq=1), make_event(producer_seq=2, producer_id="spool-2"))
    await ledger.pool.execute(
        "INSERT INTO billing_event_default SELECT made.* FROM stored_event e, generate_series(1, 10000) n,"
        " jsonb_populate_record(e, jsonb_build_object('request_id', gen_random_uuid(),"
        " 'producer_seq', n * 2 + e.producer_seq)) made"
    )
    await ledger.pool.execute(
        "INSERT INTO rejected_event (request_id, kind, reason, producer_id, producer_seq, event, received_at)"
        " SELECT 'r' || n, 'REJECTED', 'r', 'spool-1', n * 2 + 2, n::text::bytea, now()"
        " FROM generate_series(1, 10000) n"
    )
    await ledger.pool.execute("VACUUM ANALYZE")
    numbers = {"producer_id": "spool-1", "after": 100, "up_to": 900, "limit": 10}
    repeated = bound("audit/repeated", **numbers)
    lowest = bound("audit/lowest_number", producer_id="spool-1", moment=HOUR)
    stored_only = (repeated, lowest)
    for statement in (
        bound("audit/numbers", **numbers | {"limit": 200}),
        bound("audit/gaps", **numbers),
        *stored_only,
        bound("audit/number_before", producer_id="spool-1", number=500),
        bound("audit/next_producer", after="spool-1"),
        bound("audit/producer", producer_id="spool-1"),
    ):
        text = await plan(ledger.pool, statement)
        assert re.search(r"billing_event\w*_producer", text), statement
        assert "Seq Scan on billing_event" not in text, statement
        if statement not in stored_only:
            assert "rejected_event_producer" in text, statement
            assert "Seq Scan on rejected_event" not in text, statement


async def test_where_an_hours_numbers_begin_costs_the_same_whatever_came_before_and_after(
    ledger: Ledger,
) -> None:
    pages = []
    for events in (500, 10_000):
        await ledger.pool.execute("TRUNCATE stored_event")
        await ledger.store(make_event(producer_seq=events))
        await ledger.pool.execute(
            "INSERT INTO billing_event_default SELECT made.*"
            " FROM stored_event AS e, generate_series(1, 2 * e.producer_seq) AS n,"
            " jsonb_populate_record(e, jsonb_build_object('request_id', gen_random_uuid(), 'producer_seq', n,"
            " 'event_time', e.event_time + sign(n - e.producer_seq) * interval '1 hour'"
            " + (n - e.producer_seq) * interval '1 second')) AS made WHERE n <> e.producer_seq"
        )
        await ledger.pool.execute("VACUUM ANALYZE")
        lowest = bound("audit/lowest_number", producer_id="spool-1", moment=HOUR + ONE_HOUR)
        assert await ledger.pool.fetchval(*lowest) == events + 1
        pages.append(await pages_read(ledger.pool, lowest))
    assert pages[1] < 2 * pages[0]

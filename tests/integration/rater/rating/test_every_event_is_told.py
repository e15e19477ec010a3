"""Whatever comes in whatever order, between whatever runs: no event is in no bill, no count and no name."""

import asyncio
from datetime import datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from phoebe_proto.v1.metering_pb2 import MeteringEvent
from rater_service.events.producer_status import StatusRow
from rater_service.events.store import store_events
from rater_service.hours import hour_of, trailing_window
from rater_service.rating.run import Mode, RateResult
from tests.harness.ledger import HOUR, ONE_HOUR, Ledger, make_event

START = HOUR + timedelta(minutes=20)
# Hours before the start, and after it: within a run's reach and beyond, ahead and absurd.
AGES_H = st.sampled_from([0, 1, 23, 24, 25, 26, 30, 100, 800, 839, 841, 1000, 180_000, -1, -2, -3, -500_000])
KINDS = st.sampled_from(
    [
        {},
        {"model_id": "nobody/knows"},
        {"auth_id": None},
        {"usage_found": False},
        {"usage_found": False, "outcome": "aborted"},
        {"model_untrusted": True},
        {"producer_id": "without-status"},
    ]
)
STORE = st.tuples(st.just("store"), st.lists(st.tuples(AGES_H, KINDS), min_size=1, max_size=4))
RATE = st.tuples(st.just("rate"), st.sampled_from(Mode), st.sampled_from([0, 1, 25, 100]), st.integers(0, 30))


def test_every_event_is_rated_counted_or_named(oracle_ledger: Ledger, oracle_runner: asyncio.Runner) -> None:
    @settings(max_examples=14)
    @given(st.lists(st.one_of(STORE, RATE), max_size=8))
    def holds(steps: list[tuple[object, ...]]) -> None:
        oracle_runner.run(check(oracle_ledger, steps))

    holds()


async def check(ledger: Ledger, steps: list[tuple[object, ...]]) -> None:
    await ledger.forget()
    await ledger.pool.execute("TRUNCATE producer")
    status = StatusRow("spool-1", 0, 0, 0, START.replace(year=2090), True, 0)
    await store_events(ledger.pool, [], START, status)
    now, stored = START, 0
    for kind, *what in steps:
        if kind == "store":
            events = [_event(now, *one) for one in what[0]]  # type: ignore[attr-defined] # a list of pairs
            await ledger.store(*events)
            stored += len(events)
        else:
            mode, age, later = what
            assert isinstance(mode, Mode)
            assert isinstance(age, int)
            assert isinstance(later, int)
            now += later * ONE_HOUR
            end = hour_of(now) - age * ONE_HOUR
            await ledger.rate(end - 2 * ONE_HOUR, end, now=now, mode=mode)
    last = await ledger.rate(*trailing_window(now), now=now)
    assert await _told(ledger, last, now) == stored
    assert not await _billed_twice(ledger)


def _event(now: datetime, age_h: int, fields: dict[str, object]) -> MeteringEvent:
    return make_event(now - age_h * ONE_HOUR, **fields)


async def _told(ledger: Ledger, last: RateResult, now: datetime) -> int:
    """Events that runs have counted, those that the last run named, and those that are not due yet."""
    counted = await ledger.pool.fetchval("SELECT coalesce(sum(event_count), 0)::bigint FROM rated_hour")
    named = sum(
        anomaly.events for anomaly in last.anomalies if anomaly.reason in {"LATE_USAGE", "OUT_OF_TIME"}
    )
    due_later = await ledger.pool.fetchval(
        "SELECT count(*) FROM billing_event AS event WHERE event_time >= $1 AND event_time <= $2"
        " AND date_trunc('hour', event_time, 'UTC') NOT IN (SELECT window_start FROM rated_hour)",
        hour_of(now),
        now + ONE_HOUR,
    )
    return int(counted + named + due_later)


async def _billed_twice(ledger: Ledger) -> bool:
    billed = await ledger.pool.fetchval("SELECT coalesce(sum(event_count), 0)::bigint FROM rated_usage")
    billable = await ledger.pool.fetchval(
        "SELECT count(*) FROM billing_event WHERE usage_found AND NOT model_untrusted AND auth_id IS NOT NULL"
        " AND model_id <> 'nobody/knows'"
    )
    return bool(billed > billable)

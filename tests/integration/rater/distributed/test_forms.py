"""The statements that stand a second time for distributed databases give the rows that the first give.

Both forms run on plain PostgreSQL, one after the other, so a change of one that the other lacks is noticed
without a cluster.
"""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

import asyncpg
import pytest

from rater_service.database.database import Connection
from rater_service.distributed import FORMS
from rater_service.events.store import Fate, store_events
from rater_service.statements import by_producer, statement
from tests.harness.ledger import HOUR, ONE_HOUR, Ledger, make_event

# Two call functions that only a distributed database has, and the third moves nothing, on purpose: sums of
# producers are not merged there.
ONLY_THERE = {
    "distributed/audit_lowest_number",
    "distributed/events_partition_make",
    "distributed/events_merge_slots",
}
DAY = {"window_start": HOUR - 12 * ONE_HOUR, "window_end": HOUR + 12 * ONE_HOUR}
LATER = HOUR + 24 * ONE_HOUR
ARGUMENTS: Mapping[str, Mapping[str, object]] = {
    "audit/hours": DAY,
    "audit/numbers": {"limit": 100, "up_to": 1000, "producer_id": "spool-a", "after": 0},
    "audit/parts": {**DAY, "limit": 10},
    "audit/runs": DAY,
    "bills/unrated_of": {
        "window_start": [HOUR, HOUR + ONE_HOUR],
        "unseen": [2, 1],
        "is_rated": [True, False],
        "auth_id": "alice",
        "resource_id": None,
        "model_id": None,
    },
    "events/hourly_usage_hours": DAY,
    "rating/late_hours": {
        "since": HOUR - 24 * ONE_HOUR,
        "before": LATER,
        "ahead_from": LATER,
        "except_from": LATER,
        "except_until": LATER,
    },
    "rating/late_offenders": {
        "window_start": [HOUR, HOUR + ONE_HOUR],
        "since": [HOUR, HOUR],
        "limit": 10,
    },
}
KEEP_HOURS: Mapping[str, object] = {
    "window_starts": [HOUR],
    "event_counts": [3],
    "tokens": [330],
    "window_start": HOUR,
    "window_end": HOUR + ONE_HOUR,
    "knowledge_at": datetime.fromisoformat("2040-01-01T00:00Z"),
}


async def fill(ledger: Ledger) -> None:
    """Store what each of the statements tells: rated and late events, hours that no run has seen, parts and
    numbers that are missing, and an event that was kept aside.
    """
    a, b = {"producer_id": "spool-a"}, {"producer_id": "spool-b"}
    whole = make_event(HOUR, **a, producer_seq=4, part_count=2)
    await ledger.store(
        make_event(HOUR, **a, producer_seq=1),
        make_event(HOUR, **b, producer_seq=1, auth_id="bob"),
        # One of its two parts is another event.
        whole,
        make_event(HOUR, **a, producer_seq=5, part_of=whole.request_id),
        make_event(HOUR, **a, producer_seq=6),
        # The number before a part's is another event's, and the one before the other part's is missing.
        make_event(HOUR, **b, producer_seq=2),
        make_event(HOUR, **b, producer_seq=3, part_of=str(UUID(int=2**100))),
        make_event(HOUR, **b, producer_seq=6, part_of=str(UUID(int=2**101))),
    )
    await ledger.rate()
    late = make_event(HOUR, **a, producer_seq=9)
    await ledger.store(
        late,
        make_event(HOUR, **b, producer_seq=7),
        make_event(HOUR + ONE_HOUR, **a, producer_seq=10),
        make_event(HOUR + ONE_HOUR, **b, producer_seq=9, auth_id="bob"),
        make_event(HOUR - 3 * ONE_HOUR, **b, producer_seq=12),
    )
    other = make_event(HOUR, **a, producer_seq=11, request_id=late.request_id, completion_tokens=11)
    (aside,) = await store_events(ledger.pool, [other], HOUR)
    assert aside.fate is Fate.CONFLICT


async def both(
    connection: Connection, name: str, arguments: Mapping[str, object]
) -> tuple[list[asyncpg.Record], list[asyncpg.Record]]:
    plain = statement(name)
    first = await connection.fetch(*plain.bind(arguments))
    second = await connection.fetch(*by_producer(plain).bind(arguments))
    return first, second


def test_every_form_is_compared() -> None:
    compared = {f"distributed/{name.replace('/', '_')}" for name in [*ARGUMENTS, "rating/keep_hours"]}
    assert compared == {*FORMS} - ONLY_THERE


@pytest.mark.every_postgres
@pytest.mark.parametrize("name", ARGUMENTS)
async def test_both_forms_give_the_same_rows(ledger: Ledger, name: str) -> None:
    await fill(ledger)
    async with ledger.pool.acquire() as connection:
        first, second = await both(connection, name, ARGUMENTS[name])

    assert first, "nothing to compare"
    assert [list(row.items()) for row in second] == [list(row.items()) for row in first]


async def test_both_forms_keep_the_same_hours_and_take_the_same_marks_away(ledger: Ledger) -> None:
    await fill(ledger)
    plain = statement("rating/keep_hours")
    left = []
    async with ledger.pool.acquire() as connection:
        run = await connection.fetchval("SELECT max(id) FROM rating_run")
        before = await connection.fetchval("SELECT count(*) FROM touched_hour")
        for form in (plain, by_producer(plain)):
            transaction = connection.transaction()
            await transaction.start()
            await connection.execute(*form.bind({**KEEP_HOURS, "run": run}))
            marks = await connection.fetch("SELECT * FROM touched_hour ORDER BY 1, 2, 3")
            hours = await connection.fetch("SELECT * FROM rated_hour ORDER BY 1")
            await transaction.rollback()
            left.append((marks, hours))

    assert len(left[0][0]) < before
    assert left[0][1]
    assert left[1] == left[0]

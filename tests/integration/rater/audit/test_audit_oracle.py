"""The audit of numbers against a model that goes through them one by one."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rater_service.audit import numbers as audit_numbers
from rater_service.audit.audit import AuditRequest, audit
from rater_service.audit.findings import Finding
from rater_service.events.producer_status import StatusRow
from rater_service.events.store import store_events
from tests.harness.ledger import HOUR, ONE_HOUR, Ledger, make_event

pytestmark = pytest.mark.one_postgres

NUMBERS_MAX = 25
HOURS = 3


@dataclass(frozen=True)
class Case:
    """Numbers by the hour in which their event was stored; numbers kept aside; what the producer said."""

    stored: dict[int, int]
    rejected: set[int]
    last_seq: int
    spooled: int
    heard_hour: int
    stretch: int


@st.composite
def cases(draw: st.DrawFn) -> Case:
    numbers = st.integers(1, NUMBERS_MAX)
    stored = sorted(draw(st.sets(numbers, max_size=NUMBERS_MAX)))
    # Numbers are given in the order in which exchanges end, which a clock that is set back does not show.
    hours = draw(st.lists(st.integers(0, HOURS - 1), min_size=len(stored), max_size=len(stored)))
    if draw(st.booleans()):
        hours.sort()
    return Case(
        stored=dict(zip(stored, hours, strict=True)),
        rejected=draw(st.sets(numbers, max_size=4)),
        last_seq=draw(st.integers(0, NUMBERS_MAX)),
        spooled=draw(st.integers(0, 6)),
        heard_hour=draw(st.integers(0, HOURS)),
        stretch=draw(st.integers(1, 5)),
    )


def lost_numbers(case: Case) -> list[int]:
    """The absent numbers up to the last one the producer gave, but for the newest, which it still has."""
    absent = [n for n in range(1, case.last_seq + 1) if n not in case.stored and n not in case.rejected]
    return absent[: max(len(absent) - case.spooled, 0)]


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(case=cases())
def test_every_number_is_counted_once_whatever_arrived(
    oracle_ledger: Ledger, oracle_runner: asyncio.Runner, case: Case
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(audit_numbers, "STRETCH_EVENTS", case.stretch)
        oracle_runner.run(check(oracle_ledger, case))


async def check(ledger: Ledger, case: Case) -> None:
    pool = ledger.pool
    await pool.execute("TRUNCATE stored_event, rejected_event, producer")
    events = [make_event(HOUR + hour * ONE_HOUR, producer_seq=n) for n, hour in case.stored.items()]
    await store_events(
        pool, [*events, *(make_event(producer_seq=n, outcome="?") for n in case.rejected)], HOUR
    )
    status = StatusRow("spool-1", case.last_seq, case.spooled, 0, HOUR + timedelta(days=9), False, 0)
    await store_events(pool, [], HOUR + case.heard_hour * ONE_HOUR, status)
    now = HOUR + 30 * ONE_HOUR

    result = await audit(pool, AuditRequest(), now)
    (whole,) = result.findings.producers
    highest = max([0, case.last_seq, *case.stored, *case.rejected])
    assert (whole.first_seq, whole.last_seq, whole.stored) == (1, highest, len(case.stored))
    assert whole.rejected == len(case.rejected - case.stored.keys())
    assert whole.lost == len(lost_numbers(case))
    assert whole.repeated == len(case.rejected & case.stored.keys())
    assert highest == whole.stored + whole.rejected + whole.spooled + whole.lost
    assert result.findings.difference_counts.get(Finding.LOST_EVENTS, 0) == whole.lost

    parts = []
    for hour in range(HOURS + 1):
        start = None if hour == 0 else HOUR + hour * ONE_HOUR
        end = None if hour == HOURS else HOUR + (hour + 1) * ONE_HOUR
        (part,) = (await audit(pool, AuditRequest(start, end), now)).findings.producers
        parts.append(part)
    bounds = [number for part in parts for number in (part.first_seq, part.last_seq + 1)]
    assert bounds[0] == 1
    assert bounds[1:-1:2] == bounds[2::2]
    for field in ("stored", "rejected", "spooled", "lost", "repeated"):
        assert sum(getattr(part, field) for part in parts) == getattr(whole, field), field

"""Whatever numbers producers gave, an audit says of them what it said before their events were pruned."""

import asyncio
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from phoebe_proto.v1.metering_pb2 import MeteringEvent
from rater_service.audit.audit import AuditRequest, audit
from rater_service.audit.findings import AuditResult
from rater_service.events.store import store_events
from rater_service.retention.drop import drop_events
from tests.harness.ledger import Ledger
from tests.harness.old_events import NOW, OLDEST_WEEK, WEEK, judge, make_weeks, timed_event
from tests.integration.rater.audit.test_audit import status

pytestmark = pytest.mark.one_postgres

LAST_NUMBER = 2**63 - 1
ACCEPTED = ("LOST_EVENTS", "UNEXPLAINED_GAP", "LOST_SPOOL_ROWS", "OPEN_REJECTED_EVENTS")
BEFORE = OLDEST_WEEK + 2 * WEEK

# What became of each number: in which week its event is, or that it was rejected; the others are not here.
fates = st.dictionaries(
    st.integers(1, 14) | st.just(LAST_NUMBER), st.sampled_from((0, 1, 2, "rejected")), min_size=1
)
# The last number a producer says it gave, at least, and how many events it still has; None: it says nothing.
words = st.none() | st.tuples(st.integers(0, 20), st.integers(0, 20))


def events_of(given_fates: dict[int, object]) -> list[MeteringEvent]:
    """Make the events; those of a later week ended later than those of an earlier one."""
    return [
        timed_event(BEFORE, number, outcome="?")
        if fate == "rejected"
        else timed_event(OLDEST_WEEK + int(str(fate)) * WEEK + timedelta(minutes=number % 1000), number)
        for number, fate in given_fates.items()
    ]


def of_numbers(result: AuditResult) -> tuple[object, ...]:
    """Return what an audit says of numbers."""
    found = result.findings
    return (
        [
            (p.first_seq, p.last_seq, p.stored, p.rejected, p.spooled, p.lost, p.repeated)
            for p in found.producers
        ],
        [(difference.kind, difference.detail) for difference in found.differences],
        found.difference_counts,
    )


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(given_fates=fates, said=words)
def test_an_audit_says_the_same_of_numbers_before_and_after_their_events_are_pruned(
    oracle_runner: asyncio.Runner,
    oracle_ledger: Ledger,
    given_fates: dict[int, object],
    said: tuple[int, int] | None,
) -> None:
    pool = oracle_ledger.pool
    word = None
    if said is not None:
        last, spooled = max(said[0], *given_fates), said[1]
        word = status(last_seq=last, spooled=spooled, complete_until=NOW + WEEK, stopped=True)

    async def check() -> None:
        await oracle_ledger.forget()
        await oracle_ledger.force(
            "TRUNCATE archived_file, pruned_event_range, pruned_number, rejected_event, producer"
        )
        await make_weeks(pool)
        await store_events(pool, events_of(given_fates), BEFORE, word)
        await oracle_ledger.rate(OLDEST_WEEK, BEFORE + WEEK, now=NOW)
        before = await audit(pool, AuditRequest(), NOW)
        for verdict in await judge(pool, BEFORE, ACCEPTED):
            assert not verdict.reasons
            await drop_events(pool, verdict, None, "ops", NOW)
        after = await audit(pool, AuditRequest(), NOW)
        assert of_numbers(before) == of_numbers(after)

    oracle_runner.run(check())

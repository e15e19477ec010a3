"""What only a database has whose events are distributed over several servers; on others these are skipped."""

import pytest

from rater_service.audit.audit import AuditRequest, audit
from rater_service.audit.findings import Finding
from rater_service.database.database import Pool
from rater_service.database.sessions import is_distributed
from rater_service.distributed.distribute import distribute
from rater_service.events.hourly_usage import rebuild
from rater_service.events.store import Fate, store_events
from tests.harness.ledger import HOUR, ONE_HOUR, Ledger, make_event
from tests.harness.sums import counted_sums, kept_sums


@pytest.fixture(autouse=True)
async def _only_where_events_are_distributed(pool: Pool) -> None:
    async with pool.acquire() as connection:
        if not is_distributed(connection):
            pytest.skip("only on a Citus cluster: make test-database DATABASE_URL=…")


async def test_a_batch_of_several_producers_has_sums_of_each_beside_its_events(pool: Pool) -> None:
    events = [make_event(producer_id=f"spool-{number % 5}") for number in range(20)]
    await store_events(pool, events, HOUR)

    rows = await pool.fetch(
        "SELECT producer_id, sum(event_count)::int FROM hourly_usage GROUP BY 1 ORDER BY 1"
    )
    assert [tuple(row) for row in rows] == [(f"spool-{number}", 4) for number in range(5)]
    assert await kept_sums(pool) == await counted_sums(pool)


async def test_an_event_without_a_producer_is_kept_aside_and_holds_up_no_other(pool: Pool) -> None:
    results = await store_events(pool, [make_event(), make_event(producer_id="", producer_seq=0)], HOUR)

    assert [result.fate for result in results] == [Fate.STORED, Fate.REJECTED]
    assert await pool.fetchval("SELECT count(*) FROM rejected_event") == 1


async def test_an_id_from_two_producers_is_found_by_the_audit(ledger: Ledger) -> None:
    event = make_event(producer_id="spool-1", producer_seq=1)
    copy = make_event(request_id=event.request_id, producer_id="spool-2", producer_seq=1)
    await ledger.store(event)
    await ledger.store(copy)
    await ledger.rate()

    found = await audit(ledger.pool, AuditRequest(), HOUR + 2 * ONE_HOUR)
    assert found.findings.difference_counts == {Finding.REPEATED_ID: 1}
    (difference,) = found.findings.differences
    assert event.request_id in difference.subject
    assert "spool-1, spool-2" in difference.detail


async def test_sums_of_one_producer_that_differ_are_made_again(pool: Pool) -> None:
    await store_events(pool, [make_event(producer_id=f"spool-{number}") for number in range(3)], HOUR)
    await pool.execute("UPDATE hourly_usage SET event_count = 7 WHERE producer_id = 'spool-1'")

    assert (await rebuild(pool, None, None)).hours_differing == 1
    assert (await rebuild(pool, None, None, dry_run=True)).hours_differing == 0
    assert await kept_sums(pool) == await counted_sums(pool)


async def test_to_distribute_again_changes_nothing(pool: Pool) -> None:
    assert await distribute(pool, lambda _: None) is False


async def test_sessions_do_not_ask_of_each_table_whether_it_is_a_shard(pool: Pool) -> None:
    # What asyncpg asks of a type that it meets for the first time reads pg_class several times over.
    for _ in range(2):  # as it was opened, and set anew
        async with pool.acquire() as connection:
            plan = await connection.fetch("EXPLAIN SELECT count(*) FROM pg_class")
            await connection.execute("SET citus.override_table_visibility = on")
        assert "is_a_known_shard" not in str(plan)

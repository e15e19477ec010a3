"""What only a database has whose events are distributed over several servers; on others these are skipped."""

from datetime import timedelta
from uuid import UUID

import pytest

from rater_service.audit.audit import AuditRequest, audit
from rater_service.audit.findings import Finding
from rater_service.database.database import Pool
from rater_service.database.sessions import is_distributed
from rater_service.distributed.distribute import distribute
from rater_service.events.columns import check
from rater_service.events.event_writer import EventWriter
from rater_service.events.hourly_usage import rebuild
from rater_service.events.model_names import ModelNames
from rater_service.events.partitions import first_id
from rater_service.events.routes import Routes
from rater_service.events.store import Fate, store_events
from rater_service.events.sums import KeyedEvents
from rater_service.prices.store import priced_among
from tests.harness.ledger import HOUR, ONE_HOUR, PRICES, Ledger, make_event
from tests.harness.sums import KEY, NUMBERS, counted_sums, kept_sums


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


async def test_what_a_batch_of_one_producer_writes_is_on_one_worker(pool: Pool) -> None:
    columns, _ = check([make_event(producer_id="spool-1", completion_tokens=number) for number in range(20)])
    async with pool.acquire() as connection, connection.transaction():
        writer = EventWriter(connection, Routes(), HOUR)
        await writer.copy(columns, range(20), (), None)
        await writer.add_sums(KeyedEvents.of(columns))
        backend = await connection.fetchval("SELECT citus_backend_gpid()")
        in_transaction = await pool.fetch(
            "SELECT DISTINCT nodeid FROM citus_stat_activity "
            "WHERE global_pid = $1 AND is_worker_query AND state = 'idle in transaction'",
            backend,
        )
    assert len(in_transaction) == 1
    assert await kept_sums(pool) == await counted_sums(pool)


async def test_a_batch_of_many_hours_touches_each(pool: Pool) -> None:
    hours = [HOUR - number * ONE_HOUR for number in range(30)]
    await store_events(pool, [make_event(hour, producer_id="spool-1") for hour in hours], HOUR)

    touched = await pool.fetch("SELECT window_start, producer_id FROM touched_hour ORDER BY 1 DESC")
    assert [tuple(row) for row in touched] == [(hour, "spool-1") for hour in hours]
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


@pytest.mark.parametrize("apart", [timedelta(0), ONE_HOUR, 30 * ONE_HOUR], ids=str)
async def test_an_id_that_tells_its_time_is_found_however_far_apart_its_events_are(
    ledger: Ledger, apart: timedelta
) -> None:
    id_ = str(UUID(int=first_id(HOUR).int + 7 * 2**76 + 1))
    await ledger.store(make_event(request_id=id_, producer_id="spool-1", producer_seq=1))
    await ledger.store(make_event(HOUR + apart, request_id=id_, producer_id="spool-2", producer_seq=1))

    found = await audit(ledger.pool, AuditRequest(), HOUR + 40 * ONE_HOUR)
    assert found.findings.difference_counts[Finding.REPEATED_ID] == 1


async def test_sums_of_one_producer_that_differ_are_made_again(pool: Pool) -> None:
    await store_events(pool, [make_event(producer_id=f"spool-{number}") for number in range(3)], HOUR)
    await pool.execute("UPDATE hourly_usage SET event_count = 7 WHERE producer_id = 'spool-1'")

    assert (await rebuild(pool, None, None)).hours_differing == 1
    assert (await rebuild(pool, None, None, dry_run=True)).hours_differing == 0
    assert await kept_sums(pool) == await counted_sums(pool)


async def as_before_it_was_distributed(pool: Pool) -> None:
    """Put the sums of all producers together, as those stand that were made before."""
    numbers = ", ".join(f"sum({name}) AS {name}" for name in NUMBERS.split(","))
    await pool.execute(
        f"CREATE TABLE before AS SELECT {KEY}, {numbers}, min(first_stored_at), max(last_stored_at)"
        f" FROM hourly_usage GROUP BY {KEY}"
    )
    await pool.execute("DELETE FROM hourly_usage")
    await pool.execute(
        f"INSERT INTO hourly_usage ({KEY}, {NUMBERS}, first_stored_at, last_stored_at, producer_id)"
        " SELECT *, '(all)' FROM before"
    )


async def producers_of_sums(pool: Pool) -> set[str]:
    return {row["producer_id"] for row in await pool.fetch("SELECT producer_id FROM hourly_usage")}


async def test_sums_from_before_it_was_distributed_become_each_producers(pool: Pool) -> None:
    producers = {f"spool-{number}" for number in range(3)}
    await store_events(pool, [make_event(producer_id=producer) for producer in producers], HOUR)
    await as_before_it_was_distributed(pool)
    await store_events(pool, [make_event(producer_id="spool-0")], HOUR)
    assert (await rebuild(pool, None, None, dry_run=True)).hours_differing == 0
    assert await producers_of_sums(pool) == {"(all)", "spool-0"}

    assert (await rebuild(pool, None, None)).hours_differing == 0
    assert await producers_of_sums(pool) == producers
    assert await kept_sums(pool) == await counted_sums(pool)


async def test_events_in_sums_from_before_get_their_models_names_once_these_have_prices(
    ledger: Ledger,
) -> None:
    events = [make_event(producer_id=f"spool-{number}", model_id=f"invented-{number}") for number in range(4)]
    await store_events(ledger.pool, events, HOUR, names=ModelNames(priced_among, 1))
    await as_before_it_was_distributed(ledger.pool)

    price = b'  "invented-2": { prompt: "0.000000200", cached: "0.000000050", completion: "0.000000600" }\n'
    await ledger.load(PRICES.replace(b"base_models:\n", b"base_models:\n" + price), HOUR + ONE_HOUR)
    await ledger.rate()
    assert [row["model_id"] for row in await ledger.rollups()] == ["invented-2"]
    assert await producers_of_sums(ledger.pool) == {f"spool-{number}" for number in range(4)}
    assert await kept_sums(ledger.pool) == await counted_sums(ledger.pool)


async def test_to_distribute_again_changes_nothing(pool: Pool) -> None:
    assert await distribute(pool, lambda _: None) is False


async def test_sessions_do_not_ask_of_each_table_whether_it_is_a_shard(pool: Pool) -> None:
    # What asyncpg asks of a type that it meets for the first time reads pg_class several times over.
    for _ in range(2):  # as it was opened, and set anew
        async with pool.acquire() as connection:
            plan = await connection.fetch("EXPLAIN SELECT count(*) FROM pg_class")
            await connection.execute("SET citus.override_table_visibility = on")
        assert "is_a_known_shard" not in str(plan)

"""Each schema revision on a database that already holds events and bills."""

import json
from datetime import UTC, datetime, timedelta
from importlib import import_module

import asyncpg
import pytest
import sqlalchemy
from alembic import command
from alembic.config import Config
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from phoebe_proto.v1.metering_pb2 import MeteringEvent
from rater_service.database.database import Connection, open_pool
from rater_service.database.schema import MigrationResult, migrate
from rater_service.events.store import Fate, store_events
from rater_service.events.validation import EventRow, validate
from rater_service.prices.store import store_price_file
from tests.harness.ledger import HOUR, PRICES, Ledger, make_event, nonzero
from tests.harness.sums import counted_sums, kept_sums

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


async def migrate_to(url: str, revision: str) -> int:
    """Migrate up to a revision; return how often that read all of billing_event."""

    async def connect() -> Connection:
        return await asyncpg.connect(url)

    def upgrade(connection: sqlalchemy.Connection) -> int:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", import_module("rater_service.migrations").__path__[0])
        command.upgrade(config, revision)
        scans = "SELECT seq_scan FROM pg_stat_xact_user_tables WHERE relname = 'billing_event'"
        return int(connection.exec_driver_sql(scans).scalar_one())

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    async with engine.begin() as connection:
        return await connection.run_sync(upgrade)


async def store_in_first_schema(connection: Connection, event: MeteringEvent) -> None:
    """Store an event of which the first schema has all fields."""
    columns = {name: value for name, value in row_of(event)._asdict().items() if value is not None}
    del columns["model_untrusted"]
    await connection.execute(
        "INSERT INTO billing_event SELECT * FROM jsonb_populate_record(NULL::billing_event, $1)",
        json.dumps(columns | {"stored_at": NOW}, default=str),
    )


def row_of(event: MeteringEvent) -> EventRow:
    row = validate(event)
    assert isinstance(row, EventRow)
    return row


@pytest.fixture
async def first_schema_url(empty_database_url: str) -> str:
    await migrate_to(empty_database_url, "0001")
    return empty_database_url


async def test_events_stored_before_0002_stay_as_they_are_and_are_known_again(first_schema_url: str) -> None:
    before = [make_event(), make_event(usage_found=False)]
    connection = await asyncpg.connect(first_schema_url)
    for event in before:
        await store_in_first_schema(connection, event)
    await connection.close()

    assert await migrate(first_schema_url) == MigrationResult(before="0001", after="0006")

    async with open_pool(first_schema_url) as pool:
        assert len(await kept_sums(pool)) == 2
        assert await kept_sums(pool) == await counted_sums(pool)
        rows = await pool.fetch("SELECT * FROM billing_event ORDER BY request_id")
        assert [tuple(row) for row in rows] == [row_of(event).stored(NOW) for event in before]
        assert [row["model_untrusted"] for row in rows] == [False, False]
        later = make_event(cache_write_tokens=1, model_untrusted=True)
        results = await store_events(pool, [*before, later], NOW + timedelta(hours=1))
        assert [result.fate for result in results] == [Fate.DUPLICATE, Fate.DUPLICATE, Fate.STORED]
        assert await kept_sums(pool) == await counted_sums(pool)
        ledger = Ledger(pool)
        await ledger.load(at=HOUR)
        assert nonzero(await ledger.rate()) == {"rated": 1, "missing_usage": 1, "unattributable": 1}


async def test_0002_neither_reads_nor_rewrites_the_events_that_are_there(first_schema_url: str) -> None:
    file = "SELECT pg_relation_filenode('billing_event')"
    connection = await asyncpg.connect(first_schema_url)
    await store_in_first_schema(connection, make_event())
    before = await connection.fetchval(file)
    assert await migrate_to(first_schema_url, "0002") == 0
    assert await connection.fetchval(file) == before
    await connection.close()


RUN_IN_0003 = """
INSERT INTO rating_run
    (mode, window_start, window_end, window_open, dry_run, reprice,
     events_in_window, events_rated, unpriced_events, unattributable_events, ambiguous_base_events,
     missing_usage_events, zero_charge_events, rollups_written, rollups_unchanged, reconciled_deletions,
     total_cost, anomalies, price_books, started_at)
VALUES ('ROUTINE', $1, $1::timestamptz + interval '1 hour', false, false, false,
        1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0.000023, '[]', ARRAY[$2], $1)
"""
ROLLUP_IN_0003 = """
INSERT INTO rated_usage
    (auth_id, resource_id, model_id, window_start, window_end,
     prompt_tokens, cached_tokens, completion_tokens, billable_prompt_tokens, cost,
     applied_prompt_rate, applied_cached_rate, applied_completion_rate, event_count, price_book, run,
     rated_at)
VALUES ('alice', 'deployment-1', 'meta/base-a', $1, $1::timestamptz + interval '1 hour',
        100, 20, 10, 80, 0.000023, 0.0000002, 0.00000005, 0.0000006, 1, $2, 1, $1)
"""


async def test_bills_from_before_0004_enter_the_ledger_as_they_stand(first_schema_url: str) -> None:
    connection = await asyncpg.connect(first_schema_url)
    await store_in_first_schema(connection, make_event())
    await migrate_to(first_schema_url, "0003")
    await store_price_file(connection, PRICES, "prices.yaml", HOUR)
    book = await connection.fetchval("SELECT content_hash FROM price_book")
    for statement in (RUN_IN_0003, ROLLUP_IN_0003):
        await connection.execute(statement, HOUR, book)
    await connection.close()

    await migrate(first_schema_url)

    async with open_pool(first_schema_url) as pool:
        ledger = Ledger(pool)
        (rollup,) = await ledger.rollups()
        (change,) = await ledger.changes()
        assert (
            change["kind"],
            change["rollup"],
            change["run"],
            change["new_cost"],
            change["new_price_book"],
        ) == (
            "INSERT",
            rollup["id"],
            rollup["run"],
            rollup["cost"],
            book,
        )
        again = await ledger.rate()
        assert (again.run_id, again.rollups_unchanged, again.anomalies) == (2, 1, ())
        assert len(await ledger.changes()) == 1
        runs = await pool.fetch("SELECT requested_by FROM rating_run ORDER BY id")
        assert [run["requested_by"] for run in runs] == [None, "a test"]


@pytest.fixture
async def unpartitioned_url(empty_database_url: str) -> str:
    await migrate_to(empty_database_url, "0005")
    return empty_database_url


async def store_before_0006(connection: asyncpg.Connection, *events: MeteringEvent) -> None:
    rows = [row_of(event).stored(NOW) for event in events]
    await connection.copy_records_to_table("billing_event", records=rows)


async def test_0006_moves_no_event(unpartitioned_url: str) -> None:
    connection = await asyncpg.connect(unpartitioned_url)
    events = [make_event() for _ in range(3)]
    await store_before_0006(connection, *events)
    file = await connection.fetchval("SELECT pg_relation_filenode('billing_event')")
    before = await connection.fetch("SELECT * FROM billing_event ORDER BY request_id")
    sums = await connection.fetch("SELECT * FROM hourly_usage")

    await migrate_to(unpartitioned_url, "0006")

    old = await connection.fetchrow(
        "SELECT name, lower_id, pg_relation_filenode(name::regclass) AS file FROM event_partition"
        " WHERE NOT is_default"
    )
    assert old is not None
    assert (old["name"][:20], old["lower_id"], old["file"]) == ("billing_event_until_", None, file)
    assert await connection.fetch("SELECT * FROM billing_event ORDER BY request_id") == before
    assert await connection.fetch("SELECT * FROM hourly_usage") == sums
    await connection.close()
    async with open_pool(unpartitioned_url) as pool:
        results = await store_events(pool, [*events, make_event()], NOW)
        assert [result.fate for result in results] == [Fate.DUPLICATE] * 3 + [Fate.STORED]
        assert await pool.fetchval("SELECT sum(event_count) FROM hourly_usage") == 4


async def test_0006_puts_ids_that_do_not_sort_by_time_into_the_default_partition(
    unpartitioned_url: str,
) -> None:
    odd = "fd9c8b1e-7c57-4d0e-9f0a-3b1f0e2d4c5b"
    connection = await asyncpg.connect(unpartitioned_url)
    await store_before_0006(connection, make_event(), make_event(request_id=odd))
    await migrate_to(unpartitioned_url, "0006")
    rows = await connection.fetch("SELECT request_id FROM billing_event_default")
    assert [str(row["request_id"]) for row in rows] == [odd]
    assert await connection.fetchval("SELECT sum(event_count) FROM hourly_usage") == 2
    await connection.close()


async def test_0006_keeps_the_rights_the_owner_gave_and_the_triggers(unpartitioned_url: str) -> None:
    connection = await asyncpg.connect(unpartitioned_url)
    await connection.execute(
        "DROP ROLE IF EXISTS phoebe_reader; CREATE ROLE phoebe_reader;"
        " GRANT SELECT ON billing_event TO phoebe_reader WITH GRANT OPTION;"
        " GRANT INSERT ON billing_event TO PUBLIC"
    )
    triggers = "SELECT tgname FROM pg_trigger WHERE tgrelid = 'billing_event'::regclass AND NOT tgisinternal"
    before = await connection.fetch(triggers)
    rights = "SELECT relacl::text FROM pg_class WHERE oid = 'billing_event'::regclass"
    granted = await connection.fetchval(rights)
    try:
        await migrate_to(unpartitioned_url, "0006")
        assert await connection.fetchval(rights) == granted
        after = await connection.fetch(triggers)
        assert {row["tgname"] for row in after} == {row["tgname"] for row in before} != set()
    finally:
        await connection.execute("DROP OWNED BY phoebe_reader; DROP ROLE phoebe_reader")
        await connection.close()

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
from rater_service.database import Connection, open_pool
from rater_service.event_store import Fate, store_events
from rater_service.event_validation import EventRow, validate
from rater_service.schema import MigrationResult, migrate
from tests.harness.ledger import HOUR, Ledger, make_event, nonzero

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

    assert await migrate(first_schema_url) == MigrationResult(before="0001", after="0003")

    async with open_pool(first_schema_url) as pool:
        rows = await pool.fetch("SELECT * FROM billing_event ORDER BY request_id")
        assert [tuple(row) for row in rows] == [row_of(event).stored(NOW) for event in before]
        assert [row["model_untrusted"] for row in rows] == [False, False]
        later = make_event(cache_write_tokens=1, model_untrusted=True)
        results = await store_events(pool, [*before, later], NOW + timedelta(hours=1))
        assert [result.fate for result in results] == [Fate.DUPLICATE, Fate.DUPLICATE, Fate.STORED]
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

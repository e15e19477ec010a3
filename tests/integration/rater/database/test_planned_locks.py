"""What each revision says that it locks is what PostgreSQL says that it holds."""

from dataclasses import replace

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from rater_service.database.plan import Lock
from rater_service.database.schema import (
    MigrationSettings,
    known_revisions,
    migrate,
    plan_migration,
)
from rater_service.database.schema import _apply as apply  # it has to be looked at before its commit
from rater_service.database.sessions import connect

pytestmark = pytest.mark.one_postgres

# Locks of partitions count as those of their table.
HELD = """
    SELECT DISTINCT coalesce(parent.oid, own.oid)::text, mode
    FROM pg_locks
    JOIN pg_class AS own ON own.oid = relation
    LEFT JOIN pg_inherits ON inhrelid = own.oid AND own.relispartition
    LEFT JOIN pg_class AS parent ON parent.oid = inhparent
    WHERE pid = pg_backend_pid() AND granted AND own.relkind IN ('r', 'p')
        AND own.relnamespace = current_schema()::regnamespace
"""
TABLES = """
    SELECT oid::text, relname::text FROM pg_class
    WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = current_schema()::regnamespace
"""
# By how much they are in the way, least first.
LEVELS = {f"{lock.value.title().replace(' ', '')}Lock": lock for lock in Lock}


async def rows(connection: AsyncConnection, query: str) -> list[tuple[str, ...]]:
    return [tuple(row) for row in (await connection.exec_driver_sql(query)).all()]


async def test_every_revision_holds_the_locks_that_it_states(empty_database_url: str) -> None:
    revisions = known_revisions()
    session = await connect(empty_database_url)
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: connect(empty_database_url), poolclass=NullPool
    )
    # A revision may give a table another name.
    before: dict[str, str] = {}
    async with engine.connect() as connection:
        for revision in revisions.known:
            if revision.prepare:
                await revision.prepare(session, lambda _: None)
            async with connection.begin():
                await connection.run_sync(apply, revisions, revision)
                held: dict[str, Lock] = {}
                for oid, mode in await rows(connection, HELD):
                    if (table := before.get(oid)) and mode in LEVELS:
                        held[table] = max(held.get(table, Lock.SHARE), LEVELS[mode], key=list(Lock).index)
                assert held == revision.locks, revision.id
                after = {oid: table for oid, table in await rows(connection, TABLES)}  # noqa: C416 - not pairs for mypy
            renamed = {table: after[oid] for oid, table in before.items() if after.get(oid, table) != table}
            assert renamed == revision.renames, revision.id
            # An index is made of all rows.
            assert {table for table, lock in held.items() if lock is Lock.SHARE} <= set(revision.reads)
            assert {*revision.reads, *revision.prepares} <= {*before.values()}
            assert bool(revision.prepares) == (revision.prepare is not None)
            before = after
    await session.close()
    await engine.dispose()


async def test_a_plan_names_a_lock_on_a_table_that_an_earlier_revision_of_it_renames(
    empty_database_url: str,
) -> None:
    revisions = known_revisions()
    before = [revision for revision in revisions.known if revision.id <= "0030"]
    await migrate(empty_database_url, revisions=replace(revisions, known=tuple(before)))
    _, coming = await plan_migration(empty_database_url)
    locked = {one.revision.id: [lock.table for lock in one.locks] for one in coming}
    assert locked["0035"] == ["billing_event"]
    assert locked["0039"] == ["hourly_usage", "stored_event", "touched_hour"]


async def test_a_plan_names_what_is_to_come_and_changes_nothing(empty_database_url: str) -> None:
    schema, coming = await plan_migration(empty_database_url)
    assert (schema.current, len(coming)) == (None, len(known_revisions().known))
    assert not any(revision.locks for revision in coming), "on an empty database all tables are new"
    assert await plan_migration(empty_database_url) == (schema, coming)

    told: list[str] = []
    await migrate(empty_database_url, MigrationSettings(), tell=told.append)
    assert f"{coming[0].revision.id} locks nothing that anybody waits for" in told
    _, coming = await plan_migration(empty_database_url)
    assert coming == []

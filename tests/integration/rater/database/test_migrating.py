"""Migrating: one revision at a time, each whole or not at all, and in nobody's way for long."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import cast

import asyncpg
import pytest

from migrations.long_work import make_index
from rater_service.database.database import Connection, Pool, open_pool
from rater_service.database.revisions import Extent, Phase, load_revisions
from rater_service.database.schema import (
    MIGRATION_LOCK,
    MigrationResult,
    MigrationSettings,
    known_revisions,
    migrate,
    require_fitting_schema,
)
from rater_service.distribution import installed_version
from rater_service.errors import OperatorError
from rater_service.events.store import Fate, store_events
from tests.harness.later_revisions import write_revision
from tests.harness.ledger import HOUR, make_event

COUNT = len(known_revisions().known)
# Numbers may have gaps.
KNOWN = int(known_revisions().known[-1].id)
HEAD, NEXT, AFTER = (f"{KNOWN + more:04}" for more in range(3))
TABLES = {
    "event_pattern",
    "stored_event",
    "billing_event_default",
    "pruned_event_range",
    "pruned_number",
    "partition_width",
    "archived_file",
    "rejected_event",
    "price_book",
    "price_loading",
    "rating_run",
    "rated_usage",
    "rated_usage_change",
    "rated_day",
    "rated_model_day",
    "rated_month",
    "hourly_usage",
    "hourly_usage_cold",
    "rated_hour",
    "forgotten_event",
    "erasure",
    "touched_hour",
    "producer",
    "schema_revision",
    "installation",
    "alembic_version",
}
ADD_COLUMN = "ALTER TABLE stored_event ADD COLUMN later text"
HASTY = MigrationSettings(lock_timeout=timedelta(seconds=1.5), lock_attempts=2)


async def fetch(url: str, query: str) -> list[tuple[object, ...]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()


async def tables(url: str) -> set[object]:
    return {
        name for (name,) in await fetch(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    }


async def applied(url: str) -> list[tuple[object, ...]]:
    return await fetch(url, "SELECT revision, phase FROM schema_revision ORDER BY applied_at")


@asynccontextmanager
async def holding_a_lock(url: str, statement: str) -> AsyncIterator[Connection]:
    """A session that has read or written something and does not end its transaction."""
    connection = await asyncpg.connect(url, server_settings={"application_name": "a long report"})
    try:
        async with connection.transaction():
            await connection.execute(statement)
            yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def storing_on(pool: Pool) -> AsyncIterator[list[Fate]]:
    """Store events one after the other, from one on; gives their fates. If it fails, so does the test."""
    fates: list[Fate] = []
    begun, enough = asyncio.Event(), asyncio.Event()

    async def store_on() -> None:
        while not enough.is_set():
            fates.extend(result.fate for result in await store_events(pool, [make_event()], HOUR))
            begun.set()

    async with asyncio.TaskGroup() as storing:
        storing.create_task(store_on())
        await begun.wait()
        yield fates
        enough.set()


async def test_migrating_an_empty_database_makes_the_tables_and_again_does_nothing(
    empty_database_url: str,
) -> None:
    assert await migrate(empty_database_url) == MigrationResult(before=None, after=HEAD)
    assert await tables(empty_database_url) == TABLES
    assert await applied(empty_database_url) == [(one.id, one.phase) for one in known_revisions().known]
    assert await migrate(empty_database_url) == MigrationResult(before=HEAD, after=HEAD)


async def test_of_migrations_at_once_each_revision_is_made_by_one(empty_database_url: str) -> None:
    results = await asyncio.gather(*(migrate(empty_database_url) for _ in range(4)))
    assert [result.before for result in results].count(None) == 1
    assert {result.after for result in results} == {HEAD}
    assert await applied(empty_database_url) == [(one.id, one.phase) for one in known_revisions().known]
    assert await tables(empty_database_url) == TABLES


async def test_the_service_refuses_a_database_without_schema_or_with_an_unknown_one(
    empty_database_url: str,
) -> None:
    async with open_pool(empty_database_url) as pool:
        with pytest.raises(OperatorError, match="run `phoebe migrate`"):
            await require_fitting_schema(pool)
        await migrate(empty_database_url)
        await require_fitting_schema(pool)
        await pool.execute("UPDATE alembic_version SET version_num = '9999'")
        with pytest.raises(OperatorError, match="use the later version"):
            await require_fitting_schema(pool)
        with pytest.raises(OperatorError, match="use the later version"):
            await migrate(empty_database_url)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://user:sec/ret@localhost:1/x", "not a PostgreSQL URL"),
        ("mysql://user:secret@localhost/x", "not a PostgreSQL URL"),
        ("postgresql://user:secret@127.0.0.1:1/x", "can't be used"),
    ],
)
async def test_a_database_that_can_not_be_reached_is_an_error_without_the_password(
    url: str, said: str
) -> None:
    with pytest.raises(OperatorError, match=said) as failed:
        await migrate(url)
    assert "sec" not in str(failed.value)
    with pytest.raises(OperatorError, match=said):
        async with open_pool(url):
            pass


async def test_a_revision_that_fails_changes_nothing_and_those_before_it_stay(
    database_url: str, tmp_path: Path
) -> None:
    write_revision(tmp_path, KNOWN + 1, "CREATE TABLE one ()")
    write_revision(tmp_path, KNOWN + 2, "CREATE TABLE two (); SELECT 1 / 0")
    before = await tables(database_url)
    said: list[str] = []

    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(database_url, revisions=load_revisions(tmp_path), tell=said.append)

    assert await tables(database_url) == before | {"one"}
    assert (await applied(database_url))[COUNT:] == [(NEXT, "expand")]
    assert [line for line in said if "(expand)" in line] == [
        f"{number} (expand): Revision {int(number)} of a later version." for number in (NEXT, AFTER)
    ]


async def test_a_migration_that_only_expands_stops_before_what_takes_away(
    database_url: str, tmp_path: Path
) -> None:
    write_revision(tmp_path, KNOWN + 1, ADD_COLUMN)
    write_revision(tmp_path, KNOWN + 2, "ALTER TABLE producer DROP COLUMN name", Phase.CONTRACT)
    later = load_revisions(tmp_path)
    expand_only = MigrationSettings(Extent.EXPAND)

    result = await migrate(database_url, expand_only, revisions=later)

    assert (result.before, result.after) == (HEAD, NEXT)
    assert [revision.id for revision in result.left] == [AFTER]
    assert await migrate(database_url, expand_only, revisions=later) == replace(result, before=NEXT)
    assert await migrate(database_url, revisions=later) == MigrationResult(NEXT, AFTER)
    assert (await applied(database_url))[COUNT:] == [(NEXT, "expand"), (AFTER, "contract")]


async def test_a_service_of_this_version_starts_on_what_is_needed_though_a_release_was_skipped(
    database_url: str, tmp_path: Path
) -> None:
    write_revision(tmp_path, KNOWN + 1, "SELECT 1", Phase.CONTRACT)
    write_revision(tmp_path, KNOWN + 2, ADD_COLUMN)
    write_revision(tmp_path, KNOWN + 3, "ALTER TABLE producer DROP COLUMN name", Phase.CONTRACT)
    later = load_revisions(tmp_path)

    result = await migrate(database_url, MigrationSettings(Extent.NEEDED), revisions=later)

    assert (result.after, [revision.phase for revision in result.left]) == (AFTER, [Phase.CONTRACT])
    async with open_pool(database_url) as pool:
        await require_fitting_schema(pool, later)


async def test_what_others_need_is_taken_away_once_no_other_version_has_a_session(
    database_url: str, pool: Pool, tmp_path: Path
) -> None:
    write_revision(tmp_path, KNOWN + 1, ADD_COLUMN)
    write_revision(tmp_path, KNOWN + 2, "ALTER TABLE producer DROP COLUMN name", Phase.CONTRACT)
    later = load_revisions(tmp_path)
    said: list[str] = []
    earlier = await asyncpg.connect(database_url, server_settings={"application_name": "phoebe 0.0.9"})

    def tell(line: str) -> None:
        said.append(line)
        if line.startswith("waiting until"):
            earlier.terminate()

    # Sessions of this version are in nobody's way.
    assert await pool.fetchval("SHOW application_name") == f"phoebe {installed_version()}"
    hasty = MigrationSettings(wait_for_others=timedelta(0))
    with pytest.raises(OperatorError, match=r"phoebe 0\.0\.9 from .* still runs on this database"):
        await migrate(database_url, hasty, revisions=later)
    assert (await applied(database_url))[COUNT:] == [(NEXT, "expand")]

    patient = MigrationSettings(wait_for_others=timedelta(minutes=1))
    assert (await migrate(database_url, patient, revisions=later, tell=tell)).after == AFTER
    (waited,) = (line for line in said if line.startswith("waiting until"))
    place = "this machine" if "host=%2F" in database_url or "host=/" in database_url else "[^ ]+"
    assert re.fullmatch(f"waiting until no other version runs: phoebe 0.0.9 from {place}", waited)


async def test_a_migration_names_who_is_in_its_way_and_lets_others_pass_while_it_waits(
    database_url: str, pool: Pool, tmp_path: Path
) -> None:
    write_revision(tmp_path, KNOWN + 1, ADD_COLUMN)
    said: dict[str, int] = {}  # a line, and how many events were stored before it

    def tell(line: str) -> None:
        said[line] = len(fates)

    async with (
        asyncio.timeout(60),
        holding_a_lock(database_url, "SELECT FROM billing_event") as reader,
        storing_on(pool) as fates,
    ):
        pid = await reader.fetchval("SELECT pg_backend_pid()")
        with pytest.raises(OperatorError, match="nothing of this revision was changed") as failed:
            await migrate(database_url, HASTY, revisions=load_revisions(tmp_path), tell=tell)
        stored = len(fates)

    who = (
        rf'pid {pid} \(application "a long report", role \w+, idle in transaction, its query began \d+ s ago'
    )
    assert re.search(who, str(failed.value))
    (waiting,) = (line for line in said if re.match(f"waiting for a lock that is held by {who}", line))
    assert len([line for line in said if "(2 of 2)" in line]) == 1
    assert set(fates) == {Fate.STORED}
    assert stored > said[waiting]
    assert (await applied(database_url))[COUNT:] == []


async def test_a_lock_that_is_given_back_is_had_at_the_next_attempt(
    database_url: str, tmp_path: Path
) -> None:
    write_revision(tmp_path, KNOWN + 1, ADD_COLUMN)
    refused = asyncio.Event()

    def tell(line: str) -> None:
        if "once more" in line:
            refused.set()

    async with holding_a_lock(database_url, "SELECT FROM billing_event LIMIT 1"):
        settings = replace(HASTY, lock_timeout=timedelta(seconds=0.1), lock_attempts=10)
        migrating = asyncio.create_task(
            migrate(database_url, settings, revisions=load_revisions(tmp_path), tell=tell)
        )
        await asyncio.wait_for(refused.wait(), 30)
    assert await migrating == MigrationResult(HEAD, NEXT)


async def test_a_statement_that_takes_too_long_is_given_up(database_url: str, tmp_path: Path) -> None:
    write_revision(tmp_path, KNOWN + 1, "CREATE TABLE one (); SELECT pg_sleep(60)")
    before = await tables(database_url)
    with pytest.raises(OperatorError, match=r"longer than --statement-timeout, 0\.2 s"):
        await migrate(
            database_url,
            MigrationSettings(statement_timeout=timedelta(seconds=0.2)),
            revisions=load_revisions(tmp_path),
        )
    assert await tables(database_url) == before


async def test_a_role_that_may_not_change_the_schema_is_told_who_may(
    database_url: str, tmp_path: Path
) -> None:
    write_revision(tmp_path, KNOWN + 1, f"SET LOCAL ROLE pg_monitor; {ADD_COLUMN}")
    with pytest.raises(
        OperatorError, match=r"must be owner of table stored_event.*as the owner of the database"
    ):
        await migrate(database_url, revisions=load_revisions(tmp_path))


MANY_ROWS = "CREATE TABLE many AS SELECT id, false AS filled FROM generate_series(1, 12000) AS id"
FILL = "UPDATE many SET filled = true WHERE id IN (SELECT id FROM many WHERE NOT filled ORDER BY id LIMIT $1)"


async def test_what_takes_long_is_done_in_steps_and_goes_on_where_it_was_cut_short(
    database_url: str, tmp_path: Path
) -> None:
    refuse = "ALTER TABLE many ADD CONSTRAINT not_yet CHECK (NOT filled OR id <= 7000)"
    write_revision(tmp_path, KNOWN + 1, f"{MANY_ROWS}; {refuse}")
    write_revision(
        tmp_path,
        KNOWN + 2,
        "ALTER TABLE many ADD CONSTRAINT all_filled CHECK (filled)",
        prepare=f"fill(connection, {FILL!r}, tell)",
    )
    filled = "SELECT count(*) FROM many WHERE filled"

    with pytest.raises(asyncpg.CheckViolationError):
        await migrate(database_url, revisions=load_revisions(tmp_path))
    assert await fetch(database_url, filled) == [(5000,)]
    assert (await applied(database_url))[COUNT:] == [(NEXT, "expand")]

    await fetch(database_url, "ALTER TABLE many DROP CONSTRAINT not_yet")
    assert await migrate(database_url, revisions=load_revisions(tmp_path)) == MigrationResult(NEXT, AFTER)
    assert await fetch(database_url, filled) == [(12000,)]


async def test_a_migration_that_waits_for_another_is_in_no_transaction_for_which_an_index_would_wait(
    database_url: str,
) -> None:
    others = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    waits = asyncio.Event()
    other = await asyncpg.connect(database_url)
    await other.execute(f"SELECT pg_advisory_lock({MIGRATION_LOCK})")
    async with asyncio.timeout(30), asyncio.TaskGroup() as migrations:
        migrations.create_task(migrate(database_url, tell=lambda _: waits.set()))
        await waits.wait()
        assert await other.fetch(others)
        while await other.fetch(f"{others} AND xact_start IS NOT NULL"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await other.execute(f"SELECT pg_advisory_unlock({MIGRATION_LOCK})")
    await other.close()


async def test_migrations_at_once_do_not_wait_for_each_other_where_an_index_is_made(
    database_url: str, tmp_path: Path
) -> None:
    index = "make_index(connection, 'stored_event_later', 'stored_event', '(api)', tell)"
    write_revision(tmp_path, KNOWN + 1, "SELECT", prepare=index)
    revisions = load_revisions(tmp_path)
    async with asyncio.timeout(60):
        results = await asyncio.gather(*(migrate(database_url, revisions=revisions) for _ in range(3)))
    assert sorted(result.before for result in results if result.before) == [HEAD, NEXT, NEXT]


async def test_an_index_is_made_while_events_are_stored_and_again_if_it_was_cut_short(
    database_url: str, pool: Pool, tmp_path: Path
) -> None:
    write_revision(
        tmp_path,
        KNOWN + 1,
        "SELECT",
        prepare="make_index(connection, 'stored_event_later', 'stored_event', '(api)', tell)",
    )
    await store_events(pool, [make_event(), make_event()], HOUR)
    left_behind = "CREATE UNIQUE INDEX CONCURRENTLY billing_event_default_later ON billing_event_default"
    with suppress(asyncpg.UniqueViolationError):
        await fetch(database_url, f"{left_behind} (producer_id, usage_found)")
    said: list[str] = []
    async with storing_on(pool) as fates:
        stored = len(fates)
        assert await migrate(
            database_url, revisions=load_revisions(tmp_path), tell=said.append
        ) == MigrationResult(HEAD, NEXT)
        assert len(fates) > stored
    valid = "SELECT indisvalid, indisunique FROM pg_index WHERE indexrelid::regclass::text LIKE '%_later'"
    assert set(await fetch(database_url, valid)) == {(True, False)}
    assert set(fates) == {Fate.STORED}
    assert any(line.startswith("index stored_event_later: partition 1 of ") for line in said)


class PartitionComesMeanwhile:
    """A session in which another one makes a partition as soon as the partitions are listed."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> object:
        return getattr(self._connection, name)

    async def fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        rows = await self._connection.fetch(query, *arguments)
        await self._connection.execute("CREATE TABLE many_2 PARTITION OF many FOR VALUES IN (2)")
        return rows


async def test_an_index_is_valid_although_a_partition_comes_while_it_is_made(pool: Pool) -> None:
    async with pool.acquire() as connection:
        await connection.execute("CREATE TABLE many (id bigint) PARTITION BY LIST (id)")
        await connection.execute("CREATE TABLE many_1 PARTITION OF many FOR VALUES IN (1)")
        session = cast("Connection", PartitionComesMeanwhile(connection))

        await make_index(session, "many_id", "many", "(id)", print)

        indexes = await connection.fetch(
            "SELECT indrelid::regclass::text, indisvalid FROM pg_index"
            " WHERE indrelid::regclass::text LIKE 'many%' ORDER BY 1"
        )
    assert [tuple(index) for index in indexes] == [("many", True), ("many_1", True), ("many_2", True)]


async def test_an_index_that_is_not_valid_in_the_end_is_no_success(pool: Pool) -> None:
    async with pool.acquire() as connection:
        await connection.execute("CREATE TABLE many (id bigint) PARTITION BY LIST (id)")
        await connection.execute("CREATE TABLE many_1 PARTITION OF many FOR VALUES IN (1)")
        await connection.execute("CREATE INDEX many_id ON ONLY many (id)")
        await connection.execute("CREATE INDEX many_1_id ON many_1 (id)")
        await connection.execute("ALTER INDEX many_id ATTACH PARTITION many_1_id")
        await connection.execute(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'many_id'::regclass"
        )
        with pytest.raises(OperatorError, match=r"many_id is not valid yet: run `phoebe migrate` again"):
            await make_index(connection, "many_id", "many", "(id)", print)

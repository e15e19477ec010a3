"""Documented commands, taken at their word: backups, restores, and moves by replication and from --data."""

import asyncio
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest

from rater_service.database.database import Pool, open_pool
from rater_service.database.embedded import server as embedded_server
from rater_service.database.numbers import refuse_numbers_behind
from rater_service.database.schema import migrate
from rater_service.errors import OperatorError
from rig.postgres import execute
from tests.harness.ledger import HOUR, Ledger, make_event
from tests.harness.old_events import make_weeks, timed_event
from tests.harness.own_postgres import OwnPostgres, binaries_of, own_postgres
from tests.harness.postgres import PostgresServer
from tests.harness.waiting import until_told

pytestmark = pytest.mark.long

DOCS = Path(__file__).parents[4] / "docs"
MONTH = (HOUR.replace(day=1, hour=0), HOUR.replace(month=12, day=1, hour=0))
TABLES = (
    "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') "
    "AND NOT relispartition ORDER BY relname"
)


def commands(heading: str, page: str = "databases.md") -> list[str]:
    """The blocks of commands below a heading."""
    text = (DOCS / page).read_text("utf-8")
    (section,) = re.findall(rf"^#+ {heading}\n(.*?)(?=^#+ |\Z)", text, re.MULTILINE | re.DOTALL)
    return re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def server(postgres: PostgresServer) -> Iterator[OwnPostgres]:
    """A server that can publish."""
    binaries = binaries_of(postgres.url)
    with (
        tempfile.TemporaryDirectory(prefix="phoebe-pg-") as folder,
        own_postgres(binaries, Path(folder), settings={"wal_level": "logical", "fsync": "off"}) as running,
    ):
        yield running


@pytest.fixture
def binaries(postgres: PostgresServer) -> Path:
    return binaries_of(postgres.url)


async def a_month(url: str) -> None:
    """Make a month of events of all kinds, some refused and some late, and rate it twice."""
    async with open_pool(url) as pool:
        ledger = Ledger(pool)
        await make_weeks(pool)
        await ledger.load(at=MONTH[0])
        for day in range(28):
            at = MONTH[0] + timedelta(days=day, hours=day % 24)
            await ledger.store(
                timed_event(at, 3 * day + 1, prompt_tokens=1000 + day, cached_tokens=day),
                timed_event(at, 3 * day + 2, auth_id="bob", model_id="ft:own"),
                timed_event(at, 3 * day + 3, usage_found=False),
                # An id that sorts by no time.
                make_event(at, producer_id="other", producer_seq=day + 1, model_id="tiny/nano"),
            )
        await ledger.rate(MONTH[0], MONTH[1], now=MONTH[1])
        await ledger.store(timed_event(MONTH[0], 3 * 28 + 1))
        await ledger.rate(MONTH[0], MONTH[1], now=MONTH[1])


async def everything(url: str) -> dict[str, list[tuple[object, ...]]]:
    """Read all rows of all tables."""
    connection = await asyncpg.connect(url)
    try:
        names = [row["relname"] for row in await connection.fetch(TABLES)]
        rows = {name: await connection.fetch(f"SELECT * FROM {name}") for name in names}
    finally:
        await connection.close()
    return {name: sorted(tuple(map(str, row)) for row in found) for name, found in rows.items()}


async def run(block: str, folder: Path, binaries: Path, urls: Mapping[str, str]) -> None:
    """Run a block of commands as a shell does; each must succeed."""
    phoebe = folder / "phoebe"
    phoebe.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m rater_service.cli "$@"\n')
    phoebe.chmod(0o755)
    environment = {**os.environ, **urls, "PATH": f"{folder}:{binaries}:{os.environ['PATH']}"}
    process = await asyncio.create_subprocess_exec(
        *("bash", "-euo", "pipefail", "-c", block),
        cwd=folder,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()


async def test_a_month_is_restored_and_billed_to_the_same_digit(
    server: OwnPostgres, binaries: Path, tmp_path: Path
) -> None:
    await execute(server.url, "CREATE DATABASE original", "CREATE DATABASE second")
    original, restored, second = (
        server.url.replace("/postgres?", f"/{name}?") for name in ("original", "phoebe_restored", "second")
    )
    await migrate(original)
    await a_month(original)
    before = await everything(original)
    urls = {"DATABASE_URL": original, "RESTORED_DATABASE_URL": restored}
    for heading in ("Backups", "Restored into an empty database"):
        for block in commands(heading):
            await run(block, tmp_path, binaries, urls)
    assert await everything(restored) == before
    await nothing_changes(restored)

    (block,) = commands("Only the data, into a migrated database")
    await run(block, tmp_path, binaries, {**urls, "RESTORED_DATABASE_URL": second})
    after = await everything(second)
    # The hours that restoring has touched are looked at again, besides those of the dump.
    assert set(after["touched_hour"]) >= set(before["touched_hour"])
    of_its_own = {"schema_revision", "touched_hour"}
    assert after["schema_revision"]
    assert {name: rows for name, rows in after.items() if name not in of_its_own} == {
        name: rows for name, rows in before.items() if name not in of_its_own
    }
    await nothing_changes(second)

    await execute(second, "UPDATE rated_usage SET auth_id = 'mallory' WHERE auth_id = 'alice'")
    (block,) = commands("Single tables")
    await run(block, tmp_path, binaries, {**urls, "RESTORED_DATABASE_URL": second})
    assert (await everything(second))["rated_usage"] == before["rated_usage"]


async def nothing_changes(url: str) -> None:
    """See that the numbers go on, and that rating the month again finds every bill as it must be."""
    async with open_pool(url) as pool:
        result = await Ledger(pool).rate(MONTH[0], MONTH[1], now=MONTH[1])
    assert (result.rollups_written, result.reconciled_deletions) == (0, 0)
    assert (result.rollups_unchanged, result.run_id) == (84, 3)


async def test_a_subscriber_has_every_table_and_can_take_over(
    server: OwnPostgres, binaries: Path, tmp_path: Path
) -> None:
    await execute(server.url, "CREATE DATABASE publisher", "CREATE DATABASE subscriber")
    publisher, subscriber = (
        server.url.replace("/postgres?", f"/{name}?") for name in ("publisher", "subscriber")
    )
    await migrate(publisher)
    follow, take_over = commands("Replication")
    # Both databases are on one server here: it would wait for itself to make the slot.
    follow = follow.replace('PUBLICATION phoebe"', 'PUBLICATION phoebe WITH (create_slot = false)"')
    urls = {
        "DATABASE_URL": publisher,
        "OTHER_DATABASE_URL": subscriber,
        "DATABASE_CONNECTION": f"host={server.folder} user=postgres dbname=publisher",
    }
    await execute(publisher, "SELECT pg_create_logical_replication_slot('phoebe', 'pgoutput')")
    await run(follow, tmp_path, binaries, urls)
    await a_month(publisher)
    await equal(publisher, subscriber)
    async with open_pool(subscriber) as pool, pool.acquire() as connection:
        with pytest.raises(OperatorError, match=r"rated_usage.*rating_run.*run `phoebe migrate`"):
            await refuse_numbers_behind(connection)
    await run(take_over, tmp_path, binaries, urls)
    await nothing_changes(subscriber)


async def equal(one: str, other: str) -> None:
    async def is_so() -> bool:
        return await everything(one) == await everything(other)

    await until_told(is_so)


async def test_all_of_an_embedded_database_comes_to_another_server(
    empty_database_url: str, binaries: Path, tmp_path: Path
) -> None:
    async with embedded_server(tmp_path / "data") as embedded:
        await migrate(embedded.url)
        await a_month(embedded.url)
        before = await everything(embedded.url)
    urls = {"DATABASE_URL": empty_database_url, "PHOEBE_DATA": str(tmp_path / "data")}
    (block,) = commands("Moving to your own server", "embedded-postgresql.md")
    await run(block, tmp_path, binaries, urls)
    assert await everything(empty_database_url) == before
    await nothing_changes(empty_database_url)


async def test_every_table_can_be_published_with_its_changes(pool: Pool) -> None:
    await make_weeks(pool)
    without = await pool.fetch("""
        SELECT relname
        FROM pg_class
        WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')
            AND NOT (relreplident = 'f' OR EXISTS (
                SELECT
                FROM pg_index
                WHERE indrelid = pg_class.oid
                    AND CASE relreplident WHEN 'd' THEN indisprimary WHEN 'i' THEN indisreplident END))
        """)
    assert not without


async def test_every_trigger_finds_its_tables_whatever_the_search_path(pool: Pool) -> None:
    without = await pool.fetch("""
        SELECT DISTINCT tgfoid::regprocedure::text
        FROM pg_trigger
        JOIN pg_class ON pg_class.oid = tgrelid
        JOIN pg_proc ON pg_proc.oid = tgfoid
        WHERE relnamespace = current_schema()::regnamespace AND NOT tgisinternal
            AND NOT coalesce(proconfig::text LIKE '%search_path=%pg_temp%', false)
        """)
    assert not without

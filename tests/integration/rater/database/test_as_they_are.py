"""Databases as people have them: encodings, locales, libraries that changed, roles that may do little."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from rater_service.cli import main
from rater_service.database.database import Pool, open_pool
from rater_service.database.numbers import refuse_numbers_behind, set_numbers_right
from rater_service.database.schema import migrate
from rater_service.database.server_facts import read_server_facts
from rater_service.errors import OperatorError
from rig.postgres import execute
from tests.harness.ledger import HOUR, Ledger, make_event
from tests.harness.postgres import PostgresServer

ROLES = Path(__file__).parents[4] / "docs" / "roles.md"
TURKISH = "ENCODING 'UTF8' LOCALE_PROVIDER icu ICU_LOCALE 'tr-TR'"


@asynccontextmanager
async def made_database(postgres: PostgresServer, options: str) -> AsyncIterator[str]:
    name = f"test_{uuid4().hex}"
    await execute(postgres.url, f"CREATE DATABASE {name} TEMPLATE template0 {options}")
    try:
        yield postgres.url_of(name)
    finally:
        await execute(postgres.url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.every_postgres
@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
async def test_a_database_that_can_not_keep_all_text_is_refused_with_what_to_do(
    postgres: PostgresServer, encoding: str
) -> None:
    async with made_database(postgres, f"ENCODING '{encoding}' LOCALE 'C'") as url:
        with pytest.raises(OperatorError, match=f"encoding {encoding}.*CREATE DATABASE.*ENCODING 'UTF8'"):
            await migrate(url)
        await execute(url, "DO $$ BEGIN ASSERT to_regclass('billing_event') IS NULL; END $$")


async def test_a_run_in_turkish_bills_what_it_bills_elsewhere(postgres: PostgresServer) -> None:
    try:
        async with made_database(postgres, TURKISH) as url:
            await migrate(url)
            async with open_pool(url) as pool:
                # Otherwise this shows nothing.
                assert await pool.fetchval("SELECT upper('i')") == "İ"
                ledger = Ledger(pool)
                await ledger.load()
                await ledger.store(
                    make_event(), make_event(model_id="not-priced"), make_event(usage_found=False)
                )
                result = await ledger.rate()
                assert result.rollups_written == 1
                assert {anomaly.reason for anomaly in result.anomalies} >= {"UNPRICED", "MISSING_USAGE"}
                assert [row["kind"] for row in await ledger.changes()] == ["INSERT"]
                await ledger.correct("DELETE FROM stored_event")
                await ledger.rate()
                assert (await ledger.changes())[-1]["kind"] == "DELETE"
    except asyncpg.FeatureNotSupportedError:
        pytest.skip("this PostgreSQL was built without ICU")


async def test_a_library_that_orders_text_in_another_way_now_is_warned_of(
    database_url: str, pool: Pool, caplog: pytest.LogCaptureFixture
) -> None:
    facts = await read_server_facts(pool)
    facts.warn_of_collation()
    assert caplog.text == ""
    if facts.collation_version_now is None:
        pytest.skip("no library orders text here")
    await pool.execute("UPDATE pg_database SET datcollversion = '1.0' WHERE datname = current_database()")
    (await read_server_facts(pool)).warn_of_collation()
    (warning,) = warnings_of(caplog)
    assert "from version 1.0 to" in warning
    assert f'ALTER DATABASE "{facts.name}" REFRESH COLLATION VERSION' in warning


def as_role(url: str, role: str) -> str:
    return url.replace("postgresql://postgres@", f"postgresql://{role}@")


async def skip_if_no_other_role_gets_in(url: str, role: str) -> None:
    try:
        await execute(as_role(url, role), "SELECT 1")
    except asyncpg.InvalidAuthorizationSpecificationError:
        pytest.skip("the embedded PostgreSQL lets in one role")


@asynccontextmanager
async def documented_roles(postgres: PostgresServer, url: str) -> AsyncIterator[None]:
    """Do what the page says in a database."""
    (script,) = re.findall(r"```sql\n(.*?)```", ROLES.read_text(), re.DOTALL)
    await execute(url, script)
    try:
        yield
    finally:
        for role in ("phoebe_reader", "phoebe_service", "phoebe_owner"):
            await execute(url, f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")


async def phoebe(url: str, *words: str) -> int:
    return await asyncio.to_thread(main, [*words, "--database-url", url])


WINDOW = ("--since", HOUR.isoformat(), "--until", HOUR.isoformat().replace("T10", "T11"))


async def test_the_documented_roles_can_do_their_work_and_no_more(
    postgres: PostgresServer, empty_database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with documented_roles(postgres, empty_database_url):
        await skip_if_no_other_role_gets_in(empty_database_url, "phoebe_owner")
        owner, service, reader = (
            as_role(empty_database_url, f"phoebe_{name}") for name in ("owner", "service", "reader")
        )
        assert await phoebe(owner, "migrate") == 0
        async with open_pool(service) as pool:
            ledger = Ledger(pool)
            await ledger.load()
            await ledger.store(make_event(producer_seq=1))
            assert (await ledger.rate()).rollups_written == 1
            assert (await ledger.rate()).rollups_unchanged == 1
            for refused in ("DROP TABLE rated_usage", "TRUNCATE stored_event", "CREATE TABLE mine ()"):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await pool.execute(refused)
        for words in (("report", *WINDOW), ("audit", *WINDOW), ("installation", "show")):
            assert await phoebe(reader, *words) == 0, capsys.readouterr()
        capsys.readouterr()

        assert await phoebe(reader, "rate", *WINDOW) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert "permission denied" in line


async def test_numbers_that_are_behind_are_seen_by_the_least_role_too(
    postgres: PostgresServer, empty_database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    # Roles of the session, as the embedded PostgreSQL lets in one role only.
    owner, service = (f"{empty_database_url}&role=phoebe_{name}" for name in ("owner", "service"))
    async with documented_roles(postgres, empty_database_url):
        await migrate(owner)
        async with open_pool(service) as pool, pool.acquire() as connection:
            await refuse_numbers_behind(connection)
            await execute(
                owner,
                "INSERT INTO rejected_event (id, kind, reason, event, received_at) OVERRIDING SYSTEM VALUE "
                "VALUES (7, 'REJECTED', 'restored', '', now())",
            )
            with pytest.raises(OperatorError, match="new rows of rejected_event are behind"):
                await refuse_numbers_behind(connection)
            await migrate(owner)
            await refuse_numbers_behind(connection)
            assert not warnings_of(caplog)

            await execute(owner, "REVOKE USAGE ON SEQUENCE rejected_event_id_seq FROM phoebe_service")
            await refuse_numbers_behind(connection)
    (warning,) = warnings_of(caplog)
    assert "may not see which numbers new rows of rejected_event will get" in warning


async def test_a_number_from_which_rows_were_told_to_go_on_stays(pool: Pool) -> None:
    add = (
        "INSERT INTO rejected_event (kind, reason, event, received_at) "
        "VALUES ('REJECTED', 'bad', $1, now()) RETURNING id"
    )
    async with pool.acquire() as connection:
        assert await connection.fetchval(add, b"1") == 1
        await connection.execute("ALTER SEQUENCE rejected_event_id_seq RESTART WITH 1000")
        await set_numbers_right(connection)
        await refuse_numbers_behind(connection)
        assert await connection.fetchval(add, b"2") == 1000


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


async def test_a_pool_waits_where_its_role_may_have_three_sessions(
    postgres: PostgresServer, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    role = f"few_{uuid4().hex}"
    await execute(database_url, f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 3")
    try:
        await skip_if_no_other_role_gets_in(database_url, role)
        async with open_pool(as_role(database_url, role)) as pool:
            slow = "SELECT 1 FROM pg_sleep(0.05)"
            answers = await asyncio.gather(*(pool.fetchval(slow) for _ in range(30)))
        assert answers == [1] * 30
    finally:
        await execute(database_url, f"DROP ROLE {role}")
    (warning,) = warnings_of(caplog)
    assert "allows no more sessions" in warning
    assert role in warning
    assert "--db-connections" in warning


@pytest.mark.one_postgres
async def test_what_others_take_in_a_url_is_taken(database_url: str) -> None:
    async with open_pool(
        f"{database_url}&connect_timeout=5&keepalives_idle=9&channel_binding=prefer&gssencmode=disable"
    ) as pool:
        assert await pool.fetchval("SELECT 1") == 1


@pytest.mark.one_postgres
@pytest.mark.parametrize("given", ["", "  "])
def test_a_url_that_is_empty_is_no_embedded_database(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, given: str
) -> None:
    monkeypatch.setenv("PHOEBE_DATA", str(tmp_path))
    assert main(["report", "--database-url", given]) == 1
    monkeypatch.setenv("DATABASE_URL", given)
    assert main(["report"]) == 1
    assert capsys.readouterr().err.count("DATABASE_URL is empty") == 2
    assert list(tmp_path.iterdir()) == []

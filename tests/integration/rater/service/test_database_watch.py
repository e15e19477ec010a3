"""What is told of the database while the service runs, and what an operator hears of its settings."""

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from rater_service.database.database import POOL_CONNECTIONS_MAX, Pool, open_pool
from rater_service.service import database_watch
from rater_service.service.database_watch import DatabaseWatch
from tests.harness.own_postgres import OwnPostgres, binaries_of, own_postgres
from tests.harness.postgres import PostgresServer
from tests.harness.waiting import until_found

pytestmark = pytest.mark.one_postgres


class Told:
    """What a watch tells."""

    def __init__(self, pool: Pool) -> None:
        self.said: list[bool] = []
        self.settings: dict[str, bool] = {}
        self.watch = DatabaseWatch(pool, self._note_up, self._note_setting)

    @property
    def up(self) -> bool:
        """The last word."""
        return self.said[-1]

    def _note_up(self, trouble: str | None) -> None:
        self.said.append(trouble is None)

    def _note_setting(self, name: str, is_on: bool) -> None:
        self.settings[name] = is_on


@pytest.fixture
def careless_server(postgres: PostgresServer) -> Iterator[OwnPostgres]:
    with (
        tempfile.TemporaryDirectory(prefix="phoebe-pg-") as folder,
        own_postgres(binaries_of(postgres.url), Path(folder)) as server,
    ):
        yield server


async def test_what_a_crash_would_cost_is_shouted_about_until_it_is_mended(
    careless_server: OwnPostgres, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_pool(careless_server.url) as pool:
        told = Told(pool)
        await told.watch.look()
        assert (told.up, told.settings) == (True, {"fsync": True, "full_page_writes": True})
        assert not caplog.messages

        await set_everywhere(pool, "fsync", "off")
        await set_everywhere(pool, "full_page_writes", "off")
        for _ in range(3):
            await told.watch.look()
        assert (told.up, told.settings) == (True, {"fsync": False, "full_page_writes": False})
        assert [record.levelname for record in caplog.records] == ["ERROR"] * 2
        assert "fsync = off: a crash of the machine can lose events" in caplog.messages[0]

        monkeypatch.setattr(database_watch, "REMIND_EVERY_S", 0)
        await told.watch.look()
        assert len(caplog.messages) == 4

        await set_everywhere(pool, "fsync", "on")
        await set_everywhere(pool, "full_page_writes", "on")
        await told.watch.look()
        assert (told.settings, len(caplog.messages)) == ({"fsync": True, "full_page_writes": True}, 4)


async def set_everywhere(pool: Pool, name: str, value: str) -> None:
    await pool.execute(f"ALTER SYSTEM SET {name} = {value}")
    await pool.execute("SELECT pg_reload_conf()")
    await until_found(pool, "SELECT current_setting($1) = $2", name, value)


async def test_a_database_that_is_away_is_down_until_it_is_back_and_each_reason_is_said_once(
    pool: Pool, postgres: PostgresServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_watch, "SAFE_SETTINGS", {})  # what servers of tests are set to
    name = await pool.fetchval("SELECT current_database()")
    other = await asyncpg.connect(postgres.url)
    told = Told(pool)
    await told.watch.look()
    await other.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    await other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
    async with asyncio.timeout(20):
        while told.said[-3:] != [False] * 3:
            await told.watch.look()
    await other.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    await other.close()
    await told.watch.look()
    assert told.up
    said = [record for record in caplog.records if record.name == database_watch.__name__]
    # A reason that changes is said again: first the session is lost, then there is no other.
    *reasons, end = said
    assert {record.levelname for record in reasons} == {"ERROR"}
    assert len({record.getMessage() for record in reasons}) == len(reasons) <= 2
    assert end.levelname == "WARNING"
    assert said[-1].getMessage().startswith("the database can be used again, after ")


async def test_while_all_sessions_are_in_use_what_was_told_holds(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Told(pool)
    await told.watch.look()
    busy = [pool.acquire() for _ in range(POOL_CONNECTIONS_MAX)]
    for each in busy:
        await each.__aenter__()
    async with asyncio.timeout(10):
        await told.watch.look()
    assert told.up
    for each in busy:
        await each.__aexit__(None, None, None)

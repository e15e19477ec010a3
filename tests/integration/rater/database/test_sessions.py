"""What every session is set to, however often it was lent and given back."""

import asyncio
import math
import tempfile
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import asyncpg
import pytest

from rater_service.database import sessions
from rater_service.database.database import Pool, open_pool
from rater_service.database.sessions import (
    IDLE_IN_TRANSACTION_MAX_S,
    KEEPALIVE_COUNT,
    KEEPALIVE_IDLE_S,
    KEEPALIVE_INTERVAL_S,
    UNACKNOWLEDGED_MAX_S,
)
from rater_service.rating.turn import CHECK_INTERVAL_S, rating_turn
from rig.ports import reserve_port
from tests.harness.own_postgres import OwnPostgres, binaries_of, own_postgres
from tests.harness.postgres import PostgresServer, database

TCP = Path("/proc/net/tcp")
# As the kernel writes it: a connection that is established, and the timer of its next question.
ESTABLISHED, ASKS_LATER = "01", "02"
TICKS_PER_S = 100

SETTINGS = {
    "tcp_keepalives_idle": str(KEEPALIVE_IDLE_S),
    "tcp_keepalives_interval": str(KEEPALIVE_INTERVAL_S),
    "tcp_keepalives_count": str(KEEPALIVE_COUNT),
    "tcp_user_timeout": str(UNACKNOWLEDGED_MAX_S * 1000),
    "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_MAX_S // 60}min",
    "jit": "off",
}


@pytest.fixture
def tcp_server(postgres: PostgresServer) -> Iterator[OwnPostgres]:
    with (
        tempfile.TemporaryDirectory(prefix="phoebe-pg-") as folder,
        own_postgres(binaries_of(postgres.url), Path(folder), reserve_port()) as server,
    ):
        yield server


@pytest.fixture
async def over_tcp(tcp_server: OwnPostgres) -> AsyncIterator[Pool]:
    async with open_pool(tcp_server.url) as pool:
        yield pool


async def settings(pool: Pool) -> dict[str, str]:
    async with pool.acquire() as session:
        return {name: await session.fetchval(f"SHOW {name}") for name in SETTINGS}


async def test_every_session_is_set_alike_and_stays_so_when_it_is_given_back(over_tcp: Pool) -> None:
    assert await settings(over_tcp) == SETTINGS
    async with over_tcp.acquire() as session:
        await session.execute("SET tcp_keepalives_idle = 7200; SET jit = on")
    async with over_tcp.acquire():  # the one that was just used
        assert await settings(over_tcp) == SETTINGS
    assert await settings(over_tcp) == SETTINGS


@pytest.mark.skipif(not TCP.exists(), reason="this system does not show the timers of its connections")
async def test_both_sides_ask_after_half_a_minute_of_silence(over_tcp: Pool) -> None:
    async with over_tcp.acquire() as session:
        row = await session.fetchrow("SELECT inet_server_port() AS server, inet_client_port() AS client")
        assert row is not None
        for local, remote in ((row["server"], row["client"]), (row["client"], row["server"])):
            async with asyncio.timeout(10):
                while (left := asks_in_s(local, remote)) is None:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            assert 0 < left <= KEEPALIVE_IDLE_S


def asks_in_s(local: int, remote: int) -> float | None:
    """In how many seconds the kernel asks whether the other side is there; None: an answer is due."""
    for line in TCP.read_text("ascii").splitlines()[1:]:
        _, here, there, state, _, timer, *_ = line.split()
        ports = tuple(int(address.rpartition(":")[2], 16) for address in (here, there))
        if ports == (local, remote) and state == ESTABLISHED:
            kind, _, ticks = timer.partition(":")
            return int(ticks, 16) / TICKS_PER_S if kind == ASKS_LATER else None
    raise AssertionError("there is no such connection")


async def test_nothing_is_said_at_the_start_that_poolers_refuse(over_tcp: Pool) -> None:
    """Of what a session starts with, PgBouncer knows these; of others it ends the connection."""
    known = {"application_name", "client_encoding"}
    changed = await over_tcp.fetch("SELECT name FROM pg_settings WHERE source = 'client'")
    assert {row["name"] for row in changed} <= known


async def test_what_the_servers_own_types_are_is_asked_once_and_not_by_every_session(
    database_url: str,
) -> None:
    arrays = "SELECT $1::numeric[], $2::timestamptz[], $3::bytea[]"
    values = [Decimal("0.1"), None], [datetime(2026, 11, 20, 10, tzinfo=UTC)], [b"", b"\0"]
    for first in (True, False):
        async with open_pool(database_url) as pool, pool.acquire() as session:
            asked: list[str] = []
            with session.query_logger(lambda logged, asked=asked: asked.append(logged.query)):
                assert tuple(await session.fetchrow(arrays, *values) or ()) == values
                await asyncio.sleep(0)  # it is told of a query in a later turn of the loop
            assert first or asked == [arrays]


async def test_a_type_of_one_database_is_not_taken_for_that_of_another(postgres: PostgresServer) -> None:
    async def number(url: str, kind: str) -> int:
        async with open_pool(url) as pool:
            await pool.execute(f"CREATE TYPE made AS {kind}")
            return int(await pool.fetchval("SELECT 'made'::regtype::oid::int"))

    async with database(postgres, "template0") as one, database(postgres, "template0") as other:
        # Types get the same numbers where the same was made before.
        assert await number(one, "ENUM ('a')") > sessions.OWN_TYPES_END
        assert await number(other, "(n int)") > sessions.OWN_TYPES_END
        for url, asked, expected in ((one, "'a'::made", "a"), (other, "row(1)::made", (1,))):
            async with open_pool(url) as pool:
                assert await pool.fetchval(f"SELECT {asked}") == expected


async def test_who_has_the_turn_or_waits_for_it_is_looked_after(pool: Pool) -> None:
    async with rating_turn(pool) as session:
        assert await session.fetchval("SHOW client_connection_check_interval") == f"{CHECK_INTERVAL_S}s"
    assert await pool.fetchval("SHOW client_connection_check_interval") == "0"


@pytest.mark.every_postgres
@pytest.mark.parametrize(
    ("configured", "found"), [("off", "on"), ("on", "on"), ("remote_write", "remote_write")]
)
async def test_what_is_answered_for_is_on_disk_whatever_the_server_is_set_to(
    pool: Pool, database_url: str, configured: str, found: str
) -> None:
    name = await pool.fetchval("SELECT current_database()")
    await pool.execute(f"ALTER DATABASE {name} SET synchronous_commit = {configured}")
    async with open_pool(database_url) as another:
        for _ in range(2):  # also once it was given back
            assert await another.fetchval("SHOW synchronous_commit") == found


async def test_nobody_switches_it_off_for_a_session_that_is_there(over_tcp: Pool) -> None:
    async with over_tcp.acquire(changes_session=False) as session:
        await session.execute("ALTER SYSTEM SET synchronous_commit = off")
        await session.execute("ALTER SYSTEM SET log_min_duration_statement = 4711")
        await session.execute("SELECT pg_reload_conf()")
        async with asyncio.timeout(10):
            while await session.fetchval("SHOW log_min_duration_statement") != "4711ms":  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert await session.fetchval("SHOW synchronous_commit") == "on"
    assert await over_tcp.fetchval("SHOW synchronous_commit") == "on"


async def change(pool: Pool, *, changes_session: bool) -> None:
    async with pool.acquire(changes_session=changes_session) as session:
        await session.execute("SET statement_timeout = '9min'")


@pytest.mark.parametrize(("changes_session", "left"), [(False, "9min"), (True, "0")])
async def test_a_session_is_set_anew_after_each_use_but_those_that_change_nothing(
    pool: Pool, monkeypatch: pytest.MonkeyPatch, changes_session: bool, left: str
) -> None:
    monkeypatch.setattr(sessions, "RESET_PERIOD_S", math.inf)
    await pool.execute("SELECT 1")
    await change(pool, changes_session=changes_session)
    assert await pool.fetchval("SHOW statement_timeout") == left
    assert await pool.fetchval("SHOW statement_timeout") == "0"


async def test_a_session_is_set_anew_now_and_then_whatever_its_uses_change(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "RESET_PERIOD_S", 0)
    await change(pool, changes_session=False)
    assert await pool.fetchval("SHOW statement_timeout") == "0"


async def test_a_session_is_set_anew_after_a_use_that_failed(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "RESET_PERIOD_S", math.inf)
    await pool.execute("SELECT 1")
    with pytest.raises(asyncpg.UndefinedTableError):
        await fail(pool)
    assert await pool.fetchval("SHOW statement_timeout") == "0"


async def fail(pool: Pool) -> None:
    async with pool.acquire(changes_session=False) as session:
        await session.execute("SET statement_timeout = '9min'")
        await session.execute("SELECT * FROM nowhere")

"""What counts as the database's trouble, which may pass, and what as a bug, which does not."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest

from rater_service.database import database
from rater_service.database.database import (
    UNAVAILABLE_ERRORS,
    Connection,
    DatabaseUnavailableError,
    Pool,
    open_pool,
)
from rater_service.database.sessions import Lent
from rater_service.errors import OperatorError
from rig.ports import reserve_port
from tests.harness.own_postgres import SOCKET, OwnPostgres
from tests.harness.postgres import PostgresServer
from tests.harness.waiting import WAIT_S, until_found


async def kill(other: Pool | Connection, pid: int) -> None:
    """End a session from the server's side, and wait until it is gone."""
    await other.execute("SELECT pg_terminate_backend($1)", pid)
    gone = "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)"
    await until_found(other, gone, pid)


async def lose_between_statements(pool: Pool) -> None:
    async with pool.acquire() as session:
        await kill(pool, session.get_server_pid())
        await session.execute("SELECT 1")


async def lose_before_the_commit(pool: Pool) -> None:
    async with pool.acquire() as session, session.transaction():
        await session.execute("SELECT 1")
        await kill(pool, session.get_server_pid())


@pytest.mark.every_postgres
@pytest.mark.parametrize(
    "lose", [lose_between_statements, lose_before_the_commit], ids=lambda each: each.__name__
)
async def test_a_session_that_is_lost_between_two_statements_is_unavailable(
    pool: Pool, lose: Callable[[Pool], Awaitable[None]]
) -> None:
    with pytest.raises(DatabaseUnavailableError, match="the session was lost"):
        await lose(pool)
    assert await pool.fetchval("SELECT 1") == 1


async def test_a_session_that_is_lost_in_the_middle_of_a_statement_is_unavailable(pool: Pool) -> None:
    async with pool.acquire() as other:
        pid = other.get_server_pid()
        sleeping = asyncio.create_task(other.execute("SELECT pg_sleep(60)"))
        await until_found(pool, "SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE pid = $1", pid)
        await pool.execute("SELECT pg_terminate_backend($1)", pid)
        with pytest.raises(UNAVAILABLE_ERRORS):
            await sleeping


async def test_a_session_that_is_lost_while_nobody_has_it_is_replaced(pool: Pool, database_url: str) -> None:
    heard = asyncio.Event()
    async with pool.acquire() as session:
        idle = session.get_server_pid()
        session.add_termination_listener(lambda _session: heard.set())
    other = await asyncpg.connect(database_url)
    await kill(other, idle)
    await other.close()
    await asyncio.wait_for(heard.wait(), WAIT_S)

    assert await asyncio.gather(*(pool.fetchval("SELECT 1") for _ in range(3))) == [1, 1, 1]


async def test_a_session_that_is_lost_after_its_work_is_done_harms_nothing(pool: Pool) -> None:
    async with pool.acquire() as session:
        await session.execute("CREATE TABLE done ()")
        await kill(pool, session.get_server_pid())
    assert await pool.fetchval("SELECT count(*) FROM done") == 0


class LateEnd:
    """A socket in front of a server's. Who connects hears all it says, but not that it hangs up."""

    def __init__(self, behind: Path) -> None:
        self._behind = behind
        self.server_hung_up = asyncio.Event()
        self.client_hung_up = asyncio.Event()

    async def connect(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_unix_connection(self._behind / SOCKET)
        passing = asyncio.create_task(pass_on(client, to_server))
        # A client that hangs up without a word, within its handshake, must not keep the server waiting.
        passing.add_done_callback(lambda _: to_server.close())
        await pass_on(server, to_client)
        self.server_hung_up.set()
        await passing
        for writer in (to_client, to_server):
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
        self.client_hung_up.set()


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)


@pytest.fixture
async def late_end(postgres: PostgresServer, tmp_path: Path) -> AsyncIterator[LateEnd]:
    end = LateEnd(Path(postgres.url.rpartition("host=")[2]))
    async with await asyncio.start_unix_server(end.connect, tmp_path / SOCKET):
        yield end


@pytest.fixture
async def late_pool(
    postgres: PostgresServer,
    database_url: str,
    late_end: LateEnd,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Pool]:
    """A pool of sessions that do not hear that their server hangs up."""
    monkeypatch.setattr(database, "CLOSE_TIMEOUT_S", 0.2)
    behind = postgres.url.rpartition("host=")[2]
    async with open_pool(database_url.replace(behind, str(tmp_path))) as pool:
        yield pool
    await late_end.client_hung_up.wait()


async def test_a_server_that_never_hangs_up_does_not_keep_a_process_from_ending(
    late_pool: Pool, caplog: pytest.LogCaptureFixture
) -> None:
    assert await late_pool.fetchval("SELECT 1") == 1
    await late_pool.close()
    assert "did not end" in caplog.text


async def commit(_session: Lent) -> None:
    """Do nothing: the commit is next."""


async def copy(session: Lent) -> None:
    await session.copy_records_to_table("copied", records=[(1,)])


@pytest.mark.every_postgres
@pytest.mark.parametrize("go_on", [commit, copy], ids=lambda each: each.__name__)
async def test_a_session_that_was_ended_and_is_not_closed_yet_is_unavailable(
    late_pool: Pool, pool: Pool, late_end: LateEnd, go_on: Callable[[Lent], Awaitable[None]]
) -> None:
    async def end_before_it_goes_on() -> None:
        async with late_pool.acquire() as session, session.transaction():
            await session.execute("CREATE TEMP TABLE copied (number integer)")
            await go_on(session)  # so that asyncpg knows the table
            await kill(pool, session.get_server_pid())
            await late_end.server_hung_up.wait()
            await asyncio.sleep(0)  # for the session to hear the server's last words
            await go_on(session)

    with pytest.raises(DatabaseUnavailableError, match="the session was lost"):
        await end_before_it_goes_on()


@pytest.mark.one_postgres
async def test_a_server_that_is_stopped_is_unavailable_and_used_again_when_it_is_back(
    own_server: OwnPostgres,
) -> None:
    async with open_pool(own_server.url) as pool:
        for stop in (own_server.kill, own_server.stop):
            await asyncio.to_thread(stop)
            with pytest.raises(UNAVAILABLE_ERRORS):
                await pool.fetchval("SELECT 1")
            # Where its socket was there is none, or nobody who listens.
            with pytest.raises(DatabaseUnavailableError):
                await pool.fetchval("SELECT 1")
            await asyncio.to_thread(own_server.start)
            assert await pool.fetchval("SELECT 1") == 1


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("127.0.0.1:{port}", "Connect"),
        ("no-such-host.invalid:5432", "ame"),
        ("/nowhere-at-all", "No such file"),
    ],
)
async def test_a_database_that_can_not_be_reached_is_unavailable(host: str, said: str) -> None:
    where = f"/phoebe?host={host}" if host.startswith("/") else f"{host.format(port=reserve_port())}/phoebe"
    with pytest.raises(OperatorError, match=said) as refused:
        await open_pool(f"postgresql://somebody@{where}").__aenter__()
    assert isinstance(refused.value.__cause__, DatabaseUnavailableError)


async def test_a_database_that_lets_us_in_no_more_is_unavailable(
    postgres: PostgresServer, pool: Pool
) -> None:
    name = await pool.fetchval("SELECT current_database()")
    other = await asyncpg.connect(postgres.url)
    await other.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    async with pool.acquire():  # the session that there is
        with pytest.raises(DatabaseUnavailableError, match="not currently accepting connections"):
            await pool.fetchval("SELECT 1")
    await other.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    await other.close()
    assert await pool.fetchval("SELECT 1") == 1


async def test_a_statement_that_takes_too_long_is_unavailable(pool: Pool) -> None:
    async def sleep() -> None:
        async with pool.acquire() as session:
            await session.execute("SELECT pg_sleep(60)", timeout=0.05)

    with pytest.raises(DatabaseUnavailableError, match="took longer"):
        await sleep()
    assert await pool.fetchval("SELECT 1") == 1


async def test_a_pool_that_is_closed_is_unavailable(database_url: str) -> None:
    async with open_pool(database_url) as pool:
        await pool.close()
        with pytest.raises(DatabaseUnavailableError, match="stopping"):
            await pool.fetchval("SELECT 1")


async def two_at_once(session: Connection) -> None:
    await asyncio.gather(session.execute("SELECT pg_sleep(0.2)"), session.execute("SELECT 1"))


async def wrong_type(session: Connection) -> None:
    await session.fetchval("SELECT $1::int", "one")


async def too_few_arguments(session: Connection) -> None:
    await session.fetchval("SELECT $1::int + $2::int", 1)


async def wrong_type_in_a_transaction(session: Connection) -> None:
    async with session.transaction():
        await wrong_type(session)


async def after_a_failed_statement(session: Connection) -> None:
    async with session.transaction():
        with suppress(asyncpg.DivisionByZeroError):
            await session.execute("SELECT 1 / 0")
        await wrong_type(session)


async def no_such_file(_: Connection) -> None:
    os.open("/nowhere-at-all", os.O_RDONLY)


async def full_disk(_: Connection) -> None:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    try:
        os.write(descriptor, b"x")
    finally:
        os.close(descriptor)


async def no_reader(_: Connection) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        os.write(writing, b"x")
    finally:
        os.close(writing)


@pytest.mark.every_postgres
@pytest.mark.parametrize(
    ("bug", "error"),
    [
        (two_at_once, asyncpg.InterfaceError),
        (wrong_type, asyncpg.DataError),
        (too_few_arguments, asyncpg.InterfaceError),
        (wrong_type_in_a_transaction, asyncpg.DataError),
        (after_a_failed_statement, asyncpg.InFailedSQLTransactionError),
        (no_such_file, FileNotFoundError),
        (full_disk, OSError),
        (no_reader, BrokenPipeError),
    ],
    ids=lambda each: each.__name__,
)
async def test_a_bug_stays_what_it_is_and_the_session_in_use(
    pool: Pool, bug: Callable[[Connection], Awaitable[None]], error: type[Exception]
) -> None:
    async with pool.acquire() as session:
        pid = session.get_server_pid()

    async def misuse() -> None:
        async with pool.acquire() as session:
            await bug(session)

    with pytest.raises(error) as raised:
        await misuse()
    assert not isinstance(raised.value, UNAVAILABLE_ERRORS)
    if bug is not two_at_once:  # asyncpg can't tell whose answer it would read next
        async with pool.acquire() as session:
            assert session.get_server_pid() == pid

"""A database session that ends between two statements is the database's trouble, not a bug of the service."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest

from rater_service.database.database import UNAVAILABLE_ERRORS
from tests.harness.own_postgres import SOCKET
from tests.harness.postgres import PostgresServer


class LateEnd:
    """A socket in front of a server's. Who connects hears all it says, but not that it hangs up."""

    def __init__(self, behind: Path) -> None:
        self._behind = behind
        self.server_hung_up = asyncio.Event()
        self.client_hung_up = asyncio.Event()

    async def connect(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_unix_connection(self._behind / SOCKET)
        passing = asyncio.create_task(pass_on(client, to_server))
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
        await end.client_hung_up.wait()


async def test_a_session_that_was_ended_and_is_not_closed_yet_is_called_unavailable(
    postgres: PostgresServer, database_url: str, late_end: LateEnd, tmp_path: Path
) -> None:
    behind = postgres.url.rpartition("host=")[2]
    session = await asyncpg.connect(database_url.replace(behind, str(tmp_path)))
    transaction = session.transaction()
    await transaction.start()
    other = await asyncpg.connect(database_url)
    await other.execute("SELECT pg_terminate_backend($1)", session.get_server_pid())
    await other.close()
    await late_end.server_hung_up.wait()
    await asyncio.sleep(0)  # for the session to hear the server's last words

    with pytest.raises(UNAVAILABLE_ERRORS):
        await transaction.commit()
    session.terminate()

"""An address that leads now to this server and now to that one, as those of load balancers do."""

import asyncio
from contextlib import suppress

from tests.harness.own_postgres import SOCKET, OwnPostgres


class SwitchingAddress:
    """A TCP port in front of a PostgreSQL server; connections that there are stay where they are."""

    def __init__(self, server: OwnPostgres) -> None:
        self._behind = server.folder / SOCKET
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def host(self) -> str:
        assert self._server is not None
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    @property
    def url(self) -> str:
        return f"postgresql://postgres@{self.host}/postgres"

    def switch_to(self, server: OwnPostgres) -> None:
        """Lead new connections to another server."""
        self._behind = server.folder / SOCKET

    async def __aenter__(self) -> "SwitchingAddress":
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connect(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            server, to_server = await asyncio.open_unix_connection(self._behind)
        except OSError:
            to_client.close()
            return
        await asyncio.gather(_pass(client, to_server), _pass(server, to_client))


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()

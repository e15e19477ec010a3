"""What has come on a socket and was shown to nobody is seen, wherever it waits."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from mitmproxy.connection import Server
from mitmproxy.proxy.server import ConnectionIO

from phoebe_addon.proxy.backpressure import PacedConnectionHandler

ENGINE = Server(address=("engine", 8000))


class Line:
    """Both ends of a connection to an engine."""

    def __init__(self, ours: ConnectionIO, engines: asyncio.StreamWriter) -> None:
        self.reader: Any = ours.reader
        self.engines = engines
        self.handler: Any = SimpleNamespace(transports={ENGINE: ours})

    def is_unread(self) -> bool:
        return PacedConnectionHandler.is_unread(self.handler, ENGINE)

    async def until_unread(self) -> None:
        async with asyncio.timeout(10):
            while not self.is_unread():  # noqa: ASYNC110 - nothing tells when bytes have come to the kernel
                await asyncio.sleep(0)


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    accepted: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()
    server = await asyncio.start_server(lambda _, writer: accepted.set_result(writer), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    engines = await accepted
    yield Line(ConnectionIO(reader=reader, writer=writer), engines)
    for end in (writer, engines):
        end.close()
    server.close()
    await server.wait_closed()


async def test_an_engine_that_says_nothing_is_quiet(line: Line) -> None:
    await asyncio.sleep(0)

    assert not line.is_unread()


async def test_what_has_come_and_was_not_read_is_seen_until_it_is(line: Line) -> None:
    line.engines.write(b"unasked")
    async with asyncio.timeout(10):
        while len(line.reader._buffer) < 7:  # noqa: ASYNC110 - nothing tells when asyncio has read them
            await asyncio.sleep(0)

    assert line.is_unread()
    assert await line.reader.readexactly(7) == b"unasked"

    assert not line.is_unread()


async def test_what_waits_in_the_kernel_is_seen_too(line: Line) -> None:
    line.reader._transport.pause_reading()
    line.engines.write(b"unasked")

    await line.until_unread()

    assert line.reader._buffer == b""


async def test_the_end_of_a_connection_is_seen(line: Line) -> None:
    line.engines.close()

    await line.until_unread()


async def test_a_connection_that_is_not_there_or_not_open_is_not_quiet(line: Line) -> None:
    assert PacedConnectionHandler.is_unread(line.handler, Server(address=("other", 1)))
    line.handler.transports[ENGINE].writer.close()

    assert line.is_unread()

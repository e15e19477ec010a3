"""The small server that operators ask."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from phoebe_runtime import operator_port

PAGE = b"all is well\n"
GET = b"GET /page HTTP/1.1\r\nHost: p\r\n\r\n"


@dataclass
class Served:
    """A port with a page, one that is large, and one that fails."""

    port: int
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.writers.append(writer)
        return reader, writer

    async def close(self) -> None:
        for writer in self.writers:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def answer(self, sent: bytes) -> bytes:
        """Send bytes on a connection of their own; return what comes until the server closes it."""
        reader, writer = await self.connect()
        writer.write(sent)
        with suppress(ConnectionError):
            return await reader.read()
        return b""

    async def status(self, sent: bytes) -> int:
        return int((await self.answer(sent)).split(b" ")[1])


@asynccontextmanager
async def served() -> AsyncIterator[Served]:
    async def page(headers: Mapping[str, str]) -> Any:
        return operator_port.Answer(PAGE + headers.get("x-word", "").encode())

    async def large(_: Any) -> Any:
        return operator_port.Answer(b"x" * 4 * 2**20)

    async def failing(_: Any) -> Any:
        raise KeyError("a bug")

    pages = {"/page": page, "/large": large, "/failing": failing}
    server = operator_port.OperatorPort("127.0.0.1", 0, pages, "1.2.3")
    running = asyncio.ensure_future(server.run())
    port = Served(server.port)
    try:
        yield port
    finally:
        await port.close()
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        server.close()


CLOSING = b"Host: p\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /page HTTP/1.1\r\n" + CLOSING, 200),
        (b"GET /page HTTP/1.0\r\n\r\n", 200),
        (b"HEAD /page HTTP/1.1\r\n" + CLOSING, 200),
        (b"GET / HTTP/1.1\r\n" + CLOSING, 404),
        (b"GET /page/ HTTP/1.1\r\n" + CLOSING, 404),
        (b"POST /page HTTP/1.1\r\n" + CLOSING, 405),
        (b"POST /page HTTP/1.1\r\nHost: p\r\nContent-Length: 1000000\r\n\r\nx", 400),
        (b"GET /page HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n", 400),
        (b"GET /failing HTTP/1.1\r\n" + CLOSING, 500),
        (b"no HTTP\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET /page HTTP/1.1\r\nHost: p\r\nX: " + b"x" * 100_000, 431),
        (b"GET /" + b"x" * 100_000, 431),
    ],
)
async def test_whatever_is_asked_gets_its_answer(
    sent: bytes, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with served() as port:
        with caplog.at_level(logging.ERROR):
            assert await port.status(sent) == status
        answer = await port.answer(b"GET /page?a=b HTTP/1.1\r\nX-Word: said\r\n" + CLOSING)
        assert answer.endswith(b"\r\n\r\n" + PAGE + b"said")
    assert (status == 500) == ("/failing failed" in caplog.text)


@pytest.mark.parametrize("sent", [GET, b"GET / HTTP/1.1\r\nHost: p\r\n\r\n", b"no HTTP\r\n\r\n"])
async def test_every_answer_tells_the_version(sent: bytes) -> None:
    async with served() as port:
        answer = await port.answer(sent.replace(b"Host", b"Connection: close\r\nHost"))
    assert b"\r\nPhoebe-Version: 1.2.3\r\n" in answer.partition(b"\r\n\r\n")[0] + b"\r\n"


async def test_requests_that_are_sent_at_once_are_answered_in_order() -> None:
    async with served() as port:
        sent = GET * 50 + b"HEAD /page HTTP/1.1\r\n" + CLOSING + GET
        answer = await port.answer(sent)

    heads, bodies = answer.count(b"HTTP/1.1 200 "), answer.count(PAGE)
    assert (heads, bodies) == (51, 50)
    assert answer.endswith(b"\r\n\r\n")


async def test_more_idle_connections_than_are_kept_take_no_threads_and_others_are_answered() -> None:
    threads = threading.active_count()
    async with served() as port:
        idle = [await port.connect() for _ in range(5 * operator_port.CONNECTIONS_MAX)]
        for _, writer in idle[::2]:
            writer.write(GET[:10])
        assert (await port.answer(b"GET /page HTTP/1.1\r\n" + CLOSING)).endswith(PAGE)
        assert threading.active_count() == threads
        # Those that have waited longest are closed, whether they said something or not.
        for reader, _ in idle[: -operator_port.CONNECTIONS_MAX]:
            with suppress(ConnectionError):
                assert await reader.read() == b""
        assert not any(reader.at_eof() for reader, _ in idle[2 - operator_port.CONNECTIONS_MAX :])


async def test_who_asks_now_and_then_keeps_its_connection_before_those_who_ask_nothing() -> None:
    async with served() as port:
        reader, writer = await port.connect()
        for _ in range(3):
            for _ in range(operator_port.CONNECTIONS_MAX - 2):
                await port.connect()
            writer.write(GET)
            assert PAGE in await reader.readuntil(PAGE)


@pytest.mark.parametrize("begun", [b"", b"G", GET[:-2]])
async def test_a_head_that_does_not_come_to_its_end_is_not_waited_for(
    begun: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operator_port, "REQUEST_S", 0.05)
    async with served() as port:
        assert await port.answer(begun) == b""


async def test_a_head_that_comes_in_drops_is_late_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operator_port, "REQUEST_S", 0.2)
    async with served() as port:
        reader, writer = await port.connect()
        with suppress(ConnectionError):
            async with asyncio.timeout(5):
                while not reader.at_eof():
                    writer.write(b"G")
                    await writer.drain()
                    await asyncio.sleep(0.001)  # between two drops
            assert await reader.read() == b""


async def test_an_idle_connection_is_closed_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operator_port, "IDLE_S", 0.05)
    async with served() as port:
        assert (await port.answer(GET)).endswith(PAGE)


async def test_who_does_not_take_its_answers_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operator_port, "REQUEST_S", 0.1)
    async with served() as port:
        reader, writer = await port.connect()
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(GET.replace(b"/page", b"/large") * 100)
        assert (await port.answer(b"GET /page HTTP/1.0\r\n\r\n")).endswith(PAGE)
        async with asyncio.timeout(5):
            with pytest.raises(ConnectionError):
                await write_on(writer)


async def write_on(writer: asyncio.StreamWriter) -> None:
    """Write again and again: while nothing is read, nothing else tells that the other side is gone."""
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.01)


def test_an_address_that_is_taken_is_told_at_once() -> None:
    first = operator_port.OperatorPort("127.0.0.1", 0, {})
    with pytest.raises(OSError, match="in use"):
        operator_port.OperatorPort("127.0.0.1", first.port, {})
    first.close()
    with pytest.raises(OSError, match=r"not known|resolution|address"):
        operator_port.OperatorPort("no.such.host.invalid", 1, {})
    operator_port.OperatorPort("::1", 0, {}).close()


@pytest.mark.parametrize("rounds", range(5))
async def test_an_address_that_is_given_up_can_be_had_again_and_its_connections_end_at_once(
    rounds: int,
) -> None:
    """As when mitmproxy loads the script again, while the tasks of the old one have not yet ended.

    rounds: of the event loop since the connection. After none, the port has not yet begun to serve it.
    """
    first = operator_port.OperatorPort("127.0.0.1", 0, {})
    running = asyncio.ensure_future(first.run())
    reader, writer = await asyncio.open_connection("127.0.0.1", first.port)
    for _ in range(rounds):
        await asyncio.sleep(0)
    running.cancel()
    first.close()

    operator_port.OperatorPort("127.0.0.1", first.port, {}).close()
    with suppress(asyncio.CancelledError):
        await running
    async with asyncio.timeout(operator_port.REQUEST_S / 2):
        with suppress(ConnectionError):
            assert await reader.read() == b""
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()

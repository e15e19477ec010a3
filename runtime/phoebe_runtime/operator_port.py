"""A small HTTP server for operators: metrics, and whatever other pages it is made with, on the event loop.

Nobody who reaches it can use the process up: connections, heads and times are bounded, requests have no body,
and one page is made in each round of the loop. It reads HTTP with h11; the servers of web frameworks do not
bound how slowly a head may come, nor how many connections wait.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import h11

logger = logging.getLogger(__name__)

CONNECTIONS_MAX = 64
"""At a time. A new one takes the place of the one that was served longest ago, or never."""
HEAD_BYTES_MAX = 16 * 1024
IDLE_S = 90.0
"""How long a connection may wait for its next request. Prometheus asks every minute, or more often."""
REQUEST_S = 10.0
"""How long a request may take to come, the first of a connection from its beginning, its page to be made, and
its answer to be taken, each."""

_READ_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Answer:
    """What a page says."""

    content: bytes
    content_type: str = "text/plain; charset=utf-8"
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()


type Page = Callable[[Mapping[str, str]], Awaitable[Answer]]
"""Answers GET and HEAD on one path. It is given the headers of the request, by lower-case name."""


class OperatorPort:
    """Serves pages, by path, on an address that it has from the beginning. `run` serves.

    port: the one it has, also if 0 was asked for. version: of the program; each answer tells it, unless it is
    empty. Raises OSError if the address can't be had.
    """

    def __init__(self, host: str, port: int, pages: Mapping[str, Page], version: str = "") -> None:
        self._pages = pages
        self._headers = (("Phoebe-Version", version),) if version else ()
        self._socket = _bound(host, port)
        self.port: int = self._socket.getsockname()[1]
        self._talks: dict[_Talk, None] = {}  # the one that was served longest ago comes first
        self._round = asyncio.Lock()
        self._server: asyncio.Server | None = None
        self._closed = asyncio.Event()

    async def run(self) -> None:
        """Serve, until `close` or cancelled. May be called again after it failed."""
        # Not serving yet: what is awaited before could be cancelled, and the address would stay taken.
        server = await asyncio.start_server(
            self._serve, sock=self._socket.dup(), limit=_READ_BYTES, start_serving=False
        )
        self._server = server
        try:
            await server.start_serving()
            await self._closed.wait()
        finally:
            server.close()

    def close(self) -> None:
        """Give the address up at once, so that another can have it, and break off all connections."""
        self._closed.set()
        if self._server:
            self._server.close()
        for talk in list(self._talks):
            talk.break_off()
        self._socket.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = _Talk(reader, writer, self._headers)
        if self._closed.is_set():  # accepted before `close`, which did not see it yet
            talk.break_off()
            return
        self._make_room()
        self._talks[talk] = None
        try:
            while (request := await talk.next_request()) is not None:
                await talk.say(await self._answer(request), with_content=request.method != b"HEAD")
                self._note_served(talk)
            await talk.end()
        except (OSError, TimeoutError, h11.RemoteProtocolError):
            pass  # the client is gone, too slow, or speaks no HTTP: only its connection ends
        except Exception:
            logger.exception("a connection to the operators' port failed")
        finally:
            self._talks.pop(talk, None)
            talk.break_off()

    def _make_room(self) -> None:
        while len(self._talks) >= CONNECTIONS_MAX:
            oldest = next(iter(self._talks))
            del self._talks[oldest]
            oldest.break_off()

    def _note_served(self, talk: "_Talk") -> None:
        if talk in self._talks:
            del self._talks[talk]
            self._talks[talk] = None

    async def _answer(self, request: h11.Request) -> Answer:
        path, _, _ = request.target.decode("ascii").partition("?")
        page = self._pages.get(path)
        if page is None:
            return Answer(b"There is no such page.\n", status=404)
        if request.method not in {b"GET", b"HEAD"}:
            return Answer(b"Only GET and HEAD.\n", status=405, headers=(("Allow", "GET, HEAD"),))
        headers = {name.decode("ascii"): value.decode("latin-1") for name, value in request.headers}
        async with self._round:
            try:
                async with asyncio.timeout(REQUEST_S):
                    answer = await page(headers)
            except Exception:
                logger.exception("the page %s failed", path)
                answer = Answer(b"This page failed. The log has the details.\n", status=500)
            await asyncio.sleep(0)
        return answer


class _Talk:
    """One connection."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        headers: tuple[tuple[str, str], ...],
    ) -> None:
        self._headers = headers
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES_MAX)
        self._is_first = True

    async def next_request(self) -> h11.Request | None:
        """Read the next request. None: there is none, or it is refused, and the connection is to end."""
        if self._http.our_state is h11.MUST_CLOSE:
            return None
        try:
            await self._await_first_byte()
            async with asyncio.timeout(REQUEST_S):
                request = await self._next_event()
                if not isinstance(request, h11.Request):
                    return None
                if isinstance(await self._next_event(), h11.EndOfMessage):
                    return request
            refusal = Answer(b"A request has no body here.\n", status=400)
        except h11.RemoteProtocolError as error:
            if self._http.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
                raise
            refusal = Answer(b"This is no HTTP, or too long.\n", status=error.error_status_hint)
        await self.say(refusal, closes=True)
        return None

    async def say(self, answer: Answer, *, with_content: bool = True, closes: bool = False) -> None:
        """Send an answer, and wait until the client has taken most of it."""
        headers = [
            *self._headers,
            *answer.headers,
            ("Content-Type", answer.content_type),
            ("Content-Length", str(len(answer.content))),
            *([("Connection", "close")] if closes else []),
        ]
        self._send(h11.Response(status_code=answer.status, headers=headers))
        if with_content:
            self._send(h11.Data(data=answer.content))
        self._send(h11.EndOfMessage())
        async with asyncio.timeout(REQUEST_S):
            await self._writer.drain()

    async def end(self) -> None:
        """Close the connection, once the client has taken all that was sent."""
        self._writer.close()
        with contextlib.suppress(OSError):
            async with asyncio.timeout(REQUEST_S):
                await self._writer.wait_closed()

    def break_off(self) -> None:
        """Close the connection at once."""
        self._writer.transport.abort()

    async def _await_first_byte(self) -> None:
        if self._http.our_state is h11.DONE:
            self._http.start_next_cycle()
        if not self._is_first and not self._http.trailing_data[0]:
            async with asyncio.timeout(IDLE_S):
                self._http.receive_data(await self._reader.read(_READ_BYTES))
        self._is_first = False

    async def _next_event(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(await self._reader.read(_READ_BYTES))
        return event

    def _send(self, event: h11.Response | h11.Data | h11.EndOfMessage) -> None:
        data = self._http.send(event)
        if data:
            self._writer.write(data)


def _bound(host: str, port: int) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    return socket.create_server(address[:2], family=family)

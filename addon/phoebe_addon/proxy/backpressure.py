"""Backpressure: an engine is listened to no faster than its client listens.

mitmproxy reads on from engines only when what it wrote to the client has left this process. What an HTTP/2
client has given no window for was not written, though: mitmproxy keeps it, without bound. So the reading of
an engine also waits here while one of its streams holds back more than a little.
"""

import asyncio
import select
from contextvars import ContextVar
from typing import Any, override

from mitmproxy.connection import Connection
from mitmproxy.proxy import server
from mitmproxy.proxy.layers import http as http_layers
from mitmproxy.proxy.layers.http import _http2

from phoebe_addon.proxy.lean import LeanConnectionHandler
from phoebe_addon.proxy.quiet_engines import know_sockets

# What asyncio's own writers allow. An answer that is sent in one piece may be longer.
HELD_BYTES_MAX = 64 * 1024

_reading: ContextVar[Connection | None] = ContextVar("phoebe_reading", default=None)
"""The connection that the running task reads."""


class PacedConnectionHandler(LeanConnectionHandler):
    """mitmproxy's handler of a client connection, which does not read what an HTTP/2 client does not take."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)  # type: ignore[no-untyped-call]
        self._client_spoke = asyncio.Event()
        know_sockets(self.client, self)

    def is_unread(self, connection: Connection) -> bool:
        """Whether something came on a connection, be it only its end, that no layer has been shown.

        Also true while something that was sent on it has not left this process: then no next request can go
        out.
        """
        io = self.transports.get(connection)
        if not io or not isinstance(io.reader, asyncio.StreamReader):
            return True
        assert isinstance(io.writer, asyncio.StreamWriter)
        transport = io.writer.transport
        if io.reader._buffer or transport.is_closing() or transport.get_write_buffer_size():  # type: ignore[attr-defined]
            return True
        poll = select.poll()
        poll.register(transport.get_extra_info("socket"), select.POLLIN)
        return bool(poll.poll(0))

    async def taken_again(self, stream: http_layers.HttpStream) -> None:
        """Called when a client takes again what a stream held back."""

    async def until_engine_may_go_on(self, engine: Connection) -> None:
        """Called before an engine is read again."""

    async def never_taken(self, stream: http_layers.HttpStream) -> None:
        """Called when a client took nothing of what a stream holds back for as long as it may be idle."""

    def forget_held(self) -> None:
        """Forget what waits for the client, which has gone."""
        layer = http_layer_of(self)
        client = _http2_client_of(layer) if layer else None
        if client:
            client.h2_conn.stream_buffers.clear()
        self._client_spoke.set()

    @override
    async def handle_connection(self, connection: Connection) -> None:
        _reading.set(connection)
        await super().handle_connection(connection)

    @override
    async def drain_writers(self) -> None:
        reading = _reading.get()
        if reading is self.client:
            self._client_spoke.set()
        await super().drain_writers()  # type: ignore[no-untyped-call]
        if reading and self._has_more(reading):
            # mitmproxy would read on at once: what has come on one connection must not hold up all others.
            await asyncio.sleep(0)
        while reading and (stream := self._holding_back(reading)):
            await self._until_taken(stream)
        if reading and reading is not self.client:
            await self.until_engine_may_go_on(reading)

    def _has_more(self, connection: Connection) -> bool:
        io = self.transports.get(connection)
        return io is not None and isinstance(io.reader, asyncio.StreamReader) and bool(io.reader._buffer)  # type: ignore[attr-defined]

    def _holding_back(self, engine: Connection) -> http_layers.HttpStream | None:
        """Return a stream of an engine that holds back more than it may."""
        layer = http_layer_of(self)
        client = _http2_client_of(layer) if layer else None
        for stream_id in client.h2_conn.stream_buffers if client else ():
            stream = layer.streams.get(stream_id) if layer else None
            if stream and stream.flow.server_conn is engine and held_bytes(layer, stream_id) > HELD_BYTES_MAX:
                return stream
        return None

    async def _until_taken(self, stream: http_layers.HttpStream) -> None:
        layer = http_layer_of(self)
        held = held_bytes(layer, stream.stream_id)
        try:
            async with asyncio.timeout(self.timeout_watchdog.timeout):
                while held_bytes(layer, stream.stream_id) >= held:
                    self._client_spoke.clear()
                    await self._client_spoke.wait()
        except TimeoutError:
            await self.never_taken(stream)
        else:
            await self.taken_again(stream)


def reading() -> Connection | None:
    """Return the connection that the running task reads; None: none."""
    return _reading.get()


def http_layer_of(handler: server.ConnectionHandler) -> http_layers.HttpLayer | None:
    """Return the layer that speaks HTTP on a client's connection; None: it has not come to that yet."""
    layers = handler.layer.context.layers
    return next((layer for layer in layers if isinstance(layer, http_layers.HttpLayer)), None)


def held_bytes(layer: http_layers.HttpLayer | None, stream_id: int) -> int:
    """Return how much of an answer waits for an HTTP/2 client to give a window for it."""
    client = _http2_client_of(layer) if layer else None
    return sum(len(held.data) for held in client.h2_conn.stream_buffers.get(stream_id, ())) if client else 0


def _http2_client_of(layer: http_layers.HttpLayer) -> _http2.Http2Server | None:
    client = layer.connections.get(layer.context.client)
    return client if isinstance(client, _http2.Http2Server) else None

"""The fast lane: the middle of a streamed answer goes to its client without mitmproxy's layers.

mitmproxy makes events and commands of every chunk and shows them to five layers, which takes longer than
reading and writing it. Once an answer streams, and nobody but the metering watches it, nothing of
that is needed. So the transport of the engine's connection gets a protocol of ours: what arrives is shown to
the metering and written to the client in the same call.

Only whole chunks in the middle of an answer go this way. Whatever else comes is left to mitmproxy, from its
first byte on: part of a chunk, the end of an answer or of the connection, and all that comes while the client
does not take what is there, or has left. Then the layers are as if they had seen everything: of what went
past them they keep nothing but how much of a body of a known length is to come. So every answer begins and
ends in mitmproxy, with its flow, its hooks, its limits and its errors.

The lane is open from engines of HTTP/1 without TLS to clients of HTTP/1, for answers that nobody else watches
or keeps, and that are not read in turns.
"""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import override

from h11._readers import ChunkedReader, ContentLengthReader, Http10Reader
from mitmproxy.connection import Connection
from mitmproxy.proxy import layer
from mitmproxy.proxy.layers import http as http_layers

from phoebe_addon.proxy.backpressure import HELD_BYTES_MAX, PacedConnectionHandler, http_layer_of, reading
from phoebe_addon.proxy.http1 import BoundedHttp1Client, BoundedHttp1Server, framed
from phoebe_addon.proxy.read_size import READ_BYTES_MAX
from phoebe_addon.proxy.sealed_line import SealedLine, line_to_client
from phoebe_addon.proxy.silence import TimedHttpStream
from phoebe_addon.proxy.watched_answer import AnswerWatch

type Pieces = tuple[list[bytes], int]
"""Pieces of a body that are whole, and how many bytes of what came they were, with their framing."""

# Chunks with extensions, and very long ones, are left to mitmproxy.
_CHUNK_HEAD = re.compile(rb"([0-9A-Fa-f]{1,4})\r\n")


@dataclass(frozen=True, slots=True)
class Ends:
    """What an answer goes through: the transport of the engine's connection, and the line to the client."""

    engine: asyncio.Transport
    client: asyncio.Transport | SealedLine


class FastLane(asyncio.Protocol):
    """What the transport of an engine's connection calls while an answer is in the fast lane.

    pieces: takes whole pieces of the body out of what comes. spoke: called when some have come.
    """

    def __init__(
        self,
        stream: TimedHttpStream,
        ends: Ends,
        pieces: Callable[[bytes], Pieces],
        spoke: Callable[[], None],
    ) -> None:
        assert stream.flow.response
        assert isinstance(stream.flow.response.stream, AnswerWatch)
        self._stream = stream
        self._ends = ends
        self._pieces = pieces
        self._spoke = spoke
        self._watch = stream.flow.response.stream
        self._chunked = _client_of(stream).answer_is_chunked
        layers = ends.engine.get_protocol()
        assert isinstance(layers, asyncio.Protocol)
        self._layers = layers

    def enter(self) -> None:
        """Open the lane."""
        self._ends.engine.set_protocol(self)

    @override
    def data_received(self, data: bytes) -> None:
        pieces, taken = self._pieces(data) if self._is_open(data) else ([], 0)
        if pieces:
            self._spoke()
            self._stream.heard()
            passed: list[bytes] = []
            for piece in pieces:
                watched = self._watch(piece)
                passed += (watched,) if isinstance(watched, bytes) else watched
            if passed:
                self._ends.client.write(b"".join(map(framed, passed) if self._chunked else passed))
        if taken < len(data):
            self._leave().data_received(data[taken:] if taken else data)

    @override
    def eof_received(self) -> bool | None:
        return self._leave().eof_received()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._layers.connection_lost(exc)  # to set a protocol now would tie the closed transport to itself

    @override
    def pause_writing(self) -> None:
        self._layers.pause_writing()

    @override
    def resume_writing(self) -> None:
        self._layers.resume_writing()

    def _is_open(self, data: bytes) -> bool:
        response = self._stream.flow.response
        return (
            len(data) <= READ_BYTES_MAX
            and _passes_on(self._stream)
            and response is not None
            and response.stream is self._watch
            and not self._ends.client.is_closing()
            and self._ends.client.get_write_buffer_size() <= HELD_BYTES_MAX
        )

    def _leave(self) -> asyncio.Protocol:
        self._ends.engine.set_protocol(self._layers)
        return self._layers


class FastConnectionHandler(PacedConnectionHandler):
    """mitmproxy's handler of a client connection, which opens the fast lane where it can."""

    @override
    async def drain_writers(self) -> None:
        await super().drain_writers()
        # What was read is done, and nothing is read before this returns.
        engine = reading()
        if self.is_lean and engine is not None and engine is not self.client:
            self._open_lane(engine)

    def _open_lane(self, engine: Connection) -> None:
        http = http_layer_of(self)
        stream = _streaming(http, engine) if http else None
        ends = self._ends(engine, http) if http and stream else None
        if stream and ends and (lane := lane_of(stream, ends, self.timeout_watchdog.register_activity)):
            lane.enter()

    def _ends(self, engine: Connection, http: http_layers.HttpLayer) -> Ends | None:
        """Return what an answer goes through, if all that has come from its engine was read."""
        source, client = (self.transports.get(each) for each in (engine, self.client))
        if source is None or not isinstance(source.reader, asyncio.StreamReader):
            return None
        if source.reader._buffer or source.reader.at_eof():  # type: ignore[attr-defined]
            return None
        writers = (source.writer, client.writer if client else None)
        transports = [each.transport for each in writers if isinstance(each, asyncio.StreamWriter)]
        ends = [each for each in transports if isinstance(each, asyncio.Transport)]
        if len(ends) < len(writers):
            return None
        line = line_to_client(http.context, ends[1])
        return Ends(ends[0], line) if line else None


def lane_of(stream: TimedHttpStream, ends: Ends, spoke: Callable[[], None]) -> FastLane | None:
    """Make a fast lane for an answer that streams. None: now it has to go through mitmproxy's layers."""
    response = stream.flow.response
    if response is None or not isinstance(response.stream, AnswerWatch) or response.stream.unfolds:
        return None
    if stream.debug is not None or not _passes_on(stream):
        return None
    pieces = _pieces_of(_engine_of(stream))
    return FastLane(stream, ends, pieces, spoke) if pieces else None


def _passes_on(stream: TimedHttpStream) -> bool:
    """Whether what comes of an answer goes on to its client at once, and nobody keeps it."""
    return (
        not stream._paused
        and stream.server_state == stream.state_stream_response_body
        and stream.context.options._options["store_streamed_bodies"].value is not True
    )


def _streaming(http: http_layers.HttpLayer, engine: Connection) -> TimedHttpStream | None:
    """Return the stream of an answer that comes from an engine without TLS, from HTTP/1 to HTTP/1."""
    client = http.connections.get(http.context.client)
    if not isinstance(client, BoundedHttp1Server) or engine.tls:
        return None
    stream = http.streams.get(client.stream_id)
    return (
        stream
        if isinstance(stream, TimedHttpStream)
        and stream.context.server is engine
        and isinstance(_engine_of(stream), BoundedHttp1Client)
        else None
    )


def _client_of(stream: TimedHttpStream) -> BoundedHttp1Server:
    client = stream.http_layer.connections[stream.context.client]
    assert isinstance(client, BoundedHttp1Server)
    return client


def _engine_of(stream: TimedHttpStream) -> layer.Layer:
    """Return the layer that speaks HTTP with the engine of a stream."""
    return stream.http_layer.connections[stream.context.server].context.layers[-1]


def _pieces_of(connection: layer.Layer) -> Callable[[bytes], Pieces] | None:
    """Choose what takes whole pieces of a body out of what comes. None: a piece is not whole yet."""
    assert isinstance(connection, BoundedHttp1Client)
    if connection.buf or connection.state != connection.read_body:
        return None
    reader = connection.body_reader
    if isinstance(reader, ChunkedReader):
        is_between = not (reader._bytes_in_chunk or reader._bytes_to_discard or reader._reading_trailer)
        return _whole_chunks if is_between else None
    if isinstance(reader, ContentLengthReader):
        return lambda data: _before_end(reader, data)
    return _until_closed if isinstance(reader, Http10Reader) else None


def _whole_chunks(data: bytes) -> Pieces:
    pieces: list[bytes] = []
    taken = 0
    while head := _CHUNK_HEAD.match(data, taken):
        start = head.end()
        end = start + int(head[1], 16)
        if end == start or not data.startswith(b"\r\n", end):
            break
        pieces.append(data[start:end])
        taken = end + 2
    return pieces, taken


def _before_end(reader: ContentLengthReader, data: bytes) -> Pieces:
    if len(data) >= reader._remaining:
        return [], 0  # mitmproxy brings an answer to its end
    reader._remaining -= len(data)
    return [data], len(data)


def _until_closed(data: bytes) -> Pieces:
    return [data], len(data)

"""mitmproxy's HTTP/1 connections, with limits and without three surprises.

What waits unread on a connection is bounded: heads, and requests that a client sends before it has its
answer. Trailers are dropped, as HTTP allows (RFC 9110, 6.5.1): mitmproxy would leave their exchange hanging.
An engine's interim answers (100, 103) are dropped: mitmproxy would take one for the answer itself.
"""

import re
import time
from typing import override

import h11
from h11._readers import ChunkedReader
from h11._receivebuffer import ReceiveBuffer
from mitmproxy import http
from mitmproxy.connection import Connection
from mitmproxy.net.http import http1
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers import http as http_layers
from mitmproxy.proxy.layers.http import _http1
from mitmproxy.proxy.layers.http._base import HttpEvent, ReceiveHttp
from mitmproxy.proxy.layers.http._events import (
    ErrorCode,
    RequestEndOfMessage,
    RequestHeaders,
    ResponseData,
    ResponseHeaders,
    ResponseProtocolError,
)

from phoebe_addon.proxy.guard_rules import GuardRules
from phoebe_addon.proxy.lean_objects import hooks_of
from phoebe_addon.proxy.unasked import engine_spoke_unasked
from phoebe_addon.proxy.whole_messages import (
    WholeAnswer,
    WholeRequest,
    has_coding,
    keeps_connection,
    whole_answer,
    whole_request,
)

# An interim answer, but for 101, which ends the talk in HTTP.
_INTERIM = re.compile(rb"HTTP/1\.[01] 1(?!01)[0-9]{2}[ \r\n]")
# Clients and edges send some kilobytes, and servers refuse heads of 8 to 64 KiB. mitmproxy has no limit.
_HEAD_BYTES_MAX = 64 * 1024
_HEAD_END = re.compile(rb"\n\r?\n")
# So much of a body is copied to go out in one piece with its head. The kernel hardly takes more at a time.
_JOINED_BYTES_MAX = 64 * 1024
_MALFORMED = commands.Log("a client's request is not well-formed or is cut short")


class BoundedHttp1Server(_http1.Http1Server):
    """A client's connection.

    head_began_s: since when the head of a request is awaited, on the monotonic clock: the first of a
    connection from its beginning, any other from its first byte. None: none is. answer_is_chunked: how the
    answer that is being sent is framed.
    """

    answer_is_chunked = False
    _head = b""
    """The head of an answer that is not sent yet."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.head_began_s: float | None = time.monotonic()

    @override
    def send(self, event: HttpEvent) -> layer.CommandGenerator[None]:
        if self._head:
            head, self._head = self._head, b""
            if isinstance(event, ResponseData):
                body = framed(event.data) if self.answer_is_chunked else event.data
                yield from _joined(self.conn, head, body)
                return
            yield commands.SendData(self.conn, head)
        if isinstance(event, ResponseData) and self.answer_is_chunked:
            # mitmproxy would look the header up for every chunk.
            yield commands.SendData(self.conn, framed(event.data))
            return
        if isinstance(event, ResponseHeaders):
            if GuardRules.in_force.last_answers:
                event.response.headers["Connection"] = "close"
            coding = event.response.headers.get("transfer-encoding", "")
            self.answer_is_chunked = "chunked" in coding.lower()
            for command in super().send(event):
                if isinstance(command, commands.SendData) and _has_body_behind(event):
                    self._head = command.data
                else:
                    yield command
            return
        yield from super().send(event)

    @property
    def sends_whole(self) -> bool:
        """Whether `send_whole` may be called instead of `send`."""
        return not (self._paused or self._head or self.buf)

    def send_whole(self, event: WholeAnswer) -> layer.CommandGenerator[None]:
        """Send an answer that is whole, as `send` does with its parts."""
        response = event.response
        if GuardRules.in_force.last_answers or response.stream or not _goes_out_as_it_is(response):
            for part in (ResponseHeaders(event.stream_id, response, event.end_stream), *event.behind_head()):
                yield from self.send(part)
            return
        self.response = response
        self.answer_is_chunked = False
        yield from _joined(self.conn, http1.assemble_response_head(response), event.body)
        if self.request and self.request_done and keeps_connection(self.request, response):
            self.request_done = self.response_done = False
            self.request = self.response = None
            self.stream_id += 2
            self.state = self.read_headers
        else:
            yield from self.mark_done(response=True)

    @override
    def read_headers(self, event: events.ConnectionEvent) -> layer.CommandGenerator[None]:
        if self.head_began_s is None:
            self.head_began_s = time.monotonic()
        if isinstance(event, events.DataReceived) and _is_head_too_long(self.buf):
            message = f"The head of a request may have {_HEAD_BYTES_MAX} bytes."
            yield commands.SendData(self.conn, _http1.make_error_response(431, message))
            yield commands.CloseConnection(self.conn)
            self.state = self.done
            return
        if isinstance(event, events.DataReceived) and _is_in_plain_lane(self):
            whole = whole_request(self.stream_id, self.buf._data)
            if whole:
                self.buf = ReceiveBuffer()
                self.head_began_s = None
                self.request = whole.request
                self.request_done = True
                self.state = self.wait
                yield ReceiveHttp(whole)
                return
        for command in super().read_headers(event):
            # mitmproxy would quote what came, and with it secrets.
            yield _MALFORMED if isinstance(command, commands.Log) else command
        if self.state != self.read_headers:
            self.head_began_s = None  # the head is there; from now on the watchdog looks at the body

    @override
    def wait(self, event: events.Event) -> layer.CommandGenerator[None]:
        # A client may send its next requests before it has its answer. mitmproxy collects them without a
        # limit. Here as much may wait as the largest request has.
        yield from super().wait(event)
        if isinstance(event, events.ConnectionClosed):
            self.buf = ReceiveBuffer()  # requests that nobody will be answered, while the answer is read on
        elif len(self.buf) > _HEAD_BYTES_MAX + GuardRules.in_force.body_bytes_max:
            yield commands.CloseConnection(self.conn)


class BoundedHttp1Client(_http1.Http1Client):
    """An engine's connection. request_count: how many requests went out on it.

    It takes another request only after an answer that leaves no doubt about where the next one begins.
    Otherwise one customer could get another's answer, and the bill for it.
    """

    request_count = 0
    _head = b""
    """The head of a request that is not sent yet."""

    @override
    def send(self, event: HttpEvent) -> layer.CommandGenerator[None]:
        if isinstance(event, RequestHeaders):
            self.request_count += 1
        elif isinstance(event, RequestEndOfMessage) and self._head:
            yield from self._send_behind_head(b"")  # it has no body
        for command in super().send(event):
            if not isinstance(command, commands.SendData):
                yield command
            elif isinstance(event, RequestHeaders):
                self._head = command.data
            else:
                yield from self._send_behind_head(command.data)

    @property
    def sends_whole(self) -> bool:
        """Whether `send_whole` may be called instead of `send`."""
        return self.stream_id is None and not self._paused

    def send_whole(self, event: WholeRequest) -> layer.CommandGenerator[None]:
        """Send a request that is whole, as `send` does with its parts."""
        request = event.request
        if not _goes_out_as_it_is(request):
            for part in (RequestHeaders(event.stream_id, request, event.end_stream), *event.behind_head()):
                yield from self.send(part)
            return
        self.request_count += 1
        self.stream_id = event.stream_id
        self.request = request
        yield from _joined(self.conn, http1.assemble_request_head(request), event.body)
        self.request_done = True

    def _answer_read(self) -> layer.CommandGenerator[None]:
        assert self.request
        assert self.response
        if self.request_done and not self.buf and keeps_connection(self.request, self.response):
            self.request_done = self.response_done = False
            self.request = self.response = None
            self.stream_id = None
            self.state = self.read_headers
        else:
            yield from self.mark_done(response=True)

    def _whole_answer(self) -> WholeAnswer | None:
        """Take the answer to the request under way, if its stream can take it as a whole."""
        if self.request is None or self.stream_id is None or not _is_in_plain_lane(self):
            return None
        stream = _http_layer_of(self).streams.get(self.stream_id)
        if stream is None or stream._paused:
            return None
        whole = whole_answer(self.stream_id, self.request, self.buf._data, self._answer_read)
        if whole:
            self.buf = ReceiveBuffer()
            self.response = whole.response
            self.state = self.read_body
        return whole

    def _send_behind_head(self, body: bytes) -> layer.CommandGenerator[None]:
        """Send a body, the beginning of it in one piece with the head, if that waits to be sent.

        An engine that answers once it has the head, and drops what else has come, then drops the body too. If
        it came later, the engine would read it as a request.
        """
        head, self._head = self._head, b""
        yield from _joined(self.conn, head, body)

    @override
    def mark_done(self, *, request: bool = False, response: bool = False) -> layer.CommandGenerator[None]:
        is_last = response and self._is_next_answer_in_doubt()
        yield from super().mark_done(request=request, response=response)
        if self.state == self.done:
            # mitmproxy has closed the connection, and looks at nothing more.
            if response and self.buf:
                yield engine_spoke_unasked(self.conn, bytes(self.buf))
        elif is_last and self.request is None:
            yield commands.CloseConnection(self.conn)
            self.state = self.done

    def _is_next_answer_in_doubt(self) -> bool:
        """Whether the engine may still send a body that is no answer's, or read one for a request.

        Some engines send a body where an answer has none. One that answers with an error may have left the
        body of the request unread.
        """
        assert self.request
        assert self.response
        status = self.response.status_code
        has_no_body = self.request.method.upper() == "HEAD" or status in {204, 304}
        return has_no_body or (status >= 400 and bool(self.request.raw_content))

    @override
    def read_headers(self, event: events.ConnectionEvent) -> layer.CommandGenerator[None]:
        if self.request is None and isinstance(event, events.DataReceived):
            # mitmproxy would do the same, but write to the log what came, be it another customer's.
            yield engine_spoke_unasked(self.conn, bytes(self.buf))
            yield commands.CloseConnection(self.conn)
            self.buf = ReceiveBuffer()
            self.state = self.done
            return
        if self.request:
            self._drop_interim_answers()
        if self.stream_id and isinstance(event, events.DataReceived) and _is_head_too_long(self.buf):
            yield commands.CloseConnection(self.conn)
            message = "the head of the engine's answer is too long"
            yield ReceiveHttp(ResponseProtocolError(self.stream_id, message, ErrorCode.GENERIC_SERVER_ERROR))
            return
        if isinstance(event, events.DataReceived) and (whole := self._whole_answer()):
            yield ReceiveHttp(whole)
            return
        yield from super().read_headers(event)

    def _drop_interim_answers(self) -> None:
        # A client of this proxy never waits for `100 Continue`: the proxy has its whole request already.
        while _INTERIM.match(self.buf._data):
            if self.buf.maybe_extract_lines() is None:
                return


def _http_layer_of(speaker: BoundedHttp1Server | BoundedHttp1Client) -> http_layers.HttpLayer:
    return next(each for each in speaker.context.layers if isinstance(each, http_layers.HttpLayer))


def _is_in_plain_lane(speaker: BoundedHttp1Server | BoundedHttp1Client) -> bool:
    """Whether nobody but Phoebe looks at what passes, from and to a client of HTTP/1."""
    hooks = hooks_of(speaker.context)
    if hooks is None or speaker.debug is not None or not hooks.is_plain():
        return False
    http_layer = _http_layer_of(speaker)
    return isinstance(http_layer.connections.get(http_layer.context.client), BoundedHttp1Server)


def _goes_out_as_it_is(message: http.Message) -> bool:
    """Whether a message needs no other framing, and is not translated from another version of HTTP."""
    return message.data.http_version in {b"HTTP/1.1", b"HTTP/1.0"} and not has_coding(message.headers)


def _is_head_too_long(came: ReceiveBuffer) -> bool:
    """Whether bytes begin with a head that is too long; also a whole one, which waited behind others."""
    # Not `bytes(came)`: behind the head may wait as much as the largest request has, which would be copied.
    return len(came) > _HEAD_BYTES_MAX and not _HEAD_END.search(came._data, 0, _HEAD_BYTES_MAX)


def _has_body_behind(event: ResponseHeaders) -> bool:
    """Whether the body of an answer comes in one piece behind its head, in the same event."""
    return not (event.end_stream or event.response.stream or event.response.status_code < 200)


def _joined(connection: Connection, head: bytes, body: bytes) -> layer.CommandGenerator[None]:
    """Send a head, if there is one, in one piece with the beginning of its body."""
    joined = 0
    if head:
        joined = _JOINED_BYTES_MAX
        yield commands.SendData(connection, head + body[:joined])
    if len(body) > joined:
        rest = memoryview(body)[joined:] if joined else body  # a slice would be a copy
        yield commands.SendData(connection, rest)  # type: ignore[arg-type]


def framed(data: bytes) -> bytes:
    """Make a chunk of a body (RFC 9112, 7.1). data: not empty."""
    return b"%x\r\n%s\r\n" % (len(data), data)


class TrailerlessReader(ChunkedReader):
    """Reads a chunked body up to its end, trailers and all, and forgets the trailers."""

    @override
    def __call__(self, buf: ReceiveBuffer) -> h11.Data | h11.EndOfMessage | None:
        event = super().__call__(buf)
        # Every chunk comes here, and the classes of h11 are slow to tell by isinstance.
        return h11.EndOfMessage() if type(event) is h11.EndOfMessage else event


def make_body_reader(expected_size: int | None) -> _http1.TBodyReader:
    """Make the reader of a body of so many bytes; None: it is chunked; -1: it ends with the connection."""
    return TrailerlessReader() if expected_size is None else _make_body_reader(expected_size)


_make_body_reader = _http1.make_body_reader

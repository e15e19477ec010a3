"""Messages that are there in one piece: their head, their body and their end are one event, not three.

mitmproxy's layers show each part of a message to each other by itself. The parts of a message that has come
whole, or goes out whole, are one event here. It is one of mitmproxy's heads with the rest behind it, which
can be had as mitmproxy's events.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

from mitmproxy import http
from mitmproxy.net.http import http1
from mitmproxy.proxy.layers.http._base import HttpEvent
from mitmproxy.proxy.layers.http._events import (
    RequestData,
    RequestEndOfMessage,
    RequestHeaders,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
)

type Commands = Iterator[Any]

_HEAD_END = re.compile(rb"\n\r?\n")
_LENGTH_LINE = re.compile(rb"\ncontent-length:[ \t]*([0-9]{1,15})[ \t]*\r?\n", re.IGNORECASE)
_LENGTH = re.compile(rb"0|[1-9][0-9]*")


class WholeRequest(RequestHeaders):
    """A request that is whole."""

    body = b""

    @classmethod
    def of(cls, stream_id: int, request: http.Request, body: bytes) -> "WholeRequest":
        """Make one of a head and the body behind it."""
        whole = cls(stream_id, request, end_stream=not body)
        whole.body = body
        return whole

    def behind_head(self) -> Iterator[HttpEvent]:
        """Give the events that follow its head in mitmproxy."""
        if self.body:
            yield RequestData(self.stream_id, self.body)
        yield RequestEndOfMessage(self.stream_id)


class WholeAnswer(ResponseHeaders):
    """An answer that is whole. on_read: makes its connection ready for what comes next."""

    body = b""
    on_read: Callable[[], Commands]

    @classmethod
    def of(
        cls, stream_id: int, response: http.Response, body: bytes, on_read: Callable[[], Commands]
    ) -> "WholeAnswer":
        """Make one of a head and the body behind it."""
        whole = cls(stream_id, response, end_stream=not body)
        whole.body = body
        whole.on_read = on_read
        return whole

    def behind_head(self) -> Iterator[HttpEvent]:
        """Give the events that follow its head in mitmproxy."""
        if self.body:
            yield ResponseData(self.stream_id, self.body)
        yield ResponseEndOfMessage(self.stream_id)


def nothing() -> Commands:
    """Do nothing."""
    return iter(())


def whole_request(stream_id: int, came: bytearray) -> WholeRequest | None:
    """Read a request. None: what has come is not exactly one that is whole, or not of the plainest form."""
    parts = _parts(came)
    if parts is None:
        return None
    lines, body = parts
    try:
        request = http1.read_request_head(lines)
        size = http1.expected_http_body_size(request)
    except ValueError:
        return None
    return WholeRequest.of(stream_id, request, body) if size == len(body) else None


def whole_answer(
    stream_id: int, request: http.Request, came: bytearray, on_read: Callable[[], Commands]
) -> WholeAnswer | None:
    """Read the answer to a request. None: what has come is not exactly one, or not of the plainest form."""
    parts = _parts(came)
    if parts is None:
        return None
    lines, body = parts
    try:
        response = http1.read_response_head(lines)
        size = http1.expected_http_body_size(request, response)
    except ValueError:
        return None
    is_last = response.data.status_code >= 200 and size == len(body)
    return WholeAnswer.of(stream_id, response, body, on_read) if is_last else None


def _parts(came: bytearray) -> tuple[list[bytes], bytes] | None:
    """Split what has come into the lines of a head and a body that seems to be whole. None: it is not so."""
    end = _HEAD_END.search(came)
    if end is None or came[0] in b"\r\n":
        return None
    begin = end.end()
    length = _LENGTH_LINE.search(came, 0, begin)
    if len(came) - begin != (int(length[1]) if length else 0):
        return None
    lines = bytes(came[:begin]).split(b"\n")[:-2]
    return [line.removesuffix(b"\r") for line in lines], bytes(came[begin:])


def keeps_connection(request: http.Request, response: http.Response) -> bool:
    """Whether a connection plainly goes on behind an answer. If not, mitmproxy has to find out.

    It was asked for something, has got it, and neither side said a word about the connection's end.
    """
    asked, answered = request.data, response.data
    return (
        200 <= answered.status_code < 300
        and answered.status_code != 204
        and asked.method not in {b"HEAD", b"CONNECT"}
        and asked.http_version == answered.http_version == b"HTTP/1.1"
        and asked.method.isupper()
        and _says_nothing_of_end(asked.headers)
        and _says_nothing_of_end(answered.headers)
        and _has_plain_length(answered.headers)
    )


def _says_nothing_of_end(headers: http.Headers) -> bool:
    return all(value == b"keep-alive" for name, value in headers.fields if name.lower() == b"connection")


def _has_plain_length(headers: http.Headers) -> bool:
    lengths = 0
    for name, value in headers.fields:
        key = name.lower()
        if key == b"transfer-encoding":
            return False
        if key == b"content-length":
            lengths += 1
            if not _LENGTH.fullmatch(value):
                return False
    return lengths == 1


def has_coding(headers: http.Headers) -> bool:
    """Whether a message has a Transfer-Encoding."""
    return any(name.lower() == b"transfer-encoding" for name, _ in headers.fields)

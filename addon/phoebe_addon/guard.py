"""The guard: nothing leaves this process for an engine unless Phoebe admitted it.

mitmproxy logs an exception in a hook and forwards the request all the same; and a script that fails to load
again after a change, or an addon that is removed, leaves a proxy that forwards everything. So the last word
is no hook's: the guard stands where mitmproxy's HTTP stream asks for a connection to the server, in this
process for good, and lets pass only flows that carry the mark of admission.

It also answers, in JSON and without keeping the body in memory, what mitmproxy would answer in HTML before or
without asking an addon: bodies over the limit, CONNECT, malformed requests, engines that can't be reached.
"""

import time
from collections.abc import Generator
from typing import Any, ClassVar, override

from mitmproxy import flow as mitmproxy_flow
from mitmproxy import http
from mitmproxy.net.http import http1
from mitmproxy.proxy import layer
from mitmproxy.proxy.layers import http as http_layers
from mitmproxy.proxy.layers.http import _http1
from mitmproxy.proxy.layers.http._events import (
    RequestProtocolError,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
)
from mitmproxy.proxy.layers.http._hooks import HttpErrorHook, HttpRequestHeadersHook

from . import gate
from .refusal import INTERNAL_ERROR, Refusal, RefusalReason, openai_error_body

type Commands[T] = Generator[Any, Any, T]

_ADMITTED = "phoebe_admitted"
_REFUSAL = "phoebe_refusal"
_ENGINE_FAILED = "phoebe_engine_failed"
"""Keys of a flow's metadata."""


def admit(flow: http.HTTPFlow) -> None:
    """Mark a flow as admitted: it may go to its engine."""
    flow.metadata[_ADMITTED] = True


def engine_failed(flow: http.HTTPFlow) -> bool:
    """Whether a flow's error came from the engine's side; otherwise the client went away."""
    return bool(flow.metadata.get(_ENGINE_FAILED))


def refusal_of(flow: http.HTTPFlow) -> Refusal | None:
    """Return how the guard itself refused a flow, if it did."""
    refusal: Refusal | None = flow.metadata.get(_REFUSAL)
    return refusal


def response_of(refusal: Refusal) -> http.Response:
    """Make the HTTP response of a refusal."""
    return http.Response.make(
        refusal.status,
        openai_error_body(refusal),
        {"Content-Type": "application/json", **dict(refusal.headers)},
    )


class GuardedHttpStream(http_layers.HttpStream):
    """mitmproxy's HTTP stream, with the guard in it."""

    body_bytes_max: ClassVar[int] = 16 * 1024 * 1024

    @override
    def make_server_connection(self) -> layer.CommandGenerator[bool]:
        if self.flow.metadata.get(_ADMITTED) is True:
            return (yield from super().make_server_connection())
        self.flow.metadata[_REFUSAL] = INTERNAL_ERROR
        self.flow.response = response_of(INTERNAL_ERROR)
        yield from self.send_response()
        return False

    @override
    def check_invalid(self, request: bool) -> layer.CommandGenerator[bool]:
        if request and self.flow.request.method == "CONNECT":
            yield HttpRequestHeadersHook(self.flow)
            yield from self._refuse(gate.connect_refused())
            return True
        return (yield from super().check_invalid(request))

    @override
    def check_body_size(self, request: bool) -> layer.CommandGenerator[bool]:
        # Answers are never too large. Requests are answered at once, and what still comes is not kept.
        if not request or self._request_bytes() <= self.body_bytes_max:
            return False
        if not self.request_body_buf:
            yield HttpRequestHeadersHook(self.flow)
        yield from self._refuse(gate.body_too_large(self.body_bytes_max))
        return True

    @override
    def handle_protocol_error(
        self, event: RequestProtocolError | ResponseProtocolError
    ) -> layer.CommandGenerator[None]:
        if isinstance(event, ResponseProtocolError) and hasattr(self, "flow"):
            self.flow.metadata[_ENGINE_FAILED] = True
        yield from super().handle_protocol_error(event)

    def _request_bytes(self) -> int:
        if self.request_body_buf:
            return len(self.request_body_buf)
        try:
            return http1.expected_http_body_size(self.flow.request) or 0
        except ValueError:
            return 0

    def _refuse(self, refusal: Refusal) -> Commands[None]:
        """Answer in place of the engine, although the request has not ended."""
        if self.flow.response is None:  # else: the gate had another reason already
            self.flow.metadata[_REFUSAL] = refusal
            self.flow.response = response_of(refusal)
        response = self.flow.response
        response.timestamp_start = response.timestamp_end = time.time()
        self.request_body_buf.clear()
        self.flow.error = mitmproxy_flow.Error(refusal.message)
        yield HttpErrorHook(self.flow)
        client = self.context.client
        yield http_layers.SendHttp(ResponseHeaders(self.stream_id, response, False), client)
        yield http_layers.SendHttp(ResponseData(self.stream_id, response.raw_content or b""), client)
        yield http_layers.SendHttp(ResponseEndOfMessage(self.stream_id), client)
        self.client_state = self.server_state = self.state_errored
        self.flow.live = False
        yield http_layers.DropStream(self.stream_id)


_PROXY_ANSWERS = {
    502: Refusal(502, RefusalReason.UPSTREAM, "The model server can't be reached or broke off."),
    504: Refusal(504, RefusalReason.UPSTREAM, "The model server did not answer in time."),
}


def _error_response(status_code: int, message: str = "") -> bytes:
    """Stand in for mitmproxy's HTML error page. What it says of servers stays inside."""
    refusal = _PROXY_ANSWERS.get(status_code) or Refusal(status_code, RefusalReason.BAD_HTTP, message)
    response = response_of(refusal)
    response.headers["Connection"] = "close"
    return bytes(http1.assemble_response(response))


def set_body_limit(body_bytes_max: int) -> None:
    """Set the largest request body, in bytes."""
    GuardedHttpStream.body_bytes_max = body_bytes_max


def install() -> None:
    """Put the guard into mitmproxy, for as long as this process lives.

    Raises RuntimeError if this mitmproxy is not one the guard was written for.
    """
    for owner, name in (
        (http_layers, "HttpStream"),
        (_http1, "make_error_response"),
        (http_layers.HttpStream, "make_server_connection"),
        (http_layers.HttpStream, "check_invalid"),
        (http_layers.HttpStream, "check_body_size"),
        (http_layers.HttpStream, "handle_protocol_error"),
        (http_layers.HttpStream, "send_response"),
    ):
        if not hasattr(owner, name):
            raise RuntimeError(f"this version of mitmproxy has no {name}: Phoebe can't guard it")
    http_layers.HttpStream = GuardedHttpStream  # type: ignore[misc]
    _http1.make_error_response = _error_response

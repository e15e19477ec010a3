"""The guard: nothing leaves this process for an engine unless Phoebe admitted it.

mitmproxy logs an exception in a hook and forwards the request all the same; and a script that fails to load
again after a change, or an addon that is removed, leaves a proxy that forwards everything. So no hook
decides in the end. The guard stands where mitmproxy's HTTP stream asks for a connection to the server, and
stays there as long as the process lives. It asks the exchange whether it was let through. The exchange
belongs to the stream, not to the flow: a flow that is sent again, or was read from a file, has not been let
through.

It also answers, in JSON and without keeping the body in memory, what mitmproxy would answer in HTML before or
without asking an addon: bodies over the limit, CONNECT, malformed requests, engines that can't be reached,
break off before their answer or are silent for too long.
"""

import time
from collections.abc import Generator
from dataclasses import dataclass
from logging import ERROR
from types import ModuleType
from typing import Any, override

from mitmproxy import flow as mitmproxy_flow
from mitmproxy import http
from mitmproxy.net.http import http1
from mitmproxy.net.http.validate import validate_headers
from mitmproxy.proxy import commands, events, layer, mode_servers, server
from mitmproxy.proxy.layers import http as http_layers
from mitmproxy.proxy.layers.http import _http1
from mitmproxy.proxy.layers.http._events import (
    ErrorCode,
    RequestProtocolError,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
)
from mitmproxy.proxy.layers.http._hooks import HttpErrorHook, HttpRequestHeadersHook

from phoebe_addon.apis.family import ErrorShape
from phoebe_addon.exchange.exchange import EngineFailure, Exchange, Stage
from phoebe_addon.gate import gate
from phoebe_addon.gate.refusal import INTERNAL_ERROR, Refusal, RefusalReason, error_body
from phoebe_addon.proxy import flows, insides, lean_headers
from phoebe_addon.proxy.guard_rules import GuardRules
from phoebe_addon.proxy.http1 import BoundedHttp1Client, BoundedHttp1Server, make_body_reader
from phoebe_addon.proxy.http2 import BoundedHttp2Client, BoundedHttp2Server
from phoebe_addon.proxy.lean_objects import LeanContext, begin_flow, check_types
from phoebe_addon.proxy.leaving import LeavableHttpStream, OutlivingConnectionHandler
from phoebe_addon.proxy.tls import BoundedClientTLSLayer

type Commands[T] = Generator[Any, Any, T]

_HTTP1_VERSIONS = ("HTTP/1.1", "HTTP/1.0")

_ENGINE_BROKE_OFF = Refusal(502, RefusalReason.UPSTREAM, "The model server can't be reached or broke off.")
_ENGINE_TIMED_OUT = Refusal(504, RefusalReason.UPSTREAM, "The model server did not answer in time.")


_EXCHANGE = "_phoebe_exchange"
"""The attribute of a flow that is its exchange. mitmproxy does not show it, write it to files or copy it."""


def exchange_of(flow: http.HTTPFlow) -> Exchange | None:
    """Return the exchange of a flow; None: the flow did not come from a client but from a file."""
    return flow.__dict__.get(_EXCHANGE)


def response_of(refusal: Refusal, shape: ErrorShape) -> http.Response:
    """Make the HTTP response of a refusal, in the error shape of an API family."""
    return http.Response.make(
        refusal.status,
        error_body(refusal, shape),
        {"Content-Type": "application/json", **dict(refusal.headers)},
    )


class GuardedHttpStream(LeavableHttpStream):
    """mitmproxy's HTTP stream, with the guard in it."""

    @override
    def make_server_connection(self) -> layer.CommandGenerator[bool]:
        if not self.exchange.ask():
            yield from self._refuse_at_last()
            return False
        # The time until now was the client's, the gate's and the disk's. The engine's begins here.
        self.heard()
        forget_dead_connections(self.http_layer)
        self.flow.request.trailers = None  # mitmproxy can't send them on from HTTP/2 to HTTP/1
        if not (yield from super().make_server_connection()):
            return False
        # The client may have gone while the gate, the disk or the connection was waited for.
        return not (yield from self.check_killed(True))

    def _refuse_at_last(self) -> Commands[None]:
        stage = self.exchange.stage
        if stage is not Stage.ENDED:  # else: the proxy stops
            yield commands.Log(
                f"phoebe: a request was about to go to its engine while it was {stage}; it was refused", ERROR
            )
        self.exchange.refuse(INTERNAL_ERROR)
        self.flow.response = self._response_of(INTERNAL_ERROR)
        yield from self.send_response()

    @override
    def check_invalid(self, request: bool) -> layer.CommandGenerator[bool]:
        if not request:
            return (yield from self._check_answers_head())
        # With the head of a request mitmproxy does this first, before it asks any addon. So there is no
        # request without an exchange, whatever the hooks do.
        self.exchange.path = self.flow.request.path.partition("?")[0]
        self.flow.__dict__[_EXCHANGE] = self.exchange
        refusal = self._not_spoken_here()
        if refusal:
            # mitmproxy goes no further with it. The hook lets the addon count the refusal.
            yield HttpRequestHeadersHook(self.flow)
            yield from self._refuse(refusal)
            return True
        return (yield from super().check_invalid(request))

    def _not_spoken_here(self) -> Refusal | None:
        """Refuse a request that mitmproxy would take for something else than what was sent.

        It would open a tunnel for CONNECT, and believe a request line of HTTP/1 that says HTTP/2.0.
        """
        request = self.flow.request
        if request.method == "CONNECT":
            return gate.connect_refused()
        if request.is_http3:
            return gate.bad_http(505, "HTTP/3 is not supported.")
        if request.http_version not in _HTTP1_VERSIONS and self._speaks_http1():
            return gate.bad_http(505, "The request line must end in HTTP/1.1 or HTTP/1.0.")
        return None

    def _speaks_http1(self) -> bool:
        return isinstance(self.http_layer.connections[self.context.client], BoundedHttp1Server)

    @override
    def refuse_slow_request(self) -> layer.CommandGenerator[None]:
        client = self.context.client
        yield from self._refuse(gate.too_slow(GuardRules.in_force.request_timeout_s))
        # In HTTP/1 what still comes of this request would be read as the next one. In HTTP/2 it belongs to
        # its stream, and the other streams of the connection go on.
        if self._speaks_http1():
            yield commands.CloseConnection(client)
        else:
            yield http_layers.SendHttp(
                ResponseProtocolError(self.stream_id, "the request took too long", ErrorCode.CANCEL), client
            )

    @override
    def check_body_size(self, request: bool) -> layer.CommandGenerator[bool]:
        # Answers are never too large. Requests are answered at once, and what still comes is not kept.
        body_bytes_max = GuardRules.in_force.body_bytes_max
        if not request or self._request_bytes() <= body_bytes_max:
            return False
        if not self.request_body_buf:
            # Its Content-Length alone says so, before mitmproxy would call this hook.
            yield HttpRequestHeadersHook(self.flow)
        yield from self._refuse(gate.body_too_large(body_bytes_max))
        return True

    @override
    def handle_protocol_error(
        self, event: RequestProtocolError | ResponseProtocolError
    ) -> layer.CommandGenerator[None]:
        # Without a flow the client broke off before the head of its request was there.
        if not isinstance(event, ResponseProtocolError) or not hasattr(self, "flow"):
            yield from super().handle_protocol_error(event)
            return
        self.exchange.engine_failed(EngineFailure.BROKE_OFF)
        if self._client_has_nothing_yet():
            yield from self._answer_for_engine(event.message)
        else:
            yield from super().handle_protocol_error(event)

    @override
    def flow_done(self) -> layer.CommandGenerator[None]:
        yield from super().flow_done()
        if self.child_layer is None and not (self._paused_event_queue or self.more_follows):
            self._let_go()

    def _let_go(self) -> None:
        """Refer to itself no more: nothing comes any more, and so it goes at once, with all that it holds.

        Otherwise each request, with its bodies, would wait for Python to look for such circles.
        """
        self.client_state = self.server_state = _nothing_comes
        self.context.layers.remove(self)

    def _check_answers_head(self) -> Commands[bool]:
        """Treat an answer whose head mitmproxy would refuse as a failure of its engine.

        mitmproxy itself would answer in HTML, and nothing would say that the engine had failed. The engine's
        connection is closed: where its next answer begins can't be known.
        """
        assert self.flow.response
        if self.context.options.validate_inbound_headers:
            try:
                validate_headers(self.flow.response)
            except ValueError as error:
                yield commands.CloseConnection(self.flow.server_conn)
                yield from self.handle_protocol_error(
                    ResponseProtocolError(self.stream_id, str(error), ErrorCode.RESPONSE_VALIDATION_FAILED)
                )
                return True
        return False

    def _client_has_nothing_yet(self) -> bool:
        """Whether the client waits for an answer and has seen nothing of it."""
        return self.client_state == self.state_done and self.server_state in (
            self.state_wait_for_response_headers,
            self.state_consume_response_body,
        )

    def _answer_for_engine(self, failure: str) -> Commands[None]:
        self.flow.error = mitmproxy_flow.Error(failure)
        yield HttpErrorHook(self.flow)
        if (yield from self.check_killed(False)):
            return
        timed_out = self.exchange.engine_failure is EngineFailure.TIMED_OUT
        response = self._response_of(_ENGINE_TIMED_OUT if timed_out else _ENGINE_BROKE_OFF)
        if request_id := self.flow.request.headers.get(flows.REQUEST_ID_HEADER):
            response.headers[flows.REQUEST_ID_HEADER] = request_id
        yield from self._send(response)

    def _response_of(self, refusal: Refusal) -> http.Response:
        return response_of(refusal, GuardRules.in_force.routes.error_shape(self.exchange.path))

    def _request_bytes(self) -> int:
        if self.request_body_buf:
            return len(self.request_body_buf)
        if self.whole_bytes is not None:
            return self.whole_bytes
        try:
            return http1.expected_http_body_size(self.flow.request) or 0
        except ValueError:
            return 0

    def _refuse(self, refusal: Refusal) -> Commands[None]:
        """Answer in place of the engine, although the request has not ended."""
        if self.flow.response is None:  # else: the gate had another reason already
            self.exchange.refuse(refusal)
            self.flow.response = self._response_of(refusal)
        response = self.flow.response
        response.timestamp_start = response.timestamp_end = time.time()
        self.request_body_buf.clear()
        self.flow.error = mitmproxy_flow.Error(refusal.message)
        yield HttpErrorHook(self.flow)
        yield from self._send(response)

    def _send(self, response: http.Response) -> Commands[None]:
        """Send an answer of the guard's own, and end the stream.

        In the state `errored` mitmproxy's stream ignores what else comes of the request or of its engine.
        """
        client = self.context.client
        yield http_layers.SendHttp(ResponseHeaders(self.stream_id, response, False), client)
        yield http_layers.SendHttp(ResponseData(self.stream_id, response.raw_content or b""), client)
        yield http_layers.SendHttp(ResponseEndOfMessage(self.stream_id), client)
        self.client_state = self.server_state = self.state_errored
        self.flow.live = False
        yield http_layers.DropStream(self.stream_id)


def _nothing_comes(event: events.Event) -> Commands[None]:
    """Be in the state of a stream that is over. As mitmproxy's own `state_done`, without the stream."""
    raise AssertionError(f"a stream that is over gets {event}")


def forget_dead_connections(layer: http_layers.HttpLayer) -> None:
    """Drop what mitmproxy keeps of a client's connections to engines, for as long as the client stays.

    It would search them all for every request, and take an engine that could once not be reached for lost.
    """
    for connection in list(layer.connections):
        if connection is layer.context.client:
            continue
        connection.error = None
        if connection.timestamp_end is not None:
            del layer.connections[connection]


def _error_response(status_code: int, message: str = "") -> bytes:
    """Stand in for mitmproxy's HTML error page."""
    response = response_of(Refusal(status_code, RefusalReason.BAD_HTTP, message), ErrorShape.OPENAI)
    response.headers["Connection"] = "close"
    return bytes(http1.assemble_response(response))


@dataclass(frozen=True, slots=True)
class Replacement:
    """What stands in the place of something of mitmproxy's."""

    owner: ModuleType | type
    name: str
    ours: object

    @property
    def place(self) -> str:
        """Where it is, as in the list of the insides."""
        if isinstance(self.owner, ModuleType):
            return f"{self.owner.__name__}:{self.name}"
        return f"{self.owner.__module__}:{self.owner.__qualname__}.{self.name}"


def replacements() -> tuple[Replacement, ...]:
    """List what stands in the place of something of mitmproxy's."""
    # Only here: it brings along much of mitmproxy that needs no guard.
    from mitmproxy.addons import next_layer  # noqa: PLC0415

    return (
        Replacement(http_layers, "HttpStream", GuardedHttpStream),
        Replacement(http_layers, "Http1Server", BoundedHttp1Server),
        Replacement(http_layers, "Http1Client", BoundedHttp1Client),
        Replacement(http_layers, "Http2Server", BoundedHttp2Server),
        Replacement(http_layers, "Http2Client", BoundedHttp2Client),
        Replacement(next_layer, "ClientTLSLayer", BoundedClientTLSLayer),
        Replacement(_http1, "make_error_response", _error_response),
        Replacement(_http1, "make_body_reader", make_body_reader),
        Replacement(mode_servers, "ProxyConnectionHandler", OutlivingConnectionHandler),
        Replacement(server, "Context", LeanContext),
        Replacement(http.MessageData, "__post_init__", check_types),
        Replacement(mitmproxy_flow.Flow, "__init__", begin_flow),
        Replacement(http.Headers, "__init__", lean_headers.begin_headers),
        Replacement(http.Headers, "get_all", lean_headers.get_all),
        Replacement(http.Headers, "set_all", lean_headers.set_all),
    )


def install() -> None:
    """Put the guard into mitmproxy, for as long as this process lives.

    Raises InsidesError if this mitmproxy is not one the guard was written for.
    """
    insides.check()
    # mitmproxy looks these names up whenever it makes a connection or a stream. It offers no other way.
    for each in replacements():
        setattr(each.owner, each.name, each.ours)

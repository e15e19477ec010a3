"""Silence: how long nothing may pass on a client's connection, and whose fault it is when nothing does.

mitmproxy closes a client's connection on which nothing has passed for `tcp_timeout` seconds, whoever was to
blame, and does not notice an engine that hangs while other HTTP/2 streams of the connection are busy. So the
watchdog of a connection, the one timer that mitmproxy has for it anyway, looks at its exchanges:

    a request has begun and is not there                        the client is slow
    the client does not take what is there for it               the client is idle
    an engine owes an answer, or more of it                     the engine is silent
    none of these                                               the client is idle

A client may be idle for `tcp_timeout`. The guard's rules say how long an engine may be silent, and how long a
request may be on its way. For a request all of the time counts, not only the silence: otherwise a client that
sends a byte now and then could hold a connection for ever.

A timer for each stream would have to be set again at every chunk. Instead only the time of the last message
is kept, and the watchdog works out from it when to look again.
"""

import math
import time
from abc import abstractmethod
from typing import override

from mitmproxy.connection import Server
from mitmproxy.proxy import events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers import http as http_layers
from mitmproxy.proxy.layers.http._events import ErrorCode, RequestProtocolError, ResponseProtocolError

from phoebe_addon.exchange.exchange import EngineFailure, Exchange, Stage
from phoebe_addon.proxy.backpressure import held_bytes
from phoebe_addon.proxy.guard_rules import GuardRules
from phoebe_addon.proxy.plain_lane import PlainLaneStream


class TimedHttpStream(PlainLaneStream):
    """mitmproxy's HTTP stream; its engine may not be silent for ever, nor its client slow.

    exchange: the request and its answer. client_left: whether the client has taken nothing of its answer for
    too long.
    """

    client_left = False
    _heard_at_s = 0.0

    def __init__(self, context: Context, stream_id: int) -> None:
        super().__init__(context, stream_id)
        self._began_s = time.monotonic()
        self.exchange = Exchange(context.client.id)

    def awaits_client(self) -> bool:
        """Whether a part of the request has come and more of it is to come."""
        return self.client_state == self.state_consume_request_body and not self._paused

    def request_patience_s(self) -> float:
        """Seconds until the request has been on its way for too long; 0 or less: it has."""
        return time_left_s(self._began_s, GuardRules.in_force.request_timeout_s)

    def heard(self) -> None:
        """Start the engine's time anew: for as long as nobody listened to it, its silence proves nothing."""
        self._heard_at_s = time.monotonic()

    def awaits_engine(self) -> bool:
        """Whether it is the engine's turn: to be connected to, to answer, to go on with its answer."""
        # A client that does not take the answer keeps its engine from going on.
        if held_bytes(self.http_layer, self.stream_id):
            return False
        # The stream waits for a hook, that is for Phoebe itself.
        if self._paused and not isinstance(self._paused.command, http_layers.GetHttpConnection):
            return False
        return self.exchange.stage in (Stage.ASKED, Stage.ANSWERING) and self.server_state in (
            self.state_wait_for_response_headers,
            self.state_consume_response_body,
            self.state_stream_response_body,
            self.state_read_on,
        )

    def patience_s(self) -> float:
        """Seconds until the engine has been silent for too long; 0 or less: it has."""
        return time_left_s(self._heard_at_s, GuardRules.in_force.engine_timeout_s)

    def connecting(self) -> Server | None:
        """Return the connection to the engine that this stream waits for, if it does."""
        for connection, waiting in self.http_layer.waiting_for_establishment.items():
            if self._paused and self._paused.command in waiting:
                assert isinstance(connection, Server)
                return connection
        return None

    @override
    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        # This runs for every chunk: no generator of its own, no timer.
        if isinstance(event, events.Wakeup):
            return self._woken(event)
        self._heard_at_s = time.monotonic()
        handled: layer.CommandGenerator[None] = super()._handle_event(event)
        return handled

    @abstractmethod
    def refuse_slow_request(self) -> layer.CommandGenerator[None]:
        """Answer a request that does not come to its end."""

    @abstractmethod
    def state_read_on(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Be in the state in which the answer is read without the client."""

    def _woken(self, _event: events.Wakeup) -> layer.CommandGenerator[None]:
        # The watchdog only wakes a stream; what is due is decided here, in the order of messages.
        if self.client_left:
            yield from self._leave()
        elif self.awaits_client() and self.request_patience_s() <= 0:
            yield from self.refuse_slow_request()
        else:
            yield from self._give_up()

    def _leave(self) -> layer.CommandGenerator[None]:
        # It is said once. Should the answer be read on, what is silent from now on is the engine.
        self.client_left = False
        message = "the client took nothing of its answer for too long"
        client = self.context.client
        yield from self.handle_protocol_error(
            RequestProtocolError(self.stream_id, message, ErrorCode.CLIENT_DISCONNECTED)
        )
        yield http_layers.SendHttp(ResponseProtocolError(self.stream_id, message, ErrorCode.CANCEL), client)

    def _give_up(self) -> layer.CommandGenerator[None]:
        if not self.awaits_engine() or self.patience_s() > 0:
            return  # it spoke between the watchdog's look and this
        self.exchange.engine_failed(EngineFailure.TIMED_OUT)
        message = "the engine was silent for too long"
        engine = self.context.server
        yield from self.handle_protocol_error(
            ResponseProtocolError(self.stream_id, message, ErrorCode.GENERIC_SERVER_ERROR)
        )
        # So that the engine stops its work; in HTTP/1 that closes its connection.
        if engine in self.http_layer.connections:
            yield http_layers.SendHttp(
                RequestProtocolError(self.stream_id, message, ErrorCode.CANCEL), engine
            )


def time_left_s(since_s: float, limit_s: float) -> float:
    """Return how much is left of a time that began then, on the monotonic clock. limit_s: 0: no limit."""
    return since_s + limit_s - time.monotonic() if limit_s else math.inf

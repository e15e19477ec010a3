"""Silence: how long nothing may pass on a client's connection, and whose fault it is when nothing does.

mitmproxy closes a client's connection on which nothing has passed for `tcp_timeout` seconds, whoever was to
blame, and does not notice an engine that hangs while other HTTP/2 streams of the connection are busy. So the
watchdog of a connection, the one timer that mitmproxy has for it anyway, looks at its exchanges:

    the client does not take what is there for it               the client is idle
    an engine owes an answer, or more of it                     the engine is silent
    neither                                                     the client is idle

A client may be idle for `tcp_timeout`, an engine silent for `engine_timeout_s`. What passes leaves no more
than its time behind; the watchdog works out from it when to look again.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, ClassVar, override

from mitmproxy.connection import Server
from mitmproxy.proxy import commands, events, layer, mode_servers, server
from mitmproxy.proxy.layers import http as http_layers
from mitmproxy.proxy.layers.http._events import ErrorCode, RequestProtocolError, ResponseProtocolError

# Before a look is repeated that was due and changed nothing.
_LOOK_AGAIN_S = 5.0
# mitmproxy lets 5 exchanges of one HTTP/2 connection use an engine at a time, the others wait. HTTP/2 itself
# lets a client have this many.
_ENGINE_CONNECTIONS_MAX = 100


class TimedHttpStream(http_layers.HttpStream):
    """mitmproxy's HTTP stream, with an engine that may not be silent for ever.

    engine_timeout_s: seconds without anything from an engine that owes an answer; 0: no limit.
    engine_timed_out: whether that was too long.
    """

    engine_timeout_s: ClassVar[float] = 600.0
    engine_timed_out = False
    _asked = False
    _heard_at_s = 0.0

    @property
    def http_layer(self) -> http_layers.HttpLayer:
        """The layer of the client's connection, which this stream belongs to."""
        parent = self.context.layers[self.context.layers.index(self) - 1]
        assert isinstance(parent, http_layers.HttpLayer)
        return parent

    def awaits_engine(self) -> bool:
        """Whether it is the engine's turn: to be connected to, to answer, to go on with its answer."""
        if self._paused and not isinstance(self._paused.command, http_layers.GetHttpConnection):
            return False
        return self._asked and self.server_state in (
            self.state_wait_for_response_headers,
            self.state_consume_response_body,
            self.state_stream_response_body,
        )

    def patience_s(self) -> float:
        """Seconds until the engine has been silent for too long; 0 or less: it has."""
        return self._heard_at_s + self.engine_timeout_s - time.monotonic()

    def connecting(self) -> Server | None:
        """Return the connection to the engine that this stream waits for, if it does."""
        for connection, waiting in self.http_layer.waiting_for_establishment.items():
            if self._paused and self._paused.command in waiting:
                assert isinstance(connection, Server)
                return connection
        return None

    @override
    def make_server_connection(self) -> layer.CommandGenerator[bool]:
        self._asked = True
        self._heard_at_s = time.monotonic()
        return (yield from super().make_server_connection())

    @override
    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        # This runs for every chunk: no generator of its own, no timer.
        if isinstance(event, events.Wakeup):
            return self._give_up()
        self._heard_at_s = time.monotonic()
        handled: layer.CommandGenerator[None] = super()._handle_event(event)
        return handled

    def _give_up(self) -> layer.CommandGenerator[None]:
        if not self.awaits_engine() or self.patience_s() > 0:
            return  # it spoke while the watchdog waited for its turn
        self.engine_timed_out = True
        message = "the engine was silent for too long"
        engine = self.context.server
        yield from self.handle_protocol_error(
            ResponseProtocolError(self.stream_id, message, ErrorCode.GENERIC_SERVER_ERROR)
        )
        if engine in self.http_layer.connections:
            yield http_layers.SendHttp(
                RequestProtocolError(self.stream_id, message, ErrorCode.CANCEL), engine
            )


class Watchdog(server.TimeoutWatchdog):
    """The timer of one client connection. It lives as long as the connection does."""

    def __init__(self, handler: server.ConnectionHandler) -> None:
        super().__init__(handler.timeout_watchdog.timeout, handler.on_timeout)
        self._handler = handler

    @override
    async def watch(self) -> None:
        while True:
            await asyncio.sleep(self._next_look_s())
            await self.can_timeout.wait()
            if await self._look():
                return

    def _next_look_s(self) -> float:
        left = [self._client_patience_s()]
        if limit := TimedHttpStream.engine_timeout_s:
            # A stream that begins now is due no sooner than this.
            left += [limit, *(stream.patience_s() for stream in self._awaiting())]
        return min(seconds if seconds > 0 else _LOOK_AGAIN_S for seconds in left)

    async def _look(self) -> bool:
        """Give up what has been silent for too long. Returns whether that was the client."""
        awaiting = [] if self._client_is_stuck() else list(self._awaiting())
        if not awaiting and self._client_patience_s() <= 0:
            await self.callback()
            return True
        for stream in awaiting:
            if stream.engine_timeout_s and stream.patience_s() <= 0:
                await self._give_up(stream)
        return False

    async def _give_up(self, stream: TimedHttpStream) -> None:
        if connection := stream.connecting():
            # Until it has its turn to connect, there is nothing to break off.
            if connection.timestamp_start and not stream.engine_timed_out:
                stream.engine_timed_out = True
                self._handler.close_connection(connection)
            return
        wakeup = commands.RequestWakeup(0)
        stream.http_layer.command_sources[wakeup] = stream
        await self._handler.server_event(events.Wakeup(wakeup))

    def _awaiting(self) -> Iterator[TimedHttpStream]:
        for one in self._handler.layer.context.layers:
            if isinstance(one, http_layers.HttpLayer):
                for stream in one.streams.values():
                    if isinstance(stream, TimedHttpStream) and stream.awaits_engine():
                        yield stream

    def _client_patience_s(self) -> float:
        return self.last_activity + self.timeout - time.time()

    def _client_is_stuck(self) -> bool:
        """Whether bytes wait for the client to take them. Meanwhile nothing is read from its engines."""
        io = self._handler.transports.get(self._handler.client)
        writer = io.writer if io else None
        return isinstance(writer, asyncio.StreamWriter) and writer.transport.get_write_buffer_size() > 0


class WatchedConnectionHandler(mode_servers.ProxyConnectionHandler):
    """mitmproxy's handler of a client connection, with this watchdog."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)  # type: ignore[no-untyped-call]
        self.timeout_watchdog = Watchdog(self)
        self.max_conns = defaultdict(lambda: asyncio.Semaphore(_ENGINE_CONNECTIONS_MAX))

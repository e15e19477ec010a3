"""The watchdog of a client's connection: mitmproxy's one timer for it, which looks at all its exchanges."""

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, override

from mitmproxy.proxy import commands, events, server
from mitmproxy.proxy.layers import http as http_layers

from phoebe_addon.exchange.exchange import EngineFailure
from phoebe_addon.proxy.backpressure import http_layer_of
from phoebe_addon.proxy.fast_lane import FastConnectionHandler
from phoebe_addon.proxy.guard_rules import GuardRules
from phoebe_addon.proxy.http1 import BoundedHttp1Server
from phoebe_addon.proxy.silence import TimedHttpStream, time_left_s

# Before a look is repeated that was due and changed nothing.
_LOOK_AGAIN_S = 5.0
# mitmproxy lets 5 exchanges of one HTTP/2 connection use an engine at a time, the others wait. HTTP/2 itself
# lets a client have this many.
_ENGINE_CONNECTIONS_MAX = 100


class Watchdog(server.TimeoutWatchdog):
    """The timer of one client connection. It lives as long as the connection does."""

    def __init__(self, handler: server.ConnectionHandler) -> None:
        super().__init__(handler.timeout_watchdog.timeout, handler.on_timeout)
        self._handler = handler
        self._began_s = time.monotonic()

    @override
    async def watch(self) -> None:
        while True:
            await asyncio.sleep(self._next_look_s())
            await self.can_timeout.wait()
            if await self._look():
                return

    def _next_look_s(self) -> float:
        rules = GuardRules.in_force
        # A stream that begins now is due no sooner than these.
        limits_s = [limit_s for limit_s in (rules.engine_timeout_s, rules.request_timeout_s) if limit_s]
        left = [self._client_patience_s(), self._head_patience_s(), *limits_s]
        left += [stream.patience_s() for stream in self._awaiting_engine()]
        left += [stream.request_patience_s() for stream in self._awaiting_client()]
        return min(seconds if seconds > 0 else _LOOK_AGAIN_S for seconds in left)

    async def _look(self) -> bool:
        """Give up what has been silent for too long. Returns whether that was the client."""
        awaiting = [] if self._client_is_stuck() else list(self._awaiting_engine())
        if (not awaiting and self._client_patience_s() <= 0) or self._head_patience_s() <= 0:
            await self.callback()
            return True
        for stream in awaiting:
            if stream.patience_s() <= 0:
                await self._give_up(stream)
        for stream in list(self._awaiting_client()):
            if stream.request_patience_s() <= 0:
                await wake(self._handler, stream)
        return False

    async def _give_up(self, stream: TimedHttpStream) -> None:
        if connection := stream.connecting():
            # Until it has its turn to connect, there is nothing to break off.
            if connection.timestamp_start and not stream.exchange.engine_failure:
                stream.exchange.engine_failed(EngineFailure.TIMED_OUT)
                self._handler.close_connection(connection)
            return
        await wake(self._handler, stream)

    def _awaiting_engine(self) -> Iterator[TimedHttpStream]:
        return (stream for stream in _streams(self._handler) if stream.awaits_engine())

    def _awaiting_client(self) -> Iterator[TimedHttpStream]:
        return (stream for stream in _streams(self._handler) if stream.awaits_client())

    def _head_patience_s(self) -> float:
        """Return the seconds until the head of a request is late; 0 or less: it is."""
        began_s = self._head_began_s()
        return math.inf if began_s is None else time_left_s(began_s, GuardRules.in_force.request_timeout_s)

    def _head_began_s(self) -> float | None:
        """Say since when the head of a request is awaited, if one is; on a new connection, HTTP itself."""
        layer = http_layer_of(self._handler)
        speaking = layer.connections.get(self._handler.client) if layer else None
        if speaking is None:
            return self._began_s
        return speaking.head_began_s if isinstance(speaking, BoundedHttp1Server) else None

    def _client_patience_s(self) -> float:
        return self.last_activity + self.timeout - time.time()

    def _client_is_stuck(self) -> bool:
        """Whether bytes wait for the client to take them. Meanwhile nothing is read from its engines."""
        io = self._handler.transports.get(self._handler.client)
        writer = io.writer if io else None
        return isinstance(writer, asyncio.StreamWriter) and writer.transport.get_write_buffer_size() > 0


class WatchedConnectionHandler(FastConnectionHandler):
    """mitmproxy's handler of a client connection, with this watchdog."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.timeout_watchdog = Watchdog(self)
        self.max_conns = defaultdict(lambda: asyncio.Semaphore(_ENGINE_CONNECTIONS_MAX))

    @override
    async def taken_again(self, stream: http_layers.HttpStream) -> None:
        if isinstance(stream, TimedHttpStream):
            stream.heard()

    @override
    async def never_taken(self, stream: http_layers.HttpStream) -> None:
        if isinstance(stream, TimedHttpStream):
            stream.client_left = True
            await wake(self, stream)


async def wake(handler: server.ConnectionHandler, stream: TimedHttpStream) -> None:
    """Let a stream see that somebody has been silent for too long."""
    wakeup = commands.RequestWakeup(0)
    stream.http_layer.command_sources[wakeup] = stream
    await handler.server_event(events.Wakeup(wakeup))


def _streams(handler: server.ConnectionHandler) -> Iterator[TimedHttpStream]:
    layer = http_layer_of(handler)
    for stream in layer.streams.values() if layer else ():
        if isinstance(stream, TimedHttpStream):
            yield stream

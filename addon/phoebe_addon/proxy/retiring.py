"""Retiring: another process has taken this one's place, and its clients go over to that one.

Nobody is refused. An answer of HTTP/1 says that it is the last on its connection, so that its client opens
another one, which the other process takes. A client of HTTP/2 is told by a GOAWAY, between two of its
requests. What is idle for long is closed.
"""

import asyncio
import time
from weakref import WeakSet

from hyperframe.frame import GoAwayFrame
from mitmproxy.addons import proxyserver
from mitmproxy.proxy import server

from phoebe_addon.proxy.backpressure import http_layer_of
from phoebe_addon.proxy.stopping import writer_of

# An edge that has not used a connection for so long will hardly send a request on it in the moment in which
# it is closed. That request would be reset.
IDLE_S = 20.0
# A client that was told opens no stream any more, but for those that were under way to here.
_IDLE_WHEN_TOLD_S = 2.0
# A client that leaves no gap between its requests is told amid them, after this part of the time. Some, such
# as those made with Python's h2, take a GOAWAY for the end of what they have under way.
_PATIENCE = 0.5
_LOOK_EVERY_S = 0.05
# No new streams; all that are there go on (RFC 9113, 6.8). It goes past mitmproxy, whose h2 would end the
# connection with it. What it writes are whole frames, so that this one comes between two.
_GOAWAY = GoAwayFrame(stream_id=0, last_stream_id=2**31 - 1).serialize()


class Farewell:
    """Lets the clients of a mitmproxy go over to another one."""

    def __init__(self, servers: proxyserver.Proxyserver) -> None:
        self._servers = servers
        self._told: WeakSet[server.ConnectionHandler] = WeakSet()

    def tell(self, *, amid_requests: bool) -> None:
        """Tell those that can be told now, each once. amid_requests: also those with something under way."""
        for handler in list(self._servers.connections.values()):
            http = http_layer_of(handler)
            if handler.client.alpn != b"h2" or handler in self._told or http is None:
                continue
            if (amid_requests or not http.streams) and (writer := writer_of(handler)):
                self._told.add(handler)
                writer.write(_GOAWAY)

    def close_idle(self) -> None:
        """Close connections on which nothing is under way, and hardly anything will be."""
        for handler in list(self._servers.connections.values()):
            http = http_layer_of(handler)
            idle_s = time.time() - handler.timeout_watchdog.last_activity
            long_s = _IDLE_WHEN_TOLD_S if handler in self._told else IDLE_S
            if idle_s >= long_s and not (http and http.streams) and (writer := writer_of(handler)):
                writer.close()


async def until_left(servers: proxyserver.Proxyserver, timeout_s: float) -> bool:
    """Wait until no client is connected, at most so many seconds; return whether none is."""
    began_s = time.monotonic()
    farewell = Farewell(servers)
    while servers.connections:
        waited_s = time.monotonic() - began_s
        if waited_s >= timeout_s:
            return False
        farewell.tell(amid_requests=waited_s >= _PATIENCE * timeout_s)
        farewell.close_idle()
        await asyncio.sleep(_LOOK_EVERY_S)
    return True


async def serve_on(servers: proxyserver.Proxyserver, for_s: float) -> None:
    """Let new requests be served for so many seconds, on connections that are said to be used no more."""
    began_s = time.monotonic()
    farewell = Farewell(servers)
    while (waited_s := time.monotonic() - began_s) < for_s:
        farewell.tell(amid_requests=waited_s >= _PATIENCE * for_s)
        await asyncio.sleep(_LOOK_EVERY_S)

"""Retiring: another process has taken this one's place, and its clients go over to that one.

Nobody is refused. An answer of HTTP/1 says that it is the last on its connection, so that its client opens
another one, which the other process takes. On HTTP/2 a GOAWAY comes behind an answer while nothing else is
under way (http2.py). What is idle for long is closed.
"""

import asyncio
import time

from mitmproxy.addons import proxyserver
from mitmproxy.proxy import server

from phoebe_addon.proxy.backpressure import http_layer_of
from phoebe_addon.proxy.stopping import writer_of

# An edge that has not used a connection for so long will hardly send a request on it in the moment in which
# it is closed. That request would be reset.
IDLE_S = 20.0
_LOOK_EVERY_S = 0.05


async def until_left(servers: proxyserver.Proxyserver, timeout_s: float) -> bool:
    """Wait until no client is connected, at most so many seconds; return whether none is."""
    deadline_s = time.monotonic() + timeout_s
    while servers.connections:
        if time.monotonic() >= deadline_s:
            return False
        for handler in list(servers.connections.values()):
            _close_if_idle(handler)
        await asyncio.sleep(_LOOK_EVERY_S)
    return True


def _close_if_idle(handler: server.ConnectionHandler) -> None:
    http = http_layer_of(handler)
    idle_s = time.time() - handler.timeout_watchdog.last_activity
    if idle_s < IDLE_S or (http and http.streams):
        return
    if writer := writer_of(handler):
        writer.close()

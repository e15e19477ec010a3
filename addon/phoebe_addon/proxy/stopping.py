"""Stopping: what is under way comes to its end before the process does.

mitmproxy ends at once when it is told to, and whatever it was passing on is cut. It is told by signals, and
by whoever calls its `shutdown`; all of them come by here first. Being told again ends at once.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Protocol

from mitmproxy import master
from mitmproxy.addons import proxyserver
from mitmproxy.proxy import server
from mitmproxy.proxy.layers import http as http_layers

from phoebe_addon.proxy.stop_signals import StopSignals
from phoebe_runtime.background import spawn

logger = logging.getLogger(__name__)

_LOOK_EVERY_S = 0.05


class Stopping:
    """Stands in for the `shutdown` of a mitmproxy, until `undo`.

    announce: what to do, once, while requests are still served. drain: what to do then, before mitmproxy's
    own shutdown. begun: whether the process is to end. refuses: whether new requests are refused for it.
    """

    def __init__(
        self,
        stopped: master.Master,
        announce: Callable[[], Awaitable[None]],
        drain: Callable[[], Awaitable[None]],
    ) -> None:
        self._master = stopped
        self._announce = announce
        self._drain = drain
        self.begun = False
        self.refuses = False
        self._draining: asyncio.Task[None] | None = None
        self._shutdown: Callable[[], None] = stopped.shutdown
        stopped.shutdown = self._ask  # type: ignore[method-assign]
        self._signals = StopSignals(stopped.event_loop, self._ask)

    def undo(self) -> None:
        """Let mitmproxy be as it was; what is being waited for is waited for no more."""
        self._master.shutdown = self._shutdown  # type: ignore[method-assign]
        self._signals.act = self._shutdown
        if self._draining:
            self._draining.cancel()

    def _ask(self) -> None:
        # As mitmproxy's own, it may be called from any thread.
        self._master.event_loop.call_soon_threadsafe(self._asked)

    def _asked(self) -> None:
        if self._draining:
            logger.warning("phoebe: told again to stop: what is under way is cut off")
            self._shutdown()
        else:
            self.begun = True
            self._draining = spawn(self._run(), "draining")

    async def _run(self) -> None:
        try:
            try:
                await self._announce()
            finally:
                self.refuses = True
            await self._drain()
        except Exception:
            logger.exception("phoebe: stopping in order failed")
        finally:
            self._shutdown()


class Books(Protocol):
    """What keeps the books of exchanges under way, and has their events delivered."""

    def end_all(self) -> None:
        """End what is open, because the proxy stops."""

    async def finish(self, deadline_s: float) -> None:
        """Bring all events to the rater, until about that time of the event loop."""


async def drain(servers: proxyserver.Proxyserver, books: Books, timeout_s: float) -> None:
    """Let what is under way come to its end, and its events to the rater, within the time there is.

    timeout_s: in seconds; 0: nothing is waited for.
    """
    if not timeout_s:
        return
    deadline_s = asyncio.get_running_loop().time() + timeout_s
    logger.info("phoebe: stopping: what is under way has %g seconds", timeout_s)
    if not await until_quiet(servers, deadline_s):
        logger.warning("phoebe: what is still under way is cut off")
        books.end_all()
        cut_off(servers)
    await books.finish(deadline_s)


async def until_quiet(servers: proxyserver.Proxyserver, deadline_s: float) -> bool:
    """Wait until nothing is under way, at most until that time of the event loop; return whether it is."""
    loop = asyncio.get_running_loop()
    while any(_busy(servers)):
        if loop.time() >= deadline_s:
            return False
        await asyncio.sleep(_LOOK_EVERY_S)
    return True


def cut_off(servers: proxyserver.Proxyserver) -> None:
    """Break off the connections of all clients that wait for something."""
    for handler in list(_busy(servers)):
        if writer := writer_of(handler):
            writer.transport.abort()


def _busy(servers: proxyserver.Proxyserver) -> Iterator[server.ConnectionHandler]:
    for handler in list(servers.connections.values()):
        writer = writer_of(handler)
        if any(_answers_owed(handler)) or (writer and writer.transport.get_write_buffer_size()):
            yield handler


def _answers_owed(handler: server.ConnectionHandler) -> Iterator[http_layers.HttpStream]:
    """Return the exchanges whose request is complete and whose answer is not; others would be refused."""
    for layer in handler.layer.context.layers:
        if isinstance(layer, http_layers.HttpLayer):
            for stream in layer.streams.values():
                if stream.client_state == stream.state_done:
                    yield stream


def writer_of(handler: server.ConnectionHandler) -> asyncio.StreamWriter | None:
    """Return what writes to a client; None: it is gone."""
    io = handler.transports.get(handler.client)
    return io.writer if io and isinstance(io.writer, asyncio.StreamWriter) else None

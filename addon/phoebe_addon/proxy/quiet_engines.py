"""An engine is asked only on a connection on which it is quiet.

What has come on a connection before a request is sent can't be its answer. mitmproxy's layers know only what
they were shown, though. Bytes may wait where layers don't see them: at a layer that is paused, in asyncio's
buffer, in the kernel. So before each request all of these are looked at. If something is there, the request
goes out on another connection.

HTTP/2 numbers requests and answers. There an engine may say something at any time. An answer to what was not
asked breaks the protocol, and the connection ends; but for that, what came first must be heard first.
"""

from dataclasses import dataclass
from typing import Protocol, override
from weakref import WeakValueDictionary

from mitmproxy.connection import Connection, Server
from mitmproxy.proxy import commands, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers import http as http_layers
from mitmproxy.proxy.layers.http._events import ErrorCode, ResponseProtocolError

from phoebe_addon.proxy.http1 import BoundedHttp1Client

# TLS itself sends records that say nothing to HTTP: the tickets of a session come right behind the handshake.
# Only the TLS layer can tell them from an answer. A record is read within a few rounds of the event loop.
LOOKS_BEHIND_TLS = 10


class Sockets(Protocol):
    """What holds the socket of a client and those of its engines."""

    def is_unread(self, connection: Connection) -> bool:
        """Whether something came on a connection, be it only its end, that no layer has been shown."""


_sockets: WeakValueDictionary[str, Sockets] = WeakValueDictionary()
"""By the id of the client's connection."""


def know_sockets(client: Connection, sockets: Sockets) -> None:
    """Say what holds the sockets of a client and its engines, for as long as it lives."""
    _sockets[client.id] = sockets


@dataclass
class EngineHeardHook(commands.StartHook):
    """No addon has this hook: until it is over, the layers are shown what waits for them."""

    data: Server


class QuietEngineStream(http_layers.HttpStream):
    """mitmproxy's HTTP stream; it asks an engine only where the engine is quiet."""

    def __init__(self, context: Context, stream_id: int) -> None:
        super().__init__(context, stream_id)
        parent = context.layers[context.layers.index(self) - 1]
        assert isinstance(parent, http_layers.HttpLayer)
        self.http_layer = parent
        """The layer of the client's connection, which this stream belongs to."""

    @override
    def make_server_connection(self) -> layer.CommandGenerator[bool]:
        while (yield from super().make_server_connection()):
            engine = self.context.server
            if (yield from self._is_quiet(engine)):
                return True
            if engine.connected or not self._was_asked_before(engine):
                # An engine that speaks first, or is gone at once, would do the same again.
                message = "the engine spoke before it was asked, or closed the connection at once"
                yield from self.handle_protocol_error(
                    ResponseProtocolError(self.stream_id, message, ErrorCode.GENERIC_SERVER_ERROR)
                )
                return False
        return False

    def _is_quiet(self, engine: Server) -> layer.CommandGenerator[bool]:
        """Whether an engine may be asked on a connection. One that may not is used no more."""
        layers = self._layers_of(engine)
        waits = any(each._paused_event_queue for each in layers)
        if not isinstance(layers[-1], BoundedHttp1Client):
            if waits:
                yield EngineHeardHook(engine)
            return engine.connected
        looks_left = LOOKS_BEHIND_TLS if engine.tls else 0
        while waits or _is_unread(self.context.client, engine):
            if not looks_left:
                break
            looks_left -= 1
            yield EngineHeardHook(engine)
            waits = any(each._paused_event_queue for each in layers)
        else:
            return engine.connected
        # Only the proxy's half is closed, so that what the engine said is still read and counted. On such a
        # connection mitmproxy sends no further request.
        yield commands.CloseTcpConnection(engine, half_close=True)
        return False

    def _was_asked_before(self, engine: Server) -> bool:
        http = self._layers_of(engine)[-1]
        return isinstance(http, BoundedHttp1Client) and http.request_count > 0

    def _layers_of(self, engine: Server) -> list[layer.Layer]:
        """List the layers of an engine's connection: TLS where it is spoken, and HTTP, which is the last."""
        outermost = self.http_layer.connections[engine]
        layers = outermost.context.layers
        return layers[layers.index(outermost) :]


def _is_unread(client: Connection, engine: Server) -> bool:
    sockets = _sockets.get(client.id)
    return sockets is not None and sockets.is_unread(engine)

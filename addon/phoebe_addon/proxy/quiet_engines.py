"""An engine is asked only on a connection on which it is quiet.

What has come on a connection before a request is sent can't be its answer. mitmproxy's layers know only what
they were shown, though. Bytes may wait where layers don't see them: at a layer that is paused, in asyncio's
buffer, in the kernel. So before each request all of these are looked at. If something is there, the request
goes out on another connection.

HTTP/2 numbers requests and answers. There an answer that nobody asked for breaks the protocol, and the
connection ends by itself.
"""

from collections.abc import Iterator
from typing import Protocol, override
from weakref import WeakValueDictionary

from mitmproxy.connection import Connection, Server
from mitmproxy.proxy import commands, layer
from mitmproxy.proxy.layers import http as http_layers
from mitmproxy.proxy.layers.http._events import ErrorCode, ResponseProtocolError

from phoebe_addon.proxy.http1 import BoundedHttp1Client


class Sockets(Protocol):
    """What holds the socket of a client and those of its engines."""

    def is_unread(self, connection: Connection) -> bool:
        """Whether something came on a connection, be it only its end, that no layer has been shown."""


_sockets: WeakValueDictionary[str, Sockets] = WeakValueDictionary()
"""By the id of the client's connection."""


def know_sockets(client: Connection, sockets: Sockets) -> None:
    """Say what holds the sockets of a client and its engines, for as long as it lives."""
    _sockets[client.id] = sockets


class QuietEngineStream(http_layers.HttpStream):
    """mitmproxy's HTTP stream; it asks an engine only where the engine is quiet."""

    @property
    def http_layer(self) -> http_layers.HttpLayer:
        """The layer of the client's connection, which this stream belongs to."""
        parent = self.context.layers[self.context.layers.index(self) - 1]
        assert isinstance(parent, http_layers.HttpLayer)
        return parent

    @override
    def make_server_connection(self) -> layer.CommandGenerator[bool]:
        while (yield from super().make_server_connection()):
            engine = self.context.server
            http1 = _http1_of(self.http_layer, engine)
            if http1 is None or not _has_spoken(self.http_layer, engine):
                return True
            # Only the proxy's half is closed, so that what the engine said is still read and counted. On such
            # a connection mitmproxy sends no further request.
            yield commands.CloseTcpConnection(engine, half_close=True)
            if http1.request_count == 0 or engine.connected:
                # An engine that speaks first, or is gone at once, would do the same again.
                message = "the engine spoke before it was asked, or closed the connection at once"
                yield from self.handle_protocol_error(
                    ResponseProtocolError(self.stream_id, message, ErrorCode.GENERIC_SERVER_ERROR)
                )
                return False
        return False


def _http1_of(http_layer: http_layers.HttpLayer, engine: Server) -> BoundedHttp1Client | None:
    """Return the layer that speaks HTTP/1 with an engine; None: HTTP/2 is spoken."""
    innermost = http_layer.connections[engine].context.layers[-1]
    return innermost if isinstance(innermost, BoundedHttp1Client) else None


def _has_spoken(http_layer: http_layers.HttpLayer, engine: Server) -> bool:
    if any(each._paused_event_queue for each in _layers_of(http_layer, engine)):
        return True
    sockets = _sockets.get(http_layer.context.client.id)
    return sockets is not None and sockets.is_unread(engine)


def _layers_of(http_layer: http_layers.HttpLayer, engine: Server) -> Iterator[layer.Layer]:
    """List the layers of an engine's connection: TLS, where it is spoken, and HTTP."""
    outermost = http_layer.connections[engine]
    layers = outermost.context.layers
    yield from layers[layers.index(outermost) :]

"""The line to a client that speaks TLS, for what goes past mitmproxy's layers."""

import asyncio

from mitmproxy.proxy import tunnel
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers import tls
from OpenSSL import SSL

# mitmproxy takes as much at once of what is encrypted.
_SEALED_BYTES_MAX = 65535


class SealedLine:
    """Writes to a client as its TLS layer does, with the layer's own state of TLS.

    Whatever the layer sends, before or after, is in order with it: both write at once.
    """

    __slots__ = ("_layer", "_transport")

    def __init__(self, layer: tls.TLSLayer, transport: asyncio.Transport) -> None:
        self._layer = layer
        self._transport = transport

    def write(self, data: bytes) -> None:
        """Encrypt bytes and write them."""
        try:
            self._layer.tls.sendall(data)
        except (SSL.ZeroReturnError, SSL.SysCallError):
            # As in the layer: what the client takes no more is dropped.
            self._send_sealed()
        else:
            self._send_sealed()

    def _send_sealed(self) -> None:
        while True:
            try:
                self._transport.write(self._layer.tls.bio_read(_SEALED_BYTES_MAX))
            except SSL.WantReadError:
                return

    def is_closing(self) -> bool:
        """Whether the connection is about to be closed."""
        return self._transport.is_closing()

    def get_write_buffer_size(self) -> int:
        """Return how many encrypted bytes wait to leave this process."""
        return self._transport.get_write_buffer_size()


def line_to_client(context: Context, transport: asyncio.Transport) -> asyncio.Transport | SealedLine | None:
    """Choose how to write to the client of an HTTP layer. None: only mitmproxy's layers can."""
    client = context.client
    tunnels = [
        each
        for each in context.layers
        if isinstance(each, tunnel.TunnelLayer) and each.tunnel_connection is client
    ]
    if not tunnels:
        return None if client.tls else transport
    (innermost,) = tunnels[-1:]
    is_open = innermost.tunnel_state is tunnel.TunnelState.OPEN
    if len(tunnels) > 1 or not is_open or not isinstance(innermost, tls.ClientTLSLayer) or innermost.is_dtls:
        return None
    return SealedLine(innermost, transport)

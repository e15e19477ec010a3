"""mitmproxy's TLS with clients: its first message has a limit, and a failed handshake is an end."""

from typing import override

from mitmproxy.proxy import layer
from mitmproxy.proxy.layers import tls

# Real ones have some 2,000 bytes. mitmproxy would collect 16 MiB, and read all of it again with every piece.
_CLIENT_HELLO_BYTES_MAX = 64 * 1024
# Of what is wrong with a handshake, in the log: mitmproxy would put there all that came.
_FAULT_LENGTH_MAX = 200


class BoundedClientTLSLayer(tls.ClientTLSLayer):
    """The TLS of a client's connection."""

    @override
    def receive_handshake_data(self, data: bytes) -> layer.CommandGenerator[tuple[bool, str | None]]:
        if not self.client_hello_parsed and len(self.recv_buffer) + len(data) > _CLIENT_HELLO_BYTES_MAX:
            return False, "Cannot parse ClientHello: it is too long"
        return (yield from super().receive_handshake_data(data))

    @override
    def on_handshake_error(self, err: str) -> layer.CommandGenerator[None]:
        yield from super().on_handshake_error(err[:_FAULT_LENGTH_MAX])

    @override
    def receive_data(self, data: bytes) -> layer.CommandGenerator[None]:
        # What was on its way when the handshake failed is nothing to decrypt.
        if self.tls:
            yield from super().receive_data(data)

"""TLS connections to a proxy, for clients that write their own bytes or frames."""

import socket
import ssl

from tests.harness.proxy import Proxy
from tests.harness.raw_client import RawClient


def _trusting() -> ssl.SSLContext:
    """Trust any certificate: the proxy makes its own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class TlsRawClient(RawClient):
    """A client that writes the bytes of HTTP/1 itself, over TLS."""

    def __init__(self, proxy: Proxy) -> None:
        super().__init__(proxy)
        self._socket = _trusting().wrap_socket(self._socket, server_hostname="localhost")


def open_http2(proxy: Proxy, timeout_s: float = 20) -> ssl.SSLSocket:
    """Connect, and agree on HTTP/2."""
    context = _trusting()
    context.set_alpn_protocols(["h2"])
    plain = socket.create_connection(("127.0.0.1", proxy.port), timeout=timeout_s)
    connection = context.wrap_socket(plain)
    assert connection.selected_alpn_protocol() == "h2"
    return connection

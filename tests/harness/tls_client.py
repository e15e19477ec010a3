"""A TLS connection to a proxy as an HTTP/2 client opens it, for clients that write their own frames."""

import socket
import ssl

from tests.harness.proxy import Proxy


def open_http2(proxy: Proxy, timeout_s: float = 20) -> ssl.SSLSocket:
    """Connect, trusting the certificate of the proxy's own making, and agree on HTTP/2."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    plain = socket.create_connection(("127.0.0.1", proxy.port), timeout=timeout_s)
    connection = context.wrap_socket(plain)
    assert connection.selected_alpn_protocol() == "h2"
    return connection

"""The TLS of an engine, without a socket: bytes in, bytes out."""

from contextlib import suppress

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL

from tests.harness.certificates import Authority


class TlsEngine:
    """An engine's half of one connection. established: the handshake is over."""

    def __init__(self) -> None:
        certificate = Authority().issue("an engine")
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.use_certificate(x509.load_pem_x509_certificate(certificate.certificate))
        key = load_pem_private_key(certificate.key, None)
        context.use_privatekey(key)  # type: ignore[arg-type] # it is of a kind that certificates have
        self._connection = SSL.Connection(context, None)
        self._connection.set_accept_state()
        self.established = False

    def take(self, encrypted: bytes) -> bytes:
        """Take what the proxy sent, and return what it says to the engine."""
        self._connection.bio_write(encrypted)
        with suppress(SSL.WantReadError):
            if not self.established:
                self._connection.do_handshake()
                self.established = True
            return self._connection.recv(65536)
        return b""

    def say(self, data: bytes = b"") -> bytes:
        """Return what goes to the proxy: data of the engine's, behind what TLS has to say itself."""
        if data:
            self._connection.send(data)
        with suppress(SSL.WantReadError):
            return self._connection.bio_read(65536)
        return b""


def proxys_half() -> SSL.Connection:
    """Make the proxy's half, which trusts every engine."""
    connection = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
    connection.set_connect_state()
    return connection

"""The line to a client with TLS: what goes past the layer can't be told from what the layer sends."""

import asyncio
import ssl
from typing import override

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from mitmproxy.connection import Client
from mitmproxy.options import Options
from mitmproxy.proxy import commands, layer, tunnel
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers import http as http_layers
from mitmproxy.proxy.layers import modes, tls
from OpenSSL import SSL

from phoebe_addon.proxy.sealed_line import SealedLine, line_to_client
from tests.harness.certificates import Authority

CERTIFICATE = Authority().issue("localhost")


class Wire(asyncio.Transport):
    """The transport of a connection: keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []

    @override
    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    @override
    def is_closing(self) -> bool:
        return True

    @override
    def get_write_buffer_size(self) -> int:
        return 7


class Stand:
    """A client and mitmproxy's layer of its TLS, with the handshake done."""

    def __init__(self) -> None:
        client = Client(peername=("127.0.0.1", 1), sockname=("127.0.0.1", 2))
        self.context = Context(client, Options())
        modes.ReverseProxy(self.context)
        self.layer = tls.ClientTLSLayer(self.context)
        self.wire = Wire()
        self._incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        trusting.check_hostname = False
        trusting.verify_mode = ssl.CERT_NONE
        self._client = trusting.wrap_bio(self._incoming, outgoing)
        self.layer.tls = self._server()
        for _ in range(3):
            _ignoring(self._client.do_handshake)
            if outgoing.pending:
                self.layer.tls.bio_write(outgoing.read())
            _ignoring(self.layer.tls.do_handshake)
            self.read(b"".join(self._sent(self.layer.tls_interact())))
        self.layer.tunnel_state = tunnel.TunnelState.OPEN

    def _server(self) -> SSL.Connection:
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.use_certificate(x509.load_pem_x509_certificate(CERTIFICATE.certificate))
        context.use_privatekey(load_pem_private_key(CERTIFICATE.key, None))  # type: ignore[arg-type]
        connection = SSL.Connection(context)
        connection.set_accept_state()
        return connection

    def line(self) -> SealedLine:
        line = line_to_client(self.context, self.wire)
        assert isinstance(line, SealedLine)
        return line

    def layer_sends(self, data: bytes) -> None:
        for sent in self._sent(self.layer.send_data(data)):
            self.wire.write(sent)

    def read(self, data: bytes) -> bytes:
        """Take bytes from the connection as the client does; return what they say."""
        self._incoming.write(data)
        parts: list[bytes] = []
        while part := _ignoring(lambda: self._client.read(65536)):
            parts.append(part)
        return b"".join(parts)

    @staticmethod
    def _sent(sending: layer.CommandGenerator[None]) -> list[bytes]:
        return [command.data for command in sending if isinstance(command, commands.SendData)]


def _ignoring[T](step: object) -> bytes | None:
    """Take a step of TLS. None: more has to come first."""
    assert callable(step)
    try:
        result = step()
    except (ssl.SSLWantReadError, SSL.WantReadError):
        return None
    return result if isinstance(result, bytes) else None


@pytest.mark.parametrize("size", [1, 300, 16 * 1024 + 1, 200_000])
def test_what_line_and_layer_send_in_turns_arrives_in_order(size: int) -> None:
    stand = Stand()
    line = stand.line()
    stand.layer_sends(b"head")
    line.write(b"a" * size)
    stand.layer_sends(b"middle")
    line.write(b"b" * size)

    assert stand.read(b"".join(stand.wire.written)) == b"head" + b"a" * size + b"middle" + b"b" * size


def test_what_is_written_is_encrypted_and_leaves_in_the_call() -> None:
    stand = Stand()
    stand.line().write(b"a secret")

    assert len(stand.wire.written) == 1
    assert b"a secret" not in stand.wire.written[0]


def test_a_client_that_ended_tls_gets_no_more() -> None:
    stand = Stand()
    line = stand.line()
    stand.layer.tls.shutdown()
    written = len(stand.wire.written)
    with pytest.raises(SSL.Error) as of_layer:
        stand.layer_sends(b"late")
    with pytest.raises(SSL.Error) as of_line:
        line.write(b"late")

    assert of_line.value.args == of_layer.value.args
    assert len(stand.wire.written) == written


def test_a_line_tells_of_its_connection() -> None:
    line = Stand().line()

    assert line.is_closing()
    assert line.get_write_buffer_size() == 7


def test_without_tls_the_line_is_the_transport() -> None:
    context = Context(Client(peername=("127.0.0.1", 1), sockname=("127.0.0.1", 2)), Options())
    wire = Wire()

    assert line_to_client(context, wire) is wire


@pytest.mark.parametrize("state", [tunnel.TunnelState.ESTABLISHING, tunnel.TunnelState.CLOSED])
def test_where_nothing_can_be_encrypted_there_is_no_line(state: tunnel.TunnelState) -> None:
    stand = Stand()
    stand.layer.tunnel_state = state

    assert line_to_client(stand.context, stand.wire) is None


def test_through_two_tunnels_there_is_no_line() -> None:
    stand = Stand()
    tls.ClientTLSLayer(stand.context).tunnel_state = tunnel.TunnelState.OPEN

    assert line_to_client(stand.context, stand.wire) is None


def test_other_layers_do_not_matter() -> None:
    stand = Stand()
    http_layers.HttpLayer(stand.context, http_layers.HTTPMode.transparent)

    assert line_to_client(stand.context, stand.wire)

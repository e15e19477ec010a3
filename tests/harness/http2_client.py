"""An HTTP/2 client over TLS with one connection, whose streams a test opens, reads and resets as it likes."""

import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import h2.connection
import h2.errors
import h2.events

from tests.harness.proxy import Proxy


@dataclass(slots=True)
class Http2Stream:
    """What has come of one answer so far. reset: the proxy broke it off."""

    stream_id: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    ended: bool = False
    reset: bool = False

    @property
    def status(self) -> int:
        return int(self.headers[":status"])


class Http2Client:
    """One connection to a proxy, which takes TLS from clients with a certificate of its own making."""

    def __init__(self, proxy: Proxy, timeout_s: float = 20) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        plain = socket.create_connection(("127.0.0.1", proxy.port), timeout=timeout_s)
        self._socket = context.wrap_socket(plain)
        assert self._socket.selected_alpn_protocol() == "h2"
        self._connection = h2.connection.H2Connection()
        self._connection.initiate_connection()
        self._authority = f"127.0.0.1:{proxy.port}"
        self._streams: dict[int, Http2Stream] = {}
        self._flush()

    def post(self, path: str, headers: Mapping[str, str], body: bytes) -> Http2Stream:
        """Open a stream with a whole request."""
        stream = Http2Stream(self._connection.get_next_available_stream_id())
        self._streams[stream.stream_id] = stream
        pseudo = {":method": "POST", ":scheme": "https", ":authority": self._authority, ":path": path}
        fields = [(name.lower(), value) for name, value in {**pseudo, **headers}.items()]
        self._connection.send_headers(stream.stream_id, fields)
        self._connection.send_data(stream.stream_id, body, end_stream=True)
        self._flush()
        return stream

    def reset(self, stream: Http2Stream) -> None:
        """Break a stream off, as a client does that has seen enough."""
        self._connection.reset_stream(stream.stream_id, h2.errors.ErrorCodes.CANCEL)
        self._flush()

    def read_until(self, condition: Callable[[], bool]) -> None:
        """Read what comes, on whatever stream, until a condition on the streams holds."""
        while not condition():
            received = self._socket.recv(65536)
            assert received, "the proxy closed the connection"
            for event in self._connection.receive_data(received):
                self._take(event)
            self._flush()

    def _take(self, event: h2.events.Event) -> None:
        stream = self._streams.get(getattr(event, "stream_id", None) or 0)
        if stream is None:
            return
        if isinstance(event, h2.events.ResponseReceived):
            stream.headers = {name.decode(): value.decode() for name, value in event.headers}
        elif isinstance(event, h2.events.DataReceived):
            stream.body += event.data
            self._connection.acknowledge_received_data(event.flow_controlled_length, stream.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            stream.ended = True
        elif isinstance(event, h2.events.StreamReset):
            stream.reset = True

    def _flush(self) -> None:
        self._socket.sendall(self._connection.data_to_send())

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

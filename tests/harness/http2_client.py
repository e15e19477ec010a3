"""An HTTP/2 client over TLS with one connection, whose streams a test opens, reads and resets as it likes."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import h2.connection
import h2.errors
import h2.events

from tests.harness.proxy import Proxy
from tests.harness.tls_client import open_http2


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
    """One connection to a proxy, which takes TLS from clients with a certificate of its own making.

    holds_windows: whether what is read makes no room for more. is_told_to_go: whether a GOAWAY came.
    """

    def __init__(self, proxy: Proxy, timeout_s: float = 20) -> None:
        self._socket = open_http2(proxy, timeout_s)
        self._connection = h2.connection.H2Connection()
        self._connection.initiate_connection()
        self._authority = f"127.0.0.1:{proxy.port}"
        self._streams: dict[int, Http2Stream] = {}
        self.holds_windows = False
        self.is_told_to_go = False
        self._flush()

    def post(
        self,
        path: str,
        headers: Mapping[str, str] | Iterable[tuple[str, str]],
        body: bytes,
        *,
        complete: bool = True,
        resets: bool = False,
    ) -> Http2Stream:
        """Open a stream with a request. headers: in pairs, if one is to be given several times.

        complete: whether the body ends with what is given. resets: it is reset in the same bytes.
        """
        return self.ask("POST", path, headers, body, complete=complete, resets=resets)

    def ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | Iterable[tuple[str, str]],
        body: bytes,
        *,
        complete: bool = True,
        resets: bool = False,
    ) -> Http2Stream:
        """The same with any method."""
        stream = Http2Stream(self._connection.get_next_available_stream_id())
        self._streams[stream.stream_id] = stream
        pseudo = {":method": method, ":scheme": "https", ":authority": self._authority, ":path": path}
        given = headers.items() if isinstance(headers, Mapping) else headers
        fields = [(name.lower(), value) for name, value in (*pseudo.items(), *given)]
        self._connection.send_headers(stream.stream_id, fields)
        self._send_body(stream, body)
        if complete:
            self._connection.end_stream(stream.stream_id)
        if resets:
            self.reset(stream)
        self._flush()
        return stream

    def _send_body(self, stream: Http2Stream, body: bytes) -> None:
        """Send a body in frames, as the proxy gives room for them; the last one with what comes next."""
        while len(body) > (room := self._room(stream)):
            if room:
                self._connection.send_data(stream.stream_id, body[:room])
                body = body[room:]
                self._flush()
            else:
                self._read()
        self._connection.send_data(stream.stream_id, body)

    def _room(self, stream: Http2Stream) -> int:
        window = self._connection.local_flow_control_window(stream.stream_id)
        return min(window, self._connection.max_outbound_frame_size)

    def reset(self, stream: Http2Stream) -> None:
        """Break a stream off, as a client does that has seen enough."""
        self._connection.reset_stream(stream.stream_id, h2.errors.ErrorCodes.CANCEL)
        self._flush()

    def give_windows(self, stream: Http2Stream, window_bytes: int) -> None:
        """Let so much more come, on a stream and on the connection."""
        self._connection.increment_flow_control_window(window_bytes, stream.stream_id)
        self._connection.increment_flow_control_window(window_bytes)
        self._flush()

    def read_until(self, condition: Callable[[], bool]) -> None:
        """Read what comes, on whatever stream, until a condition on the streams holds."""
        while not condition():
            self._read()

    def _read(self) -> None:
        received = self._socket.recv(65536)
        assert received, "the proxy closed the connection"
        for event in self._connection.receive_data(received):
            self._take(event)
        self._flush()

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ConnectionTerminated):
            assert event.error_code == h2.errors.ErrorCodes.NO_ERROR
            self.is_told_to_go = True
        stream = self._streams.get(getattr(event, "stream_id", None) or 0)
        if stream is None:
            return
        if isinstance(event, h2.events.ResponseReceived):
            stream.headers = {name.decode(): value.decode() for name, value in event.headers}
        elif isinstance(event, h2.events.DataReceived):
            stream.body += event.data
            if not self.holds_windows:
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

"""A model server that reads strictly, by a parser of its own, and remembers what was not well-formed."""

import contextlib
import socket
import threading
from dataclasses import dataclass
from typing import override

import h11

from tests.harness.engine import Engine

ANSWER = b'{"model":"m","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}'


@dataclass(frozen=True, slots=True)
class Witnessed:
    """A request as it reached the engine, its headers as they were sent."""

    method: str
    target: str
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    def header(self, name: bytes) -> list[bytes]:
        """Return the values of a header; name: in lower case."""
        return [value for each, value in self.headers if each.lower() == name]


class WitnessEngine(Engine):
    """Answers every request with the same document.

    seen: the well-formed requests. raw: every byte that came, by connection. faults: what else came, and what
    came after a request that had been answered and was none.
    """

    def __init__(self, answer: bytes = ANSWER) -> None:
        self.seen: list[Witnessed] = []
        self.raw: list[bytearray] = []
        self.faults: list[str] = []
        self._answer = answer
        self._lock = threading.Lock()
        super().__init__()

    @override
    def serve_connection(self, connection: socket.socket) -> None:
        came = bytearray()
        self.raw.append(came)
        parser = h11.Connection(h11.SERVER)
        with contextlib.suppress(OSError):
            while (request := self._read(parser, connection, came)) is not None:
                with self._lock:
                    self.seen.append(request)
                if not self._reply(parser, connection):
                    return

    def _read(self, parser: h11.Connection, connection: socket.socket, came: bytearray) -> Witnessed | None:
        head: h11.Request | None = None
        body = b""
        while True:
            try:
                event = parser.next_event()
            except h11.RemoteProtocolError as error:
                if bytes(came):
                    self.faults.append(f"{error}: {bytes(came[-2000:])!r}")
                return None
            if event is h11.NEED_DATA:
                received = connection.recv(65536)
                came += received
                parser.receive_data(received)
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                assert head
                headers = tuple(head.headers.raw_items())
                return Witnessed(head.method.decode(), head.target.decode(), headers, body)
            else:
                return None

    def _reply(self, parser: h11.Connection, connection: socket.socket) -> bool:
        """Answer; return whether the connection goes on."""
        length = str(len(self._answer)).encode()
        head = h11.Response(
            status_code=200, headers=[(b"Content-Type", b"application/json"), (b"Content-Length", length)]
        )
        connection.sendall(parser.send(head) or b"")
        connection.sendall(parser.send(h11.Data(self._answer)) or b"")
        connection.sendall(parser.send(h11.EndOfMessage()) or b"")
        if parser.our_state is h11.MUST_CLOSE:
            return False
        parser.start_next_cycle()
        return True

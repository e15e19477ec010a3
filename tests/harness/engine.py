"""A model server that says exactly what a test tells it to, byte for byte, on a real socket."""

import contextlib
import json
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import override

from tests.harness.threaded_server import ThreadedServer

HEAD_END = b"\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """A request as it reached the engine; the body of a chunked one as it was framed."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class Line:
    """The connection a script answers on."""

    connection: socket.socket
    released: threading.Event = field(default_factory=threading.Event)

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def send_stream_head(self, status: str = "200 OK", content_type: str = "text/event-stream") -> None:
        head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n"
        self.send(head.encode())

    def send_chunk(self, data: bytes) -> None:
        self.send(b"%x\r\n%s\r\n" % (len(data), data))

    def wait_until_closed(self, timeout_s: float = 10) -> bool:
        """Wait until the proxy has closed the connection."""
        self.connection.settimeout(timeout_s)
        try:
            return self.connection.recv(1) == b""
        except ConnectionError:
            return True
        except TimeoutError:
            return False


type Script = Callable[[EngineRequest, Line], None]


def document(body: object, status: str = "200 OK", content_type: str = "application/json") -> Script:
    """Answer with one document, with its length."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()

    def script(_request: EngineRequest, line: Line) -> None:
        head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(content)}\r\n\r\n"
        line.send(head.encode() + content)

    return script


def stream(chunks: Iterable[bytes]) -> Script:
    """Answer with an event stream in the given pieces."""

    def script(_request: EngineRequest, line: Line) -> None:
        line.send_stream_head()
        for chunk in chunks:
            line.send_chunk(chunk)
        line.send(LAST_CHUNK)

    return script


def in_turn(*scripts: Script) -> Script:
    """Answer each request with the next script."""
    left = iter(scripts)

    def script(request: EngineRequest, line: Line) -> None:
        next(left)(request, line)

    return script


class Engine(ThreadedServer):
    """Serves one script at a time and remembers the requests it got.

    tls: speak TLS, as a server with this context. port: 0: any free one.
    """

    def __init__(self, tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        self.script: Script = document({})
        self.requests: list[EngineRequest] = []
        self.connections = 0
        engine = self

        class Handler(socketserver.BaseRequestHandler):
            @override
            def handle(self) -> None:
                engine.connections += 1
                if tls is None:
                    # A client that hangs up with bytes unread resets the connection.
                    with contextlib.suppress(ConnectionResetError):
                        engine.serve_connection(self.request)
                    return
                # A client that does not trust the certificate breaks the handshake off.
                with (
                    contextlib.suppress(ssl.SSLError),
                    tls.wrap_socket(self.request, server_side=True) as connection,
                ):
                    engine.serve_connection(connection)

        super().__init__(Handler, port)

    def serve_connection(self, connection: socket.socket) -> None:
        buffer = b""
        while True:
            while HEAD_END not in buffer:
                received = connection.recv(65536)
                if not received:
                    return
                buffer += received
            head, _, buffer = buffer.partition(HEAD_END)
            request_line, *header_lines = head.decode().split("\r\n")
            headers = {
                name.lower(): value.strip()
                for name, _, value in (line.partition(":") for line in header_lines)
            }
            chunked = "transfer-encoding" in headers
            while chunked and not buffer.endswith(LAST_CHUNK):
                buffer += connection.recv(65536)
            length = len(buffer) if chunked else int(headers.get("content-length", "0"))
            while len(buffer) < length:
                buffer += connection.recv(65536)
            method, path, _ = request_line.split(" ")
            request = EngineRequest(method, path, headers, buffer[:length])
            buffer = buffer[length:]
            self.requests.append(request)
            try:
                self.script(request, Line(connection))
            except OSError:
                return  # the proxy went away, as some tests want it to

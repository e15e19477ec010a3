"""A model server on Python's http.server, which leaves a body unread where it expects none.

What is left is the next request on the connection. Servers on older versions of cpp-httplib do the same.
"""

import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import override

UNKNOWN = "/tokenize?unknown"
"""What the server answers with 404, before it has read the body."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as the server understood it. body: what it read of it."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> list[str]:
        """Return the values of a header, whatever its case."""
        return [value for each, value in self.headers if each.lower() == name.lower()]


class UnreadBodiesEngine:
    """Keeps connections open, reads the bodies of POST alone, and answers with who was asked for.

    seen: every request it understood, in order. not_requests: the lines of those it did not.
    """

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.not_requests: list[str] = []
        engine = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._answer(b"")

            def do_HEAD(self) -> None:
                self._answer(b"")

            def do_POST(self) -> None:
                if self.path == UNKNOWN:
                    engine.seen.append(Seen(self.command, self.path, tuple(self.headers.items()), b""))
                    self.send_response(404)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                self._answer(self.rfile.read(int(self.headers.get("Content-Length", "0"))))

            def _answer(self, body: bytes) -> None:
                engine.seen.append(Seen(self.command, self.path, tuple(self.headers.items()), body))
                name = self.headers.get("X-Request-Id", "nobody")
                content = (
                    b'{"model":"m","choices":[],"for":"%s","usage":{"prompt_tokens":3,"completion_tokens":4}}'
                    % name.encode()
                )
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            @override
            def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
                engine.not_requests.append(self.requestline)
                super().send_error(code, message, explain)

            @override
            def log_message(self, format: str, *arguments: object) -> None:
                """Keep the output of the tests clean."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

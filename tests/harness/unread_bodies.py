"""A model server on Python's http.server, which leaves a body unread where it expects none.

What is left is the next request on the connection. Servers on older versions of cpp-httplib do the same.
"""

from http.server import BaseHTTPRequestHandler
from typing import override

from tests.harness.threaded_server import ThreadedServer
from tests.harness.witness_engine import Witnessed

UNKNOWN = "/tokenize?unknown"
"""What the server answers with 404, before it has read the body."""


class UnreadBodiesEngine(ThreadedServer):
    """Keeps connections open, reads the bodies of POST alone, and answers with who was asked for.

    seen: every request it understood, in order. faults: the lines of those it did not.
    """

    def __init__(self) -> None:
        self.seen: list[Witnessed] = []
        self.faults: list[str] = []
        engine = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._answer(b"")

            def do_HEAD(self) -> None:
                self._answer(b"")

            def do_POST(self) -> None:
                if self.path == UNKNOWN:
                    self._witness(b"")
                    self.send_response(404)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                self._answer(self.rfile.read(int(self.headers.get("Content-Length", "0"))))

            def _answer(self, body: bytes) -> None:
                self._witness(body)
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

            def _witness(self, body: bytes) -> None:
                headers = ((name.encode(), value.encode("latin-1")) for name, value in self.headers.items())
                engine.seen.append(Witnessed(self.command, self.path, tuple(headers), body))

            @override
            def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
                engine.faults.append(self.requestline)
                super().send_error(code, message, explain)

            @override
            def log_message(self, format: str, *arguments: object) -> None:
                """Keep the output of the tests clean."""

        super().__init__(Handler)

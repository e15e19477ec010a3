"""A real HTTP server with pages that never change."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

from tests.harness.threaded_server import ThreadedServer


@contextmanager
def answering(pages: dict[str, bytes], status: int = 200) -> Iterator[tuple[str, list[str | None]]]:
    """A server with these pages, its URL, and the `Authorization` headers it was shown."""
    shown: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            shown.append(self.headers["Authorization"])
            body = pages.get(self.path)
            self.send_response(404 if body is None else status)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_: object) -> None:
            """Keep the output of the tests clean."""

    with ThreadedServer(Handler) as server:
        yield server.url, shown

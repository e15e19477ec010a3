"""A client that says exactly what a test tells it to, byte for byte, and reads its answers one at a time."""

import select
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tests.harness.proxy import Proxy

HEAD_END = b"\r\n\r\n"


class CutOffError(Exception):
    """The proxy closed the connection within an answer, or in place of one."""


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """An HTTP/1 answer; the body without its framing."""

    status: int
    headers: dict[str, str]
    body: bytes


def post(
    path: str, headers: Mapping[str, str], body: bytes = b'{"model":"m"}', version: str = "HTTP/1.1"
) -> bytes:
    """Write a POST request, with its length unless the headers tell otherwise."""
    framing = {} if "Transfer-Encoding" in headers else {"Content-Length": str(len(body))}
    fields = {"Host": "proxy", **headers, **framing}
    lines = [f"POST {path} {version}", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join(lines).encode() + HEAD_END + body


class RawClient:
    """One connection to a proxy.

    receive_buffer_bytes: how much the kernel takes in that nobody has read yet. port: its own.
    """

    def __init__(self, proxy: Proxy, receive_buffer_bytes: int | None = None, timeout_s: float = 20) -> None:
        self._socket = socket.socket()
        if receive_buffer_bytes is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self._socket.settimeout(timeout_s)
        self._socket.connect(("127.0.0.1", proxy.port))
        self.port: int = self._socket.getsockname()[1]
        self._buffer = b""

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def has_received(self) -> bool:
        """Whether something can be read."""
        return bool(self._buffer or select.select([self._socket], [], [], 0)[0])

    def read_head(self) -> tuple[int, dict[str, str]]:
        """Read up to the end of the next head; return its status and headers."""
        head = self._read_until(HEAD_END)
        status_line, *lines = head.decode().split("\r\n")
        fields = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in fields}
        return int(status_line.split(" ")[1]), headers

    def read_chunk(self) -> bytes:
        """Read the next chunk of a chunked body; the last one is empty."""
        chunk = self._read(int(self._read_until(b"\r\n"), 16) + 2)
        return chunk.removesuffix(b"\r\n")

    def read_answer(self) -> RawAnswer:
        """Read a whole answer, as its framing says."""
        status, headers = self.read_head()
        if "chunked" in headers.get("transfer-encoding", ""):
            body = b"".join(iter(self.read_chunk, b""))
        elif "content-length" in headers:
            body = self._read(int(headers["content-length"]))
        else:
            body = self.read_to_end()
        return RawAnswer(status, headers, body)

    def read_to_end(self) -> bytes:
        """Read until the proxy closes the connection."""
        while self._receive():
            pass
        received, self._buffer = self._buffer, b""
        return received

    def _read_until(self, mark: bytes) -> bytes:
        while mark not in self._buffer:
            self._receive_more()
        before, _, self._buffer = self._buffer.partition(mark)
        return before

    def _read(self, length: int) -> bytes:
        while len(self._buffer) < length:
            self._receive_more()
        taken, self._buffer = self._buffer[:length], self._buffer[length:]
        return taken

    def _receive_more(self) -> None:
        if not self._receive():
            raise CutOffError(self._buffer)

    def _receive(self) -> bool:
        try:
            received = self._socket.recv(65536)
        except ConnectionResetError:
            received = b""
        self._buffer += received
        return bool(received)

    def read_bytes(self, length: int) -> bytes:
        """Read so many bytes, whatever they are."""
        return self._read(length)

    def half_close(self) -> None:
        """Say that nothing more will be sent, and go on listening."""
        self._socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Break the connection off, as a process does that is killed."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

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

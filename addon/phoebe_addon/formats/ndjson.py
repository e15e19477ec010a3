"""An incremental cutter of newline-delimited JSON (`application/x-ndjson`, as Ollama streams it).

Every byte fed comes out again as the `raw` of exactly one line, in order. Cost is linear in the bytes fed.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class JsonLine:
    """A line, or a part of one that is longer than the limit.

    raw: its bytes with the newline that ends it. ends: whether it is a line, or the last part of one.
    """

    raw: bytes
    ends: bool = True


class NdjsonParser:
    """Cuts a stream into lines. line_bytes_max bounds the memory it holds: a longer line comes in parts."""

    __slots__ = ("_buffer", "_in_parts", "_line_bytes_max", "_scanned")

    def __init__(self, line_bytes_max: int) -> None:
        self._line_bytes_max = line_bytes_max
        self._buffer = bytearray()  # what did not come out yet of the unfinished line
        self._scanned = 0  # there is no newline before this place in the buffer
        self._in_parts = False  # a part of the unfinished line is out

    def feed(self, chunk: bytes) -> list[JsonLine]:
        """Take the next bytes and return what they complete."""
        self._buffer += chunk
        lines: list[JsonLine] = []
        while (end := self._buffer.find(b"\n", self._scanned)) >= 0:
            lines.append(self._take(end + 1))
        self._scanned = len(self._buffer)
        if len(self._buffer) > self._line_bytes_max:
            lines.append(JsonLine(bytes(self._buffer), ends=False))
            self._buffer.clear()
            self._scanned = 0
            self._in_parts = True
        return lines

    def finish(self) -> JsonLine | None:
        """End the stream and return the line that has no newline, if there is one."""
        return self._take(len(self._buffer)) if self._buffer or self._in_parts else None

    def _take(self, end: int) -> JsonLine:
        line = JsonLine(bytes(self._buffer[:end]))
        del self._buffer[:end]
        self._scanned = 0
        self._in_parts = False
        return line

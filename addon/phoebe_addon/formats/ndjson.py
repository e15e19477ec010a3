"""An incremental cutter of newline-delimited JSON (`application/x-ndjson`, as Ollama streams it).

Every byte fed comes out again as the `raw` of exactly one line, in order. Cost is linear in the bytes fed.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class JsonLine:
    """A line, or a part of one that is longer than the limit.

    raw: its bytes with the newline that ends it. data: the bytes of the line; None when it is blank or longer
    than the limit.
    """

    raw: bytes
    data: bytes | None


class NdjsonParser:
    """Cuts a stream into lines. line_bytes_max bounds the memory it holds."""

    __slots__ = ("_buffer", "_line_bytes_max", "_oversized", "_scanned")

    def __init__(self, line_bytes_max: int) -> None:
        self._line_bytes_max = line_bytes_max
        self._buffer = bytearray()  # the unfinished line
        self._scanned = 0  # there is no newline before this place in the buffer
        self._oversized = False  # a part of the unfinished line is out

    def feed(self, chunk: bytes) -> list[JsonLine]:
        """Take the next bytes and return what they complete."""
        self._buffer += chunk
        lines: list[JsonLine] = []
        while (end := self._buffer.find(b"\n", self._scanned)) >= 0:
            lines.append(self._take(end + 1))
        self._scanned = len(self._buffer)
        if len(self._buffer) > self._line_bytes_max:
            lines.append(JsonLine(bytes(self._buffer), None))
            self._buffer.clear()
            self._scanned = 0
            self._oversized = True
        return lines

    def finish(self) -> JsonLine | None:
        """End the stream and return the line that has no newline, if there is one."""
        return self._take(len(self._buffer)) if self._buffer else None

    def _take(self, end: int) -> JsonLine:
        raw = bytes(self._buffer[:end])
        oversized = self._oversized or end > self._line_bytes_max
        del self._buffer[:end]
        self._scanned = 0
        self._oversized = False
        data = raw.strip()
        return JsonLine(raw, None if oversized or not data else data)

"""An incremental parser of event streams (server-sent events).

Source of the format: WHATWG HTML, "Server-sent events", 9.2.5 and 9.2.6. Lines end with LF, CRLF or CR; a
blank line ends an event; the values of several `data` lines are joined with LF; one space after the colon is
dropped; a byte order mark at the start is skipped; lines that start with a colon are comments.

Every byte fed comes out again as the `raw` of exactly one piece, in order, so that a stream can be passed on
with single events left out. Cost is linear in the bytes fed, however they are cut.
"""

import re
from dataclasses import dataclass
from enum import Enum, auto

_BOM = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"\r\n|\n|\r")
_EVENT_NAME_BYTES_MAX = 64  # longer than any that is looked for
_SHORT_LINE_BYTES = 128  # what is longer is data, or does not matter


@dataclass(frozen=True, slots=True)
class SsePiece:
    """An event, or a part of one that is longer than the limit.

    raw: its bytes as they came, with the blank line that ends it. data: the joined `data` values, or of a
    part what comes next of them; None when there is none. event: the value of its last `event` line, as far
    as it is known; empty when it has none. ends: whether it is an event, or the last part of one.
    """

    raw: bytes
    data: bytes | None
    event: bytes = b""
    ends: bool = True


class _Line(Enum):
    """What the line is whose beginning is out already."""

    DATA_START = auto()  # `data:` is out, and a space may come
    DATA = auto()
    OTHER = auto()


class SseParser:
    """Cuts a stream into events.

    event_bytes_max: bounds the memory the parser holds. A longer event may come out in parts.
    """

    __slots__ = (
        "_at_start",
        "_buffer",
        "_data",
        "_event",
        "_event_bytes_max",
        "_has_data",
        "_in_parts",
        "_line",
        "_line_start",
        "_scanned",
    )

    def __init__(self, event_bytes_max: int) -> None:
        self._event_bytes_max = event_bytes_max
        self._buffer = bytearray()  # bytes of the unfinished event that did not come out yet
        self._line_start = 0  # where the unfinished line, or what is left of it, starts in the buffer
        self._scanned = 0  # there is no line end before this place in the buffer
        self._data = bytearray()  # of the unfinished event, what did not come out yet
        self._has_data = False  # there is a `data` line
        self._event = b""  # the value of the `event` line
        self._in_parts = False  # a part of the unfinished event is out
        self._line: _Line | None = None
        self._at_start = True  # a byte order mark may come

    def feed(self, chunk: bytes) -> list[SsePiece]:
        """Take the next bytes and return what they complete."""
        if self.is_between_events() and len(chunk) <= self._event_bytes_max:
            pieces = _whole_events(chunk)
            if pieces:
                return pieces
        self._buffer += chunk
        if self._at_start and not self._skip_bom():
            return []
        pieces = []
        while (line_end := self._find_line_end()) is not None:
            end, next_start = line_end
            blank = end == self._line_start and self._line is None
            if not blank:
                self._take_line(end)
            self._line_start = self._scanned = next_start
            if blank:
                pieces.append(self._take_event(next_start))
        if len(self._buffer) > self._event_bytes_max:
            pieces.append(self._take_part())
        return pieces

    def finish(self) -> SsePiece | None:
        """End the stream and return what was unfinished, if anything was.

        The standard drops an event without its blank line. It is read here because engines end streams
        without the last newline.
        """
        end = len(self._buffer) - self._buffer.endswith(b"\r")
        if end > self._line_start:
            self._take_line(end)
        return self._take_event(len(self._buffer)) if self._buffer or self._in_parts else None

    def is_between_events(self) -> bool:
        """Whether what was fed ended with an event, so that the next bytes begin one."""
        return not self._buffer and not self._at_start and not self._in_parts

    def _skip_bom(self) -> bool:
        if len(self._buffer) < len(_BOM) and _BOM.startswith(self._buffer):
            return False
        self._at_start = False
        if self._buffer.startswith(_BOM):
            self._line_start = self._scanned = len(_BOM)
        return True

    def _find_line_end(self) -> tuple[int, int] | None:
        """Find where the unfinished line ends and where the next one starts."""
        match = _LINE_END.search(self._buffer, self._scanned)
        if match is None:
            self._scanned = len(self._buffer)
            return None
        end, next_start = match.span()
        if next_start == len(self._buffer) and self._buffer.endswith(b"\r"):
            # An LF that belongs to this CR may come with the next bytes.
            self._scanned = end
            return None
        return end, next_start

    def _take_line(self, end: int) -> None:
        content = bytes(self._buffer[self._line_start : end])
        if self._line is not None:
            self._continue_line(content)
            self._line = None
            return
        name, _, value = content.partition(b":")
        if name == b"data":
            self._begin_data()
            self._data += value.removeprefix(b" ")
        elif name == b"event":
            self._event = value.removeprefix(b" ")[:_EVENT_NAME_BYTES_MAX]

    def _begin_data(self) -> None:
        if self._has_data:
            self._data += b"\n"
        self._has_data = True

    def _continue_line(self, content: bytes) -> None:
        if self._line is _Line.DATA_START and content:
            content = content.removeprefix(b" ")
            self._line = _Line.DATA
        if self._line is _Line.DATA:
            self._data += content

    def _take_event(self, end: int) -> SsePiece:
        data = bytes(self._data) if self._has_data else None
        piece = SsePiece(bytes(self._buffer[:end]), data, self._event)
        del self._buffer[:end]
        self._line_start = self._scanned = 0
        self._data.clear()
        self._has_data = self._in_parts = False
        self._event = b""
        self._line = None
        return piece

    def _take_part(self) -> SsePiece:
        """Let go of bytes of an event that is too long, all but a CR whose LF may still come."""
        end = self._scanned
        content = bytes(self._buffer[self._line_start : end])
        if self._line is not None:
            self._continue_line(content)
        elif len(content) > _SHORT_LINE_BYTES or content.startswith(b"data:"):
            self._begin_line(content)
        else:
            end = self._line_start
        data = bytes(self._data) if self._data else None
        piece = SsePiece(bytes(self._buffer[:end]), data, self._event, ends=False)
        del self._buffer[:end]
        self._scanned -= end
        self._line_start = 0
        self._data.clear()
        self._in_parts = True
        return piece

    def _begin_line(self, content: bytes) -> None:
        name, colon, value = content.partition(b":")
        if name == b"data" and colon:
            self._begin_data()
            self._line = _Line.DATA_START
            self._continue_line(value)
        else:
            self._line = _Line.OTHER
            if name == b"event":
                self._event = value.removeprefix(b" ")[:_EVENT_NAME_BYTES_MAX]


def _whole_events(chunk: bytes) -> list[SsePiece]:
    """Cut bytes that are whole events of one `data` line each, as nearly all are; none: they are not."""
    if not chunk.endswith(b"\n\n") or b"\r" in chunk:
        return []
    pieces: list[SsePiece] = []
    for event in chunk[:-2].split(b"\n\n"):
        if not event.startswith(b"data: ") or b"\n" in event:
            return []
        pieces.append(SsePiece(event + b"\n\n", event[6:]))
    return pieces

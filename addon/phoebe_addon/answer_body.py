"""Watching the body of an answer on its way to the client.

Whatever bytes an engine sends, nothing here raises, memory is bounded, and the client's bytes stay as they
are, but for usage the client did not ask for.
"""

import re
from enum import Flag, auto

from .json_members import without_member
from .openai_answer import Answer, ChunkUsage, OpenAIAnswerReader
from .sse import SseParser, SsePiece

# A usage chunk is a few hundred bytes; engines send events of up to about a megabyte (token ids, logprobs).
EVENT_BYTES_MAX = 4 * 1024 * 1024
DOCUMENT_BYTES_MAX = 64 * 1024 * 1024

_DATA_LINE = re.compile(rb"((?:\xef\xbb\xbf)?data)(?:(: ?)[^\r\n]*)?([\r\n]*)")


class Strip(Flag):
    """Which usage the client did not ask for, so that it is taken out of what the client gets."""

    NOTHING = 0
    FINAL = auto()  # the chunk that has usage and no choices
    RUNNING = auto()  # the usage of chunks that have choices


class EventStreamBody:
    """A body that is an event stream.

    strip: usage to take out. If any is, an event is passed on when it is complete; otherwise bytes are
    passed on as they come.
    """

    def __init__(self, reader: OpenAIAnswerReader, strip: Strip) -> None:
        self._reader = reader
        self._strip = strip
        self._parser = SseParser(EVENT_BYTES_MAX)

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes; return those to pass on, which may be none."""
        passed = [self._pass_on(piece) for piece in self._parser.feed(chunk)]
        return b"".join(passed) if self._strip else chunk

    def finish(self) -> bytes:
        """Take the end of a complete body; return what is left to pass on."""
        piece = self._parser.finish()
        passed = self._pass_on(piece) if piece else b""
        return passed if self._strip else b""

    def answer(self) -> Answer:
        """Return what is known of the answer so far."""
        return self._reader.answer()

    def _pass_on(self, piece: SsePiece) -> bytes:
        if piece.data is None:
            return piece.raw
        usage = self._reader.read_chunk(piece.data)
        if usage is ChunkUsage.FINAL and Strip.FINAL in self._strip:
            return b""
        if usage is ChunkUsage.RUNNING and Strip.RUNNING in self._strip:
            return _without_usage(piece)
        return piece.raw


class DocumentBody:
    """A body that is one JSON document, or something that is no answer at all.

    Of a body beyond 64 MiB nothing is read.
    """

    def __init__(self, reader: OpenAIAnswerReader) -> None:
        self._reader = reader
        self._document = bytearray()
        self._oversized = False

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes; return them."""
        if len(self._document) + len(chunk) > DOCUMENT_BYTES_MAX:
            self._oversized = True
            self._document.clear()
        if not self._oversized:
            self._document += chunk
        return chunk

    def finish(self) -> bytes:
        """Take the end of a complete body: the document is read now. Nothing is left to pass on."""
        if not self._oversized:
            self._reader.read_document(bytes(self._document))
        self._document.clear()
        return b""

    def answer(self) -> Answer:
        """Return what is known of the answer so far."""
        return self._reader.answer()


def open_body(content_type: str, prompt_count: int, strip: Strip) -> EventStreamBody | DocumentBody:
    """Choose how to read an answer by its Content-Type, whatever the request asked for."""
    reader = OpenAIAnswerReader(prompt_count)
    if content_type.partition(";")[0].strip().lower() == "text/event-stream":
        return EventStreamBody(reader, strip)
    return DocumentBody(reader)


def _without_usage(piece: SsePiece) -> bytes:
    """Take the usage out of a chunk. Data that is spread over lines stays so, as far as there is any left."""
    assert piece.data is not None
    values = iter(without_member(piece.data.decode(), "usage").encode().split(b"\n"))
    lines: list[bytes] = []
    for line in piece.raw.splitlines(keepends=True):
        data_line = _DATA_LINE.fullmatch(line)
        if data_line is None:
            lines.append(line)
        elif (value := next(values, None)) is not None:
            name, separator, end = data_line.groups()
            lines.append(name + (separator or b": ") + value + end)
    return b"".join(lines)

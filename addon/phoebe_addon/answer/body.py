"""Watching the body of an answer on its way to the client.

Whatever bytes an engine sends, nothing here raises, memory is bounded, and the client's bytes stay as they
are, but for what the engine added because Phoebe had asked for it.
"""

import re
from dataclasses import dataclass
from typing import Protocol

from phoebe_addon.answer.reader import AnswerReader, ChunkUsage
from phoebe_addon.apis.family import TakeOut, UsageSwitch
from phoebe_addon.formats.content_coding import ContentCodingError, Decoder, open_decoder
from phoebe_addon.formats.json_members import with_null_member, without_member
from phoebe_addon.formats.json_skimmer import JsonSkimmer
from phoebe_addon.formats.ndjson import NdjsonParser
from phoebe_addon.formats.sse import SseParser, SsePiece

# A usage chunk is a few hundred bytes; engines send events of up to about a megabyte (token ids, logprobs).
EVENT_BYTES_MAX = 4 * 1024 * 1024
# Documents up to here are read whole. Of longer ones (embeddings) so much is kept.
DOCUMENT_BYTES_MAX = 4 * 1024 * 1024
# Something must be taken out only of documents of a few kilobytes.
HELD_BACK_BYTES_MAX = 64 * 1024 * 1024
_SNIFFED_BYTES = 9  # the longest start of an event stream: a byte order mark and `event:` or `retry:`

_BOM = b"\xef\xbb\xbf"
_DATA_LINE = re.compile(rb"(data)(?:(: ?)[^\r\n]*)?([\r\n]*)")
_EVENT_STREAM_START = re.compile(rb"(?:\xef\xbb\xbf)?(?:data|event|id|retry)?:")


class AnswerBody(Protocol):
    """A body in one of the forms an answer comes in."""

    @property
    def streamed(self) -> bool:
        """Whether it is a stream of events or of lines, as far as is known."""

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes; return those to pass on, which may be none."""

    def finish(self) -> bytes:
        """Take the end of a complete body; return what is left to pass on."""


_LEFT_IN: dict[ChunkUsage, frozenset[TakeOut]] = {
    ChunkUsage.NONE: frozenset({TakeOut.CHUNK, TakeOut.RUNNING}),
    # Running usage that only the final one was asked for would have come without asking; zeros would not.
    ChunkUsage.PLACEHOLDER: frozenset(),
    ChunkUsage.RUNNING: frozenset({TakeOut.CHUNK}),
    ChunkUsage.FINAL: frozenset({TakeOut.CHUNK, TakeOut.RUNNING}),
}
"""What is not taken out of a chunk that stays, by the usage it carries."""


@dataclass(frozen=True, slots=True)
class Removal:
    """What is taken out of an answer, because the client did not ask for it but Phoebe did."""

    usage_switches: tuple[UsageSwitch, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything is taken out."""
        return bool(self.usage_switches)

    def drops(self, usage: ChunkUsage) -> bool:
        """Whether a chunk is left out whole."""
        return usage is ChunkUsage.FINAL and any(
            switch.take_out is TakeOut.CHUNK for switch in self.usage_switches
        )

    def edits(self, usage: ChunkUsage) -> list[UsageSwitch]:
        """List what may have to be taken out of a chunk or document that stays."""
        skipped = _LEFT_IN[usage]
        return [switch for switch in self.usage_switches if switch.take_out not in skipped]


def _edited(content: bytes, usage_switches: list[UsageSwitch]) -> bytes:
    """Take what was added out of a JSON object; what is none stays as it is."""
    try:
        text = content.decode()
        for switch in usage_switches:
            for name in switch.answer_members:
                text = (with_null_member if switch.take_out is TakeOut.NULL else without_member)(text, name)
    except (ValueError, RecursionError):
        return content
    return text.encode()


class EventStreamBody:
    """A body that is an event stream.

    If anything is to be taken out, an event is passed on when it is complete; otherwise bytes are passed on
    as they come.
    """

    streamed = True

    def __init__(self, reader: AnswerReader, removal: Removal) -> None:
        self._reader = reader
        self._removal = removal
        self._parser = SseParser(EVENT_BYTES_MAX)
        self._at_start = True

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes; return those to pass on, which may be none."""
        if self._parser.is_between_events() and _is_plain_event(chunk) and self._reader.is_irrelevant(chunk):
            return chunk  # nearly every chunk is one event of nothing but text
        passed = [self._pass_on(piece) for piece in self._parser.feed(chunk)]
        return b"".join(passed) if self._removal else chunk

    def finish(self) -> bytes:
        """Take the end of a complete body; return what is left to pass on."""
        piece = self._parser.finish()
        passed = self._pass_on(piece) if piece else b""
        return passed if self._removal else b""

    def _pass_on(self, piece: SsePiece) -> bytes:
        at_start, self._at_start = self._at_start, False
        if piece.event == b"error":
            self._reader.read_error()
        if piece.data is None:
            return piece.raw
        usage = self._reader.read_chunk(piece.data)
        if not self._removal:
            return piece.raw
        if self._removal.drops(usage):
            return b""
        edited = (
            _edited(piece.data, usage_switches)
            if (usage_switches := self._removal.edits(usage))
            else piece.data
        )
        if edited == piece.data:
            return piece.raw
        bom = _BOM if at_start and piece.raw.startswith(_BOM) else b""
        return bom + _with_data(piece.raw.removeprefix(bom), edited)


def _is_plain_event(chunk: bytes) -> bool:
    """Whether bytes that begin an event are one, whole, of a single `data` line."""
    return chunk.startswith(b"data: ") and chunk.find(b"\n") == len(chunk) - 2 > 0 and chunk.endswith(b"\n\n")


class LinesBody:
    """A body of JSON lines. Nothing is taken out of it: no family that streams lines needs to be asked."""

    streamed = True

    def __init__(self, reader: AnswerReader) -> None:
        self._reader = reader
        self._parser = NdjsonParser(EVENT_BYTES_MAX)

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes; return them."""
        for line in self._parser.feed(chunk):
            if line.data is not None:
                self._reader.read_chunk(line.data)
        return chunk

    def finish(self) -> bytes:
        """Take the end of a complete body. Nothing is left to pass on."""
        line = self._parser.finish()
        if line and line.data is not None:
            self._reader.read_chunk(line.data)
        return b""


class DocumentBody:
    """A body that is one JSON document, or something that is no answer at all.

    Of a document beyond 4 MiB only the members are kept that its family reads.
    """

    streamed = False

    def __init__(self, reader: AnswerReader, *, is_json: bool) -> None:
        self._reader = reader
        self._is_json = is_json
        self._start = bytearray()
        self._skimmer: JsonSkimmer | None = None

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes; return them."""
        if self._skimmer:
            self._skimmer.feed(chunk)
            return chunk
        self._start += chunk
        if len(self._start) > DOCUMENT_BYTES_MAX:
            self._skimmer = JsonSkimmer(self._reader.member_names(), DOCUMENT_BYTES_MAX)
            self._skimmer.feed(bytes(self._start))
            self._start.clear()
        return chunk

    def finish(self) -> bytes:
        """Take the end of a complete body: the document is read now. Nothing is left to pass on."""
        content = self._skimmer.document() if self._skimmer else bytes(self._start)
        _read_document(self._reader, content, is_json=self._is_json)
        return b""


class EditedDocumentBody:
    """A document out of which something is to be taken: it is held back until it is whole.

    Beyond 64 MiB nothing is read or taken out.
    """

    streamed = False

    def __init__(self, reader: AnswerReader, removal: Removal, *, is_json: bool) -> None:
        self._reader = reader
        self._removal = removal
        self._is_json = is_json
        self._document = bytearray()
        self._oversized = False

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes; return those to pass on, which may be none."""
        if self._oversized:
            return chunk
        self._document += chunk
        if len(self._document) <= HELD_BACK_BYTES_MAX:
            return b""
        self._oversized = True
        return self._take_all()

    def finish(self) -> bytes:
        """Take the end of a complete body; return it without what is taken out."""
        content = self._take_all()
        if not self._oversized:
            _read_document(self._reader, content, is_json=self._is_json)
        return _edited(content, self._removal.edits(ChunkUsage.NONE))

    def _take_all(self) -> bytes:
        content = bytes(self._document)
        self._document.clear()
        return content


def _read_document(reader: AnswerReader, content: bytes, *, is_json: bool) -> None:
    """Read a whole body. is_json: it says that it is JSON, so that it was cut if it is none."""
    if not reader.read_document(content) and not reader.read_lines(content) and is_json:
        reader.read_error()


class UntypedBody:
    """A body whose Content-Type says nothing: its first bytes tell an event stream from a document."""

    def __init__(self, reader: AnswerReader, removal: Removal) -> None:
        self._reader = reader
        self._removal = removal
        self._start = b""
        self._body: AnswerBody | None = None

    @property
    def streamed(self) -> bool:
        """Whether it is an event stream, as far as is known."""
        return self._body is not None and self._body.streamed

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes; return those to pass on, which may be none."""
        if self._body:
            return self._body.feed(chunk)
        self._start += chunk
        if len(self._start) < _SNIFFED_BYTES:
            return b""
        return self._chosen().feed(self._start)

    def finish(self) -> bytes:
        """Take the end of a complete body; return what is left to pass on."""
        if self._body:
            return self._body.finish()
        body = self._chosen()
        return body.feed(self._start) + body.finish()

    def _chosen(self) -> AnswerBody:
        if _EVENT_STREAM_START.match(self._start):
            self._body = EventStreamBody(self._reader, self._removal)
        else:
            self._body = _document_body(self._reader, self._removal, is_json=False)
        return self._body


class UnreadableBody:
    """A body under a content coding that is not known. Nothing is read, and it is passed on as it is."""

    streamed = False

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes; return them."""
        return chunk

    def finish(self) -> bytes:
        """Take the end of a complete body. Nothing is left to pass on."""
        return b""


class CodedBody:
    """A body under a content coding. It is passed on as it is, or decoded if anything is to be taken out.

    Once the bytes are not what the coding says, nothing more is read.
    """

    def __init__(self, body: AnswerBody, reader: AnswerReader, decoder: Decoder, removal: Removal) -> None:
        self._body = body
        self._reader = reader
        self._decoder = decoder
        self._removal = removal
        self._damaged = False

    @property
    def streamed(self) -> bool:
        """Whether it is a stream of events or of lines."""
        return self._body.streamed

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes; return those to pass on, which may be none."""
        passed: list[bytes] = []
        try:
            for piece in () if self._damaged else self._decoder.feed(chunk):
                passed_on = self._body.feed(piece)
                if self._removal:
                    passed.append(passed_on)
        except ContentCodingError:
            self._damaged = True
            self._reader.read_damage()
        return b"".join(passed) if self._removal else chunk

    def finish(self) -> bytes:
        """Take the end of a complete body; return what is left to pass on."""
        left = self._body.finish()
        return left if self._removal else b""


def open_body(content_type: str, content_encoding: str, reader: AnswerReader, removal: Removal) -> AnswerBody:
    """Choose how to read an answer by its Content-Type and Content-Encoding, whatever the request asked for.

    Raises ContentCodingError for a coding that is not known.
    """
    body = _body_of_type(content_type.partition(";")[0].strip().lower(), reader, removal)
    decoder = open_decoder(content_encoding) if content_encoding else None
    return CodedBody(body, reader, decoder, removal) if decoder else body


def _body_of_type(media_type: str, reader: AnswerReader, removal: Removal) -> AnswerBody:
    if media_type == "text/event-stream":
        return EventStreamBody(reader, removal)
    if media_type in {"application/x-ndjson", "application/ndjson", "application/jsonl"}:
        return LinesBody(reader)
    if media_type == "application/json" or media_type.endswith("+json"):
        return _document_body(reader, removal, is_json=True)
    return UntypedBody(reader, removal)


def _document_body(reader: AnswerReader, removal: Removal, *, is_json: bool) -> AnswerBody:
    if removal.edits(ChunkUsage.NONE):
        return EditedDocumentBody(reader, removal, is_json=is_json)
    return DocumentBody(reader, is_json=is_json)


def _with_data(raw: bytes, data: bytes) -> bytes:
    """Put other data into an event. Data that is spread over lines stays so, as far as there is any left."""
    values = iter(data.split(b"\n"))
    lines: list[bytes] = []
    for line in raw.splitlines(keepends=True):
        data_line = _DATA_LINE.fullmatch(line)
        if data_line is None:
            lines.append(line)
        elif (value := next(values, None)) is not None:
            name, separator, end = data_line.groups()
            lines.append(name + (separator or b": ") + value + end)
    return b"".join(lines)

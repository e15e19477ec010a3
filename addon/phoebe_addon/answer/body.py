"""Watching the body of an answer on its way to the client.

Whatever bytes an engine sends, nothing here raises, memory is bounded, and the client's bytes stay as they
are, but for what the engine added because Phoebe had asked for it. Labels can be wrong. So the first bytes of
a body decide what it is. Its label decides only where they do not tell.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from phoebe_addon.answer.event_stream import EventStreamBody
from phoebe_addon.answer.json_body import JsonBody
from phoebe_addon.answer.reader import AnswerReader
from phoebe_addon.answer.removal import Removal
from phoebe_addon.formats.body_form import FirstBytes, Form, blank_bytes, form_by_label, read_first_bytes
from phoebe_addon.formats.content_coding import ContentCodingError, coding_names
from phoebe_addon.formats.steps import Steps, at_once
from phoebe_addon.formats.told_coding import ToldDecoder, coding_by_magic, may_name_coding, open_told_decoder

# What a coded answer may unfold to: the bytes in any case, and beyond them the ratio times the bytes that
# came. JSON hardly ever shrinks to less than a twentieth. Padding that a client asked for may shrink to less.
UNFOLDED_BYTES_MAX = 64 * 1024 * 1024
UNFOLDED_RATIO_MAX = 100
STEP_BYTES = 16 * 1024
"""So much of an answer is read in one step, which takes a millisecond or two."""
_SPACE = b" \t\r\n"  # of JSON: other control characters are no blanks


@dataclass(frozen=True, slots=True)
class Mislabel:
    """A header that does not say what the body is. label: what it says; empty if it is missing."""

    header: str
    label: str
    found: str


class AnswerBody(Protocol):
    """A body in one of the forms an answer comes in."""

    @property
    def form(self) -> Form | None:
        """Its form, as far as is known; None: none that is read."""

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes; return those to pass on, which may be none."""

    def finish(self) -> bytes:
        """Take the end of a complete body; return what is left to pass on."""

    def cut_off(self) -> None:
        """Take the end of a body that broke off. What is whole of what came last is read."""


class _OpaqueBody:
    """A body in no form that is known. It is passed on as it is, and nothing of it is read."""

    form = None

    def feed(self, chunk: bytes) -> bytes:
        return chunk

    def finish(self) -> bytes:
        return b""

    def cut_off(self) -> None:
        pass


class PlainBody:
    """A body without a content coding that is known. Its first bytes tell its form.

    media_type: in lower case. coding: the codings that are named all the same. length_known: it can't end
    before its end without notice.
    """

    def __init__(
        self,
        media_type: str,
        reader: AnswerReader,
        removal: Removal,
        *,
        coding: str = "",
        length_known: bool = True,
    ) -> None:
        self._media_type = media_type
        self._label = form_by_label(media_type)
        self._coding = coding
        self._reader = reader
        self._removal = removal
        self._length_known = length_known
        self._start = b""
        self._body: AnswerBody | None = None

    @property
    def is_read(self) -> bool:
        """Whether what comes of it is read, as far as is known."""
        return not isinstance(self._body, _OpaqueBody) and not (
            isinstance(self._body, CodedBody) and not self._body.is_read
        )

    @property
    def unfolds(self) -> bool:
        """Whether the next bytes may unfold to many more: the first ones may show a coding."""
        return self._body is None or (isinstance(self._body, CodedBody) and self._body.unfolds)

    @property
    def form(self) -> Form | None:
        """Its form; what the label says, until the first bytes are there."""
        return self._body.form if self._body else self._label

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes; return those to pass on, which may be none."""
        return self._body.feed(chunk) if self._body else at_once(self._begin(chunk))

    def steps(self, chunk: bytes) -> Steps[bytes]:
        """Do what `feed` does, in steps."""
        if self._body is None:
            return (yield from self._begin(chunk))
        if isinstance(self._body, CodedBody):
            return (yield from self._body.steps(chunk))
        return self._body.feed(chunk)

    def _begin(self, chunk: bytes) -> Steps[bytes]:
        start = self._start + chunk
        blank = blank_bytes(start)
        self._start = start[blank:]
        told = read_first_bytes(self._start)
        passed = start[:blank]
        if told is FirstBytes.OTHER and may_name_coding(self._start):
            told = FirstBytes.TOO_FEW
        if told is not FirstBytes.TOO_FEW:
            passed += yield from self._open(told)
        return passed if self._removal else chunk

    def finish(self) -> bytes:
        """Take the end of a complete body; return what is left to pass on."""
        passed = b"" if self._body else at_once(self._open(FirstBytes.OTHER))
        assert self._body
        passed += self._body.finish()
        return passed if self._removal else b""

    def cut_off(self) -> None:
        """Take the end of a body that broke off."""
        if self._body:
            self._body.cut_off()

    def mislabels(self) -> list[Mislabel]:
        """Compare what it is with its labels."""
        if isinstance(self._body, CodedBody):
            return self._body.mislabels()
        wrong = [Mislabel("Content-Encoding", self._coding, "")] if self._coding and self._body else []
        if self.form is not None and self.form is not self._label:
            wrong.append(Mislabel("Content-Type", self._media_type, self.form.value))
        return wrong

    def _open(self, told: FirstBytes) -> Steps[bytes]:
        self._body = self._chosen(told)
        start, self._start = self._start, b""
        return (yield from self.steps(start)) if start else b""

    def _chosen(self, told: FirstBytes) -> AnswerBody:
        if told is FirstBytes.EVENTS:
            return EventStreamBody(self._reader, self._removal)
        if told is FirstBytes.JSON:
            return self._json_body()
        if self._label is not None or self._coding:
            name = coding_by_magic(self._start)
            decoder = open_told_decoder(name) if name else None
            if decoder:
                inside = PlainBody(self._media_type, self._reader, Removal(), length_known=self._length_known)
                return CodedBody(inside, self._reader, decoder, label=self._coding, decoded=False)
        if self._coding:
            self._reader.read_damage()
            return _OpaqueBody()
        if self._label is Form.EVENTS:
            return EventStreamBody(self._reader, self._removal)
        if self._label is not None and self._start.strip(_SPACE):
            self._reader.read_garbled()
        return _OpaqueBody()

    def _json_body(self) -> JsonBody:
        return JsonBody(
            self._reader,
            self._removal,
            labelled_lines=self._label is Form.LINES,
            length_known=self._length_known or self._label is None,
        )


class CodedBody:
    """A body under a content coding. It is passed on as it is, or decoded if anything is to be taken out.

    Once the bytes are not what the coding says, or unfold to too much, nothing more is read. label: the
    codings that are named.
    """

    def __init__(
        self, body: PlainBody, reader: AnswerReader, decoder: ToldDecoder, *, label: str, decoded: bool
    ) -> None:
        self.decoded = decoded
        self._body = body
        self._reader = reader
        self._decoder = decoder
        self._label = label
        self._bytes_came = 0
        self._bytes_unfolded = 0
        self._damaged = False

    @property
    def is_read(self) -> bool:
        """Whether what comes of it is read, as far as is known."""
        return not self._damaged and self._body.is_read

    @property
    def unfolds(self) -> bool:
        """Whether the next bytes may unfold to many more."""
        return not self._damaged

    @property
    def form(self) -> Form | None:
        """The form of what is under the coding."""
        return self._body.form

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes; return those to pass on, which may be none."""
        return at_once(self.steps(chunk))

    def steps(self, chunk: bytes) -> Steps[bytes]:
        """Do what `feed` does, in steps."""
        self._bytes_came += len(chunk)
        return (yield from self._read(chunk))

    def finish(self) -> bytes:
        """Take the end of a complete body; return what is left to pass on."""
        passed = at_once(self._read(None))
        left = self._body.finish()
        return passed + left if self.decoded else b""

    def cut_off(self) -> None:
        """Take the end of a body that broke off."""
        at_once(self._read(None))
        self._body.cut_off()

    def mislabels(self) -> list[Mislabel]:
        """Compare what it is with its labels."""
        found = self._decoder.found
        wrong = [Mislabel("Content-Encoding", self._label, found)] if found != self._label else []
        return [*wrong, *self._body.mislabels()]

    def _read(self, chunk: bytes | None) -> Steps[bytes]:
        """Read the next bytes; None: there are none. Returns those to pass on."""
        passed: list[bytes] = []
        try:
            for number, piece in enumerate(() if self._damaged else self._pieces(chunk)):
                if number:
                    yield
                passed.append((yield from self._body.steps(piece)))
        except ContentCodingError:
            self._damaged = True
            self._reader.read_damage()
        return b"".join(passed) if self.decoded else chunk or b""

    def _pieces(self, chunk: bytes | None) -> Iterator[bytes]:
        unfolded_max = UNFOLDED_BYTES_MAX + UNFOLDED_RATIO_MAX * self._bytes_came
        for piece in self._decoder.finish() if chunk is None else self._decoder.feed(chunk):
            self._bytes_unfolded += len(piece)
            if self._bytes_unfolded > unfolded_max and not self.decoded:
                raise ContentCodingError("it unfolds to too much")
            for start in range(0, len(piece) or 1, STEP_BYTES):
                yield piece[start : start + STEP_BYTES]


def open_body(
    content_type: str,
    content_encoding: str,
    reader: AnswerReader,
    removal: Removal,
    *,
    length_known: bool = True,
) -> PlainBody | CodedBody:
    """Choose how to read an answer by its Content-Type and Content-Encoding, as far as they are right."""
    media_type = content_type.partition(";")[0].strip().lower()
    coding = ", ".join(coding_names(content_encoding))
    decoder = open_told_decoder(coding)
    if decoder is None:
        return PlainBody(media_type, reader, removal, coding=coding, length_known=length_known)
    body = PlainBody(media_type, reader, removal, length_known=length_known)
    return CodedBody(body, reader, decoder, label=coding, decoded=bool(removal))

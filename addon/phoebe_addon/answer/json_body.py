"""Watching a body of JSON on its way to the client: one document, or one on each line."""

from phoebe_addon.answer.document import WHOLE_BYTES_MAX, Gathering, is_cut
from phoebe_addon.answer.reader import AnswerReader, ChunkUsage
from phoebe_addon.answer.removal import Removal, edited, edited_at
from phoebe_addon.formats.body_form import Form
from phoebe_addon.formats.ndjson import JsonLine, NdjsonParser

# A document out of which something is taken is held back until it is whole. Beyond this nothing is taken out.
HELD_BACK_BYTES_MAX = 64 * 1024 * 1024
_SPACE = b" \t\r\n"
_OPENING = (b"{", b"[")


class JsonBody:
    """A body of JSON.

    It counts as one document until a second one begins. If its label says lines, it counts as lines once its
    first line is a document. labelled_lines: its label says that it is lines. length_known: it can't end
    before its end without notice.
    """

    def __init__(
        self, reader: AnswerReader, removal: Removal, *, labelled_lines: bool, length_known: bool
    ) -> None:
        self._document = _DocumentBody(reader, removal, length_known=length_known)
        self._lines = _Lines(reader)
        self.form = Form.LINES if labelled_lines else Form.DOCUMENT
        self._in_lines = False

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes; return those to pass on, which may be none."""
        if self._in_lines:
            self._lines.feed(chunk)
            return chunk
        passed = self._document.feed(chunk)
        lines = self._document.behind
        if lines:
            self._document.read_as_line()
        elif self.form is Form.LINES and b"\n" in chunk:
            lines = self._document.first_lines()
        return passed + self._begin_lines(lines) if lines else passed

    def _begin_lines(self, start: bytes) -> bytes:
        self._in_lines = True
        self.form = Form.LINES
        self._lines.feed(start)
        return self._document.take_held()

    def finish(self) -> bytes:
        """Take the end of a complete body; return what is left to pass on."""
        if self._in_lines:
            self._lines.finish()
            return b""
        return self._finish_document(broken_off=False)

    def cut_off(self) -> None:
        """Take the end of a body that broke off: what is whole is read."""
        if self._in_lines:
            self._lines.finish()
        else:
            self._finish_document(broken_off=True)

    def _finish_document(self, *, broken_off: bool) -> bytes:
        if self.form is Form.LINES and not self._document.spans_lines:
            self._document.read_as_line()
            return self._document.take_held()
        self.form = Form.DOCUMENT
        passed = self._document.finish_whole()
        if passed is not None:
            return passed
        lines = self._document.begin_of_second()
        if not lines:
            return self._document.finish_skimmed(broken_off=broken_off)
        self._document.read_as_line()
        held = self._begin_lines(lines)
        self._lines.finish()
        return held


class _Lines:
    """JSON lines. Nothing is taken out of them: no family that streams lines needs to be asked."""

    def __init__(self, reader: AnswerReader) -> None:
        self._reader = reader
        self._parser = NdjsonParser(WHOLE_BYTES_MAX)
        self._long_line: Gathering | None = None

    def feed(self, chunk: bytes) -> None:
        for line in self._parser.feed(chunk):
            self._read(line)

    def finish(self) -> None:
        line = self._parser.finish()
        if line:
            self._read(line)

    def _read(self, line: JsonLine) -> None:
        if self._long_line is None and line.ends:
            content = line.raw.strip()
            if content:
                self._reader.read_chunk(content)
            return
        self._long_line = self._long_line or Gathering(self._reader.wanted_in_chunks)
        self._long_line.feed(line.raw)
        if not line.ends:
            return
        line_read, self._long_line = self._long_line, None
        short = line_read.content()
        if short is not None:
            self._reader.read_chunk(short)
        elif line_read.has_begun():
            self._reader.read_garbled()


class _DocumentBody:
    """One document. behind: of a long one, what came behind its end and begins another one."""

    def __init__(self, reader: AnswerReader, removal: Removal, *, length_known: bool) -> None:
        self._reader = reader
        self._edit = removal.edit(ChunkUsage.NONE)
        self._length_known = length_known
        self._content = Gathering(reader.wanted_in_documents, spans=bool(self._edit))
        self._held = bytearray()
        self._too_long = False
        self._first_line_known = False
        self._ends_in_garbage = False
        self.behind = b""

    @property
    def spans_lines(self) -> bool:
        """Whether it is spread over several lines."""
        return self._content.spans_lines

    def feed(self, chunk: bytes) -> bytes:
        behind = self._content.feed(chunk).lstrip(_SPACE)
        self._ends_in_garbage |= bool(behind) and not behind.startswith(_OPENING)
        self.behind = b"" if self._ends_in_garbage else behind
        self._reader.read_results(self._content.take_results())
        if not self._edit or self._too_long:
            return chunk
        self._held += chunk
        if len(self._held) <= HELD_BACK_BYTES_MAX:
            return b""
        self._too_long = True
        return self.take_held()

    def first_lines(self) -> bytes:
        """Return all that came if it begins with a whole line, once; nothing: its first line goes on."""
        start = self._content.start
        if self._first_line_known or start is None:
            return b""
        line, newline, _ = start.lstrip(_SPACE).partition(b"\n")
        self._first_line_known = bool(newline)
        return start if newline and not is_cut(line, self._reader.wanted_in_chunks) else b""

    def read_as_line(self) -> None:
        """Read it as what it turned out to be: the first of several."""
        content = self._content.content()
        if content is not None:
            self._reader.read_chunk(content)
        elif self._content.has_begun():
            self._reader.read_garbled()

    def take_held(self) -> bytes:
        """Return what was held back."""
        held = bytes(self._held)
        self._held.clear()
        return held

    def finish_whole(self) -> bytes | None:
        """Take the end of a short one; return what is left to pass on. None: it is long, or no JSON."""
        start = self._content.start
        if start is None or not self._reader.read_document(start):
            return None
        held = self.take_held()
        return edited(held, self._edit) if held else b""

    def begin_of_second(self) -> bytes:
        """Return what is behind the end of a short one and begins another; nothing: it is the only one."""
        if self._content.start is None:
            return b""
        behind = self._content.end_as_long().lstrip(_SPACE)
        self._reader.read_results(self._content.take_results())
        return behind if behind.startswith(_OPENING) else b""

    def finish_skimmed(self, *, broken_off: bool) -> bytes:
        """Take the end; return what is left to pass on."""
        content = self._content.content()
        if content is not None and self._reader.read_document(content):
            held = self.take_held()
            return edited_at(held, self._content.spans or [], self._edit) if held else b""
        if broken_off or not (self._content.is_cut() and not self._length_known):
            self._reader.read_garbled()
        else:
            # A connection that is closed looks like the end of a body.
            self._reader.read_error()
        return self.take_held()

"""Watching an event stream on its way to the client."""

from phoebe_addon.answer.chunk_shape import ChunkShape, data_in, events_of, shape_of, without_usage
from phoebe_addon.answer.document import WHOLE_BYTES_MAX, Gathering
from phoebe_addon.answer.reader import AnswerReader, ChunkUsage
from phoebe_addon.answer.removal import Removal, data_of, edited, edited_at, with_data, without_last
from phoebe_addon.formats.body_form import Form
from phoebe_addon.formats.sse import SseParser, SsePiece

# An event that may have to be left out is held back until it is whole. A longer event than this is passed on
# as it is. The bound is above what clients can cause: an engine can be made to repeat a whole request, and
# escapes make it longer.
HELD_BACK_BYTES_MAX = 64 * 1024 * 1024
# So many shapes of events are looked for in vain. In some streams no two events share one.
_SHAPES_TRIED_MAX = 16


class EventStreamBody:
    """A body that is an event stream.

    If anything is to be taken out, an event is passed on when it is complete; otherwise bytes are passed on
    as they come.
    """

    form = Form.EVENTS

    def __init__(self, reader: AnswerReader, removal: Removal) -> None:
        self._reader = reader
        self._removal = removal
        self._edits = removal.edits() if removal else {}
        self._parser = SseParser(WHOLE_BYTES_MAX)
        self._long_event: _LongEvent | None = None
        self._shape: ChunkShape | None = None
        self._takes_usage_out = False  # of events that have the shape
        self._shapes_tried = 0

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes; return those to pass on, which may be none."""
        # Nearly every chunk is one event, of nothing but text, or of text and running usage.
        if not self._parser.is_between_events():
            return self._feed(chunk)
        if self._shape is not None:
            passed = self._pass_on_shaped(chunk, self._shape)
            return self._feed_shaped(chunk, self._shape) if passed is None else passed
        if _is_plain_event(chunk) and self._reader.is_irrelevant(chunk):
            return chunk
        return self._feed(chunk)

    def _feed_shaped(self, chunk: bytes, shape: ChunkShape) -> bytes:
        """Take bytes that begin an event, where the first events may have the shape."""
        passed: list[bytes] = []
        position = 0
        for event in events_of(chunk):
            shaped = self._pass_on_shaped(event, shape)
            if shaped is None:
                break
            passed.append(shaped)
            position += len(event)
        rest = chunk[position:]
        if not (_is_plain_event(rest) and self._reader.is_irrelevant(rest)):
            rest = self._feed(rest)
        return b"".join([*passed, rest])

    def _pass_on_shaped(self, event: bytes, shape: ChunkShape) -> bytes | None:
        """Take an event and return the bytes to pass on. None: it does not have the shape."""
        usage_start = shape.usage_start(event)
        if usage_start is None or len(event) > WHOLE_BYTES_MAX:
            return None
        self._shapes_tried = 0
        self._reader.read_later(data_in(event))
        return without_usage(event, usage_start) if self._takes_usage_out else event

    def _feed(self, chunk: bytes) -> bytes:
        passed = [self._pass_on(piece) for piece in self._parser.feed(chunk)]
        if self._shape is not None and not self._reader.may_read_later:
            self._shape = None  # what was read may have ended the answer
        return b"".join(passed) if self._removal else chunk

    def finish(self) -> bytes:
        """Take the end of a complete body; return what is left to pass on."""
        piece = self._parser.finish()
        passed = self._pass_on(piece) if piece else b""
        return passed if self._removal else b""

    def cut_off(self) -> None:
        """Take the end of a body that broke off: an event that lacks nothing but its end is read."""
        piece = self._parser.finish()
        if piece:
            self._pass_on(SsePiece(piece.raw, piece.data))

    def _pass_on(self, piece: SsePiece) -> bytes:
        if self._long_event is None and piece.ends and len(piece.raw) <= WHOLE_BYTES_MAX:
            return self._pass_on_event(piece)
        if self._long_event is None:
            self._long_event = _LongEvent(self._reader, self._removal)
        passed = self._long_event.feed(piece)
        if piece.ends:
            passed += self._long_event.finish(piece.event)
            self._long_event = None
        return passed

    def _pass_on_event(self, piece: SsePiece) -> bytes:
        if piece.event == b"error":
            self._reader.read_error()
        if piece.data is None:
            return piece.raw
        usage = self._reader.read_chunk(piece.data)
        passed = self._left_of(piece.raw, piece.data, usage) if self._removal else piece.raw
        if usage in _WITH_CHOICES and self._reader.may_read_later:
            self._find_shape(piece.raw, passed)
        return passed

    def _left_of(self, event: bytes, data: bytes, usage: ChunkUsage) -> bytes:
        if self._removal.drops(usage):
            return b""
        changed = self._edited(data, usage)
        return event if changed == data else with_data(event, changed, data)

    def _find_shape(self, event: bytes, passed: bytes) -> None:
        """Find the shape of an event that was read and passed on, for those that come next."""
        if self._shapes_tried >= _SHAPES_TRIED_MAX:
            return
        self._shapes_tried += 1
        shape = shape_of(event)
        start = shape.usage_start(event) if shape else None
        if start is not None and passed in (event, without_usage(event, start)):
            self._shape = shape
            self._takes_usage_out = passed != event

    def _edited(self, data: bytes, usage: ChunkUsage) -> bytes:
        edit = self._edits[usage]
        if not edit:
            return data
        # Only what could be parsed carries usage.
        if usage is not ChunkUsage.NONE and (name := edit.only_name):
            changed = without_last(data, name)
            if changed is not None:
                return changed
        return edited(data, edit)


class _LongEvent:
    """An event that comes in parts: it is skimmed, and held back only if something may be taken out."""

    def __init__(self, reader: AnswerReader, removal: Removal) -> None:
        self._reader = reader
        self._removal = removal
        self._data = Gathering(reader.wanted_in_chunks, spans=bool(removal))
        self._has_data = False
        self._held = bytearray()
        self._too_long = False

    def feed(self, piece: SsePiece) -> bytes:
        """Take a part; return the bytes to pass on."""
        if piece.data is not None:
            self._has_data = True
            self._data.feed(piece.data)
        if not self._removal or self._too_long:
            return piece.raw
        self._held += piece.raw
        if len(self._held) <= HELD_BACK_BYTES_MAX:
            return b""
        self._too_long = True
        return self._take_held()

    def finish(self, event: bytes) -> bytes:
        """Take the end of the event, and its name; return the bytes to pass on."""
        if event == b"error":
            self._reader.read_error()
        usage = self._read()
        held = self._take_held()
        if self._removal.drops(usage):
            return b""
        edit = self._removal.edit(usage)
        if not held or not edit:
            return held
        data = data_of(held)
        if self._data.start is not None:
            changed = edited(data, edit)
        else:
            changed = edited_at(data, self._data.spans or [], edit)
        return held if changed == data else with_data(held, changed, data)

    def _read(self) -> ChunkUsage:
        content = self._data.content()
        if content is not None:
            return self._reader.read_chunk(content) if self._has_data else ChunkUsage.NONE
        if self._data.has_begun():
            self._reader.read_garbled()
        return ChunkUsage.NONE

    def _take_held(self) -> bytes:
        held = bytes(self._held)
        self._held.clear()
        return held


_WITH_CHOICES = frozenset({ChunkUsage.PLACEHOLDER, ChunkUsage.RUNNING})


def _is_plain_event(chunk: bytes) -> bool:
    """Whether bytes that begin an event are one, whole, of a single `data` line."""
    return chunk.startswith(b"data: ") and chunk.find(b"\n") == len(chunk) - 2 > 0 and chunk.endswith(b"\n\n")

"""Reading a JSON object that is too long to be parsed in one go, in steps.

It takes and refuses what a strict parser does (RFC 8259), within bounds on how deeply it is nested and of how
many parts it is made. What is read is what a parser gives, but for two things that would take memory and that
nobody asks for: of a string of more than 4 KiB the beginning is kept, of numbers in an array some.
"""

import codecs
import json
import re
from collections.abc import Callable

from phoebe_addon.formats.json_members import Member
from phoebe_addon.formats.steps import Steps

NESTING_MAX = 200
"""How deeply a request body may be nested. Tools' schemas have some dozens of levels."""
PARTS_MAX = 100_000
"""Objects and arrays, members, or strings in arrays, that a request body may have. Long conversations have
some thousands."""
OBJECT_MEMBERS_MAX = 16_000
"""Members that one object of it may have. More do not fit into 64 KiB."""
STRING_BYTES_KEPT = 4 * 1024

# What one step reads at most.
_STEP_BYTES = 16 * 1024
_STEP_TOKENS = 256
_UTF8_STEP_BYTES = 256 * 1024

_SPACE = re.compile(rb"[ \t\n\r]*+")
_IN_STRING = re.compile(rb'(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+')
_SCALAR_TEXT = rb"(?:-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+|true|false|null)"
_SCALAR = re.compile(_SCALAR_TEXT)
_SCALARS = re.compile(rb"(?:[ \t\n\r]{0,16}+" + _SCALAR_TEXT + rb"[ \t\n\r]{0,16}+,)*+")
_QUOTE, _OPEN_OBJECT, _OPEN_ARRAY = b'"{['
_CLOSING = {_OPEN_OBJECT: ord("}"), _OPEN_ARRAY: ord("]")}


class JsonBoundError(ValueError):
    """A text is nested too deeply, or has too many parts. The message goes on after the text's name."""


class _Object:
    """An object that is open."""

    closing = _CLOSING[_OPEN_OBJECT]

    def __init__(self) -> None:
        self.value: dict[str, object] = {}
        self.name = ""
        self.count = 0

    def add(self, value: object) -> None:
        self.value[self.name] = value


class _Array:
    """An array that is open."""

    closing = _CLOSING[_OPEN_ARRAY]

    def __init__(self) -> None:
        self.value: list[object] = []

    def add(self, value: object) -> None:
        self.value.append(value)


class _Reader:
    """Reads one object. members: of it, once all is read."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._position = 0
        self._state: Callable[[], None] = self._before_object
        self._open: list[_Object | _Array] = []
        self._string_start = 0
        self._name_start = 0
        self._value_start = 0
        self._containers = 0
        self._member_count = 0
        self._strings = 0
        self.members: list[Member] = []
        self.ended = False

    def step(self) -> None:
        """Go on for a while. Raises ValueError."""
        stop = self._position + _STEP_BYTES
        for _ in range(_STEP_TOKENS):
            self._state()
            if self.ended or self._position >= stop:
                return

    def _next_byte(self) -> int | None:
        """Skip blanks; return the byte behind them. None: they go on, or nothing is left."""
        match = _SPACE.match(self._content, self._position, self._position + _STEP_BYTES)
        assert match
        before, self._position = self._position, match.end()
        if self._position < len(self._content):
            return None if self._position == before + _STEP_BYTES else self._content[self._position]
        if self._state != self._behind_object:
            raise self._unexpected()
        self.ended = True
        return None

    def _unexpected(self) -> ValueError:
        if self._position >= len(self._content):
            return ValueError("it ends before its end")
        return ValueError(f"unexpected byte {self._content[self._position]} at {self._position}")

    def _before_object(self) -> None:
        byte = self._next_byte()
        if byte == _OPEN_OBJECT:
            self._begin(_Object())
        elif byte is not None:
            raise self._unexpected()

    def _behind_object(self) -> None:
        if self._next_byte() is not None:
            raise self._unexpected()

    def _begin(self, container: _Object | _Array) -> None:
        self._containers += 1
        if self._containers > PARTS_MAX:
            raise JsonBoundError(f"has more than {PARTS_MAX} objects and arrays")
        if len(self._open) == NESTING_MAX:
            raise JsonBoundError(f"is nested too deeply: {NESTING_MAX} levels are allowed")
        self._open.append(container)
        self._position += 1
        self._state = self._before_first

    def _before_first(self) -> None:
        byte = self._next_byte()
        around = self._open[-1]
        if byte == around.closing:
            self._close()
        elif byte is not None:
            self._expect_next()

    def _expect_next(self) -> None:
        self._state = self._before_name if isinstance(self._open[-1], _Object) else self._before_value

    def _before_name(self) -> None:
        byte = self._next_byte()
        if byte is None:
            return
        if byte != _QUOTE:
            raise self._unexpected()
        self._count_member()
        if len(self._open) == 1:
            self._name_start = self._position
        self._begin_string(self._in_name)

    def _count_member(self) -> None:
        around = self._open[-1]
        assert isinstance(around, _Object)
        around.count += 1
        self._member_count += 1
        if around.count > OBJECT_MEMBERS_MAX:
            raise JsonBoundError(f"has an object of more than {OBJECT_MEMBERS_MAX} members")
        if self._member_count > PARTS_MAX:
            raise JsonBoundError(f"has more than {PARTS_MAX} members")

    def _begin_string(self, state: Callable[[], None]) -> None:
        self._position += 1
        self._string_start = self._position
        self._state = state

    def _in_name(self) -> None:
        if self._at_string_end():
            around = self._open[-1]
            assert isinstance(around, _Object)
            around.name = self._string()
            self._state = self._before_colon

    def _before_colon(self) -> None:
        byte = self._next_byte()
        if byte == ord(":"):
            self._position += 1
            self._state = self._before_value
        elif byte is not None:
            raise self._unexpected()

    def _before_value(self) -> None:
        byte = self._next_byte()
        if byte is None:
            return
        around = self._open[-1]
        if len(self._open) == 1:
            self._value_start = self._position
        if byte == _QUOTE:
            self._count_string(around)
            self._begin_string(self._in_string)
        elif byte in _CLOSING:
            self._begin(_Object() if byte == _OPEN_OBJECT else _Array())
        elif not (isinstance(around, _Array) and around.value and self._skip_scalars()):
            self._take_scalar()

    def _count_string(self, around: _Object | _Array) -> None:
        self._strings += isinstance(around, _Array)
        if self._strings > PARTS_MAX:
            raise JsonBoundError(f"has more than {PARTS_MAX} strings in arrays")

    def _skip_scalars(self) -> bool:
        """Skip elements of an array that are neither strings nor containers, each with its comma."""
        match = _SCALARS.match(self._content, self._position, self._position + _STEP_BYTES)
        assert match
        skipped = match.end() > self._position
        self._position = match.end()
        return skipped

    def _take_scalar(self) -> None:
        stop = self._position + _STEP_BYTES
        # A number that is cut off behind its point or its exponent's sign would look like a shorter one.
        match = _SCALAR.match(self._content, self._position, stop + len("e+"))
        if match is None:
            raise self._unexpected()
        if match.end() >= stop:
            raise JsonBoundError(f"has a number of more than {_STEP_BYTES} characters")
        self._position = match.end()
        self._give(json.loads(match[0], parse_int=float))

    def _in_string(self) -> None:
        if self._at_string_end():
            self._give(self._string())

    def _at_string_end(self) -> bool:
        """Go on in a string. Returns whether it ends; then the position is behind its end."""
        match = _IN_STRING.match(self._content, self._position, self._position + _STEP_BYTES)
        assert match
        before, self._position = self._position, match.end()
        if self._content[self._position : self._position + 1] == b'"':
            self._position += 1
            return True
        if self._position == before:
            raise self._unexpected()
        return False

    def _string(self) -> str:
        """Return the string that has ended, or its beginning."""
        start, end = self._string_start, self._position - 1
        if end - start > STRING_BYTES_KEPT:
            match = _IN_STRING.match(self._content, start, start + STRING_BYTES_KEPT)
            assert match
            end = match.end()
        text: str = json.loads('"' + self._content[start:end].decode("utf-8", "ignore") + '"')
        return text

    def _give(self, value: object) -> None:
        """Hand a value that has ended to what it stands in."""
        around = self._open[-1]
        around.add(value)
        if len(self._open) == 1:
            assert isinstance(around, _Object)
            span = (self._name_start, self._value_start, self._position)
            self.members.append(Member(around.name, value, *span))
        self._state = self._behind_value

    def _behind_value(self) -> None:
        byte = self._next_byte()
        if byte == ord(","):
            self._position += 1
            self._expect_next()
        elif byte == self._open[-1].closing:
            self._close()
        elif byte is not None:
            raise self._unexpected()

    def _close(self) -> None:
        closed = self._open.pop()
        self._position += 1
        if self._open:
            self._give(closed.value)
        else:
            self._state = self._behind_object


def long_document_members(content: bytes) -> Steps[list[Member]]:
    """List the members of a text in UTF-8 that is one JSON object. Where they stand is told in bytes.

    Raises UnicodeDecodeError, JsonBoundError, or ValueError if there is no well-formed object. The first step
    does nothing.
    """
    yield
    yield from _check_utf8(content)
    reader = _Reader(content)
    while not reader.ended:
        reader.step()
        yield
    return reader.members


def _check_utf8(content: bytes) -> Steps[None]:
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(content), _UTF8_STEP_BYTES):
        piece = content[start : start + _UTF8_STEP_BYTES]
        held = len(decoder.getstate()[0])
        try:
            decoder.decode(piece, final=start + len(piece) == len(content))
        except UnicodeDecodeError as error:
            at = start - held + error.start
            raise UnicodeDecodeError("utf-8", content, at, at + 1, error.reason) from None
        yield

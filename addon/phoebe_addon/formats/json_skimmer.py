"""Reading a few members of a JSON document that is too long to be parsed or held in memory.

Answers have megabytes of numbers, of text that clients chose, of images, and a few bytes of usage. The
skimmer takes a document in pieces and gives back a short one with the members that were asked for, wherever
they stand. Of what it leaves out it finds the end and checks nothing: neither the grammar nor the characters.
Brackets of both kinds are taken for alike.

A value that is kept and is longer than 16 KiB is shortened: of a string the beginning is kept, of an object
or an array what was asked for inside, or else a stand-in that is not empty either; a number becomes infinite.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from phoebe_addon.formats.json_nesting import ContainerEnd
from phoebe_addon.formats.json_shortening import KEPT_BYTES_MAX, NOT_EMPTY, is_json, kept
from phoebe_addon.formats.json_wanted import FLAT_CONTAINER, FLAT_VALUE, Wanted

ELEMENTS_MAX = 1024
"""Of an array no more elements are kept."""
SPANS_MAX = 4096
"""Of a document with more members it is not told where they stand."""

_PARTS_BYTES_MAX = 64 * 1024  # of the elements of one array, or of the members of an object
_NAME_BYTES_MAX = 256  # longer than any name that is asked for
_PREFIX_BYTES_MAX = 2 * _NAME_BYTES_MAX

_SPACE = re.compile(rb"[ \t\n\r]*+")
# Nearly all values are short and come in one chunk. These patterns take them in one go.
_MEMBER_START = re.compile(rb'[ \t\n\r]*+("([^"\\]{0,256}+)"[ \t\n\r]*+:[ \t\n\r]*+)(?=[^ \t\n\r])')
_STRING_OR_SCALAR = re.compile(
    rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[^"\\{}\[\],: \t\n\r]++(?=["\\{}\[\],: \t\n\r])', re.DOTALL
)
# Nearly all objects and arrays that are left out have no others in them.
_FLAT = re.compile(FLAT_CONTAINER)
_FLAT_ELEMENTS = re.compile(rb"(?:" + FLAT_VALUE + rb"[ \t\n\r]*+,[ \t\n\r]*+)++")
_SPACE_AND_BOM = re.compile(rb"[ \t\n\r\xef\xbb\xbf]*+")
_IN_STRING = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_IN_SCALAR = re.compile(rb'[^"\\{}\[\],: \t\n\r]*+')


@dataclass(frozen=True, slots=True)
class Result:
    """An element of an array of results. place: of the array. index: of the element. text: what is kept."""

    place: tuple[str | int, ...]
    index: int
    text: bytes


@dataclass(frozen=True, slots=True)
class MemberSpan:
    """Where a member of the outermost object stands, in bytes from the beginning of the document.

    The name, with its quotation marks, begins at name_start; the value goes from start to end. name: in
    UTF-8; empty: longer than 256 bytes.
    """

    name: bytes
    name_start: int
    start: int
    end: int


class _Copy:
    """The bytes of a value that is being read, as many as may be kept and one more."""

    __slots__ = ("content", "start")

    def __init__(self, start: int) -> None:
        self.content = bytearray()
        self.start = start  # in the chunk: what comes from there on is not copied yet

    def take(self, chunk: bytes, end: int) -> None:
        room = KEPT_BYTES_MAX + 1 - len(self.content)
        self.content += chunk[self.start : min(end, self.start + room)]
        self.start = 0


@dataclass(slots=True)
class _Value:
    """What is known of a value while it is read.

    wanted: None: it is left out. name, prefix: of the member it belongs to, if it is kept; prefix: name and
    colon as they are written.
    """

    wanted: Wanted | None
    name: bytes | None = None
    prefix: bytes = b""
    first: bytes = b""
    copy: _Copy | None = None

    def extend_prefix(self, more: bytes) -> None:
        self.prefix += more[: _PREFIX_BYTES_MAX + 1 - len(self.prefix)]

    def as_member(self, text: bytes) -> bytes:
        if len(self.prefix) > _PREFIX_BYTES_MAX:
            name = _IN_STRING.match(self.prefix, 1)
            assert name
            return b'"' + name[0] + b'":' + text  # there are more blanks than name
        return self.prefix + text


@dataclass(slots=True)
class _Open:
    """An object or an array that is looked into. parts: what is kept of it, by name or by number."""

    value: _Value
    wanted: Wanted
    parts: dict[bytes | int, bytes] = field(default_factory=dict)
    count: int = 0
    size: int = 0

    @property
    def is_object(self) -> bool:
        return self.value.first == b"{"

    def add(self, value: _Value, text: bytes) -> None:
        if not self.is_object:
            self.parts[self.count] = text
        elif value.name is not None:
            self.parts.pop(value.name, None)  # of members of one name the last counts
            self.parts[value.name] = value.as_member(text)
        self.size += len(text)

    @property
    def results(self) -> tuple[str | int, ...] | None:
        return None if self.is_object else self.wanted.results

    def text(self) -> bytes:
        if not self.parts and self.count and self.results is None:
            return NOT_EMPTY[self.value.first]
        parts = b",".join(self.parts.values())
        return b"{" + parts + b"}" if self.is_object else b"[" + parts + b"]"

    def wanted_member(self, name: bytes) -> Wanted | None:
        others = self.wanted.others if self.size <= _PARTS_BYTES_MAX else None
        return self.wanted.members.get(name, others)

    def wanted_element(self) -> Wanted | None:
        is_full = len(self.parts) >= ELEMENTS_MAX or self.size > _PARTS_BYTES_MAX
        return None if is_full else self.wanted.each


class JsonSkimmer:
    """Shortens one document, an object or an array.

    spans: whether it is to be told where the members of the outermost object stand; None afterwards: there
    are too many. results: those that are complete and say something; the caller takes them out. begun: its
    first bracket is there. ended: the document is complete. failed: it is no JSON, and nothing more is read.
    Memory is bounded, the cost is linear in the bytes fed, and nothing depends on how they are cut.
    """

    def __init__(self, wanted: Wanted, *, spans: bool = False) -> None:
        self.results: list[Result] = []
        self.spans: list[MemberSpan] | None = [] if spans else None
        self.begun = False
        self.ended = False
        self.failed = False
        self._short = b""
        self._fed = 0  # bytes before the chunk
        self._state: Callable[[bytes, int], int] = self._before_document
        self._open: list[_Open] = []
        self._copies: list[_Copy] = []  # those under way
        self._value = _Value(wanted)
        self._container = ContainerEnd()
        self._name_text = bytearray()
        self._escaped = False  # the last byte of the chunk was a backslash
        self._name_start = 0
        self._member_name = b""  # of the outermost object
        self._member_start = 0
        self._member_value_start = 0

    def feed(self, chunk: bytes) -> int:
        """Take the next bytes, up to the end of the document; return how many were taken."""
        position = 0
        while position < len(chunk) and not self.ended and not self.failed:
            position = self._state(chunk, position)
        for copy in self._copies:
            copy.take(chunk, len(chunk))
        self._fed += len(chunk)
        return position

    def document(self) -> bytes | None:
        """Return the short document; None: it is not complete, or no JSON."""
        return self._short if self.ended else None

    def _fail(self, chunk: bytes) -> int:
        self.failed = True
        self._copies.clear()
        return len(chunk)

    def _before_document(self, chunk: bytes, position: int) -> int:
        match = _SPACE_AND_BOM.match(chunk, position)
        assert match
        start = match.end()
        if start == len(chunk):
            return start
        self._state = self._before_value
        self.begun = chunk[start : start + 1] in NOT_EMPTY
        return start if self.begun else self._fail(chunk)

    def _before_value(self, chunk: bytes, position: int) -> int:
        start = _skip_space(chunk, position)
        value = self._value
        if value.prefix:
            value.extend_prefix(chunk[position:start])
        first = chunk[start : start + 1]
        if not first:
            return start
        if first in b"]}" and self._open and not self._open[-1].is_object:
            return self._close(chunk, start)
        if first in b"]}:,\\":
            return self._fail(chunk)
        value.first = first
        if len(self._open) == 1:
            self._member_value_start = self._fed + start
        is_container = first in b"{["
        if not is_container and (match := _STRING_OR_SCALAR.match(chunk, start)):
            text = match[0] if value.wanted is not None else None
            self._give(value, text and kept(first, text), self._fed + match.end())
            return match.end()
        if value.wanted is None and (behind := self._skip_flat(chunk, start, is_container=is_container)):
            return behind
        looked_into = is_container and self._is_looked_into(value.wanted, first)
        if value.wanted is not None and (value.wanted.whole or not looked_into):
            value.copy = _Copy(start)
            self._copies.append(value.copy)
        return self._begin(start, is_container=is_container, looked_into=looked_into)

    def _skip_flat(self, chunk: bytes, start: int, *, is_container: bool) -> int | None:
        """Leave out elements of an array with nothing nested in them, or one object or array of that kind."""
        if self._open and not self._open[-1].is_object:
            elements = _FLAT_ELEMENTS.match(chunk, start)
            if elements:
                # No element behind one that is left out is asked for.
                self._open[-1].count += 1
                return elements.end()
        container = _FLAT.match(chunk, start) if is_container else None
        if container is None:
            return None
        self._give(self._value, None, self._fed + container.end())
        return container.end()

    def _is_looked_into(self, wanted: Wanted | None, first: bytes) -> bool:
        if self.spans is not None and first == b"{" and not self._open:
            return True
        return wanted is not None and wanted.is_looked_into(first)

    def _begin(self, start: int, *, is_container: bool, looked_into: bool) -> int:
        if looked_into:
            assert self._value.wanted is not None
            self._open.append(_Open(self._value, self._value.wanted))
            self._expect_next()
        elif is_container:
            self._container = ContainerEnd()
            self._state = self._in_container
        else:
            is_string = self._value.first == b'"'
            self._state = self._in_string if is_string else self._in_scalar
            return start + is_string
        return start + 1

    def _expect_next(self) -> None:
        """Go on with the next member or element of what is open."""
        around = self._open[-1]
        if around.is_object:
            self._state = self._before_name
        else:
            self._value = _Value(around.wanted_element())
            self._state = self._before_value

    def _before_name(self, chunk: bytes, position: int) -> int:
        around = self._open[-1]
        if around.wanted.unwanted and (self.spans is None or len(self._open) > 1):
            unwanted = around.wanted.unwanted.match(chunk, position)
            if unwanted:
                around.count += 1
                position = unwanted.end()
        start = _MEMBER_START.match(chunk, position)
        if start:
            self._begin_member(start[2], start.start(1), start[1])
            self._state = self._before_value
            return start.end()
        position = _skip_space(chunk, position)
        first = chunk[position : position + 1]
        if not first:
            return position
        if first in b"]}":
            return self._close(chunk, position)
        if first != b'"':
            return self._fail(chunk)
        self._name_start = self._fed + position
        self._name_text.clear()
        self._state = self._in_name
        return position + 1

    def _in_name(self, chunk: bytes, position: int) -> int:
        end, behind = self._string_end(chunk, position)
        room = _NAME_BYTES_MAX + 1 - len(self._name_text)
        self._name_text += chunk[position : min(end, position + room)]
        if behind is None:
            return len(chunk)
        text = bytes(self._name_text) if len(self._name_text) <= _NAME_BYTES_MAX else b""
        name = _decoded(text) if b"\\" in text else text
        self._begin_member(name, self._name_start - self._fed, b'"%s"' % text)
        self._state = self._before_colon
        return behind

    def _begin_member(self, name: bytes, start: int, prefix: bytes) -> None:
        if len(self._open) == 1:
            self._member_name = name
            self._member_start = self._fed + start
        wanted = self._open[-1].wanted_member(name)
        self._value = _Value(None) if wanted is None else _Value(wanted, name, prefix)

    def _before_colon(self, chunk: bytes, position: int) -> int:
        colon = _skip_space(chunk, position)
        byte = chunk[colon : colon + 1]
        if byte and byte != b":":
            return self._fail(chunk)
        if self._value.prefix:
            self._value.extend_prefix(chunk[position : colon + 1])
        if byte:
            self._state = self._before_value
        return colon + len(byte)

    def _in_container(self, chunk: bytes, position: int) -> int:
        end = self._container.find(chunk, position)
        return len(chunk) if end is None else self._end_value(chunk, end)

    def _in_string(self, chunk: bytes, position: int) -> int:
        _, behind = self._string_end(chunk, position)
        return len(chunk) if behind is None else self._end_value(chunk, behind)

    def _string_end(self, chunk: bytes, position: int) -> tuple[int, int | None]:
        """Find where what is in a string ends, and the string itself; None: not in this chunk."""
        position += self._escaped
        self._escaped = False
        match = _IN_STRING.match(chunk, position)
        assert match
        end = match.end()
        if end < len(chunk) and chunk[end] == _QUOTE:
            return end, end + 1
        self._escaped = end < len(chunk)
        return len(chunk), None

    def _in_scalar(self, chunk: bytes, position: int) -> int:
        match = _IN_SCALAR.match(chunk, position)
        assert match
        end = match.end()
        return end if end == len(chunk) else self._end_value(chunk, end)

    def _end_value(self, chunk: bytes, end: int) -> int:
        """Take the end of a value that is not looked into."""
        value = self._value
        text: bytes | None = None
        if value.copy is not None:
            text = kept(value.first, self._finished(value.copy, chunk, end))
        self._give(value, text, self._fed + end)
        return end

    def _finished(self, copy: _Copy, chunk: bytes, end: int) -> bytes:
        self._copies.remove(copy)
        copy.take(chunk, end)
        return bytes(copy.content)

    def _close(self, chunk: bytes, position: int) -> int:
        """Take the end of a value that was looked into."""
        closed = self._open.pop()
        value = closed.value
        text = closed.text()
        if value.copy is not None:
            content = self._finished(value.copy, chunk, position + 1)
            text = content if len(content) <= KEPT_BYTES_MAX and is_json(content) else text
        self._give(value, text, self._fed + position + 1)
        return position + 1

    def _give(self, value: _Value, text: bytes | None, end: int) -> None:
        """Hand what is kept of a value to what it stands in. text: None: nothing."""
        if not self._open:
            self._short = b"null" if text is None else text
            self.ended = True
            return
        around = self._open[-1]
        if len(self._open) == 1 and around.is_object:
            self._note_span(end)
        if text is not None and around.results is not None:
            if text.startswith(b"{") and text not in _SAYS_NOTHING:
                self.results.append(Result(around.results, around.count, text))
        elif text is not None:
            around.add(value, text)
        around.count += 1
        self._state = self._behind_value

    def _note_span(self, end: int) -> None:
        if self.spans is None:
            return
        if len(self.spans) == SPANS_MAX:
            self.spans = None
        else:
            self.spans.append(
                MemberSpan(self._member_name, self._member_start, self._member_value_start, end)
            )

    def _behind_value(self, chunk: bytes, position: int) -> int:
        position = _skip_space(chunk, position)
        byte = chunk[position : position + 1]
        if not byte:
            return position
        if byte == b",":
            self._expect_next()
            return position + 1
        if byte in b"]}":
            return self._close(chunk, position)
        return self._fail(chunk)


_QUOTE = ord('"')
_SAYS_NOTHING = frozenset({b"{}", *NOT_EMPTY.values()})


def _skip_space(chunk: bytes, position: int) -> int:
    match = _SPACE.match(chunk, position)
    assert match
    return match.end()


def _decoded(text: bytes) -> bytes:
    """Decode the escapes of a name. A name that can't be decoded is not one that is looked for."""
    try:
        return str(json.loads(b'"' + text + b'"')).encode("utf-8", "surrogatepass")
    except ValueError:
        return text

"""Reading a few members of a JSON document that is too long to be held in memory.

An answer with embeddings has megabytes of numbers and a few bytes of usage. The skimmer takes the document in
pieces and gives back a short one: in the object, or in each object of an array, it puts null in the place of
every member that was not asked for. What it leaves out it does not check, but for where it ends.
"""

import json
import re

_STRUCTURE = re.compile(rb'["{}\[\],:]')
_NESTING = re.compile(rb'["{}\[\]]')  # within a value, what stands between does not matter
_STRING = re.compile(rb'["\\]')
# Longer than any name that is asked for.
_NAME_BYTES_MAX = 256
# No answer is nested so deeply, and what is open is held in memory.
_DEPTH_MAX = 10_000


class JsonSkimmer:
    """Shortens one document.

    names: of the members to keep. kept_bytes_max: bounds the memory it holds; a member that does not fit is
    left out like one that was not asked for. Cost is linear in the bytes fed.
    """

    def __init__(self, names: frozenset[str], kept_bytes_max: int) -> None:
        self._names = names
        self._kept_bytes_max = kept_bytes_max
        self._kept = bytearray()
        self._nesting = bytearray()  # the opening brackets that are not closed
        self._in_string = False
        self._escaped = False  # the last byte was a backslash
        self._name: bytearray | None = None  # of the member, while it is read
        self._awaiting_name = False
        self._value_start: int | None = None  # where the value of the member starts in what is kept
        self._skipping = False
        self._failed = False

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        position = 0
        while position < len(chunk) and not self._failed:
            if self._escaped:
                self._keep(chunk[position : position + 1])
                self._escaped = False
                position += 1
                continue
            match = self._pattern().search(chunk, position)
            end = match.end() if match else len(chunk)
            at = match.start() if match else len(chunk)
            self._keep(chunk[position:at])
            if match:
                self._take(chunk[at:end])
            position = end

    def document(self) -> bytes:
        """Return the short document. It is not JSON if the long one was not, or too much was asked for."""
        return b"" if self._failed else bytes(self._kept)

    def _pattern(self) -> re.Pattern[bytes]:
        if self._in_string:
            return _STRING
        return _STRUCTURE if self._is_among_members() else _NESTING

    def _is_among_members(self) -> bool:
        """Whether what comes stands directly in an object whose members are chosen, or above."""
        return len(self._nesting) <= 2 and bytes(self._nesting) in {b"", b"{", b"[", b"[{"}

    def _take(self, byte: bytes) -> None:
        if self._in_string:
            self._take_in_string(byte)
        elif byte == b'"':
            self._in_string = True
            if self._awaiting_name:
                self._name = bytearray()
            self._keep(byte)
        elif byte in b"{[":
            self._open(byte)
        elif byte in b"}]":
            self._close(byte)
        elif byte == b":":
            self._begin_value()
        else:
            self._end_value()
            self._keep(byte)
            self._awaiting_name = self._nesting.endswith(b"{")

    def _take_in_string(self, byte: bytes) -> None:
        self._keep(byte)
        if byte == b"\\":
            self._escaped = True
        else:
            self._in_string = False

    def _open(self, byte: bytes) -> None:
        if len(self._nesting) == _DEPTH_MAX:
            self._failed = True
            return
        self._keep(byte)
        self._nesting += byte
        self._awaiting_name = byte == b"{" and self._is_among_members()

    def _close(self, byte: bytes) -> None:
        if not self._nesting or not self._nesting.endswith(b"{" if byte == b"}" else b"["):
            self._failed = True
            return
        if self._is_among_members():
            self._end_value()
        del self._nesting[-1]
        self._awaiting_name = False
        self._keep(byte)

    def _begin_value(self) -> None:
        text, self._name = self._name, None
        self._awaiting_name = False
        self._keep(b":")
        if text is None:
            return
        try:
            name = json.loads(text)
        except ValueError:  # also: too long
            name = None
        self._value_start = len(self._kept)
        self._skipping = name not in self._names

    def _end_value(self) -> None:
        if self._skipping:
            self._skipping = False
            self._keep(b"null")
        self._value_start = None

    def _keep(self, part: bytes) -> None:
        if self._name is not None and len(self._name) < _NAME_BYTES_MAX:
            self._name += part
        if self._skipping:
            return
        self._kept += part
        if len(self._kept) <= self._kept_bytes_max:
            return
        if self._value_start is None:
            self._failed = True
        else:
            del self._kept[self._value_start :]
            self._skipping = True

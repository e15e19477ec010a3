"""Where the containers of JSON text that comes in pieces end, found at the speed of C functions.

Nothing is parsed and nothing is checked. What matters are the brackets that stand outside of strings; a
backslash takes the byte behind it along, wherever it stands. Brackets of both kinds are taken for alike.
"""

import re
from itertools import accumulate

_ESCAPE = re.compile(rb"\\.", re.DOTALL)
_INTEREST = re.compile(rb'["\\{}\[\]]')
_STRING_END = re.compile(rb'["\\]')
_OPENING = b"[{"
_ALIKE = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")

# The end of a container is looked for in blocks: small ones first, because most containers are, then larger
# ones. The block it is in is looked at in smaller ones again, and the smallest from bracket to bracket.
_BLOCK_BYTES_MIN = 128
_BLOCK_BYTES_MAX = 16 * 1024
_BLOCK_GROWTH = 8
# How often pairs of brackets are removed. Each time removes one level of nesting; answers rarely have more.
_PAIRS_REMOVED_MAX = 4
_STEPS = {ord("["): 1, ord("]"): -1}


class OutsideStrings:
    """Takes JSON text in pieces and returns what stands outside of its strings, in pieces."""

    __slots__ = ("escaped", "in_string")

    def __init__(self, *, in_string: bool = False, escaped: bool = False) -> None:
        self.in_string = in_string
        self.escaped = escaped  # the last byte was a backslash that takes the next one along

    def take(self, piece: bytes) -> bytes:
        """Take the next bytes."""
        if self.escaped and piece:
            piece = piece[1:]
            self.escaped = False
        if b"\\" in piece:
            piece = _ESCAPE.sub(b"", piece)
            if piece.endswith(b"\\"):
                self.escaped = True
                piece = piece[:-1]
        if b'"' not in piece:
            return b"" if self.in_string else piece
        parts = piece.split(b'"')
        outside = b"".join(parts[1 if self.in_string else 0 :: 2])
        self.in_string ^= len(parts) % 2 == 0
        return outside

    def copy(self) -> "OutsideStrings":
        """Make another that goes on from here."""
        return OutsideStrings(in_string=self.in_string, escaped=self.escaped)


def brackets_of(outside: bytes) -> bytes:
    """Return the brackets of what stands outside of strings, all of them square."""
    return outside.translate(_ALIKE, _NO_BRACKETS)


def is_nested_deeper(text: bytes, levels: int) -> bool:
    """Whether containers of a JSON text stand within each other on more than so many levels."""
    if text.count(b"[") + text.count(b"{") <= levels:
        return False
    brackets = brackets_of(OutsideStrings().take(text))
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) > levels


class ContainerEnd:
    """Finds where an array or an object ends whose opening bracket is behind."""

    __slots__ = ("_block_bytes", "_depth", "_strings")

    def __init__(self) -> None:
        self._strings = OutsideStrings()
        self._depth = 1  # brackets that are open
        self._block_bytes = _BLOCK_BYTES_MIN

    def find(self, chunk: bytes, start: int) -> int | None:
        """Take the next bytes, from `start` on; return where the container ends, or None: not in them."""
        position = start
        while position < len(chunk):
            block_end = min(position + self._block_bytes, len(chunk))
            end = self._find(chunk, position, block_end)
            if end is not None:
                return end
            position = block_end
            self._block_bytes = min(self._block_bytes * _BLOCK_GROWTH, _BLOCK_BYTES_MAX)
        return None

    def _find(self, chunk: bytes, start: int, stop: int) -> int | None:
        before = self._strings.copy()
        brackets = brackets_of(self._strings.take(chunk[start:stop]))
        if not self._ends_among(brackets):
            self._depth += 2 * brackets.count(b"[") - len(brackets)
            return None
        self._strings = before
        if stop - start <= _BLOCK_BYTES_MIN:
            return self._walk(chunk, start, stop)
        step = max((stop - start) // _BLOCK_GROWTH, _BLOCK_BYTES_MIN)
        ends = (self._find(chunk, at, min(at + step, stop)) for at in range(start, stop, step))
        return next((end for end in ends if end is not None), None)

    def _ends_among(self, brackets: bytes) -> bool:
        """Whether one of these closes the container."""
        for _ in range(_PAIRS_REMOVED_MAX):
            if brackets.count(b"]") < self._depth:
                return False
            # A pair that opens and closes here leaves the depth as it was.
            brackets = brackets.replace(b"[]", b"")
        lowest = min(accumulate(map(_STEPS.__getitem__, brackets)), default=0)
        return self._depth + lowest <= 0

    def _walk(self, chunk: bytes, start: int, stop: int) -> int | None:
        """Go from bracket to bracket."""
        position = start
        strings = self._strings
        if strings.escaped and position < stop:
            strings.escaped = False
            position += 1
        while position < stop:
            pattern = _STRING_END if strings.in_string else _INTEREST
            match = pattern.search(chunk, position, stop)
            if match is None:
                break
            position = match.end()
            byte = match[0]
            if byte == b"\\":
                strings.escaped = position == stop
                position += 1
            elif byte == b'"':
                strings.in_string = not strings.in_string
            else:
                self._depth += 1 if byte in _OPENING else -1
                if not self._depth:
                    return position
        return None

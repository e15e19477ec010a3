"""Where the members of a JSON object stand in its text, so that one can be changed and no other byte.

Duplicate names are reported as they stand: it is for the caller to say which one counts. Like Python's own
parser it takes NaN and Infinity for numbers, and control characters inside of strings; `strict` refuses
them, as RFC 8259 does. Every number is read as
a float, because Python refuses to read integers of thousands of digits.
"""

import json
import json.decoder
import re
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple, NoReturn, Protocol

_WHITESPACE = re.compile(r"[ \t\n\r]*")
_OPEN, _COLON, _COMMA = (re.compile(rf"[ \t\n\r]*{character}[ \t\n\r]*") for character in (r"\{", ":", ","))


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_int=float, strict=False)
_STRICT_DECODER = json.JSONDecoder(parse_int=float, parse_constant=_refuse_constant)


class Member(NamedTuple):
    """One member of an object: `text[name_start:end]` is `"name": value`, `text[start:end]` the value."""

    name: str
    value: object
    name_start: int
    start: int
    end: int


def object_members(text: str, position: int = 0, *, strict: bool = False) -> tuple[list[Member], int]:
    """List the members of the object that starts at a position of a text, and where the object ends.

    Raises ValueError when there is no well-formed object there, RecursionError when it is nested too deeply.
    """
    scan = (_STRICT_DECODER if strict else _DECODER).scan_once  # type: ignore[attr-defined]
    position = _behind(_OPEN, text, position, "{")
    members: list[Member] = []
    if text.startswith("}", position):
        return members, position + 1
    while True:
        name_start = position
        _expect(text, position, '"')
        name, position = json.decoder.scanstring(text, position + 1, strict)  # type: ignore[attr-defined]
        start = _behind(_COLON, text, position, ":")
        try:
            value, end = scan(text, start)
        except StopIteration as error:
            raise ValueError(f"expected a value at character {error.value}") from None
        members.append(Member(name, value, name_start, start, end))
        position = _skip(text, end)
        if text.startswith("}", position):
            return members, position + 1
        position = _behind(_COMMA, text, position, ",")


def document_members(text: str, *, strict: bool = False) -> list[Member]:
    """List the members of a text that is one JSON object. Raises as `object_members` does."""
    members, end = object_members(text, strict=strict)
    if _skip(text, end) != len(text):
        raise ValueError(f"unexpected text after the object at character {end}")
    return members


def last_member(members: list[Member], name: str) -> Member | None:
    """Return the last member of that name: the one that counts for nearly every JSON parser."""
    return next((member for member in reversed(members) if member.name == name), None)


class Placed(Protocol):
    """A member of an object, and where it stands. name: None if nobody asks for it by its name."""

    @property
    def name(self) -> object: ...  # noqa: D102

    @property
    def name_start(self) -> int: ...  # noqa: D102

    @property
    def start(self) -> int: ...  # noqa: D102

    @property
    def end(self) -> int: ...  # noqa: D102


def changes_without(
    members: Sequence[Placed], removed: Collection[object], nulled: Collection[object] = ()
) -> list[tuple[int, int, bool]]:
    """List the parts of an object's text that go with members, or become null with others, by their names.

    members: all there are, as they stand in the text. Each part: start, end, whether null takes its place.
    """
    to_null = [
        (member.start, member.end, True)
        for member in members
        if member.name in nulled and member.name not in removed
    ]
    gone = [(start, end, False) for start, end in _parts_of(members, removed)]
    return sorted([*to_null, *gone])


def _parts_of(members: Sequence[Placed], removed: Collection[object]) -> list[tuple[int, int]]:
    """List what goes with members: what stands between one and the next; behind the last that stays, all."""
    kept = [index for index, member in enumerate(members) if member.name not in removed]
    if not kept:
        return [(members[0].name_start, members[-1].end)] if members else []
    parts = [
        (member.name_start, members[index + 1].name_start)
        for index, member in enumerate(members[: kept[-1]])
        if member.name in removed
    ]
    last = members[kept[-1]]
    return [*parts, (last.end, members[-1].end)]


def replaced[TextT: (str, bytes)](text: TextT, changes: Iterable[tuple[int, int, TextT]]) -> TextT:
    """Put other text in the place of parts of a text, each given by start and end, from front to back."""
    parts: list[TextT] = []
    position = 0
    for start, end, replacement in changes:
        parts += (text[position:start], replacement)
        position = end
    parts.append(text[position:])
    return text[:0].join(parts)


def text_at(text: str, path: tuple[str | int, ...], only: tuple[str, ...] = ()) -> str | None:
    """Return the text of the value at a place of a JSON document; None if there is none.

    path: names of members and indexes of elements. only: of an object, keep these members.
    """
    try:
        start, end = _span(text, path)
        if not only:
            return text[start:end]
        members, _ = object_members(text, start)
    except (ValueError, LookupError, RecursionError):
        return None
    return "{" + ",".join(text[m.name_start : m.end] for m in members if m.name in only) + "}"


def only_member_text(text: str, name: str) -> str | None:
    """Return the text of a member's value in an object that is known to have a member of that name.

    None: its name does not stand in the text exactly once, as it is, so that the place is not plain.
    """
    quoted = f'"{name}"'
    at = text.find(quoted)
    if at < 0 or "\\u" in text or text.find(quoted, at + 1) >= 0:
        return None
    try:
        start = _behind(_COLON, text, at + len(quoted), ":")
        _, end = _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        return None
    return text[start:end]


def element_texts(text: str, path: tuple[str | int, ...]) -> list[str]:
    """List the texts of the elements of the array at a place. Raises ValueError or LookupError."""
    start, _ = _span(text, path)
    return [text[begin:end] for begin, end in _element_spans(text, start)]


def _span(text: str, path: tuple[str | int, ...]) -> tuple[int, int]:
    start = _skip(text, 0)
    end = len(text)
    for step in path:
        if isinstance(step, str):
            member = last_member(object_members(text, start)[0], step)
            if member is None:
                raise LookupError(step)
            start, end = member.start, member.end
        else:
            start, end = _element_spans(text, start)[step]
    return start, end


def _element_spans(text: str, position: int) -> list[tuple[int, int]]:
    _expect(text, position, "[")
    position = _skip(text, position + 1)
    spans: list[tuple[int, int]] = []
    while text[position : position + 1] != "]":
        if spans:
            _expect(text, position, ",")
            position = _skip(text, position + 1)
        _, end = _DECODER.raw_decode(text, position)
        spans.append((position, end))
        position = _skip(text, end)
    return spans


def _skip(text: str, position: int) -> int:
    if text[position : position + 1] > " ":
        return position
    match = _WHITESPACE.match(text, position)
    assert match
    return match.end()


def _behind(pattern: re.Pattern[str], text: str, position: int, character: str) -> int:
    """Return the position behind a character and the whitespace around it."""
    match = pattern.match(text, position)
    if match is None:
        raise ValueError(f"expected {character} at character {_skip(text, position)}")
    return match.end()


def _expect(text: str, position: int, character: str) -> None:
    if not text.startswith(character, position):
        raise ValueError(f"expected {character} at character {position}")

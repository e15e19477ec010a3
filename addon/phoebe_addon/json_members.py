"""Where the members of a JSON object stand in its text, so that one can be changed and no other byte.

Duplicate names are reported as they stand: it is for the caller to say which one counts. Like Python's own
parser it takes NaN and Infinity for numbers; `strict` refuses them, as RFC 8259 does.
"""

import json
import json.decoder
import re
from dataclasses import dataclass
from typing import NoReturn

_WHITESPACE = re.compile(r"[ \t\n\r]*")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder()
_STRICT_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


@dataclass(frozen=True, slots=True)
class Member:
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
    decoder = _STRICT_DECODER if strict else _DECODER
    position = _skip(text, position)
    _expect(text, position, "{")
    position = _skip(text, position + 1)
    members: list[Member] = []
    if text[position : position + 1] == "}":
        return members, position + 1
    while True:
        name_start = position
        _expect(text, position, '"')
        name, position = json.decoder.scanstring(text, position + 1, True)  # type: ignore[attr-defined]
        position = _skip(text, position)
        _expect(text, position, ":")
        start = _skip(text, position + 1)
        value, end = decoder.raw_decode(text, start)
        members.append(Member(name, value, name_start, start, end))
        position = _skip(text, end)
        if text[position : position + 1] == "}":
            return members, position + 1
        _expect(text, position, ",")
        position = _skip(text, position + 1)


def document_members(text: str, *, strict: bool = False) -> list[Member]:
    """List the members of a text that is one JSON object. Raises as `object_members` does."""
    members, end = object_members(text, strict=strict)
    if _skip(text, end) != len(text):
        raise ValueError(f"unexpected text after the object at character {end}")
    return members


def last_member(members: list[Member], name: str) -> Member | None:
    """Return the last member of that name: the one that counts for nearly every JSON parser."""
    return next((member for member in reversed(members) if member.name == name), None)


def without_member(text: str, name: str) -> str:
    """Return a text that is one JSON object without the members of that name. Raises as `object_members`."""
    members = document_members(text)
    for index in range(len(members) - 1, -1, -1):
        if members[index].name != name:
            continue
        if index + 1 < len(members):
            text = text[: members[index].name_start] + text[members[index + 1].name_start :]
        else:
            start = members[index - 1].end if index else members[index].name_start
            text = text[:start] + text[members[index].end :]
        del members[index]
        members = document_members(text)
    return text


def _skip(text: str, position: int) -> int:
    match = _WHITESPACE.match(text, position)
    assert match
    return match.end()


def _expect(text: str, position: int, character: str) -> None:
    if text[position : position + 1] != character:
        raise ValueError(f"expected {character} at character {position}")

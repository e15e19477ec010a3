"""What is asked for of a JSON document that is not read as a whole."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

FLAT_CONTAINER = rb'[\[{](?:[^"\\{}\[\]]++|"[^"\\]*+")*+[\]}]'
"""What takes an object or an array with no others in it, and no escapes."""
FLAT_VALUE = rb'(?:"[^"\\]*+"|' + FLAT_CONTAINER + rb"|[^\"\\{}\[\],: \t\n\r]++)"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for of a value.

    members: of an object, by name in UTF-8. others: of its members that are not named. each: of every element
    of an array. whole: all of it. results: it is an array whose elements are handed out one by one, as what
    stands at this place.
    """

    members: Mapping[bytes, "Wanted"] = field(default_factory=dict)
    others: "Wanted | None" = None
    each: "Wanted | None" = None
    whole: bool = False
    results: tuple[str | int, ...] | None = None
    unwanted: re.Pattern[bytes] | None = field(init=False, compare=False)
    """What takes members that are not asked for, each with its comma, in one go."""

    def __post_init__(self) -> None:
        """Make the pattern."""
        object.__setattr__(self, "unwanted", None if self.others else _unwanted_members(tuple(self.members)))

    def is_looked_into(self, opening: bytes) -> bool:
        """Whether anything is asked for inside of an object or an array."""
        return bool(self.members) if opening == b"{" else self.each is not None


def _unwanted_members(names: tuple[bytes, ...]) -> re.Pattern[bytes] | None:
    """Make a pattern of members that have other names, and values with no containers in containers."""
    if not names:
        return None
    wanted = b"|".join(re.escape(name) for name in names)
    space = rb"[ \t\n\r]*+"
    name = rb'"(?!(?:' + wanted + rb')")[^"\\]{0,256}+"'
    return re.compile(rb"(?:" + space + name + space + b":" + space + FLAT_VALUE + space + b",)++")

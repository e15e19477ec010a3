"""How a body is cut into pieces before it is sent."""

import re
from itertools import pairwise

# Where a reader that looks at pieces by themselves goes wrong: inside a character, between CR and LF, between
# the two ends of an event, inside a field's name, a member's name and a number.
_NASTY = re.compile(
    rb"[\x80-\xbf]|(?<=\r)\n|(?<=\n)\n|(?<=\r)\r|(?<=da)ta:|(?<=data:)|(?<=\"us)age\"|(?<=[0-9])[0-9]|(?<=\[DO)NE"
)
# Beyond them a finer cut shows nothing new and costs time.
SINGLES_MAX = 1500
SEVENS_MAX = 20_000
NASTY_MAX = 400


def ways_to_cut(body: bytes) -> dict[str, list[bytes]]:
    """Cut a body in every way that its size allows; the pieces of each way make up the body."""
    ways = {"whole": [body], "nasty": _cut(body, _nasty_places(body))}
    if len(body) <= SEVENS_MAX:
        ways["sevens"] = _cut(body, range(7, len(body), 7))
    if len(body) <= SINGLES_MAX:
        ways["singles"] = _cut(body, range(1, len(body)))
    return ways


def _nasty_places(body: bytes) -> list[int]:
    """Find the places; of many, the last ones, where usage is."""
    return sorted({match.start() for match in _NASTY.finditer(body)} - {0})[-NASTY_MAX:]


def _cut(body: bytes, places: range | list[int]) -> list[bytes]:
    return [body[start:end] for start, end in pairwise([0, *places, len(body)]) if start < end]

"""Chunks of a stream that differ from an earlier one in nothing but their text and the counts of their usage.

An engine that is asked for running usage states it in every chunk. To parse each would take several times as
long as everything else that is done with it. But only the last statement counts, and nearly every chunk is
made like the one before: the same bytes, but for one string of text and some whole numbers above zero in the
usage, which is the last member. That is found out without parsing. Then the chunk is JSON like the earlier
one, says the same besides, and its usage stands at the same place. So it need not be read before somebody
wants to know what was stated last.
"""

import re
from collections.abc import Iterator

from phoebe_addon.answer.document import parse

# Members that hold what a model writes. No format reads anything by these names, wherever they stand.
TEXT_NAMES = ("content", "text", "reasoning_content", "reasoning", "arguments")
_TEXT = re.compile(rb'"(?:%s)": ?"(?!")' % "|".join(TEXT_NAMES).encode())
# The inside of a JSON string. Line ends would end the event's line.
_INSIDE = re.compile(rb'(?:[^"\\\r\n]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+')
_USAGE_MARKS = (b',"usage":{', b', "usage": {')
# Zeros are not among them: a usage of nothing but zeros is no statement. Fifteen digits stay below 2^53.
_COUNT = re.compile(rb"(?<=[: ])[1-9][0-9]{0,14}(?=[,}])")
_DATA = b"data: "
_EVENT_END = b"\n\n"
_AFTER_USAGE = b"}" + _EVENT_END


class ChunkShape:
    """How the events of a stream are made, but for their text and their counts.

    before, between: the bytes before the text, and from its end to the usage. around_counts: those between
    the counts of the usage, and behind the last.
    """

    __slots__ = ("_around_counts", "_before", "_between")

    def __init__(self, before: bytes, between: bytes, around_counts: list[bytes]) -> None:
        self._before = before
        self._between = between
        self._around_counts = around_counts

    def usage_start(self, event: bytes) -> int | None:
        """Return where the usage of an event starts, with the comma before it; None: it has another shape."""
        if not event.startswith(self._before):
            return None
        inside = _INSIDE.match(event, len(self._before))
        assert inside
        text_end = inside.end()
        if not event.startswith(self._between, text_end):
            return None
        start = text_end + len(self._between)
        return start if _COUNT.split(event[start:]) == self._around_counts else None


def shape_of(event: bytes) -> ChunkShape | None:
    """Find the shape of an event that is one `data` line with a JSON object.

    Its text is the first that is not empty; its usage is the last member of the object. None: it has no such
    text or usage.
    """
    start = max(event.rfind(mark) for mark in _USAGE_MARKS)
    text = _TEXT.search(event, 0, max(start, 0))
    if text is None or not event.startswith(_DATA) or not event.endswith(_AFTER_USAGE):
        return None
    if b"\r" in event or event.find(b"\n") != len(event) - len(_EVENT_END):
        return None
    inside = _INSIDE.match(event, text.end())
    assert inside
    # All before the last bracket is one value: then that bracket ends the outermost object, and the usage is
    # its last member.
    usage = event[event.index(b"{", start) : -len(_AFTER_USAGE)]
    if inside.end() >= start or parse(usage) is None or parse(data_in(event)) is None:
        return None
    return ChunkShape(event[: text.end()], event[inside.end() : start], _COUNT.split(event[start:]))


def without_usage(event: bytes, usage_start: int) -> bytes:
    """Take the usage out of an event."""
    return event[:usage_start] + _AFTER_USAGE


def data_in(event: bytes) -> bytes:
    """Return the data of an event that has a shape."""
    return event[len(_DATA) : -len(_EVENT_END)]


def events_of(chunk: bytes) -> Iterator[bytes]:
    """Cut bytes behind every blank line."""
    start = 0
    while start < len(chunk):
        end = chunk.find(_EVENT_END, start) + len(_EVENT_END)
        if end < len(_EVENT_END):
            end = len(chunk)
        yield chunk[start:end]
        start = end

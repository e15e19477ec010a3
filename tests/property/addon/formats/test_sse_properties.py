"""The event stream parser against a plain reading of the standard, over any bytes and any cuts."""

from collections.abc import Iterator
from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from phoebe_addon.formats import sse
from phoebe_addon.formats.sse import SseParser, SsePiece

pieces_of_streams = st.sampled_from(
    [
        b"data",
        b":",
        b" ",
        b"\n",
        b"\r",
        b"\r\n",
        b"\xef\xbb\xbf",
        b"data: x",
        b"data:{}\n\n",
        b"event: a\n",
        b"event",
        b"event: b\ndata",
        b"event: " + b"x" * 200 + b"\n",
        b"data: " + b"y" * 200,
    ]
)
streams = st.one_of(
    st.binary(max_size=60),
    st.lists(st.one_of(pieces_of_streams, st.binary(max_size=3)), max_size=20).map(b"".join),
)
limits = st.integers(1, 40)


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[start:end] for start, end in pairwise(edges)]


def parse(chunks: list[bytes], limit: int = 10_000) -> list[SsePiece]:
    parser = SseParser(limit)
    pieces = [piece for chunk in chunks for piece in parser.feed(chunk)]
    last = parser.finish()
    return [*pieces, last] if last else pieces


def events_of_the_standard(stream: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the name and the data of each event.

    That is the standard's algorithm line by line, but an unfinished event counts.
    """
    stream = stream.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    for block in (stream + b"\n\n").split(b"\n\n"):
        name, values = b"", []
        for line in block.split(b"\n"):
            field, colon, value = line.partition(b":")
            value = value[1:] if colon and value[:1] == b" " else value
            if field == b"data":
                values.append(value)
            elif field == b"event":
                name = value[: sse._EVENT_NAME_BYTES_MAX]
        if values:
            yield name, b"\n".join(values)


def whole_events(pieces: list[SsePiece]) -> list[tuple[bytes, bytes | None, bytes]]:
    """Join the parts of events beyond the limit, so that only what was found remains, not how it was cut."""
    joined: list[tuple[bytes, bytes | None, bytes]] = []
    goes_on = False
    for piece in pieces:
        raw, data, _ = joined.pop() if goes_on else (b"", None, b"")
        if piece.data is not None:
            data = (data or b"") + piece.data
        joined.append((raw + piece.raw, data, piece.event))
        goes_on = not piece.ends
    assert not goes_on
    return joined


@given(streams, st.lists(st.integers(0, 100), max_size=6), limits)
@example(b"data: a\r\n\r\ndata: b\n\n", list(range(20)), 12)
def test_every_byte_comes_out_once_and_in_order(stream: bytes, places: list[int], limit: int) -> None:
    assert b"".join(piece.raw for piece in parse(cut(stream, places), limit)) == stream


@given(streams, st.lists(st.integers(0, 100), max_size=6))
def test_what_is_found_does_not_depend_on_the_cuts(stream: bytes, places: list[int]) -> None:
    whole = parse([stream])

    assert parse(cut(stream, places)) == whole
    assert parse([bytes([byte]) for byte in stream]) == whole


@given(streams, st.lists(st.integers(0, 100), max_size=6), limits)
@example(b"data: xxxxxxxx\r\n\r\n", [17], 17)
@example(b"data: xxxxxxxx\r\n\r\n", [17], 18)
def test_what_is_found_depends_neither_on_the_cuts_nor_on_the_limit(
    stream: bytes, places: list[int], limit: int
) -> None:
    whole = whole_events(parse([stream]))

    for chunks in (cut(stream, places), [stream], [bytes([byte]) for byte in stream]):
        assert whole_events(parse(chunks, limit)) == whole


@given(streams)
@example(b"\xef\xbb\xbfdata: a\n\n")
@example(b"data\n\n")
@example(b"data: a\r\n")
@example(b"event: a\ndata: x\n\ndata: y\n\n")
def test_the_events_are_those_of_the_standard(stream: bytes) -> None:
    assert [(piece.event, piece.data) for piece in parse([stream]) if piece.data is not None] == list(
        events_of_the_standard(stream)
    )


@given(streams, st.lists(st.integers(0, 100), max_size=6), limits)
def test_no_more_than_the_limit_is_held_back(stream: bytes, places: list[int], limit: int) -> None:
    parser = SseParser(limit)
    held = 0
    for chunk in cut(stream, places):
        held += len(chunk) - sum(len(piece.raw) for piece in parser.feed(chunk))
        assert held <= limit + sse._SHORT_LINE_BYTES


class CountingPattern:
    """The line end pattern, counting the bytes it is made to look at."""

    def __init__(self) -> None:
        self.bytes_seen = 0

    def search(self, buffer: bytearray, start: int) -> object:
        match = pattern.search(buffer, start)
        self.bytes_seen += (match.end() if match else len(buffer)) - start
        return match


pattern = sse._LINE_END


def bytes_looked_at(chunks: list[bytes]) -> int:
    counting = CountingPattern()
    sse._LINE_END = counting  # type: ignore[assignment]
    try:
        parse(chunks, limit=1_000_000)
    finally:
        sse._LINE_END = pattern
    return counting.bytes_seen


@given(st.integers(1, 2_000), st.sampled_from([b"\n\n", b"\r\n\r\n", b"\r\r"]))
def test_no_byte_is_looked_at_again_when_more_bytes_come(length: int, end: bytes) -> None:
    event = b"data: " + b"x" * length + end
    single_bytes = [bytes([byte]) for byte in event]

    assert bytes_looked_at(single_bytes) <= 2 * len(event)
    assert bytes_looked_at([event] * 10) <= 2 * len(event) * 10

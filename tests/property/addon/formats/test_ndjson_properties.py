"""The cutter of lines over any bytes and any cuts."""

from hypothesis import example, given
from hypothesis import strategies as st

from phoebe_addon.formats.ndjson import JsonLine, NdjsonParser
from tests.harness.documents import cut, places, single_bytes

streams = st.lists(st.sampled_from([b"\n", b"\r\n", b"{}", b" ", b"x" * 20, b'{"a":1}\n']), max_size=12).map(
    b"".join
)
limits = st.integers(1, 40)


def parse(chunks: list[bytes], limit: int = 10_000) -> list[JsonLine]:
    parser = NdjsonParser(limit)
    lines = [line for chunk in chunks for line in parser.feed(chunk)]
    last = parser.finish()
    return [*lines, last] if last else lines


def whole_lines(lines: list[JsonLine]) -> list[bytes]:
    """Join the parts of lines."""
    joined: list[bytes] = []
    goes_on = False
    for line in lines:
        if goes_on:
            joined[-1] += line.raw
        else:
            joined.append(line.raw)
        goes_on = not line.ends
    assert not goes_on
    return joined


@given(streams, places, limits)
@example(b"xxxxxxxx\nyyyyyyyyyy", [3, 9, 14], 4)
def test_lines_are_those_of_the_stream_however_it_is_cut(stream: bytes, at: list[int], limit: int) -> None:
    lines = stream.splitlines(keepends=True) if b"\r" not in stream else None
    expected = lines if lines is not None else [part + b"\n" for part in stream.split(b"\n")]
    if lines is None:
        last = expected.pop()[:-1]
        expected += [last] if last else []

    assert whole_lines(parse(cut(stream, at), limit)) == expected
    assert whole_lines(parse(single_bytes(stream), limit)) == expected


@given(streams, places, limits)
def test_no_more_than_the_limit_is_held(stream: bytes, at: list[int], limit: int) -> None:
    parser = NdjsonParser(limit)
    held = 0
    for chunk in cut(stream, at):
        held += len(chunk) - sum(len(line.raw) for line in parser.feed(chunk))
        assert held <= limit


class CountingBuffer(bytearray):
    """A buffer that counts the bytes it is made to look at."""

    bytes_seen = 0

    def find(self, sub: bytes, start: int = 0) -> int:  # type: ignore[override]
        place = super().find(sub, start)
        self.bytes_seen += (place + 1 if place >= 0 else len(self)) - start
        return place


def bytes_looked_at(chunks: list[bytes]) -> int:
    parser = NdjsonParser(1_000_000)
    counting = CountingBuffer()
    parser._buffer = counting
    for chunk in chunks:
        parser.feed(chunk)
    parser.finish()
    assert parser._buffer is counting
    return counting.bytes_seen


@given(st.integers(1, 2_000))
def test_no_byte_is_looked_at_again_when_more_bytes_come(length: int) -> None:
    line = b"x" * length + b"\n"

    assert bytes_looked_at(single_bytes(line)) == len(line)
    assert bytes_looked_at([line] * 10) == 10 * len(line)

"""The cutter of JSON lines against a plain splitting of the whole, over any bytes and any cuts."""

from hypothesis import example, given
from hypothesis import strategies as st

from phoebe_addon.formats.ndjson import JsonLine, NdjsonParser
from tests.harness.documents import cut, places, single_bytes

pieces_of_streams = st.sampled_from([b"\n", b"\r\n", b"\r", b" ", b'{"a":1}', b'{"done":true}\n', b"\n\n"])
streams = st.one_of(
    st.binary(max_size=60),
    st.lists(st.one_of(pieces_of_streams, st.binary(max_size=3)), max_size=20).map(b"".join),
)
limits = st.integers(1, 40)


def parse(chunks: list[bytes], limit: int = 10_000) -> list[JsonLine]:
    parser = NdjsonParser(limit)
    lines = [line for chunk in chunks for line in parser.feed(chunk)]
    last = parser.finish()
    return [*lines, last] if last else lines


def whole_lines(lines: list[JsonLine]) -> list[JsonLine]:
    """Join the parts of lines beyond the limit, so that only what was found remains, not how it was cut."""
    joined: list[JsonLine] = []
    for line in lines:
        if joined and not joined[-1].raw.endswith(b"\n"):
            joined[-1] = JsonLine(joined[-1].raw + line.raw, line.data)
        else:
            joined.append(line)
    return joined


@given(streams, places, limits)
@example(b'{"a":1}\n{"b":2}', list(range(16)), 8)
def test_every_byte_comes_out_once_and_in_order(stream: bytes, at: list[int], limit: int) -> None:
    assert b"".join(line.raw for line in parse(cut(stream, at), limit)) == stream


@given(streams)
def test_the_lines_are_those_between_newlines(stream: bytes) -> None:
    lines = parse([stream])

    assert [line.data or b"" for line in lines] == [
        part.strip() for part in stream.removesuffix(b"\n").split(b"\n") if stream
    ]
    assert all(line.data is None or line.data == line.raw.strip() for line in lines)
    assert all(line.raw.endswith(b"\n") for line in lines[:-1])


@given(streams, places, limits)
@example(b"12345678\n", [8], 8)
@example(b"12345678\n", [8], 9)
def test_what_is_found_does_not_depend_on_the_cuts(stream: bytes, at: list[int], limit: int) -> None:
    whole = whole_lines(parse([stream], limit))

    assert whole_lines(parse(cut(stream, at), limit)) == whole
    assert whole_lines(parse(single_bytes(stream), limit)) == whole
    if limit > len(stream):
        assert parse(cut(stream, at), limit) == whole


@given(streams, limits)
def test_lines_up_to_the_limit_are_read_and_no_others(stream: bytes, limit: int) -> None:
    for line in whole_lines(parse(single_bytes(stream), limit)):
        assert (line.data is not None) is (len(line.raw) <= limit and bool(line.raw.strip()))


@given(streams, places, limits)
def test_no_more_than_the_limit_is_held_back(stream: bytes, at: list[int], limit: int) -> None:
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

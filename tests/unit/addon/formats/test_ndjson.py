import pytest

from phoebe_addon.formats.ndjson import JsonLine, NdjsonParser

LIMIT = 1024


def parse(*chunks: bytes, limit: int = LIMIT) -> list[JsonLine]:
    parser = NdjsonParser(limit)
    lines = [line for chunk in chunks for line in parser.feed(chunk)]
    last = parser.finish()
    return [*lines, last] if last else lines


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_lines_may_end_with_lf_or_crlf(end: bytes) -> None:
    assert parse(b'{"a":1}' + end + b"2" + end) == [
        JsonLine(b'{"a":1}' + end, b'{"a":1}'),
        JsonLine(b"2" + end, b"2"),
    ]


def test_a_line_comes_out_as_soon_as_its_newline_is_there() -> None:
    parser = NdjsonParser(LIMIT)

    assert parser.feed(b'{"done"') == []
    assert parser.feed(b':true}\n{"x') == [JsonLine(b'{"done":true}\n', b'{"done":true}')]
    assert parser.feed(b"") == []
    assert parser.finish() == JsonLine(b'{"x', b'{"x')


def test_a_carriage_return_alone_ends_no_line() -> None:
    assert parse(b'{"a":\r1}\n') == [JsonLine(b'{"a":\r1}\n', b'{"a":\r1}')]


@pytest.mark.parametrize("blank", [b"\n", b"\r\n", b" \t \n", b"  "])
def test_a_blank_line_has_no_data_and_still_comes_out(blank: bytes) -> None:
    assert parse(blank) == [JsonLine(blank, None)]


def test_an_empty_stream_has_no_line() -> None:
    assert parse() == []
    assert parse(b"", b"") == []


def test_a_line_of_just_the_limit_is_read_and_one_byte_more_is_not() -> None:
    line = b"x" * 10 + b"\n"

    assert parse(line, limit=len(line)) == [JsonLine(line, b"x" * 10)]
    assert parse(line, limit=len(line) - 1) == [JsonLine(line, None)]


def test_a_line_beyond_the_limit_has_no_data_however_it_is_cut_and_the_next_has() -> None:
    line = b"x" * LIMIT + b"\n"
    for chunks in ([line], [line[:LIMIT], line[LIMIT:]], [bytes([byte]) for byte in line]):
        lines = parse(*chunks, b"y\n")

        assert b"".join(line.raw for line in lines) == line + b"y\n"
        assert [line.data for line in lines if line.data is not None] == [b"y"]


def test_the_end_of_a_line_beyond_the_limit_is_no_line_of_its_own() -> None:
    assert [line.data for line in parse(b"12345678901", b'{"a":1}\n', b'{"b":2}', limit=10)] == [
        None,
        None,
        b'{"b":2}',
    ]
    assert [line.data for line in parse(b"12345678901", b'{"a":1}', limit=10)] == [None, None]


def test_a_megabyte_in_one_line_is_read() -> None:
    assert parse(b"x" * 1_000_000 + b"\n", limit=4_000_000)[0].data == b"x" * 1_000_000

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
    assert parse(b'{"a":1}' + end + b"2" + end) == [JsonLine(b'{"a":1}' + end), JsonLine(b"2" + end)]


def test_a_line_comes_out_as_soon_as_its_newline_is_there() -> None:
    parser = NdjsonParser(LIMIT)

    assert parser.feed(b'{"done"') == []
    assert parser.feed(b':true}\n{"x') == [JsonLine(b'{"done":true}\n')]
    assert parser.feed(b"") == []
    assert parser.finish() == JsonLine(b'{"x')


def test_a_carriage_return_alone_ends_no_line() -> None:
    assert parse(b'{"a":\r1}\n') == [JsonLine(b'{"a":\r1}\n')]


@pytest.mark.parametrize("blank", [b"\n", b"\r\n", b" \t \n", b"  "])
def test_a_blank_line_comes_out_as_well(blank: bytes) -> None:
    assert parse(blank) == [JsonLine(blank)]


def test_an_empty_stream_has_no_line() -> None:
    assert parse() == []
    assert parse(b"", b"") == []


def test_a_line_beyond_the_limit_comes_in_parts() -> None:
    line = b"x" * 10 + b"\n"

    assert parse(line[:-1], line[-1:], limit=len(line) - 1) == [JsonLine(line)]
    assert parse(line[:-1], line[-1:], limit=len(line) - 2) == [
        JsonLine(line[:-1], ends=False),
        JsonLine(b"\n"),
    ]
    assert parse(line[:-1], limit=len(line) - 2) == [JsonLine(line[:-1], ends=False), JsonLine(b"")]


def test_a_megabyte_in_one_line_is_read() -> None:
    assert parse(b"x" * 1_000_000 + b"\n", limit=4_000_000) == [JsonLine(b"x" * 1_000_000 + b"\n")]

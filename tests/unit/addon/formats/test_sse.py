import pytest

from phoebe_addon.formats.sse import SseParser, SsePiece

LIMIT = 1024


def parse(*chunks: bytes, limit: int = LIMIT) -> list[SsePiece]:
    parser = SseParser(limit)
    pieces = [piece for chunk in chunks for piece in parser.feed(chunk)]
    last = parser.finish()
    return [*pieces, last] if last else pieces


def data_of(*chunks: bytes) -> list[bytes | None]:
    return [piece.data for piece in parse(*chunks)]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_lines_may_end_with_lf_crlf_or_cr(end: bytes) -> None:
    assert data_of(b"data: a" + end + end + b"data: b" + end + end) == [b"a", b"b"]


def test_several_data_lines_are_joined_with_lf() -> None:
    assert data_of(b"data: {\r\ndata:  x\r\ndata\r\ndata:}\r\n\r\n") == [b"{\n x\n\n}"]


@pytest.mark.parametrize(
    ("line", "value"),
    [
        (b"data:x", b"x"),
        (b"data: x", b"x"),
        (b"data:  x", b" x"),
        (b"data:\tx", b"\tx"),
        (b"data: x ", b"x "),
        (b"data: a:b", b"a:b"),
        (b"data:", b""),
        (b"data", b""),
    ],
)
def test_one_space_after_the_colon_is_dropped_and_nothing_else(line: bytes, value: bytes) -> None:
    assert data_of(line + b"\n\n") == [value]


@pytest.mark.parametrize("line", [b": data: x", b"event: x", b"id: 1", b"Data: x", b" data: x", b"dat: x"])
def test_comments_and_other_fields_carry_no_data(line: bytes) -> None:
    assert data_of(line + b"\n\n") == [None]


def test_a_byte_order_mark_is_skipped_at_the_start_only() -> None:
    assert data_of(b"\xef\xbb\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\n") == [b"a", None]


def test_a_byte_order_mark_cut_into_single_bytes_is_skipped() -> None:
    assert data_of(b"\xef", b"\xbb", b"\xbf", b"data: a\n\n") == [b"a"]


def test_a_stream_of_half_a_byte_order_mark_comes_out_whole() -> None:
    assert parse(b"\xef\xbb") == [SsePiece(b"\xef\xbb", None)]


def test_a_crlf_cut_in_two_is_one_line_end() -> None:
    assert parse(b"data: a\r", b"\n\r", b"\ndata: b\n\n") == [
        SsePiece(b"data: a\r\n\r\n", b"a"),
        SsePiece(b"data: b\n\n", b"b"),
    ]


@pytest.mark.parametrize("end", [b"", b"\n", b"\r", b"\r\n", b"\r\r"])
def test_an_event_without_its_blank_line_is_read_at_the_end_of_the_stream(end: bytes) -> None:
    assert data_of(b"data: a" + end) == [b"a"]


def test_an_empty_stream_has_no_piece() -> None:
    assert parse() == []
    assert parse(b"", b"") == []


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_an_event_comes_out_as_soon_as_its_blank_line_is_there(end: bytes) -> None:
    parser = SseParser(LIMIT)

    assert parser.feed(b"data: a" + end) == []
    assert parser.feed(end) == [SsePiece(b"data: a" + end + end, b"a")]


def test_a_blank_line_that_ends_with_cr_is_complete_when_the_next_byte_shows_that_no_lf_follows() -> None:
    parser = SseParser(LIMIT)

    assert parser.feed(b"data: a\r\r") == []
    assert parser.feed(b"d") == [SsePiece(b"data: a\r\r", b"a")]


def test_an_event_beyond_the_limit_comes_in_parts_and_its_data_too() -> None:
    event = b"data: " + b"x" * 10 + b"\n\n"

    assert parse(event[:-1], event[-1:], limit=len(event) - 1) == [SsePiece(event, b"x" * 10)]
    assert parse(event[:-1], event[-1:], limit=len(event) - 2) == [
        SsePiece(event[:-1], b"x" * 10, ends=False),
        SsePiece(b"\n", b""),
    ]


def test_the_parts_of_an_event_make_up_its_data_however_it_is_cut() -> None:
    event = b"data: " + b"x" * LIMIT + b"\r\ndata:\r\n: z\r\ndata: y\r\n\r\n"
    for chunks in ([event], [event[:LIMIT], event[LIMIT:]], [bytes([byte]) for byte in event]):
        *parts, last, other = parse(*chunks, b"data: z\n\n")

        assert b"".join(piece.raw for piece in (*parts, last)) == event
        assert b"".join(piece.data or b"" for piece in (*parts, last)) == b"x" * LIMIT + b"\n\ny"
        assert [piece.ends for piece in (*parts, last)] == [False] * len(parts) + [True]
        assert other == SsePiece(b"data: z\n\n", b"z")


def test_a_line_end_at_the_cut_of_an_event_beyond_the_limit_is_seen() -> None:
    assert parse(b"data: 123456789\r", b"\n\r", b"\n", b"data: y\n\n", limit=10)[-1] == SsePiece(
        b"data: y\n\n", b"y"
    )
    assert parse(b"data: 123456789\n", b"\n", b"data: y\n\n", limit=10)[-1] == SsePiece(b"data: y\n\n", b"y")


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_a_line_that_was_let_go_in_part_is_not_taken_for_a_blank_one(end: bytes) -> None:
    for chunks in ([b"data: 123456789", end], [b"data: 123456789" + end[:1], end[1:]]):
        pieces = parse(*chunks, b"data: y" + end + end, limit=10)

        assert b"".join(piece.data or b"" for piece in pieces) == b"123456789\ny"
        assert [piece.ends for piece in pieces].count(True) == 1


def test_a_megabyte_in_one_event_is_read() -> None:
    assert parse(b"data: " + b"x" * 1_000_000 + b"\n\n", limit=4_000_000)[0].data == b"x" * 1_000_000


@pytest.mark.parametrize(
    ("stream", "event"),
    [
        (b"event: error\ndata: x\n\n", b"error"),
        (b"data: x\nevent:error\n\n", b"error"),
        (b"event: a\nevent:  b \ndata: x\n\n", b" b "),
        (b"event\ndata: x\n\n", b""),
        (b"event: a\nevent\ndata: x\n\n", b""),
        (b"data: x\n\n", b""),
        (b"event: ping\n\n", b"ping"),
        (b"event: error\ndata: x", b"error"),
    ],
)
def test_an_event_is_named_by_its_last_event_line(stream: bytes, event: bytes) -> None:
    assert [piece.event for piece in parse(stream)] == [event]
    assert [piece.event for piece in parse(*(bytes([byte]) for byte in stream))] == [event]


def test_the_name_of_an_event_is_not_that_of_the_next() -> None:
    assert [piece.event for piece in parse(b"event: error\ndata: x\n\ndata: y\n\n")] == [b"error", b""]


def test_an_event_beyond_the_limit_keeps_its_name() -> None:
    long, event = b"data: " + b"x" * LIMIT, b"event: error\n"
    for chunks in (
        (event, long, b"\n\n"),
        (long, b"\nev", b"ent: err", b"or\n\n"),
        (long + b"\n" + event[:9], event[9:]),
    ):
        pieces = parse(*chunks)

        assert (pieces[-1].event, pieces[-1].ends) == (b"error", True)

import random
import tracemalloc
import zlib
from itertools import islice

import pytest
import zstandard

from phoebe_addon.formats.content_coding import CODINGS_MAX, PIECE_BYTES_MAX, ContentCodingError, open_decoder
from tests.harness.content_codings import (
    ENCODERS,
    cuts,
    decode,
    encode,
    encode_list,
    zstd_block,
    zstd_frame,
)

EVENTS = [b'data: {"choices":[{"delta":{"content":"%d"}}]}\n\n' % number for number in range(20)]
CONTENT = b"".join(EVENTS)

every_coding = pytest.mark.parametrize("coding", ENCODERS)


def test_no_coding_and_identity_leave_nothing_to_decode() -> None:
    for value in ("", " ", "identity", "Identity, identity", ",\t,"):
        assert open_decoder(value) is None


@pytest.mark.parametrize("value", ["gzip", "GZip", "x-gzip", " gzip\t", "identity, gzip", ",gzip,"])
def test_a_coding_is_known_by_its_name_however_it_is_written(value: str) -> None:
    assert decode(value, [encode("gzip", CONTENT)]) == (CONTENT, False, True)


@pytest.mark.parametrize("value", ["compress", "gzip, aws-chunked", "gzip;q=1", "br gzip", "none"])
def test_an_unknown_coding_is_an_error(value: str) -> None:
    with pytest.raises(ContentCodingError, match="not known"):
        open_decoder(value)


def test_of_a_list_the_coding_applied_last_is_decoded_first() -> None:
    value, body = encode_list(["gzip", "br", "zstd", "raw deflate"], CONTENT)

    assert value == "gzip, br, zstd, deflate"
    assert decode(value, [body]) == (CONTENT, False, True)


def test_a_list_of_more_codings_than_four_is_an_error() -> None:
    assert open_decoder(",".join(["br"] * CODINGS_MAX + ["identity"]))
    with pytest.raises(ContentCodingError, match="5 content codings"):
        open_decoder(",".join(["br"] * (CODINGS_MAX + 1)))


@every_coding
def test_a_body_comes_out_whole_however_it_is_cut(coding: str) -> None:
    for chunks in cuts(encode(coding, CONTENT)):
        assert decode(ENCODERS[coding][0], chunks) == (CONTENT, False, True)


@every_coding
def test_an_event_comes_out_as_soon_as_its_bytes_are_in(coding: str) -> None:
    name, open_encoder = ENCODERS[coding]
    encoder, decoder = open_encoder(), open_decoder(name)

    assert decoder
    for event in EVENTS:
        assert b"".join(decoder.feed(encoder.encode(event))) == event
        assert not decoder.complete
    assert not list(decoder.feed(encoder.end()))
    assert decoder.complete


@every_coding
def test_a_long_event_comes_out_whole_as_soon_as_its_bytes_are_in(coding: str) -> None:
    # The libraries hand out what they decoded in parts, and may keep the rest until they are asked again.
    name, open_encoder = ENCODERS[coding]
    encoder, decoder = open_encoder(), open_decoder(name)

    assert decoder
    for length in (32_752, 40_000, 70_000, 131_072, 600_000, 2_500_000):
        event = b"x" * length
        assert b"".join(decoder.feed(encoder.encode(event))) == event


def test_an_event_comes_out_of_a_list_as_soon_as_its_bytes_are_in() -> None:
    inner, outer = ENCODERS["gzip"][1](), ENCODERS["zstd"][1]()
    decoder = open_decoder("gzip, zstd")

    assert decoder
    for event in EVENTS:
        assert b"".join(decoder.feed(outer.encode(inner.encode(event)))) == event


@every_coding
def test_a_body_cut_short_gives_what_was_decodable_and_no_error(coding: str) -> None:
    name, open_encoder = ENCODERS[coding]
    encoder = open_encoder()
    body, content = b"", b""
    flushed = {0: b""}  # by the bytes of the body
    for event in EVENTS:
        body += encoder.encode(event)
        content += event
        flushed[len(body)] = content

    for end in range(len(body) + 1):
        output, damaged, complete = decode(name, [body[:end]])
        assert content.startswith(output)
        assert len(output) >= len(flushed.get(end, b""))
        assert (damaged, complete) == (False, False)


@every_coding
def test_an_empty_body_is_no_error_and_not_complete(coding: str) -> None:
    assert decode(ENCODERS[coding][0], []) == (b"", False, False)
    assert decode(ENCODERS[coding][0], [b"", b""]) == (b"", False, False)


@every_coding
@pytest.mark.parametrize(
    "behind",
    [b"\0", b"\0" * 2000, b"\n", b"\x1f", b"\x1f\x8b", b"\x1f\x8b\0", b"\x28\xb5\x2f", b"\xfd" * 2000],
)
def test_what_stands_behind_the_end_is_ignored(coding: str, behind: bytes) -> None:
    # Random bytes, so that the end does not stand in the decoder's first step.
    content = random.Random(1).randbytes(700)
    encoded = encode(coding, content)

    for chunks in ([encoded + behind], [encoded, behind], [bytes((byte,)) for byte in encoded + behind]):
        assert decode(ENCODERS[coding][0], chunks) == (content, False, True)


@every_coding
def test_what_is_ignored_is_not_kept(coding: str) -> None:
    decoder = open_decoder(ENCODERS[coding][0])
    assert decoder
    assert b"".join(decoder.feed(encode(coding, CONTENT))) == CONTENT

    tracemalloc.start()
    try:
        for _ in range(40):
            assert not list(decoder.feed(b"\xff" * 50_000))
        kept_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept_bytes < 100_000


def test_a_bomb_with_something_behind_it_comes_out_once() -> None:
    content = bytes(1_000_000)
    body = encode("br", content) + b"behind"

    assert len(body) < 100  # so that all of it stands in the decoder's first step
    assert decode("br", [body]) == (content, False, True)


def test_a_raw_deflate_stream_may_begin_with_a_byte_of_a_zlib_header() -> None:
    # The first byte of a stored block has bits without a meaning, here those of the header's first byte.
    body = b"\x78\x03\x00\xfc\xffabc" + b"\x03\x00"

    for chunks in cuts(body):
        assert decode("deflate", chunks) == (b"abc", False, True)


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_members_and_frames_are_read_to_the_last(coding: str) -> None:
    contents = [b"first", b"", b"second" * 1000, b"third"]
    body = b"".join(encode(coding, content) for content in contents)

    for chunks in cuts(body):
        assert decode(coding, chunks) == (b"".join(contents), False, True)
    assert decode(coding, [body + encode(coding, b"x")[:-1]]) == (b"".join(contents) + b"x", False, False)
    assert decode(coding, [body + b"x" + body]) == (b"".join(contents), False, True)


def test_a_damaged_second_member_is_an_error_behind_the_first() -> None:
    for coding in ("gzip", "zstd"):
        second = bytearray(encode(coding, b"second"))
        second[-1] ^= 1
        for chunks in cuts(encode(coding, CONTENT) + second):
            assert decode(coding, chunks) == (CONTENT + b"second", True, False)


@pytest.mark.parametrize("coding", ["gzip", "zlib", "zstd"])
def test_a_wrong_checksum_is_an_error_behind_all_of_the_content(coding: str) -> None:
    body = bytearray(encode(coding, CONTENT))
    body[-6 if coding == "gzip" else -1] ^= 1

    for chunks in cuts(bytes(body)):
        assert decode(ENCODERS[coding][0], chunks) == (CONTENT, True, False)


@every_coding
def test_damage_leaves_what_came_before_it(coding: str) -> None:
    name, open_encoder = ENCODERS[coding]
    encoder = open_encoder()
    body = encoder.encode(CONTENT) + b"\xff" * 600

    outcomes = {decode(name, chunks) for chunks in cuts(body)}
    assert outcomes == {(CONTENT, True, False)}


@every_coding
def test_after_an_error_a_decoder_stays_failed(coding: str) -> None:
    name, open_encoder = ENCODERS[coding]
    decoder = open_decoder(name)

    assert decoder
    with pytest.raises(ContentCodingError) as first:
        list(decoder.feed(open_encoder().encode(CONTENT) + b"\xff" * 600))
    for chunk in (b"", encode(coding, CONTENT)):
        with pytest.raises(ContentCodingError) as later:
            list(decoder.feed(chunk))
        assert str(later.value) == str(first.value)
    assert not decoder.complete


@pytest.mark.parametrize("name", ["gzip", "deflate", "zstd", "br"])
def test_a_body_that_is_not_encoded_at_all_is_an_error(name: str) -> None:
    for chunks in cuts(CONTENT):
        assert decode(name, chunks) == (b"", True, False)


def test_a_caller_that_left_pieces_can_not_feed_on() -> None:
    decoder = open_decoder("gzip")

    assert decoder
    next(decoder.feed(encode("gzip", bytes(10_000_000))))
    with pytest.raises(RuntimeError, match="not all pieces"):
        decoder.feed(b"")


def test_a_zlib_stream_with_a_preset_dictionary_is_an_error() -> None:
    compressor = zlib.compressobj(zdict=CONTENT)
    body = compressor.compress(CONTENT) + compressor.flush()

    for chunks in cuts(body):
        assert decode("deflate", chunks) == (b"", True, False)


def test_a_zstd_frame_with_a_dictionary_is_an_error() -> None:
    dictionary = zstandard.train_dictionary(1000, [*EVENTS] * 10)
    assert dictionary.dict_id()
    body = zstandard.ZstdCompressor(dict_data=dictionary).compress(CONTENT)

    for chunks in cuts(body):
        assert decode("zstd", chunks) == (b"", True, False)


@pytest.mark.parametrize("content_size", [False, True])
def test_a_zstd_window_may_have_8_mib_and_no_byte_more(content_size: bool) -> None:
    # The size of the content, two bytes that count from 256, tempts the library to decode in one go.
    flags, size, content = (0x40, b"\x2c\x00", b"x" * 300) if content_size else (0, b"", b"x" * 300)
    block = zstd_block(0, 300, content, last=True)
    accepted = zstd_frame(block, flags=flags, header=b"\x68" + size)
    refused = zstd_frame(block, flags=flags, header=b"\x69" + size)

    for chunks in cuts(accepted):
        assert decode("zstd", chunks) == (content, False, True)
    for chunks in cuts(refused):
        assert decode("zstd", chunks) == (b"", True, False)


def test_every_kind_of_zstd_block_is_read() -> None:
    compressed = zstandard.ZstdCompressor(write_content_size=False).compress(CONTENT)
    blocks = compressed[6:]  # behind the header, one block
    first = (int.from_bytes(blocks[:3], "little") & ~1).to_bytes(3, "little") + blocks[3:]
    body = zstd_frame(
        first, zstd_block(0, 3, b"abc"), zstd_block(1, 500, b"x"), zstd_block(0, 0, b"", last=True)
    )

    for chunks in cuts(body):
        assert decode("zstd", chunks) == (CONTENT + b"abc" + b"x" * 500, False, True)
    assert decode("zstd", [zstd_frame(zstd_block(3, 1, b"x", last=True))]) == (b"", True, False)


@pytest.mark.untraced  # so many single bytes take long with every line traced
@pytest.mark.parametrize("size", [0, 1, 255, 256, 65_791, 65_792, 200_000])
@pytest.mark.parametrize("checksum", [False, True])
@pytest.mark.parametrize("known", [False, True])
def test_zstd_frames_of_any_length_are_read(size: int, checksum: bool, known: bool) -> None:
    content = random.Random(size).randbytes(size)
    compressor = zstandard.ZstdCompressor(write_checksum=checksum, write_content_size=known)
    body = compressor.compress(content)

    assert decode("zstd", [body]) == (content, False, True)
    assert decode("zstd", [bytes((byte,)) for byte in body]) == (content, False, True)
    assert decode("zstd", [body[:-1]])[1:] == (False, False)


@pytest.mark.parametrize(
    ("flags", "header"),
    [
        (0x01, b"\x58\0"),  # a dictionary's number, which is 0 where there is none
        (0x02, b"\x58\0\0"),
        (0x03, b"\x58\0\0\0\0"),
        (0x40, b"\x58\x2c\x00"),  # the size of the content
        (0x80, b"\x58\x2c\x01\0\0"),
        (0xC0, b"\x58\x2c\x01\0\0\0\0\0\0"),
        (0x60, b"\x2c\x00"),  # a single segment, without a window size
        (0xE3, b"\0\0\0\0\x2c\x01\0\0\0\0\0\0"),
    ],
)
def test_every_size_of_the_fields_of_a_zstd_header_is_read(flags: int, header: bytes) -> None:
    body = zstd_frame(zstd_block(0, 300, b"x" * 300, last=True), flags=flags, header=header)

    for chunks in cuts(body):
        assert decode("zstd", chunks) == (b"x" * 300, False, True)


def test_a_wrong_content_size_costs_the_same_however_the_body_is_cut() -> None:
    body = zstd_frame(zstd_block(0, 300, b"x" * 300, last=True), flags=0x40, header=b"\x58\x2d\x00")

    assert {decode("zstd", chunks) for chunks in cuts(body)} == {(b"x" * 299, True, False)}


def test_skippable_zstd_frames_are_skipped_wherever_they_stand() -> None:
    skippable = b"\x5f\x2a\x4d\x18" + (300).to_bytes(4, "little") + b"\x28\xb5\x2f\xfd" * 75
    empty = b"\x50\x2a\x4d\x18" + bytes(4)
    body = skippable + encode("zstd", b"a") + empty + skippable + encode("zstd", b"b") + skippable

    for chunks in cuts(body):
        assert decode("zstd", chunks) == (b"ab", False, True)
    assert decode("zstd", [body[:-1]]) == (b"ab", False, False)


@every_coding
def test_pieces_are_no_longer_than_the_limit_and_empty_ones_stand_for_work(coding: str) -> None:
    decoder = open_decoder(ENCODERS[coding][0])

    assert decoder
    lengths = [len(piece) for piece in decoder.feed(encode(coding, bytes(10_000_000)))]
    assert sum(lengths) == 10_000_000
    assert max(lengths) <= PIECE_BYTES_MAX
    # The decompressor of br that stays a step behind does the same again.
    assert lengths.count(0) <= (len(lengths) / 2 if coding == "br" else 0)


def test_a_list_may_not_expand_between_its_codings() -> None:
    # A gzip stream of empty blocks, which decodes to nothing at all.
    empty_blocks = zstd_frame(zstd_block(0, 0, b"") * 10_000_000)
    body = encode("gzip", empty_blocks)

    for chunks in ([body], [bytes((byte,)) for byte in body[:1000]]):
        assert decode("zstd, gzip", chunks) == (b"", True, False)


def test_where_a_list_expands_too_much_does_not_depend_on_the_cuts() -> None:
    noise = random.Random(1).randbytes(20_000)
    inner = encode("gzip", noise) + b"".join(encode("gzip", b"%d" % number) for number in range(9)) * 2000
    body = encode("zlib", inner)

    outcomes = {decode("gzip, deflate", chunks) for chunks in islice(cuts(body), 10)}
    outcomes.add(decode("gzip, deflate", [bytes((byte,)) for byte in body]))
    ((output, damaged, _),) = outcomes
    assert damaged
    assert len(noise) < len(output) < len(noise) + 18_000

"""Codings that are told by the first bytes of a body, whatever is named."""

import pytest

from phoebe_addon.formats.content_coding import ContentCodingError
from phoebe_addon.formats.told_coding import coding_by_magic, is_text, may_name_coding, open_told_decoder
from tests.harness.content_codings import ENCODERS, encode, encode_list

JSON = b'{"usage":{"prompt_tokens":31},"text":"Gr\xc3\xbc\xc3\x9fe"}'


def decoded(named: str, body: bytes, piece_bytes: int = 1) -> tuple[bytes, str]:
    decoder = open_told_decoder(named)
    assert decoder
    pieces = [body[start : start + piece_bytes] for start in range(0, len(body), piece_bytes)]
    found = b"".join(part for piece in pieces for part in decoder.feed(piece))
    return found + b"".join(decoder.finish()), decoder.found


@pytest.mark.parametrize("named", ["gzip", "x-gzip", "deflate", "br", "zstd", "gzip, br", "br, gzip"])
@pytest.mark.parametrize(
    "body", [JSON, b"{}", b"[1]", b"data: {}\n\n", b": ping\n\n", b"\n{", b"<html>", b"OK"]
)
def test_text_is_in_no_coding(named: str, body: bytes) -> None:
    for piece_bytes in (1, 7, 1000):
        assert decoded(named, body, piece_bytes) == (body, "")


@pytest.mark.parametrize("coding", ENCODERS)
@pytest.mark.parametrize("content", [JSON, b"[]", b"[" + b"1," * 50_000 + b"2]", bytes(range(256)) * 300])
def test_what_is_in_the_coding_that_is_named_is_decoded_by_it(coding: str, content: bytes) -> None:
    named = ENCODERS[coding][0]

    for piece_bytes in (1, 1000):
        assert decoded(named, encode(coding, content), piece_bytes) == (content, named)


@pytest.mark.parametrize("named", ["gzip", "deflate", "br", "zstd"])
@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_the_first_bytes_of_gzip_and_zstd_count_more_than_a_name(named: str, coding: str) -> None:
    assert decoded(named, encode(coding, JSON)) == (JSON, ENCODERS[coding][0])


def test_deflate_may_be_called_gzip_and_a_name_may_be_twice() -> None:
    assert decoded("gzip", encode("zlib", JSON)) == (JSON, "deflate")
    assert decoded("x-gzip", encode("gzip", JSON)) == (JSON, "x-gzip")
    assert decoded("gzip, gzip", encode("gzip", JSON)) == (JSON, "gzip")
    assert decoded("gzip, br", encode_list(["gzip", "br"], JSON)[1]) == (JSON, "gzip, br")


@pytest.mark.parametrize("named", ["", "identity", "none", "utf-8", "gzip, none", "gzip,br,zstd,gzip,br"])
def test_names_that_are_none_of_codings_leave_it_to_the_bytes(named: str) -> None:
    assert open_told_decoder(named) is None


def test_what_is_neither_text_nor_in_the_coding_is_damaged() -> None:
    for named in ("gzip", "zstd"):
        with pytest.raises(ContentCodingError):
            decoded(named, b"\0\1\2\3\4\5")


@pytest.mark.parametrize(
    ("start", "is_one"),
    [(b"a", True), (b"\xc3", True), (b"\xc3\xbc", True), (b"\xbc", False), (b"\0", False), (b"a\x1b", False)],
)
def test_text_has_no_control_characters_and_is_utf_8_as_far_as_it_goes(start: bytes, is_one: bool) -> None:
    assert is_text(start) is is_one


def test_a_body_names_its_coding_by_its_first_bytes() -> None:
    assert [coding_by_magic(start) for start in (b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"{}", b"")] == [
        "gzip",
        "zstd",
        None,
        None,
    ]
    assert [may_name_coding(start) for start in (b"\x1f", b"\x28\xb5\x2f", b"", b"\x1f\x8b", b"{")] == [
        True,
        True,
        True,
        False,
        False,
    ]

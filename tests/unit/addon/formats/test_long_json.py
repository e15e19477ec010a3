import json

import pytest

from phoebe_addon.formats.json_members import Member
from phoebe_addon.formats.long_json import (
    NESTING_MAX,
    OBJECT_MEMBERS_MAX,
    PARTS_MAX,
    STRING_BYTES_KEPT,
    JsonBoundError,
    long_document_members,
)
from phoebe_addon.formats.steps import at_once


def read(content: bytes) -> list[Member]:
    return at_once(long_document_members(content))


def test_members_are_told_with_their_places_in_bytes() -> None:
    content = b'{"\xc3\xa9" : [1, "x"], "b":{}}'

    assert read(content) == [
        Member("é", [1.0, "x"], 1, 8, 16),
        Member("b", {}, 18, 22, 24),
    ]


def test_of_a_long_string_the_beginning_is_kept_up_to_a_whole_character_and_escape() -> None:
    for filling in ("a", "é", "\U0001f600", "\n"):
        for shift in range(6):
            text = "x" * shift + filling * STRING_BYTES_KEPT
            for ascii_only in (True, False):
                (member,) = read(json.dumps({"a": text}, ensure_ascii=ascii_only).encode())
                kept = member.value
                assert isinstance(kept, str)
                assert STRING_BYTES_KEPT // 12 - 1 <= len(kept) <= STRING_BYTES_KEPT
                assert text.encode("utf-16-le").startswith(kept.encode("utf-16-le", "surrogatepass"))


def test_of_many_numbers_some_are_kept_and_all_that_stands_between_them() -> None:
    (member,) = read(b'{"a":[%s{"b":1},%s"c",%s1]}' % ((b"1," * 50_000,) * 3))

    assert member.value == [1.0, {"b": 1.0}, "c", 1.0]


def test_a_byte_that_is_not_utf_8_is_told_with_its_place_however_far_it_is() -> None:
    for place in (5, 300_000, 600_000):
        content = bytearray(b'{"a":"' + b"x" * 700_000 + b'"}')
        content[place + 1] = 0xFF
        with pytest.raises(UnicodeDecodeError) as raised:
            read(bytes(content))
        assert raised.value.start == place + 1
    with pytest.raises(UnicodeDecodeError) as raised:
        read(b'{"a":"\xc3')
    assert raised.value.start == 6


def test_a_number_that_no_engine_could_read_is_refused() -> None:
    with pytest.raises(JsonBoundError, match="a number of more than 16384 characters"):
        read(b'{"a":%s}' % (b"1" * 20_000))


def test_the_first_step_does_nothing_and_each_other_reads_little() -> None:
    """So that whoever takes the steps can tell what is short, and let others go on meanwhile."""
    steps = long_document_members(b'{"a":"' + b'\\"' * 1_000_000 + b'","b":[' + b"1," * 1_000_000 + b"1]}")

    assert sum(1 for _ in steps) > 4_000_000 // (16 * 1024)
    next(long_document_members(b"no JSON"))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"   ",
        b"[]",
        b"{",
        b'{"a"',
        b'{"a" 1}',
        b'{"a":}',
        b'{"a":1',
        b'{"a":1,}',
        b"{a:1}",
        b'{"a":[1 2]}',
        b'{"a":[1,]}',
        b'{"a":tru}',
        b'{"a":01}',
        b'{"a":"\x01"}',
        b'{"a":"\\x"}',
        b'{"a":"b',
        b'{"a":1}}',
        b'{"a":{"b":1]}',
    ],
)
def test_what_is_no_object_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"it ends before its end|unexpected byte \d+ at \d+"):
        read(content)


def test_any_number_of_blanks_may_stand_between_its_parts() -> None:
    blanks = b" \n" * 20_000

    (member,) = read(blanks.join([b"", b"{", b'"a"', b":", b"[", b"1", b",", b"{", b"}", b"]", b"}", b""]))

    assert member.value == [1.0, {}]


@pytest.mark.untraced  # long, with every line traced
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"a":' + b"[" * NESTING_MAX, "nested too deeply: 200 levels"),
        (b'{"a":[' + b"{}," * PARTS_MAX, "more than 100000 objects and arrays"),
        (b'{"a":[' + b'"",' * (PARTS_MAX + 1), "more than 100000 strings in arrays"),
        (b"{" + b'"a":1,' * (OBJECT_MEMBERS_MAX + 1), "an object of more than 16000 members"),
        (b'{"a":[' + (b"{%s}," % b",".join([b'"a":1'] * 10_000)) * 11, "more than 100000 members"),
    ],
)
def test_what_has_more_parts_than_any_request_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(JsonBoundError, match=said):
        read(content)

"""Where a container ends: by its brackets outside of strings, however the bytes are cut."""

import json

import pytest

from phoebe_addon.formats.json_nesting import ContainerEnd, OutsideStrings

TEXTS = [
    b"1, 2]",
    b"[[], [1]], {}]",
    rb'"]", "\"]", "\\"]',
    rb'"a\\\"]b", {"c]": "}"}]',
    b'"' + b"x" * 5000 + b'"]',
    b"[" * 300 + b"]" * 300 + b"]",
    b'{"a": [' + b",".join([b'"[\\""'] * 400) + b"]}]",
]
"""What stands behind an opening bracket, up to the end of the container."""


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_the_end_of_a_container_is_found_wherever_its_text_is_cut(text: bytes) -> None:
    json.loads(b"[" + text)
    behind = b', "x"] ['
    for size in (1, 2, 3, 7, 129, len(text) + len(behind)):
        end, found = ContainerEnd(), None
        for start in range(0, len(text + behind), size):
            piece = (text + behind)[start : start + size]
            place = end.find(piece, 0)
            if place is not None:
                found = start + place
                break
        assert found == len(text), size


def test_text_without_its_end_has_none() -> None:
    assert ContainerEnd().find(rb'{"a": "\"]"}, "]', 0) is None


def test_strings_and_what_a_backslash_takes_along_are_left_out() -> None:
    strings = OutsideStrings()

    pieces = [strings.take(piece) for piece in (b'{"a', b"\\", b'"]', b'", [', b'"', b"", b'"]}')]

    assert b"".join(pieces) == b"{, []}"

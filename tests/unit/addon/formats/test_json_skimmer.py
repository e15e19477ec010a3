"""What a skimmer finds in a document, and what it takes for none."""

import pytest

from phoebe_addon.formats.json_skimmer import JsonSkimmer
from phoebe_addon.formats.json_wanted import Wanted


def skim(*pieces: bytes, spans: bool = False) -> JsonSkimmer:
    skimmer = JsonSkimmer(Wanted(), spans=spans)
    for piece in pieces:
        skimmer.feed(piece)
    return skimmer


@pytest.mark.parametrize(
    "document", [b'{"a": [1, {"b": null}], "c": "d"}', b"[]", b"\xef\xbb\xbf {}", b'["a\\"b"]']
)
def test_a_document_ends_with_its_last_byte(document: bytes) -> None:
    assert skim(document).ended
    assert skim(*(document[at : at + 1] for at in range(len(document))), spans=True).ended
    assert not skim(document[:-1]).ended


@pytest.mark.parametrize(
    "text", [b"data: {}", b'"a"', b'{"a" 1}', b'{"a": }', b"{,}", b'{"a": 1 "b": 2}', b'{"a": 1:}']
)
def test_what_is_no_json_fails_and_never_ends(text: bytes) -> None:
    skimmer = skim(text, b"{}", spans=True)

    assert skimmer.failed
    assert skimmer.document() is None


def test_members_of_the_outermost_object_are_told_with_their_names_decoded() -> None:
    document = b'{"\\u0075sage" : 1, "\\x": [2]}'
    spans = skim(document, spans=True).spans

    assert spans is not None
    assert [(span.name, document[span.start : span.end]) for span in spans] == [
        (b"usage", b"1"),
        (b"\\x", b"[2]"),
    ]


def test_a_document_with_more_members_than_are_told_tells_none_and_ends_all_the_same() -> None:
    members = b",".join(b'"%d":%d' % (number, number) for number in range(10_000))
    skimmer = skim(b"{" + members + b"}", spans=True)

    assert skimmer.ended
    assert skimmer.spans is None

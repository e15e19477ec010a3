"""The skimmer of long documents against reading them whole, over any documents and any cuts."""

import json
from unittest import mock

from hypothesis import example, given, settings
from hypothesis import strategies as st

from phoebe_addon.formats import json_nesting, json_shortening, json_skimmer
from phoebe_addon.formats.json_members import document_members
from phoebe_addon.formats.json_nesting import ContainerEnd
from phoebe_addon.formats.json_skimmer import JsonSkimmer, MemberSpan, Result
from phoebe_addon.formats.json_wanted import Wanted
from tests.harness.documents import Json, cut, places, single_bytes, values

WHOLE = Wanted(whole=True)
INSIDE = Wanted(
    members={
        b"usage": WHOLE,
        b"model": Wanted(members={b"usage": WHOLE, b"data": WHOLE}),
        b'a"\\b': WHOLE,
        b"data": Wanted(each=Wanted(members={b"usage": WHOLE, b"us": WHOLE})),
        b"us": Wanted(members={b"model": WHOLE}, others=WHOLE),
    }
)
WANTED = Wanted(members=INSIDE.members, each=INSIDE)
names = ("usage", "model", 'a"\\b', "data", "us", "", "{", "é\U0001f600")
objects: st.SearchStrategy[Json] = st.dictionaries(st.sampled_from(names), values(names), max_size=5)
skimmable: st.SearchStrategy[Json] = st.one_of(
    objects, st.lists(objects, max_size=3), st.lists(st.one_of(objects, values(names)), max_size=3)
)
spaces = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t:\r")])


@st.composite
def written(draw: st.DrawFn) -> tuple[Json, bytes]:
    """Draw a document and a text of it, in which names may be escaped."""
    document: Json = draw(skimmable)
    text = json.dumps(document, ensure_ascii=draw(st.booleans()), separators=draw(spaces))
    if draw(st.booleans()):
        text = text.replace('"usage"', '"us\\u0061ge"')
    return document, draw(st.sampled_from(["", " ", "\n"])).encode() + text.encode("utf-8", "surrogatepass")


type Skimmed = tuple[bytes | None, bool, bool, list[Result], list[MemberSpan] | None]


def skim(chunks: list[bytes], wanted: Wanted = WANTED, *, spans: bool = False) -> Skimmed:
    skimmer = JsonSkimmer(wanted, spans=spans)
    taken = sum(skimmer.feed(chunk) for chunk in chunks)
    found = skimmer.document(), skimmer.ended, skimmer.failed, skimmer.results, skimmer.spans
    assert taken == sum(map(len, chunks)) or skimmer.ended or skimmer.failed
    return found


def shortened(value: Json, wanted: Wanted) -> Json:
    """Leave out what was not asked for."""
    if wanted.whole:
        return value
    if isinstance(value, dict) and wanted.members:
        asked = {name: wanted.members.get(name.encode(), wanted.others) for name in value}
        kept = {name: shortened(each, inside) for name, each in value.items() if (inside := asked[name])}
        return kept or ({"": True} if value else {})
    if isinstance(value, list) and wanted.each:
        return [shortened(each, wanted.each) for each in value]
    return value


def plain(document: Json) -> str:
    """Write a document so that NaN equals itself."""
    return json.dumps(document)


@settings(max_examples=300)
@given(written(), places)
@example(([{"usage": 1}, {"data": [{"usage": 2}]}], b'[{"usage":1},{"data":[{"usage":2}]}]'), [3, 20])
@example(({"us": {"x": 1, "model": "a"}}, b'{"us":{"x":1,"model":"a"}}'), [9])
def test_a_document_is_shortened_to_what_was_asked_for(document: tuple[Json, bytes], at: list[int]) -> None:
    whole, text = document
    short = skim(cut(text, at))[0]

    assert short is not None
    assert plain(json.loads(short)) == plain(shortened(whole, WANTED))


@settings(max_examples=150)
@given(written(), places)
def test_members_stand_where_they_are_said_to_stand(document: tuple[Json, bytes], at: list[int]) -> None:
    whole, text = document
    spans = skim(cut(text, at), spans=True)[4]

    assert spans is not None
    if isinstance(whole, dict):
        members = document_members(text.decode("latin-1"))
        assert [(each.name_start, each.start, each.end) for each in members] == [
            (span.name_start, span.start, span.end) for span in spans
        ]
        decoded = document_members(text.decode("utf-8", "surrogatepass"))
        assert [each.name for each in decoded] == [span.name.decode() for span in spans]


@settings(max_examples=150)
@given(st.lists(st.one_of(objects, values(names)), max_size=4), spaces, places)
def test_results_are_handed_out_one_by_one(
    elements: list[Json], separators: tuple[str, str], at: list[int]
) -> None:
    wanted = Wanted(each=INSIDE, results=())
    text = json.dumps(elements, separators=separators).encode("utf-8", "surrogatepass")
    short, _, _, results, _ = skim(cut(text, at), wanted)

    assert short == b"[]"
    found = {result.index: plain(json.loads(result.text)) for result in results}
    says_something = {
        index: plain(shortened(each, INSIDE))
        for index, each in enumerate(elements)
        if isinstance(each, dict) and shortened(each, INSIDE) not in ({}, {"": True})
    }
    assert found == says_something


tokens = [
    b"{",
    b"}",
    b"[",
    b"]",
    b'"',
    b"\\",
    b":",
    b",",
    b'"usage"',
    b"1",
    b" ",
    b'"x":',
    b"\xff",
    b'"us":{',
]
hostile = st.one_of(
    st.binary(max_size=30),
    st.lists(st.sampled_from(tokens), max_size=25).map(b"".join),
    written().map(lambda document: document[1]),
    written().map(lambda document: document[1][:-1]),
)


@settings(max_examples=400)
@given(hostile, places, st.sampled_from([1, 4, 9, 10_000]), st.booleans())
@example(b'{"usage":12345678}', [12], 4, False)
@example(b'{"usage":"\\u0061\\u0062\\u0063"}', [12], 4, False)
@example(b'{"usage"' + b" " * 600 + b":1}", [300], 10_000, False)
@example(b'{"' + b"x" * 300 + b'":1,"usage":1}', [300], 10_000, True)
def test_what_is_kept_does_not_depend_on_the_cuts(text: bytes, at: list[int], size: int, spans: bool) -> None:
    with (
        mock.patch.object(json_shortening, "KEPT_BYTES_MAX", size),
        mock.patch.object(json_skimmer, "KEPT_BYTES_MAX", size),
        mock.patch.object(json_shortening, "STRING_BYTES_KEPT", size),
        mock.patch.object(json_nesting, "_BLOCK_BYTES_MIN", 2),
    ):
        whole = skim([text], spans=spans)

        assert skim(cut(text, at), spans=spans) == whole
        assert skim(single_bytes(text), spans=spans) == whole


def end_of_container(chunks: list[bytes]) -> int | None:
    finder, fed = ContainerEnd(), 0
    for chunk in chunks:
        end = finder.find(chunk, 0)
        if end is not None:
            return fed + end
        fed += len(chunk)
    return None


@settings(max_examples=200)
@given(st.one_of(hostile, written().map(lambda document: document[1][1:])), places, st.integers(1, 20))
@example(b"[" * 300 + b"]" * 301, [7], 5)
@example(b'"\\\\\\"]",]', [3], 1)
def test_a_container_ends_where_as_many_brackets_are_closed_as_were_opened(
    text: bytes, at: list[int], block_bytes: int
) -> None:
    depth, in_string, expected, position = 1, False, None, 0
    while expected is None and position < len(text):
        byte = text[position : position + 1]
        if byte == b"\\":
            position += 1
        elif byte == b'"':
            in_string = not in_string
        elif not in_string:
            depth += (byte in b"[{") - (byte in b"]}")
            expected = None if depth else position + 1
        position += 1

    with (
        mock.patch.object(json_nesting, "_BLOCK_BYTES_MIN", block_bytes),
        mock.patch.object(json_nesting, "_BLOCK_BYTES_MAX", 4 * block_bytes),
    ):
        assert end_of_container(cut(text, at)) == expected
        assert end_of_container(single_bytes(text)) == expected

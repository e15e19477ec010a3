"""The skimmer of long documents against reading them whole, over any documents and any cuts."""

import json

from hypothesis import example, given, settings
from hypothesis import strategies as st

from phoebe_addon.answer.reader import AnswerReader, RequestFacts
from phoebe_addon.apis.family import Family
from phoebe_addon.formats.json_skimmer import JsonSkimmer
from tests.harness.documents import FORMATS, Json, cut, places, single_bytes, texts, values

KEPT_MAX = 10_000
NAMES = frozenset({"usage", "model", 'a"\\b'})
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


def skim(chunks: list[bytes], kept_bytes_max: int = KEPT_MAX) -> bytes | None:
    skimmer = JsonSkimmer(NAMES, kept_bytes_max)
    for chunk in chunks:
        skimmer.feed(chunk)
    return skimmer.document()


def shortened(document: Json) -> Json:
    """Put null in the place of what was not asked for, in an object or in each object of an array."""
    if isinstance(document, dict):
        return {name: value if name in NAMES else None for name, value in document.items()}
    if isinstance(document, list):
        return [shortened(each) if isinstance(each, dict) else each for each in document]
    return document


def plain(document: Json) -> str:
    """Write a document so that NaN equals itself."""
    return json.dumps(document)


@settings(max_examples=300)
@given(written(), places)
@example(([{"usage": 1}, {"data": [{"usage": 2}]}], b'[{"usage":1},{"data":[{"usage":2}]}]'), [3, 20])
def test_a_document_is_shortened_to_what_was_asked_for(document: tuple[Json, bytes], at: list[int]) -> None:
    whole, text = document
    short = skim(cut(text, at))

    assert short is not None
    assert plain(json.loads(short)) == plain(shortened(whole))


hostile = st.one_of(
    st.binary(max_size=30),
    st.lists(
        st.sampled_from([b"{", b"}", b"[", b"]", b'"', b"\\", b":", b",", b'"usage"', b"1", b" ", b'"x":']),
        max_size=25,
    ).map(b"".join),
    written().map(lambda document: document[1]),
    written().map(lambda document: document[1][:-1]),
)


@settings(max_examples=300)
@given(hostile, places, st.integers(0, 60))
@example(b'{"usage":12345678}', [12], 12)
def test_what_is_kept_does_not_depend_on_the_cuts(text: bytes, at: list[int], kept_bytes_max: int) -> None:
    whole = skim([text], kept_bytes_max)

    assert skim(cut(text, at), kept_bytes_max) == whole
    assert skim(single_bytes(text), kept_bytes_max) == whole


@given(hostile, places, st.integers(0, 60))
def test_no_more_is_kept_than_the_limit(text: bytes, at: list[int], kept_bytes_max: int) -> None:
    skimmer = JsonSkimmer(NAMES, kept_bytes_max)
    for chunk in cut(text, at):
        skimmer.feed(chunk)
        assert skimmer._failed or len(skimmer._kept) <= kept_bytes_max + len(b"null")

    kept = skimmer.document()
    assert kept is None or len(kept) <= kept_bytes_max + len(b"null")


@settings(max_examples=200)
@given(st.sampled_from(FORMATS).flatmap(lambda each: st.tuples(st.just(each), texts(each.answer))))
def test_an_answer_says_the_same_short_or_whole(answer: tuple[Family, bytes]) -> None:
    """But for what it says below `predictions`, which may be too long to be kept."""
    answering, text = answer
    whole, short = (AnswerReader((answering.answer,), RequestFacts()) for _ in range(2))
    whole.read_document(text)
    skimmer = JsonSkimmer(short.member_names(), KEPT_MAX)
    skimmer.feed(text)
    content = skimmer.document()

    assert content is not None
    short.read_document(content)
    assert short.answer() == whole.answer()

"""Chunks that are left unread say nothing that counts, whatever the family."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from phoebe_addon.answer.reader import Answer, AnswerReader, ChunkUsage, RequestFacts
from phoebe_addon.answer.relevance import relevance_of
from phoebe_addon.apis.family import Family
from tests.harness.documents import FORMATS, texts, values
from tests.harness.known import family

NAMES = ("choices", "delta", "content", "finish_reason", "index", "id", "text", "type", "response", "token")
dull = st.dictionaries(st.sampled_from(NAMES), values(NAMES), max_size=4).map(
    lambda document: json.dumps(document).encode()
)
chunks = st.sampled_from(FORMATS).flatmap(
    lambda each: st.tuples(st.just(each), st.one_of(texts(each.answer), dull))
)


def read(each: Family, chunk: bytes) -> tuple[ChunkUsage, Answer]:
    """Read a chunk by a reader that knows no model yet, and so leaves nothing unread."""
    reader = AnswerReader((each.answer,), RequestFacts())
    return reader.read_chunk(chunk), reader.answer()


@settings(max_examples=200)
@given(chunks)
@example((family("openai.chat"), b'{"choices":[{"finish_reason" :null}]}'))
@example((family("openai.chat"), b'{"choices":[{"finish_reason":"nullable"}],"x":{"finish_reason":null}}'))
@example((family("openai.chat"), b'{"choices":[],"us\\u0061ge":{"prompt_tokens":1}}'))
@example((family("ollama.chat"), b'{"done":true}'))
@example((family("anthropic.messages"), b'{"type":"message_stop"}'))
def test_a_chunk_that_is_irrelevant_says_nothing_but_a_model(drawn: tuple[Family, bytes]) -> None:
    each, chunk = drawn
    usage, answer = read(each, chunk)

    if relevance_of(each.answer).is_irrelevant(chunk):
        assert (usage, answer) == (ChunkUsage.NONE, Answer(model=answer.model))


streams = st.sampled_from(FORMATS).flatmap(
    lambda each: st.tuples(st.just(each), st.lists(texts(each.answer), max_size=3))
)


@settings(max_examples=100)
@given(streams)
def test_a_stream_says_the_same_however_soon_its_model_is_known(drawn: tuple[Family, list[bytes]]) -> None:
    each, stream = drawn
    named, unnamed = (AnswerReader((each.answer,), RequestFacts()) for _ in range(2))
    model = json.dumps(
        {"model": "m", "model_name": "m", "response": {"model": "m"}, "message": {"model": "m"}}
    )
    named.read_chunk(model.encode())

    assert [named.read_chunk(chunk) for chunk in stream] == [unnamed.read_chunk(chunk) for chunk in stream]
    first, second = named.answer(), unnamed.answer()
    assert (first.usage, first.usage_raw, first.malformed) == (
        second.usage,
        second.usage_raw,
        second.malformed,
    )
    assert first.finish_reason == second.finish_reason
    assert (first.finished, first.failed) == (second.finished, second.failed)


@pytest.mark.parametrize(
    ("api", "chunk"),
    [
        (
            "openai.chat",
            b'{"id":"c","model":"m","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}',
        ),
        ("ollama.chat", b'{"model":"m","message":{"role":"assistant","content":"a"}}'),
        ("anthropic.messages", b'{"type":"content_block_delta","index":0,"delta":{"text":"a"}}'),
    ],
)
def test_a_chunk_of_text_is_irrelevant(api: str, chunk: bytes) -> None:
    assert relevance_of(family(api).answer).is_irrelevant(chunk)

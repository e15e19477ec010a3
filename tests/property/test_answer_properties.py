"""Answers on their way to the client: cut anywhere, of any bytes, with and without usage taken out."""

import json
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from phoebe_addon.answer_body import DocumentBody, EventStreamBody, Strip, open_body
from phoebe_addon.exchange import Admission, Ending, Exchange
from phoebe_addon.identity import Identity
from phoebe_addon.openai_answer import Answer
from phoebe_addon.routes import Api
from phoebe_addon.sse import SseParser
from phoebe_proto.v1.metering_pb2 import MeteringEvent
from rater_service.event_validation import EventRow, validate
from tests.harness.engine_streams import STREAMS

ALL_STRIPS = [Strip.NOTHING, Strip.FINAL, Strip.RUNNING, Strip.FINAL | Strip.RUNNING]
stream_names = st.sampled_from(sorted(STREAMS))
strips = st.sampled_from(ALL_STRIPS)
NOW = datetime(2026, 11, 20, tzinfo=UTC)

broken_json = st.sampled_from(
    [
        "{}",
        "null",
        "[DONE]",
        '{"usage":null}',
        '{"usage":[]}',
        '{"usage":{"prompt_tokens":NaN}}',
        '{"usage":{"prompt_tokens":1},"usage":{"prompt_tokens":2}}',
        '{"usage":{"prompt_tokens":' + "9" * 5000 + "}}",
        '{"usage":{"x":' + "[" * 2000 + "]" * 2000 + "}}",
        '{"choices":null,"usage":{"completion_tokens":1e2}}',
        '{"choices":[7,null,[]],"usage":{"prompt_tokens_details":[]}}',
        '{"choices":[{"index":-1}],"usage":{"prompt_tokens":1}}',
        '{"choices":[{"index":true}],"usage":{},"id":7}',
        '{"model":"","error":null}',
        '{"model":"\\ud800\\u0000","error":{}}',
        '{"error":"x","usage":{"prompt_tokens":3}}',
        '{"choices":[{"finish_reason":"\\udfff"}]}',
    ]
)
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                ["id", "model", "usage", "choices", "index", "error", "prompt_tokens", "finish_reason"]
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)
documents = st.one_of(broken_json, json_values.map(json.dumps)).map(str.encode)
lines = st.one_of(
    documents.map(lambda document: b"data: " + document),
    documents.map(lambda document: b"data:" + document + b" "),
    st.binary(max_size=12),
    st.just(b""),
)
hostile_streams = st.lists(
    st.tuples(lines, st.sampled_from([b"\n", b"\n\n", b"\r\n\r\n", b"\r", b""])), max_size=8
).map(lambda parts: b"".join(part for pair in parts for part in pair))


def pass_through(chunks: list[bytes], strip: Strip) -> tuple[bytes, Answer]:
    body = open_body("text/event-stream", 1, strip)
    passed = b"".join([*(body.feed(chunk) for chunk in chunks), body.finish()])
    return passed, body.answer()


def data_of(stream: bytes) -> list[object]:
    parser = SseParser(10**6)
    pieces = [*parser.feed(stream), parser.finish()]
    return [json.loads(piece.data) for piece in pieces if piece and piece.data and piece.data != b"[DONE]"]


@pytest.mark.parametrize("strip", ALL_STRIPS, ids=str)
@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_cut_at_every_byte_gives_the_same_answer_and_the_same_bytes(name: str, strip: Strip) -> None:
    stream = b"".join(STREAMS[name])
    whole = pass_through([stream], strip)

    assert whole[1].model is not None
    for place in range(len(stream) + 1):
        assert pass_through([stream[:place], stream[place:]], strip) == whole
    assert pass_through([bytes([byte]) for byte in stream], strip) == whole


@given(hostile_streams, st.lists(st.integers(0, 400), max_size=5), strips)
def test_cuts_do_not_matter_for_hostile_streams_either(
    stream: bytes, places: list[int], strip: Strip
) -> None:
    edges = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]

    assert pass_through([stream[a:b] for a, b in pairwise(edges)], strip) == pass_through([stream], strip)


@given(st.one_of(hostile_streams, st.binary(max_size=80)))
def test_without_anything_to_take_out_the_client_gets_the_very_bytes(stream: bytes) -> None:
    assert pass_through([stream], Strip.NOTHING)[0] == stream


@given(hostile_streams, strips)
def test_what_is_found_does_not_depend_on_what_is_taken_out(stream: bytes, strip: Strip) -> None:
    assert pass_through([stream], strip)[1] == pass_through([stream], Strip.NOTHING)[1]


@pytest.mark.parametrize("name", STREAMS)
def test_with_running_usage_taken_out_no_chunk_with_choices_has_any(name: str) -> None:
    stream = b"".join(STREAMS[name])
    sent, passed = data_of(stream), data_of(pass_through([stream], Strip.RUNNING)[0])

    for before in sent:
        assert isinstance(before, dict)
        if before.get("choices") and before.get("usage"):
            del before["usage"]
    assert passed == sent


@given(hostile_streams)
def test_taking_running_usage_out_leaves_every_other_event_as_it_is(stream: bytes) -> None:
    parser = SseParser(10**6)
    pieces = [*parser.feed(stream), parser.finish()]
    kept = [piece.raw for piece in pieces if piece and not (piece.data and b"usage" in piece.data)]
    passed = pass_through([stream], Strip.RUNNING)[0]

    position = 0
    for raw in kept:
        position = passed.index(raw, position) + len(raw)


@given(st.binary(max_size=80), st.sampled_from(["text/event-stream", "application/json"]), strips)
@example(b'data: {"choices":[1],\ndata: "usage":{}}\n\n', "text/event-stream", Strip.RUNNING)
def test_no_bytes_make_a_body_raise(content: bytes, content_type: str, strip: Strip) -> None:
    body: EventStreamBody | DocumentBody = open_body(content_type, 1, strip)

    body.answer()
    body.feed(content)
    body.answer()
    body.finish()
    body.answer()


ADMISSION = Admission(
    request_id="01939f2e-0000-7000-8000-000000000000",
    client_request_id=None,
    identity=Identity("auth-1", "res-1"),
    api=Api.OPENAI_CHAT,
    requested_model=None,
    prompt_count=1,
    strip=Strip.FINAL,
    start_time=NOW,
)


@settings(max_examples=300)
@given(
    st.one_of(
        hostile_streams.map(lambda stream: ("text/event-stream", stream)), documents.map(lambda d: ("", d))
    ),
    st.integers(0, 999),
    st.sampled_from(Ending),
)
def test_the_event_of_any_answer_can_be_stored(
    answer: tuple[str, bytes], status_code: int, ending: Ending
) -> None:
    exchange = Exchange(ADMISSION, "connection-1", "only")
    exchange.answer_began(status_code, answer[0])
    exchange.answer_bytes(answer[1], NOW)
    if ending is Ending.ANSWER_COMPLETE:
        exchange.answer_complete()
    event = exchange.end(ending, NOW)

    assert event is not None
    event.producer_id = "producer-1"
    event.producer_seq = 1
    assert isinstance(validate(MeteringEvent.FromString(event.SerializeToString())), EventRow)

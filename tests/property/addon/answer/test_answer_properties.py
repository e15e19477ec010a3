"""Answers on their way to the client: cut anywhere, of any bytes, with and without anything taken out."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from phoebe_addon.answer.body import open_body
from phoebe_addon.answer.reader import Answer, AnswerReader, RequestFacts
from phoebe_addon.answer.removal import Removal
from phoebe_addon.apis.engines import ENGINES, UNDECLARED
from phoebe_addon.apis.families.openai_chat import CONTINUOUS_USAGE, STREAM_USAGE
from phoebe_addon.apis.family import Family, TakeOut, UsageSwitch, has_mark, value_at
from phoebe_addon.apis.usage import COUNT_MAX, COUNT_NAMES
from phoebe_addon.exchange.admission import Admission
from phoebe_addon.exchange.event import Ending
from phoebe_addon.exchange.metering import Metering
from phoebe_addon.formats.sse import SseParser
from phoebe_addon.gate.identity import Identity
from phoebe_proto.v1.metering_pb2 import MeteringEvent
from rater_service.events.validation import EventRow, validate
from tests.harness.content_codings import ENCODERS, encode
from tests.harness.documents import FORMATS, answers, bodies, cut, families, places, single_bytes, texts
from tests.harness.engine_streams import STREAMS
from tests.harness.known import family

NOW = datetime(2026, 11, 20, tzinfo=UTC)
SSE = "text/event-stream"
TYPES = (SSE, "application/x-ndjson", "application/json", "")
CHAT = family("openai.chat")
OPENAI_REMOVALS = [
    Removal(),
    Removal((STREAM_USAGE,)),
    Removal((CONTINUOUS_USAGE,)),
    Removal((STREAM_USAGE, CONTINUOUS_USAGE)),
]
ALL_ASKS: tuple[UsageSwitch, ...] = tuple(
    {ask: None for each in FORMATS for ask in each.request.usage_switches}
)

stream_names = st.sampled_from(sorted(STREAMS))
types = st.sampled_from(TYPES)
removals = st.lists(st.sampled_from(ALL_ASKS), unique=True, max_size=3).map(
    lambda usage_switches: Removal(tuple(usage_switches))
)
engines = st.sampled_from([UNDECLARED, *ENGINES])
request_facts = st.builds(RequestFacts, st.integers(1, 3), st.integers(1, 3), engines)
each_format = pytest.mark.parametrize("answering", FORMATS, ids=lambda each: each.api)


def pass_through(
    chunks: list[bytes],
    removal: Removal,
    answering: Family = CHAT,
    content_type: str = SSE,
    request_facts: RequestFacts | None = None,
) -> tuple[bytes, Answer]:
    reader = AnswerReader((answering.answer,), request_facts or RequestFacts())
    body = open_body(content_type, "", reader, removal)
    passed = b"".join([*(body.feed(chunk) for chunk in chunks), body.finish()])
    return passed, reader.answer()


def data_of(stream: bytes) -> list[object]:
    parser = SseParser(10**6)
    pieces = [*parser.feed(stream), parser.finish()]
    return [json.loads(piece.data) for piece in pieces if piece and piece.data and piece.data != b"[DONE]"]


@pytest.mark.untraced  # long, with every line traced
@pytest.mark.parametrize("removal", OPENAI_REMOVALS, ids=["nothing", "final", "running", "both"])
@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_cut_at_every_byte_gives_the_same_answer_and_the_same_bytes(
    name: str, removal: Removal
) -> None:
    stream = b"".join(STREAMS[name])
    whole = pass_through([stream], removal)

    assert whole[1].model is not None
    for place in range(len(stream) + 1):
        assert pass_through([stream[:place], stream[place:]], removal) == whole
    assert pass_through(single_bytes(stream), removal) == whole


@each_format
@settings(max_examples=25)
@given(st.data())
def test_what_is_found_and_passed_on_does_not_depend_on_the_cuts(
    answering: Family, data: st.DataObject
) -> None:
    body = data.draw(bodies(answering.answer))
    content_type, removal, how = data.draw(types), data.draw(removals), data.draw(request_facts)
    whole = pass_through([body], removal, answering, content_type, how)

    for chunks in (cut(body, data.draw(places)), single_bytes(body), [b"", *single_bytes(body), b""]):
        assert pass_through(chunks, removal, answering, content_type, how) == whole


@settings(max_examples=150)
@given(st.binary(max_size=12), st.integers(0, 12), removals)
@example(b"\xef\xbb\xbfevent: x", 8, Removal())
@example(b"\xef\xbb\xbfretry:1\n\ndata: {}", 8, Removal((STREAM_USAGE,)))
def test_the_form_of_an_untyped_body_does_not_depend_on_the_cuts(
    start: bytes, place: int, removal: Removal
) -> None:
    body = start + b'\ndata: {"choices":[],"usage":{"prompt_tokens":1}}\n\n'

    assert pass_through([body[:place], body[place:]], removal, content_type="") == pass_through(
        [body], removal, content_type=""
    )


@settings(max_examples=200)
@given(answers(), types, places)
def test_without_anything_to_take_out_the_client_gets_the_very_bytes(
    answer: tuple[Family, bytes], content_type: str, at: list[int]
) -> None:
    answering, body = answer

    assert pass_through(cut(body, at), Removal(), answering, content_type)[0] == body


@settings(max_examples=200)
@given(
    answers(),
    types,
    st.sampled_from(sorted(ENCODERS)),
    places,
    st.tuples(st.integers(0, 500), st.integers(0, 255)),
)
def test_a_coded_body_goes_on_as_the_very_bytes_even_if_it_is_damaged(
    answer: tuple[Family, bytes], content_type: str, coding: str, at: list[int], damage: tuple[int, int]
) -> None:
    answering, body = answer
    place, change = damage
    coded = bytearray(encode(coding, body))
    coded[place % len(coded)] ^= change
    reader = AnswerReader((answering.answer,), RequestFacts())
    opened = open_body(content_type, ENCODERS[coding][0], reader, Removal())

    passed = [opened.feed(chunk) for chunk in cut(bytes(coded), at)]

    assert b"".join([*passed, opened.finish()]) == bytes(coded)
    if not change:
        assert reader.answer() == pass_through([body], Removal(), answering, content_type)[1]


@settings(max_examples=100)
@given(answers(), types, st.sampled_from(sorted(ENCODERS)), removals, places)
def test_a_coded_body_comes_out_as_the_plain_one_would(
    answer: tuple[Family, bytes], content_type: str, coding: str, removal: Removal, at: list[int]
) -> None:
    answering, body = answer
    removal = removal or Removal((STREAM_USAGE,))
    reader = AnswerReader((answering.answer,), RequestFacts())
    opened = open_body(content_type, ENCODERS[coding][0], reader, removal)

    passed = b"".join([*(opened.feed(chunk) for chunk in cut(encode(coding, body), at)), opened.finish()])

    assert (passed, reader.answer()) == pass_through([body], removal, answering, content_type)


@settings(max_examples=120)
@given(answers(), types, removals, request_facts)
def test_what_is_found_does_not_depend_on_what_is_taken_out(
    answer: tuple[Family, bytes], content_type: str, removal: Removal, how: RequestFacts
) -> None:
    answering, body = answer

    assert (
        pass_through([body], removal, answering, content_type, how)[1]
        == pass_through([body], Removal(), answering, content_type, how)[1]
    )


@each_format
@settings(max_examples=25)
@given(st.data())
def test_counts_are_counts_or_none_and_what_is_malformed_is_no_usage(
    answering: Family, data: st.DataObject
) -> None:
    body, content_type = data.draw(bodies(answering.answer)), data.draw(types)
    answer = pass_through([body], Removal(), answering, content_type, data.draw(request_facts))[1]

    if answer.usage:
        assert answer.usage.is_billable()
        assert not answer.malformed
        for name in COUNT_NAMES:
            count = getattr(answer.usage, name)
            assert count is None or (type(count) is int and 0 <= count <= COUNT_MAX)
    if answer.usage_raw is not None:
        assert isinstance(json.loads(answer.usage_raw, parse_int=float), dict | list)


@settings(max_examples=150)
@given(st.data(), st.sampled_from([each for each in FORMATS if each.request.usage_switches]))
def test_what_is_taken_out_of_events_is_what_was_asked_for_and_nothing_else(
    data: st.DataObject, answering: Family
) -> None:
    removal = Removal(answering.request.usage_switches)
    pieces = [b"data: %s\n\n" % text.replace(b"\n", b"\ndata: ") for text in data.draw(_texts(answering))]
    passed: list[bytes] = []
    reader = AnswerReader((answering.answer,), RequestFacts())
    body = open_body(SSE, "", reader, removal)
    for piece in pieces:
        passed.append(body.feed(piece))

    has_ended = False
    for before, after in zip(pieces, passed, strict=True):
        (document,) = data_of(before)
        if isinstance(document, dict):
            check_taken_out(answering, document, data_of(after), has_ended=has_ended)
            has_ended |= states_reason(answering, document)
        if not isinstance(document, dict) or (after and data_of(after) == [document]):
            assert after == before


def states_reason(answering: Family, document: dict[str, object]) -> bool:
    reasons = [value_at(document, place) for place in answering.answer.finish_reasons]
    return any(isinstance(reason, str) and reason for reason in reasons)


def members_of(value: object) -> dict[str, object]:
    """Return the members of an object, of anything else itself as one, unless it is empty."""
    return value if isinstance(value, dict) else {"": value} if value else {}


def add_nothing(choices: object) -> bool:
    """Whether choices are there for the usage alone: they have neither content nor a reason."""
    return isinstance(choices, list) and all(
        isinstance(choice, dict)
        and not any(value for name, value in choice.items() if name not in {"index", "delta"})
        and not any(value for name, value in members_of(choice.get("delta")).items() if name != "role")
        for choice in choices
    )


def check_taken_out(
    answering: Family, document: dict[str, object], passed: list[object], *, has_ended: bool
) -> None:
    """Check what is left of the document of one event. has_ended: one before stated a finish reason."""
    places = answering.answer.usage[0].places
    has_usage = any(isinstance(value_at(document, path), dict) for path in places)
    choices = document.get("choices")
    has_choices = bool(choices) and not (has_ended and add_nothing(choices))
    is_error = has_mark(document, answering.answer.failures)
    rest = passed[0] if passed else None
    taken: set[str] = set()
    for ask in answering.request.usage_switches:
        if ask.take_out is TakeOut.CHUNK:
            assert (rest is None) is (has_usage and not has_choices and not is_error)
        if ask.take_out is not TakeOut.RUNNING or (has_usage and has_choices):
            taken |= set(ask.answer_members)
    if isinstance(rest, dict):
        assert _others(rest, taken) == _others(document, taken)
        for ask in answering.request.usage_switches:
            if ask.take_out is TakeOut.MEMBER or (
                ask.take_out is TakeOut.RUNNING and has_usage and has_choices
            ):
                assert not rest.keys() & set(ask.answer_members)
            if ask.take_out is TakeOut.NULL:
                assert all(rest.get(name) is None for name in ask.answer_members)


def _texts(answering: Family) -> st.SearchStrategy[list[bytes]]:
    return st.lists(texts(answering.answer), max_size=4)


def _others(document: dict[str, object], members: set[str]) -> str:
    """Write a document without some members, so that NaN equals itself."""
    return json.dumps({name: value for name, value in document.items() if name not in members})


@pytest.mark.parametrize("name", STREAMS)
def test_with_running_usage_taken_out_no_chunk_with_choices_has_any(name: str) -> None:
    stream = b"".join(STREAMS[name])
    sent, passed = data_of(stream), data_of(pass_through([stream], Removal((CONTINUOUS_USAGE,)))[0])

    for before in sent:
        assert isinstance(before, dict)
        if before.get("choices") and before.get("usage"):
            del before["usage"]
    assert passed == sent


@given(bodies(CHAT.answer))
def test_taking_running_usage_out_leaves_every_other_event_as_it_is(stream: bytes) -> None:
    parser = SseParser(10**6)
    pieces = [*parser.feed(stream), parser.finish()]
    kept = [piece.raw for piece in pieces if piece and not (piece.data and b"ge" in piece.data)]
    passed = pass_through([stream], Removal((CONTINUOUS_USAGE,)))[0]

    position = 0
    for raw in kept:
        position = passed.index(raw, position) + len(raw)


WITH_USAGE = (
    '{"usage":{"prompt_tokens":9,"completion_tokens":9}}',
    '"us\\u0061ge":{"prompt_tokens":9}',
    "[DONE]",
)


@settings(max_examples=150)
@given(families, st.sampled_from(WITH_USAGE), st.text(max_size=5), types, st.booleans())
def test_what_a_model_writes_is_never_read_as_usage(
    answering: Family, written: str, more: str, content_type: str, escaped: bool
) -> None:
    text = json.dumps(f"{more}data: {written}\n\ndata: {written}\n\n{more}", ensure_ascii=escaped)
    if escaped:
        text = text.replace("usage", "us\\u0061ge")
    choices = f'[{{"index":0,"delta":{{"content":{text}}},"text":{text}}}]'
    document = f'{{"choices":{choices},"content":{text},"text":{text},"response":{text},"message":{text}}}'
    body = document.encode("utf-8", "replace")
    if content_type == SSE:
        body = b"data: " + body + b"\n\n"

    answer = pass_through([body], Removal(), answering, content_type)[1]

    assert (answer.usage, answer.usage_raw, answer.malformed) == (None, None, False)
    assert not answer.finished or content_type in {"application/json", ""}


def escape(name: str, which: list[bool]) -> str:
    """Write a name with some of its characters as escapes."""
    return "".join(f"\\u{ord(c):04x}" if flag else c for c, flag in zip(name, which, strict=True))


@given(st.lists(st.booleans(), min_size=5, max_size=5), st.lists(st.booleans(), min_size=13, max_size=13))
def test_a_name_is_read_however_it_is_escaped(usage: list[bool], prompt_tokens: list[bool]) -> None:
    block = f'{{"{escape("prompt_tokens", prompt_tokens)}":7}}'
    document = f'{{"{escape("usage", usage)}":{block}}}'

    for content_type, body in ((SSE, f"data: {document}\n\n"), ("application/json", document)):
        answer = pass_through([body.encode()], Removal((STREAM_USAGE,)), content_type=content_type)[1]

        assert answer.usage is not None
        assert answer.usage.prompt == 7
        assert answer.usage_raw == block


@given(answers(), types, places)
def test_without_anything_to_take_out_bytes_go_on_as_they_come(
    answer: tuple[Family, bytes], content_type: str, at: list[int]
) -> None:
    answering, body = answer
    opened = open_body(content_type, "", AnswerReader((answering.answer,), RequestFacts()), Removal())
    for chunk in cut(body, at):
        assert opened.feed(chunk) == chunk


@settings(max_examples=120)
@given(answers(), types, removals, request_facts)
@example(
    (CHAT, b'data: {"choices":[1],\ndata: "usage":{}}\n\n'), SSE, Removal((CONTINUOUS_USAGE,)), RequestFacts()
)
def test_reading_never_fails_whenever_it_is_asked_what_it_knows(
    answer: tuple[Family, bytes], content_type: str, removal: Removal, how: RequestFacts
) -> None:
    answering, content = answer
    reader = AnswerReader((answering.answer, CHAT.answer), how)
    body = open_body(content_type, "", reader, removal)
    reader.answer()
    body.feed(content)
    reader.answer()
    body.feed(content)
    reader.answer()
    body.finish()
    reader.answer()


def admission(answering: Family, how: RequestFacts, removal: Removal) -> Admission:
    return Admission(
        request_id="01939f2e-0000-7000-8000-000000000000",
        client_request_id=None,
        identity=Identity("auth-1", "res-1"),
        families=(answering, CHAT),
        requested_model=None,
        request_facts=how,
        removal=removal,
        served_models=("only",),
        start_time=NOW,
    )


header_values = st.one_of(
    st.sampled_from(
        ["7", "0", "-1", "9" * 30, "{}", '{"usage":{"prompt_tokens":3}}', "[[", "gzip", "br,gzip"]
    ),
    st.text(st.characters(max_codepoint=255), max_size=6),
    st.binary(max_size=5).map(lambda value: value.decode("utf-8", "surrogateescape")),
)
header_names = st.sampled_from(["metadata", "x-prompt-tokens", "x-generated-tokens", "content-encoding", "x"])


@settings(max_examples=300)
@given(
    answers(),
    st.tuples(types, st.dictionaries(header_names, header_values, max_size=3)),
    st.one_of(st.just(200), st.integers(0, 999)),
    st.sampled_from(Ending),
    st.tuples(request_facts, removals),
)
@example(
    (CHAT, b"{}"), (SSE, {"content-encoding": "\udcff"}), 200, Ending.CLIENT_GONE, (RequestFacts(), Removal())
)
@example(
    (family("openai.embeddings"), b"{}"),
    ("", {"metadata": "\udcff"}),
    200,
    Ending.ANSWER_COMPLETE,
    (RequestFacts(), Removal()),
)
def test_the_event_of_any_answer_can_be_stored(
    answer: tuple[Family, bytes],
    head: tuple[str, dict[str, str]],
    status_code: int,
    ending: Ending,
    asking: tuple[RequestFacts, Removal],
) -> None:
    (answering, content), (content_type, headers) = answer, head
    metering = Metering(admission(answering, *asking))
    metering.answer_began(status_code, {"content-type": content_type, **headers})
    metering.answer_bytes(content, NOW)
    if ending is Ending.ANSWER_COMPLETE:
        metering.answer_complete()
    event = metering.events(ending, NOW)[0]

    event.producer_id = "producer-1"
    event.producer_seq = 1
    assert isinstance(validate(MeteringEvent.FromString(event.SerializeToString())), EventRow)

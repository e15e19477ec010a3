from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import RFC_4122, UUID

import pytest

from phoebe_addon.answer.abort import Abort
from phoebe_addon.answer.reader import RequestFacts
from phoebe_addon.answer.removal import Removal
from phoebe_addon.answer.resource_watch import Clues
from phoebe_addon.apis.engines import UNDECLARED
from phoebe_addon.apis.families.openai_chat import STREAM_USAGE
from phoebe_addon.exchange.admission import Admission
from phoebe_addon.exchange.event import Ending, admission_event, is_unbilled_output
from phoebe_addon.exchange.metering import Metering
from phoebe_addon.formats.steps import at_once
from phoebe_addon.gate.identity import Identity
from phoebe_proto.v1.metering_pb2 import MeteringEvent
from rater_service.events.validation import EventRow, validate
from tests.harness.content_codings import encode
from tests.harness.known import engine, family

START = datetime(2026, 11, 20, 12, 0, 0, 250_000, tzinfo=UTC)
FIRST_BYTE = START + timedelta(seconds=1)
END = START + timedelta(seconds=2)

ADMISSION = Admission(
    request_id="01939f2e-0000-7000-8000-000000000000",
    client_request_id="client-1",
    trace_id="0af7651916cd43dd8448eb211c80319c",
    identity=Identity("auth-1", "res-1", "base", "user-1", "group-1", "deployment"),
    families=(family("openai.chat"),),
    requested_model="asked",
    request_facts=RequestFacts(),
    removal=Removal(),
    served_models=(),
    start_time=START,
)
USAGE = b'"usage":{"prompt_tokens":0,"completion_tokens":2}'
STREAM = "text/event-stream"
JSON = "application/json"
CHUNK = b'data: {"model":"m","choices":[{"delta":{}}]}\n\n'
FINISHED = b'data: {"choices":[{"finish_reason":"stop"}]}\n\n'
FINAL_USAGE = b'data: {"choices":[],' + USAGE + b"}\n\n"
ERROR = b'data: {"error":{"message":"no"}}\n\n'
DONE = b"data: [DONE]\n\n"


def ended(
    ending: Ending,
    status_code: int | None = 200,
    content_type: str = JSON,
    body: bytes = b"",
    *,
    admission: Admission = ADMISSION,
) -> MeteringEvent:
    metering = Metering(admission)
    if status_code is not None:
        metering.answer_began(status_code, {"content-type": content_type})
        if body:
            metering.answer_bytes(body, FIRST_BYTE)
        if ending is Ending.ANSWER_COMPLETE:
            metering.answer_complete()
    return metering.events(ending, END)[0]


COMPLETE, GONE, FAILED, UNASKED, STOPPED = Ending


@pytest.mark.parametrize(
    ("ending", "status_code", "content_type", "body", "outcome"),
    [
        (COMPLETE, 200, JSON, b"{" + USAGE + b"}", "completed"),
        (COMPLETE, 200, JSON, b"", "completed"),
        (COMPLETE, 200, JSON, b'{"error":{"message":"no"}}', "upstream_error"),
        (COMPLETE, 204, "", b"", "completed"),
        (COMPLETE, 307, "", b"", "upstream_error"),
        (COMPLETE, 400, JSON, b"{}", "upstream_error"),
        (COMPLETE, 500, "", b"", "upstream_error"),
        (COMPLETE, 500, STREAM, DONE, "upstream_error"),
        (COMPLETE, 200, STREAM, CHUNK + FINISHED + DONE, "completed"),
        (COMPLETE, 200, STREAM, CHUNK + FINISHED, "completed"),
        (COMPLETE, 200, STREAM, CHUNK, "upstream_error"),
        (COMPLETE, 200, STREAM, b"", "upstream_error"),
        (COMPLETE, 200, STREAM, CHUNK + ERROR + DONE, "upstream_error"),
        (GONE, None, "", b"", "aborted"),
        (GONE, 200, JSON, b"", "aborted"),
        (GONE, 200, JSON, b"{" + USAGE, "aborted"),
        (GONE, 200, JSON, b"{" + USAGE + b"}", "completed"),
        (GONE, 200, JSON, CHUNK + FINISHED, "aborted"),
        (GONE, 200, JSON, CHUNK + FINISHED + DONE[:-2], "completed"),
        (GONE, 200, STREAM, CHUNK, "aborted"),
        (GONE, 200, STREAM, CHUNK + FINISHED, "aborted"),
        (GONE, 200, STREAM, CHUNK + FINISHED + DONE, "completed"),
        (GONE, 200, STREAM, CHUNK + ERROR, "upstream_error"),
        (GONE, 503, JSON, b"", "upstream_error"),
        (FAILED, None, "", b"", "upstream_error"),
        (FAILED, 200, JSON, b"{", "upstream_error"),
        (FAILED, 200, JSON, b"{}", "completed"),
        (COMPLETE, 200, JSON, b"<html>", "completed"),
        (COMPLETE, 200, JSON, b'{"model":"m",,}', "completed"),
        (COMPLETE, 200, STREAM, b"{}", "completed"),
        (COMPLETE, 200, JSON, CHUNK + FINISHED, "completed"),
        (COMPLETE, 200, JSON, CHUNK, "upstream_error"),
        (COMPLETE, 200, STREAM, CHUNK + b'data: {"choices":[{"finish_reason":]}\n\n', "completed"),
        (FAILED, 200, STREAM, CHUNK + FINISHED, "upstream_error"),
        (FAILED, 200, STREAM, CHUNK + FINISHED + DONE, "completed"),
        (UNASKED, None, "", b"", "proxy_error"),
        (STOPPED, None, "", b"", "proxy_error"),
        (STOPPED, 200, STREAM, CHUNK + FINISHED + DONE, "proxy_error"),
        (STOPPED, 500, JSON, b"", "proxy_error"),
    ],
)
def test_how_an_exchange_ended_decides_its_outcome(
    ending: Ending, status_code: int | None, content_type: str, body: bytes, outcome: str
) -> None:
    assert ended(ending, status_code, content_type, body).outcome == outcome


def test_an_event_says_all_that_is_known() -> None:
    body = (
        b'{"model":"m","choices":[{"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":2,'
    )
    body += b'"prompt_tokens_details":{"cached_tokens":0}}}'

    event = ended(COMPLETE, 200, JSON, body)

    assert validate(MeteringEvent.FromString(_numbered(event))) == EventRow(
        request_id=UUID(ADMISSION.request_id),
        client_request_id="client-1",
        producer_id="producer-1",
        producer_seq=1,
        auth_id="auth-1",
        user_id="user-1",
        group_id="group-1",
        resource_id="res-1",
        resource_type="deployment",
        base_model="base",
        model_id="m",
        requested_model="asked",
        api="openai.chat",
        prompt_tokens=5,
        cached_tokens=0,
        completion_tokens=2,
        reasoning_tokens=None,
        usage_found=True,
        usage_raw='{"prompt_tokens":5,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":0}}',
        outcome="completed",
        status_code=200,
        finish_reason="stop",
        streamed=False,
        event_time=END,
        start_time=START,
        first_byte_time=FIRST_BYTE,
        cache_write_tokens=None,
        prompt_audio_tokens=None,
        completion_audio_tokens=None,
        model_untrusted=False,
        answer_bytes=len(body),
        part_of=None,
        part_count=0,
        usage_partial=False,
        model_echoed=False,
        trace_id=bytes.fromhex(ADMISSION.trace_id),
    )


def test_what_was_not_reported_is_absent_and_zero_is_zero() -> None:
    event = ended(COMPLETE, 200, JSON, b"{" + USAGE + b"}")

    assert event.HasField("prompt_tokens")
    assert event.prompt_tokens == 0
    assert not event.HasField("cached_tokens")
    assert not event.HasField("reasoning_tokens")


def test_an_exchange_the_engine_never_answered_has_neither_status_nor_first_byte_nor_usage() -> None:
    event = ended(GONE, None)

    for name in ("status_code", "first_byte_time", "prompt_tokens", "completion_tokens", "answer_bytes"):
        assert not event.HasField(name)
    assert (event.usage_found, event.usage_raw, event.model_id, event.streamed) == (False, "", "", False)


def test_usage_that_is_malformed_is_kept_and_not_counted() -> None:
    event = ended(COMPLETE, 200, JSON, b'{"model":"m","usage":{"prompt_tokens":5,"completion_tokens":-1}}')

    assert event.usage_raw == '{"prompt_tokens":5,"completion_tokens":-1}'
    assert not event.usage_found
    assert not event.HasField("prompt_tokens")


def test_an_aborted_stream_keeps_the_last_counts_it_gave() -> None:
    running = b'data: {"choices":[{"index":0}],' + USAGE + b"}\n\n"

    event = ended(GONE, 200, STREAM, running + CHUNK[:10])

    assert (event.outcome, event.usage_found, event.completion_tokens) == ("aborted", True, 2)
    assert event.streamed


def test_the_first_byte_time_is_that_of_the_first_bytes_only() -> None:
    metering = Metering(ADMISSION)
    metering.answer_began(200, {"content-type": STREAM})
    metering.answer_bytes(CHUNK, FIRST_BYTE)
    metering.answer_bytes(DONE, END)
    event = metering.events(COMPLETE, END)[0]

    assert event.first_byte_time.ToDatetime(UTC) == FIRST_BYTE


def test_the_bytes_of_an_answer_are_those_that_the_client_gets() -> None:
    asked_by_phoebe = replace(ADMISSION, removal=Removal((STREAM_USAGE,)))

    event = ended(COMPLETE, 200, STREAM, CHUNK + FINISHED + FINAL_USAGE + DONE, admission=asked_by_phoebe)

    assert event.answer_bytes == len(CHUNK + FINISHED + DONE)


def test_an_answer_without_a_byte_has_none() -> None:
    event = ended(GONE, 200, STREAM)

    assert event.HasField("answer_bytes")
    assert event.answer_bytes == 0


LAST_WORDS = {
    "openai.chat": (b'{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'),
    "openai.responses": b'{"type":"response.output_text.done","text":"all of it"}',
    "anthropic.messages": b'{"type":"content_block_stop","index":0}',
    "cohere.chat": b'{"type":"content-end","index":0}',
    "lmstudio.chat": b'{"type":"message.end"}',
    "ollama.chat": b'{"done":true,"done_reason":"stop"}',
    "llamacpp.completion": b'{"content":"","stop":true}',
    "sglang.generate": b'{"text":"a","meta_info":{"finish_reason":{"type":"stop"}}}',
    "tgi.generate": b'{"generated_text":"all of it","details":null}',
    "openai.images": b'{"type":"image_generation.completed","b64_json":"a"}',
    "openai.transcription": b'{"type":"transcript.text.done","text":"all of it"}',
    "openai.speech": b'{"type":"speech.audio.done"}',
}
WORDS = (
    b'data: {"model":"m","type":"a","text":"one word","choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
)


def streaming(api: str, *events: bytes, status_code: int = 200, content_type: str = STREAM) -> Metering:
    metering = Metering(replace(ADMISSION, families=(family(api),)))
    metering.answer_began(status_code, {"content-type": content_type})
    for event in events:
        metering.answer_bytes(event, FIRST_BYTE)
    return metering


@pytest.mark.parametrize("api", LAST_WORDS)
def test_a_stream_is_worth_reading_without_its_client_once_a_client_may_have_all_words(api: str) -> None:
    last_words = b"data: " + LAST_WORDS[api] + b"\n\n"

    assert not streaming(api, WORDS).is_worth_reading(Abort.FINISH)
    assert streaming(api, WORDS).is_worth_reading(Abort.DRAIN)
    assert streaming(api, WORDS, WORDS, last_words).is_worth_reading(Abort.FINISH)
    assert not streaming(api, WORDS, last_words).is_worth_reading(Abort.CUT)


@pytest.mark.parametrize(
    ("api", "begin"),
    [
        ("anthropic.messages", '{"type":"content_block_start","index":1,"content_block":{"type":"text"}}'),
        ("openai.responses", '{"type":"response.output_item.added","item":{"type":"function_call"}}'),
        ("openai.responses", '{"type":"response.content_part.added","part":{"type":"output_text"}}'),
        ("cohere.chat", '{"type":"content-start","index":1}'),
        ("cohere.chat", '{"type":"tool-call-start","index":1}'),
        ("lmstudio.chat", '{"type":"message.start"}'),
        ("lmstudio.chat", '{"type":"reasoning.start"}'),
        ("lmstudio.chat", '{"type":"tool_call.start"}'),
        ("lmstudio.chat", '{"type":"prompt_processing.start"}'),
    ],
)
def test_an_engine_that_begins_another_text_or_call_has_not_finished(api: str, begin: str) -> None:
    last_words = b"data: " + LAST_WORDS[api] + b"\n\n"
    goes_on = (WORDS, last_words, f"data: {begin}\n\n".encode(), WORDS)

    assert not streaming(api, *goes_on).is_worth_reading(Abort.FINISH)
    assert streaming(api, *goes_on, last_words).is_worth_reading(Abort.FINISH)


@pytest.mark.parametrize("abort", [Abort.FINISH, Abort.DRAIN])
def test_nothing_is_worth_reading_where_no_usage_can_be(abort: Abort) -> None:
    assert not Metering(ADMISSION).is_worth_reading(abort)
    assert not streaming("openai.chat", status_code=500, content_type=JSON).is_worth_reading(abort)
    assert not streaming("openai.chat", CHUNK, FINISHED, DONE).is_worth_reading(abort)
    assert not streaming("openai.chat", b"ID3" + bytes(50), content_type="audio/mpeg").is_worth_reading(abort)
    compressed = streaming("openai.chat", content_type=JSON)
    compressed.answer_began(200, {"content-type": JSON, "content-encoding": "gzip"})
    compressed.answer_bytes(b"not gzip, all of it", FIRST_BYTE)
    assert not compressed.is_worth_reading(abort)


def test_a_document_is_worth_reading_from_its_head_on() -> None:
    assert streaming("openai.embeddings", content_type=JSON).is_worth_reading(Abort.FINISH)


def test_what_is_read_without_the_client_counts_but_not_as_passed_on() -> None:
    metering = streaming("openai.chat", CHUNK, FINISHED)

    assert at_once(metering.read_on(FINAL_USAGE)) == len(FINAL_USAGE)
    at_once(metering.read_on(DONE))
    metering.read_to_end()
    (event,) = metering.events(GONE, END)

    assert (event.outcome, event.usage_found, event.completion_tokens) == ("aborted", True, 2)
    assert event.answer_bytes == len(CHUNK + FINISHED)


@pytest.mark.parametrize(
    ("api", "had", "read_on", "outcome"),
    [
        ("anthropic.messages", b'data: {"type":"message_stop"}\n\n', b": the end\n\n", "completed"),
        ("anthropic.messages", WORDS, b'data: {"type":"message_stop"}\n\n', "aborted"),
        ("openai.chat", FINISHED, DONE, "aborted"),
        ("openai.chat", FINISHED, b"", "aborted"),
    ],
)
def test_a_client_left_early_if_the_rest_of_its_answer_came_without_it(
    api: str, had: bytes, read_on: bytes, outcome: str
) -> None:
    metering = streaming(api, had)
    if read_on:
        at_once(metering.read_on(read_on))
    metering.read_to_end()

    assert metering.events(GONE, END)[0].outcome == outcome


@pytest.mark.parametrize(
    ("ending", "status_code", "body", "unbilled"),
    [
        (GONE, 200, CHUNK, True),
        (FAILED, 200, CHUNK, True),
        (STOPPED, 200, CHUNK, True),
        (COMPLETE, 200, CHUNK + ERROR, True),
        (GONE, 200, b"", False),
        (GONE, 200, CHUNK + FINAL_USAGE, False),
        (COMPLETE, 200, CHUNK + FINISHED + DONE, False),
        (COMPLETE, 500, CHUNK, False),
        (GONE, None, b"", False),
    ],
)
def test_output_without_usage_is_unbilled_unless_the_answer_was_whole_or_an_error(
    ending: Ending, status_code: int | None, body: bytes, unbilled: bool
) -> None:
    assert is_unbilled_output(ended(ending, status_code, STREAM, body)) is unbilled


NAMELESS = b"{" + USAGE + b"}"
NAMED = b'{"model":"m",' + USAGE + b"}"


@pytest.mark.parametrize(
    ("served", "body", "model_id", "untrusted"),
    [
        ((), NAMED, "m", False),
        (("m",), NAMED, "m", False),
        (("a", "m"), NAMED, "m", False),
        (("other",), NAMED, "m", True),
        (("M",), NAMED, "m", True),
        ((), NAMELESS, "", False),
        (("m",), NAMELESS, "m", False),
        (("a", "m"), NAMELESS, "", False),
        (("m",), b"{}", "", False),
        (("m",), b'{"usage":{"prompt_tokens":-1}}', "", False),
    ],
)
def test_the_model_is_the_engines_word_or_the_only_one_it_serves(
    served: tuple[str, ...], body: bytes, model_id: str, untrusted: bool
) -> None:
    event = ended(COMPLETE, body=body, admission=replace(ADMISSION, served_models=served))

    assert (event.model_id, event.model_untrusted) == (model_id, untrusted)


@pytest.mark.parametrize(
    ("name", "api", "served", "untrusted"),
    [
        ("SGLang", "openai.chat", (), True),
        ("SGLang", "openai.chat", ("m",), False),
        ("SGLang", "openai.chat", ("other",), True),
        ("vLLM", "openai.chat", (), False),
        ("llama.cpp", "openai.chat", (), False),
        ("llama.cpp", "openai.embeddings", (), True),
        ("llama.cpp", "openai.embeddings", ("m",), False),
    ],
)
def test_a_model_that_an_engine_merely_repeats_is_trusted_only_if_it_is_declared(
    name: str, api: str, served: tuple[str, ...], untrusted: bool
) -> None:
    admission = replace(
        ADMISSION,
        families=(family(api),),
        request_facts=RequestFacts(engine=engine(name)),
        served_models=served,
    )

    assert ended(COMPLETE, body=NAMED, admission=admission).model_untrusted is untrusted
    assert not ended(COMPLETE, body=b"{}", admission=admission).model_untrusted


def test_a_spelling_of_a_declared_name_is_billed_under_the_declared_one() -> None:
    facts = RequestFacts(engine=engine("Ollama"))
    admission = replace(ADMISSION, request_facts=facts, served_models=("llama3.2", "m"))
    for name, model_id, untrusted in (
        ("LLAMA3.2:Latest", "llama3.2", False),
        ("llama3.2", "llama3.2", False),
        ("llama3.2:1b", "llama3.2:1b", True),
    ):
        event = ended(COMPLETE, body=b'{"model":"%s",%s}' % (name.encode(), USAGE), admission=admission)

        assert (event.model_id, event.model_untrusted) == (model_id, untrusted)


@pytest.mark.parametrize(
    ("name", "asked", "served", "model_id", "untrusted"),
    [
        ("SGLang", None, ("dear",), "dear", False),
        ("SGLang", "m", ("dear",), "m", True),
        ("SGLang", None, ("dear", "cheap"), "m", True),
        ("SGLang", None, (), "m", True),
        ("vLLM", None, ("dear",), "m", True),
    ],
)
def test_what_an_engine_repeats_of_a_request_without_a_model_stands_for_nothing(
    name: str, asked: str | None, served: tuple[str, ...], model_id: str, untrusted: bool
) -> None:
    facts = RequestFacts(engine=engine(name))
    admission = replace(ADMISSION, request_facts=facts, served_models=served, requested_model=asked)
    event = ended(COMPLETE, body=NAMED, admission=admission)

    assert (event.model_id, event.model_untrusted) == (model_id, untrusted)


def test_an_adapter_that_is_declared_bills_whatever_the_engine_calls_its_model() -> None:
    admission = replace(ADMISSION, billed_model="adapter", served_models=("base", "adapter"))
    for body in (NAMED, NAMELESS, b'{"model":"base",%s}' % USAGE):
        event = ended(COMPLETE, body=body, admission=admission)

        assert (event.model_id, event.model_untrusted) == ("adapter", False)


@pytest.mark.parametrize(
    ("body", "api"),
    [
        (b'{"model":"m","tokens_evaluated":3,"tokens_predicted":2,"stop":true}', "llamacpp.completion"),
        (NAMED, "openai.completions"),
        (b'{"error":{"message":"no"}}', "llamacpp.completion"),
    ],
)
def test_the_answer_tells_which_of_the_apis_of_its_path_it_is(body: bytes, api: str) -> None:
    admission = replace(ADMISSION, families=(family("llamacpp.completion"), family("openai.completions")))

    assert ended(COMPLETE, body=body, admission=admission).api == api


def clues_of(body: bytes, admission: Admission = ADMISSION, status_code: int = 200) -> Clues:
    metering = Metering(admission)
    metering.answer_began(status_code, {"content-type": JSON})
    for start in range(0, len(body), 7):
        metering.answer_bytes(body[start : start + 7], FIRST_BYTE)
    metering.answer_complete()
    metering.events(COMPLETE, END)[0]
    return metering.clues


@pytest.mark.parametrize(
    ("asked", "name", "served", "echoed"),
    [
        ("m", None, (), "m"),
        ("M", None, (), None),
        (None, None, (), None),
        ("m", None, ("m",), None),
        ("m", "vLLM", (), None),
        ("m", "llama.cpp", (), "m"),
        ("m", "LM Studio", (), "m"),
        ("m", "SGLang", (), None),
    ],
)
def test_an_answer_tells_if_it_may_repeat_what_was_asked(
    asked: str | None, name: str | None, served: tuple[str, ...], echoed: str | None
) -> None:
    facts = RequestFacts(engine=engine(name) if name else UNDECLARED)
    admission = replace(ADMISSION, requested_model=asked, request_facts=facts, served_models=served)

    assert clues_of(NAMED, admission) == Clues(echoed=echoed)
    assert ended(COMPLETE, body=NAMED, admission=admission).model_echoed is (echoed is not None)


def test_an_answer_tells_if_nobody_says_the_model() -> None:
    assert clues_of(NAMELESS) == Clues(nameless=True)
    assert clues_of(NAMELESS, replace(ADMISSION, served_models=("m",))) == Clues()
    assert clues_of(NAMELESS, replace(ADMISSION, served_models=("m", "n"))) == Clues(nameless=True)
    assert clues_of(b"{}") == Clues()


@pytest.mark.parametrize(
    ("status_code", "body", "refused"),
    [
        (422, b'{"detail":[{"loc":["body","stream_options","include_usage"]}]}', True),
        (400, b'{"error":"unknown field stream_options"}', True),
        (400, b'{"error":"bad temperature"}', False),
        (500, b'{"error":"stream_options"}', False),
        (422, b" " * 5000 + b"stream_options", False),
    ],
)
def test_an_answer_tells_if_its_engine_refuses_to_be_asked(
    status_code: int, body: bytes, refused: bool
) -> None:
    asked = replace(ADMISSION, removal=Removal((STREAM_USAGE,)))

    assert clues_of(body, asked, status_code).refused_asking is refused
    assert not clues_of(body, ADMISSION, status_code).refused_asking


def test_a_model_too_long_to_be_kept_whole_is_not_trusted() -> None:
    for length, untrusted in ((256, False), (257, True)):
        body = b'{"model":"%s"}' % (b"x" * length)
        event = ended(COMPLETE, body=body)

        assert (len(event.model_id), event.model_untrusted) == (256, untrusted)


def test_the_model_the_client_asked_for_never_stands_in_for_the_engines() -> None:
    assert ended(COMPLETE, body=b"{" + USAGE + b"}").model_id == ""


def test_usage_is_taken_out_only_of_a_successful_answer() -> None:
    admission = replace(ADMISSION, removal=Removal((STREAM_USAGE,)))
    for status_code, passed in ((200, b""), (400, FINAL_USAGE)):
        metering = Metering(admission)
        metering.answer_began(status_code, {"content-type": STREAM})

        assert metering.answer_bytes(FINAL_USAGE, FIRST_BYTE) + metering.answer_complete() == passed


@pytest.mark.parametrize(
    ("coding", "removal", "decoded"),
    [
        ("gzip", Removal(), False),
        ("gzip", Removal((STREAM_USAGE,)), True),
        ("", Removal((STREAM_USAGE,)), False),
        ("unheard-of", Removal((STREAM_USAGE,)), False),
    ],
)
def test_an_answer_comes_out_decoded_only_if_something_is_to_be_taken_out(
    coding: str, removal: Removal, decoded: bool
) -> None:
    metering = Metering(replace(ADMISSION, removal=removal))

    assert metering.answer_began(200, {"content-type": STREAM, "content-encoding": coding}) is decoded
    sent = CHUNK + FINAL_USAGE + DONE
    body = encode(coding, sent) if coding == "gzip" else sent
    passed = metering.answer_bytes(body, FIRST_BYTE) + metering.answer_complete()
    without = CHUNK + DONE if removal else sent
    assert passed == (without if decoded or coding != "gzip" else body)


def test_usage_in_a_compressed_answer_is_found() -> None:
    metering = Metering(ADMISSION)
    metering.answer_began(200, {"content-type": STREAM, "content-encoding": "gzip"})
    metering.answer_bytes(encode("gzip", CHUNK + FINAL_USAGE + DONE), FIRST_BYTE)
    metering.answer_complete()
    event = metering.events(COMPLETE, END)[0]

    assert (event.outcome, event.completion_tokens, event.streamed) == ("completed", 2, True)
    assert not metering.answer_unreadable


@pytest.mark.parametrize(
    ("coding", "body"),
    [("gzip", b"\0no gzip"), ("unheard-of", b"\0"), ("gzip", b"no JSON"), ("", b"no JSON")],
)
def test_an_answer_whose_coding_cannot_be_read_is_noticed_and_passed_on(coding: str, body: bytes) -> None:
    metering = Metering(ADMISSION)
    metering.answer_began(200, {"content-type": JSON, "content-encoding": coding})
    passed = metering.answer_bytes(body, FIRST_BYTE) + metering.answer_complete()
    event = metering.events(COMPLETE, END)[0]

    assert passed == body
    assert metering.answer_unreadable
    assert not event.usage_found


@pytest.mark.parametrize(
    ("headers", "outcome"),
    [
        ({}, "upstream_error"),
        ({"content-length": "7"}, "completed"),
        ({"transfer-encoding": "x"}, "completed"),
    ],
)
def test_a_document_that_ends_before_its_end_was_cut_only_where_a_close_looks_like_the_end(
    headers: dict[str, str], outcome: str
) -> None:
    metering = Metering(ADMISSION)
    metering.answer_began(200, {"content-type": JSON, **headers})
    metering.answer_bytes(NAMED[:-2], FIRST_BYTE)
    metering.answer_complete()
    event = metering.events(COMPLETE, END)[0]

    assert (event.outcome, event.usage_found) == (outcome, False)


@pytest.mark.parametrize("ending", [GONE, FAILED, STOPPED])
def test_what_is_whole_when_the_connection_breaks_is_read(ending: Ending) -> None:
    bodies = [(STREAM, CHUNK + FINAL_USAGE[:-2]), (JSON, CHUNK + FINAL_USAGE[:-1]), (JSON, NAMED)]
    for content_type, body in bodies:
        assert ended(ending, 200, content_type, body).completion_tokens == 2
        assert not ended(ending, 200, content_type, body.removesuffix(b"\n")[:-1]).usage_found


def test_usage_in_headers_is_found() -> None:
    metering = Metering(replace(ADMISSION, families=(family("tgi.generate"),)))
    headers = {"content-type": JSON, "x-prompt-tokens": "7", "x-generated-tokens": "3"}
    metering.answer_began(200, headers)
    metering.answer_bytes(b'{"generated_text":"a"}', FIRST_BYTE)
    metering.answer_complete()
    event = metering.events(COMPLETE, END)[0]

    assert (event.prompt_tokens, event.completion_tokens) == (7, 3)
    assert (event.api, event.usage_raw) == ("tgi.generate", '{"x-prompt-tokens": 7,"x-generated-tokens": 3}')


@pytest.mark.parametrize("name", ["metadata", "x-prompt-tokens", "content-type", "content-encoding"])
def test_headers_of_any_bytes_are_survived(name: str) -> None:
    for api in ("openai.embeddings", "tgi.generate"):
        metering = Metering(replace(ADMISSION, families=(family(api),)))
        metering.answer_began(200, {name: "\udcff\0{"})
        metering.answer_bytes(b"{}", FIRST_BYTE)
        metering.answer_complete()
        event = metering.events(COMPLETE, END)[0]

        _assert_storable(event)


def test_an_answer_in_the_shape_of_another_api_of_its_path_is_read() -> None:
    both = replace(ADMISSION, families=(family("sglang.generate"), family("tgi.generate")))
    body = (
        b'{"generated_text":"a","details":{"input_length":4,"generated_tokens":2,"finish_reason":"length"}}'
    )
    event = ended(COMPLETE, body=body, admission=both)

    assert (event.api, event.prompt_tokens, event.completion_tokens) == ("tgi.generate", 4, 2)
    assert event.finish_reason == "length"


LINES = "application/x-ndjson"
LINE = b'{"model":"m","message":{"content":"a"},"done":false}\n'
LAST_LINE = b'{"model":"m","done":true,"done_reason":"stop","prompt_eval_count":3,"eval_count":2}\n'
TRITON_EVENT = b'data: {"model_name":"m","text_output":"a","num_input_tokens":3,"num_output_tokens":2}\n\n'
ANTHROPIC_START = (
    b'data: {"type":"message_start","message":{"usage":{"input_tokens":3,"output_tokens":1}}}\n\n'
)
ANTHROPIC_STOP = (
    b'data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}}\n\n'
)
ANTHROPIC_END = b'data: {"type":"message_stop"}\n\n'


@pytest.mark.parametrize(
    ("api", "content_type", "ending", "body", "outcome"),
    [
        ("ollama.chat", LINES, COMPLETE, LINE + LAST_LINE, "completed"),
        ("ollama.chat", LINES, GONE, LINE + LAST_LINE, "completed"),
        ("ollama.chat", LINES, FAILED, LINE + LAST_LINE, "completed"),
        ("ollama.chat", LINES, GONE, LINE, "aborted"),
        ("ollama.chat", LINES, COMPLETE, LINE, "upstream_error"),
        ("ollama.chat", LINES, COMPLETE, LINE + b'{"error":"out of memory"}\n', "upstream_error"),
        ("triton.generate", STREAM, COMPLETE, TRITON_EVENT, "completed"),
        ("triton.generate", STREAM, GONE, TRITON_EVENT, "aborted"),
        ("triton.generate", STREAM, FAILED, TRITON_EVENT, "upstream_error"),
        (
            "anthropic.messages",
            STREAM,
            COMPLETE,
            ANTHROPIC_START + ANTHROPIC_STOP + ANTHROPIC_END,
            "completed",
        ),
        ("anthropic.messages", STREAM, GONE, ANTHROPIC_START + ANTHROPIC_STOP + ANTHROPIC_END, "completed"),
        ("anthropic.messages", STREAM, COMPLETE, ANTHROPIC_START + ANTHROPIC_STOP, "completed"),
        ("anthropic.messages", STREAM, GONE, ANTHROPIC_START + ANTHROPIC_STOP, "aborted"),
        ("anthropic.messages", STREAM, COMPLETE, ANTHROPIC_START, "upstream_error"),
        ("anthropic.messages", STREAM, COMPLETE, b"event: error\ndata: {}\n\n", "upstream_error"),
    ],
)
def test_each_api_has_last_words_of_its_own(
    api: str, content_type: str, ending: Ending, body: bytes, outcome: str
) -> None:
    event = ended(ending, 200, content_type, body, admission=replace(ADMISSION, families=(family(api),)))

    assert event.outcome == outcome
    assert event.streamed


@pytest.mark.parametrize("status_code", [0, 99, 600, 999])
def test_a_status_that_http_does_not_have_is_not_carried(status_code: int) -> None:
    assert not ended(COMPLETE, status_code).HasField("status_code")


HOSTILE = "a\x00\ud800\udcffü\U0001f600" + "x" * 1000


def test_texts_of_clients_are_bounded_and_storable() -> None:
    event = ended(
        GONE, None, admission=replace(ADMISSION, client_request_id=HOSTILE, requested_model=HOSTILE)
    )

    for text in (event.client_request_id, event.requested_model):
        assert text.startswith("a\N{REPLACEMENT CHARACTER}??ü\U0001f600x")
        assert len(text) == 256
    _assert_storable(event)


def test_texts_of_engines_are_bounded_and_storable() -> None:
    name = '"a\\u0000\\ud800\\udcff\\ud83d\\ude00' + "x" * 1000 + '"'
    body = (
        f'{{"model":{name},"choices":[{{"finish_reason":{name}}}],"usage":{{"prompt_tokens":1,"x":{name}}}}}'
    )

    event = ended(COMPLETE, 200, JSON, body.encode())

    assert (len(event.model_id), len(event.finish_reason)) == (256, 64)
    assert event.usage_raw == f'{{"prompt_tokens":1,"x":{name}}}'
    _assert_storable(event)


@pytest.mark.parametrize("status_code", [None, 0, 200, 999])
@pytest.mark.parametrize("ending", Ending)
def test_every_event_keeps_the_rules_of_its_fields(ending: Ending, status_code: int | None) -> None:
    _assert_storable(ended(ending, status_code))


def test_an_admission_alone_is_an_event_of_a_failed_proxy() -> None:
    event = admission_event(replace(ADMISSION, client_request_id=None, requested_model=None))

    assert event.outcome == "proxy_error"
    assert event.event_time.ToDatetime(UTC) == START
    assert (event.auth_id, event.resource_id, event.base_model) == ("auth-1", "res-1", "base")
    assert (event.client_request_id, event.requested_model) == ("", "")
    _assert_storable(event)


def _numbered(event: MeteringEvent) -> bytes:
    event.producer_id = "producer-1"
    event.producer_seq = 1
    return event.SerializeToString()


def _assert_storable(event: MeteringEvent) -> None:
    assert isinstance(validate(MeteringEvent.FromString(_numbered(event))), EventRow)


ADVISED = (
    b'{"model":"m","type":"message","stop_reason":"end_turn","usage":{"input_tokens":3,"output_tokens":4,"iterations":['
    b'{"type":"message","input_tokens":3,"output_tokens":4},'
    b'{"type":"advisor_message","model":"dear","input_tokens":823,"output_tokens":1612},'
    b'{"type":"advisor_message","input_tokens":5,"output_tokens":6},'
    b'{"type":"advisor_message","model":"bad","input_tokens":-5}]}}'
)
MESSAGES = replace(ADMISSION, families=(family("anthropic.messages"),))


def events_of(body: bytes, admission: Admission = MESSAGES) -> tuple[Metering, tuple[MeteringEvent, ...]]:
    metering = Metering(admission)
    metering.answer_began(200, {"content-type": JSON})
    metering.answer_bytes(body, FIRST_BYTE)
    metering.answer_complete()
    return metering, metering.events(COMPLETE, END)


def test_each_further_model_has_an_event_of_its_own_that_is_a_part_of_the_exchange() -> None:
    metering, (own, dear, unnamed, bad) = events_of(ADVISED)

    assert (own.model_id, own.prompt_tokens, own.completion_tokens) == ("m", 3, 4)
    assert (own.part_count, own.part_of, own.answer_bytes) == (3, "", len(ADVISED))
    assert (dear.model_id, dear.prompt_tokens, dear.completion_tokens) == ("dear", 823, 1612)
    assert (
        dear.usage_raw
        == '[{"type":"advisor_message","model":"dear","input_tokens":823,"output_tokens":1612}]'
    )
    assert (unnamed.model_id, unnamed.usage_found, unnamed.prompt_tokens) == ("", True, 5)
    assert (bad.model_id, bad.usage_found, bad.usage_partial) == ("bad", False, False)
    assert metering.unnamed_or_unread == 2
    assert not metering.usage_malformed


def test_a_part_has_what_its_exchange_has_in_common_and_nothing_that_counts_once() -> None:
    _, (own, *parts) = events_of(ADVISED)

    for part in parts:
        for name in (
            "auth_id",
            "resource_id",
            "client_request_id",
            "api",
            "outcome",
            "status_code",
            "trace_id",
        ):
            assert getattr(part, name) == getattr(own, name)
        assert (part.event_time, part.start_time) == (own.event_time, own.start_time)
        assert part.part_of == own.request_id
        assert part.part_count == 0
        assert not part.base_model
        assert not part.HasField("answer_bytes")
        assert not part.HasField("first_byte_time")
        assert not part.finish_reason
        numbered = MeteringEvent.FromString(_numbered(part))
        assert isinstance(validate(numbered), EventRow)


def test_the_ids_of_parts_sort_by_time_beside_their_exchange_and_are_always_the_same() -> None:
    ids = [event.request_id for event in events_of(ADVISED)[1]]

    assert ids == [event.request_id for event in events_of(ADVISED)[1]]
    assert len(set(ids)) == 4
    for each in map(UUID, ids):
        assert (each.version, each.variant, each.bytes[:6]) == (7, RFC_4122, UUID(ids[0]).bytes[:6])


def test_a_part_obeys_the_rules_of_the_resource_about_models() -> None:
    declared = replace(MESSAGES, served_models=("m", "Dear"))
    _, (own, dear, unnamed, _) = events_of(ADVISED, declared)
    assert (own.model_untrusted, dear.model_id, dear.model_untrusted) == (False, "dear", True)
    assert (unnamed.model_id, unnamed.model_untrusted) == ("", False)

    echoing = replace(MESSAGES, request_facts=RequestFacts(engine=engine("sglang")))
    _, (own, dear, *_) = events_of(ADVISED, echoing)
    assert (own.model_untrusted, dear.model_untrusted) == (True, True)

    only = replace(MESSAGES, served_models=("m",))
    assert [event.model_id for event in events_of(ADVISED, only)[1]] == ["m", "dear", "", "bad"]


@pytest.mark.parametrize(
    ("api", "body", "partial"),
    [
        ("openai.chat", b'{"model":"m","usage":{"prompt_tokens":5}}', True),
        ("openai.chat", b'{"model":"m","usage":{"completion_tokens":5}}', True),
        ("openai.chat", b'{"model":"m","usage":{"prompt_tokens":5,"completion_tokens":0}}', False),
        ("openai.chat", b'{"model":"m"}', False),
        ("openai.embeddings", b'{"model":"m","usage":{"prompt_tokens":5}}', False),
        ("anthropic.messages", b'{"model":"m","usage":{"input_tokens":0,"output_tokens":5}}', True),
    ],
)
def test_usage_that_lacks_a_count_which_such_answers_have_is_partial(
    api: str, body: bytes, partial: bool
) -> None:
    _, (event,) = events_of(body, replace(ADMISSION, families=(family(api),)))

    assert event.usage_partial is partial


def test_a_completion_that_was_cut_off_may_have_no_count_yet() -> None:
    chunk = b'data: {"model":"m","choices":[{"delta":{}}],"usage":{"prompt_tokens":5}}\n\n'
    event = ended(GONE, 200, STREAM, chunk)

    assert (event.outcome, event.usage_found, event.usage_partial) == ("aborted", True, False)

import json
from collections.abc import Iterator

import pytest

from phoebe_addon.answer.body import STEP_BYTES, CodedBody, PlainBody, open_body
from phoebe_addon.answer.event_stream import EventStreamBody
from phoebe_addon.answer.reader import Answer, AnswerReader, RequestFacts
from phoebe_addon.answer.removal import Removal
from phoebe_addon.apis.families.openai_chat import CONTINUOUS_USAGE, STREAM_USAGE
from phoebe_addon.apis.usage import Usage
from tests.harness.content_codings import ENCODERS, encode
from tests.harness.engine_streams import DONE, STREAMS, VLLM, VLLM_USAGE
from tests.harness.known import family

NOTHING = Removal()
FINAL = Removal((STREAM_USAGE,))
RUNNING = Removal((CONTINUOUS_USAGE,))
BOTH = Removal((STREAM_USAGE, CONTINUOUS_USAGE))
SSE = "text/event-stream"
JSON = "application/json"

VLLM_CONTINUOUS = (
    b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"a"}}],'
    b'"usage":{"prompt_tokens":5,"completion_tokens":1,"total_tokens":6}}\n\n'
)


def reader_of(api: str = "openai.chat", request_facts: RequestFacts | None = None) -> AnswerReader:
    return AnswerReader((family(api).answer,), request_facts or RequestFacts())


def removal_of(api: str) -> Removal:
    """What is taken out where a client asked for nothing."""
    return Removal(family(api).request.usage_switches)


def opened(
    content_type: str, removal: Removal = NOTHING, coding: str = ""
) -> tuple[PlainBody | CodedBody, AnswerReader]:
    reader = reader_of()
    return open_body(content_type, coding, reader, removal), reader


def pass_through(
    stream: bytes, removal: Removal, request_facts: RequestFacts | None = None, api: str = "openai.chat"
) -> tuple[bytes, Answer]:
    reader = reader_of(api, request_facts)
    body = open_body(SSE, "", reader, removal)
    passed = body.feed(stream) + body.finish()
    return passed, reader.answer()


@pytest.mark.parametrize(("before", "usage", "after"), STREAMS.values(), ids=STREAMS.keys())
def test_just_what_was_asked_for_is_taken_out(before: bytes, usage: bytes, after: bytes) -> None:
    passed, answer = pass_through(before + usage + after, FINAL)

    assert passed == before + after
    assert answer == pass_through(before + usage + after, NOTHING)[1]


def test_zeros_that_an_engine_sends_before_the_end_because_it_was_asked_are_taken_out_too() -> None:
    chunk = b'data: {"id":"cmpl-1","choices":[{"index":0,"text":"a"}]%s}\n\n'
    zeros = b',"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}'
    _, usage, _ = STREAMS["Ollama"]

    passed, answer = pass_through(chunk % zeros + chunk % b"" + usage + DONE, FINAL)

    assert passed == 2 * (chunk % b"") + DONE
    assert answer.usage == Usage(prompt=26, completion=2)


EXPECTED = {
    "vLLM": Usage(prompt=17, cached=16, completion=3),
    "OpenAI": Usage(prompt=9, cached=0, completion=5, reasoning=4),
    "SGLang": Usage(prompt=4, completion=1, reasoning=0),
    "Ollama": Usage(prompt=26, completion=2),
    "error": None,
    "usage last, without its newline": Usage(prompt=17, cached=16, completion=3),
}


@pytest.mark.parametrize(("name", "usage"), EXPECTED.items())
def test_the_usage_of_each_engine_is_found(name: str, usage: Usage | None) -> None:
    assert pass_through(b"".join(STREAMS[name]), FINAL)[1].usage == usage


def test_tensorrt_llm_reports_final_usage_for_each_prompt() -> None:
    _, answer = pass_through(b"".join(STREAMS["TensorRT-LLM"]), FINAL, RequestFacts(prompts=2))

    assert answer.usage == Usage(prompt=7, cached=1, completion=3)


def test_tgi_reports_usage_with_the_last_chunk_of_each_prompt() -> None:
    _, answer = pass_through(b"".join(STREAMS["TGI"]), NOTHING, RequestFacts(prompts=2))

    assert answer.usage == Usage(prompt=7, completion=10)
    assert answer.finish_reason == "length"


def test_usage_that_only_the_final_one_was_asked_for_and_came_without_asking_stays() -> None:
    stream = b"".join(STREAMS["TGI"])

    assert pass_through(stream, FINAL)[0] == stream


def test_an_error_in_a_stream_is_passed_on_and_noticed() -> None:
    before, usage, after = STREAMS["SGLang, error before usage"]

    passed, answer = pass_through(before + usage + after, FINAL)

    assert b"the engine core is dead" in passed
    assert answer.failed
    assert answer.usage == Usage(prompt=4, completion=1, reasoning=0)


def test_an_error_that_comes_with_usage_reaches_the_client() -> None:
    error = b'data: {"error":{"message":"no"},"usage":{"prompt_tokens":1}}\n\n'

    assert pass_through(error, BOTH)[0] == error


@pytest.mark.parametrize("data", [b"data: {}\n", b"data: nonsense\n", b""])
def test_an_event_that_is_an_error_by_its_name_is_one(data: bytes) -> None:
    event = b"event: error\n" + data + b"\n"

    for api in ("openai.chat", "anthropic.messages"):
        passed, answer = pass_through(event, NOTHING, api=api)

        assert passed == event
        assert answer.failed


def test_running_usage_is_taken_out_of_its_chunk_and_no_other_byte() -> None:
    passed, answer = pass_through(VLLM_CONTINUOUS, RUNNING)

    assert passed == b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
    assert answer.usage == Usage(prompt=5, completion=1)


def test_running_usage_is_taken_out_of_data_and_not_of_a_comment_that_repeats_it() -> None:
    data = VLLM_CONTINUOUS.removeprefix(b"data: ").rstrip(b"\n")

    passed, _ = pass_through(b": " + data + b"\n" + VLLM_CONTINUOUS, RUNNING)

    assert passed.startswith(b": " + data + b"\n")
    assert b"usage" not in passed.removeprefix(b": " + data)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_running_usage_is_taken_out_of_data_over_several_lines(end: bytes) -> None:
    lines = [b"event: x", b"data: {", b'data:"usage":{"prompt_tokens":1,', b'data: "completion_tokens":2},']
    rest = [b'data: "choices":[{"index":0}]', b"data", b"data:}", b"id: 1", b"", b""]

    passed, answer = pass_through(end.join(lines + rest), RUNNING)

    values = [line[5:].strip() for line in passed.split(end) if line.startswith(b"data")]
    assert json.loads(b"\n".join(values)) == {"choices": [{"index": 0}]}
    assert passed.startswith(b"event: x" + end)
    assert passed.endswith(b"id: 1" + end + end)
    assert answer.usage == Usage(prompt=1, completion=2)


def test_a_byte_order_mark_goes_on_before_an_event_that_was_changed() -> None:
    bom = b"\xef\xbb\xbf"

    assert pass_through(bom + VLLM_CONTINUOUS, RUNNING)[0] == bom + pass_through(VLLM_CONTINUOUS, RUNNING)[0]


def test_a_line_that_is_data_only_for_the_eye_is_none_and_goes_on_as_it_is() -> None:
    line = b"\xef\xbb\xbfdata: x\n"

    passed, _ = pass_through(VLLM + line + VLLM_CONTINUOUS, RUNNING)

    assert passed == VLLM + line + pass_through(VLLM_CONTINUOUS, RUNNING)[0]


def test_the_details_that_tgi_was_asked_for_become_null() -> None:
    removal = removal_of("tgi.generate")
    token = b'data:{"index":0,"token":{"text":"details"},"generated_text":null,"details":null}\n\n'
    details = b'{"finish_reason":"length","generated_tokens":2,"input_length":7,"seed":null}'
    last = b'data:{"index":1,"token":{"text":"b"},"generated_text":"ab","details":%s}\n\n'

    passed, answer = pass_through(token + last % details, removal, api="tgi.generate")

    assert passed == token + last % b"null"
    assert answer.usage == Usage(prompt=7, completion=2)
    assert (answer.finish_reason, answer.finished) == ("length", True)


def test_the_counts_that_triton_was_asked_for_are_taken_out_of_every_event() -> None:
    event = b'data: {"model_name":"m","num_input_tokens":7,"num_output_tokens":%d,"text_output":"a"}\n\n'

    passed, answer = pass_through(event % 1 + event % 2, removal_of("triton.generate"), api="triton.generate")

    assert passed == 2 * b'data: {"model_name":"m","text_output":"a"}\n\n'
    assert answer.usage == Usage(prompt=7, completion=3)


def test_what_was_asked_for_is_taken_out_of_a_document() -> None:
    reader = reader_of("triton.generate")
    body = open_body(JSON, "", reader, removal_of("triton.generate"))
    content = b' {"num_output_tokens":2, "text_output":"a" ,"num_input_tokens":7 } '

    assert [body.feed(content[:20]), body.feed(content[20:])] == [b"", b""]
    assert body.finish() == b' {"text_output":"a" } '
    assert reader.answer().usage == Usage(prompt=7, completion=2)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"nonsense", b'{"num_input_tokens":1', b"\xff", b"[" * 99_999]
)
def test_a_document_out_of_which_nothing_can_be_taken_goes_on_as_it_is(content: bytes) -> None:
    body = open_body(JSON, "", reader_of("triton.generate"), removal_of("triton.generate"))

    assert body.feed(content) + body.finish() == content


def test_a_stream_without_anything_to_take_out_is_not_held_back() -> None:
    body, _ = opened(SSE)

    assert [body.feed(bytes([byte])) for byte in VLLM] == [bytes([byte]) for byte in VLLM]
    assert body.finish() == b""


def test_complete_events_are_passed_on_at_once_and_what_is_unfinished_later() -> None:
    body, _ = opened(SSE, FINAL)

    assert body.feed(VLLM + VLLM_USAGE[:50]) == VLLM
    assert body.feed(VLLM_USAGE[50:] + b"data") == b""
    assert body.finish() == b"data"


def test_what_was_said_before_a_cut_is_known() -> None:
    body, reader = opened(SSE, FINAL)
    body.feed(VLLM_CONTINUOUS + VLLM_USAGE[:-10])

    assert reader.answer().usage == Usage(prompt=5, completion=1)


def test_lines_are_passed_on_as_they_come_and_read_when_complete() -> None:
    reader = reader_of("ollama.chat")
    body = open_body("application/x-ndjson", "", reader, NOTHING)
    first, last = b'{"model":"m","done":false}\n', b'{"done":true,"prompt_eval_count":5,"eval_count":2}'

    assert [body.feed(first[:9]), body.feed(first[9:] + last)] == [first[:9], first[9:] + last]
    assert reader.answer() == Answer("m")
    assert body.finish() == b""
    assert reader.answer() == Answer(
        "m", Usage(prompt=5, completion=2), '{"prompt_eval_count":5,"eval_count":2}', finished=True
    )


def test_a_document_is_passed_on_as_it_comes_and_read_at_its_end() -> None:
    content = b'{"model":"m","usage":{"prompt_tokens":1}}'
    body, reader = opened(JSON)

    assert [body.feed(content[:20]), body.feed(content[20:])] == [content[:20], content[20:]]
    assert reader.answer() == Answer()
    assert body.finish() == b""
    assert reader.answer() == Answer("m", Usage(prompt=1), '{"prompt_tokens":1}', finished=True)


@pytest.mark.parametrize("cut_bytes", [1, 2, 5, 20])
def test_a_document_that_was_cut_is_not_read(cut_bytes: int) -> None:
    body, reader = opened(JSON)
    body.feed(b'{"model":"m","usage":{"prompt_tokens":4821}}'[:-cut_bytes])
    body.cut_off()

    assert reader.answer() == Answer(garbled=True)


@pytest.mark.parametrize(
    ("content_type", "content"),
    [
        (SSE, VLLM_USAGE.rstrip(b"\n")),
        (SSE, VLLM + VLLM_USAGE.rstrip(b"\n") + b"\r"),
        (JSON, VLLM_USAGE.rstrip(b"\n")),
        (JSON, VLLM_USAGE.removeprefix(b"data: ").rstrip(b"\n")),
        ("application/x-ndjson", VLLM_USAGE.removeprefix(b"data: ").rstrip(b"\n")),
        ("application/x-ndjson", b"{}\n" + VLLM_USAGE.removeprefix(b"data: ").rstrip(b"\n")),
    ],
)
@pytest.mark.parametrize("coding", ["", "gzip"])
def test_what_lacks_nothing_but_its_end_is_read_when_the_connection_breaks(
    content_type: str, content: bytes, coding: str
) -> None:
    for length, usage in ((len(content), Usage(prompt=17, cached=16, completion=3)), (-2, None)):
        body, reader = opened(content_type, coding=coding)
        body.feed(encode(coding, content[:length]) if coding else content[:length])
        assert reader.answer().usage is None
        body.cut_off()

        assert reader.answer().usage == usage


@pytest.mark.parametrize("engine", ["vLLM", "OpenAI", "SGLang", "Ollama"])
def test_a_stream_that_breaks_off_at_any_byte_has_the_usage_that_came_whole(engine: str) -> None:
    before, usage, after = STREAMS[engine]
    whole = before + usage + after
    for length in range(len(whole) + 1):
        body, reader = opened(SSE, FINAL)
        passed = body.feed(whole[:length])
        body.cut_off()

        assert (before + after).startswith(passed)
        # An event lacks nothing without the blank line behind it.
        assert (reader.answer().usage is not None) == (length >= len(before + usage.rstrip(b"\r\n")))


@pytest.mark.parametrize("coding", ENCODERS)
def test_a_coded_stream_is_passed_on_as_it_comes_and_read(coding: str) -> None:
    content = encode(coding, VLLM + VLLM_USAGE + DONE)
    body, reader = opened(SSE, coding=ENCODERS[coding][0])

    assert body.feed(content[:30]) + body.feed(content[30:]) == content
    assert body.finish() == b""
    assert reader.answer().usage == Usage(prompt=17, cached=16, completion=3)


@pytest.mark.parametrize("coding", ENCODERS)
def test_a_coded_stream_comes_out_decoded_if_something_is_taken_out(coding: str) -> None:
    content = encode(coding, VLLM + VLLM_USAGE + DONE[:-1])
    body, reader = opened(SSE, FINAL, ENCODERS[coding][0])

    assert body.feed(content[:30]) + body.feed(content[30:]) + body.finish() == VLLM + DONE[:-1]
    assert reader.answer().finished


@pytest.mark.untraced  # long, with every line traced
@pytest.mark.parametrize("removal", [NOTHING, FINAL], ids=["as it is", "decoded"])
@pytest.mark.parametrize(
    ("coding", "label"), [*((coding, ENCODERS[coding][0]) for coding in ENCODERS), ("gzip", ""), ("zstd", "")]
)
def test_what_unfolds_to_much_is_read_in_steps_of_little(
    coding: str, label: str, removal: Removal, monkeypatch: pytest.MonkeyPatch
) -> None:
    fed: list[int] = []
    feed = EventStreamBody.feed

    def note(body: EventStreamBody, chunk: bytes) -> bytes:
        fed.append(len(chunk))
        return feed(body, chunk)

    monkeypatch.setattr(EventStreamBody, "feed", note)
    stream = VLLM_CONTINUOUS * 10_000 + VLLM + VLLM_USAGE + DONE
    content = encode(coding, stream)
    assert len(stream) > 50 * len(content)
    body, reader = opened(SSE, removal, label)
    passed: list[bytes] = []
    of_step: list[int] = []

    def steps() -> Iterator[None]:
        passed.append((yield from body.steps(content)))

    assert body.unfolds
    for _ in steps():
        of_step.append(sum(fed))
        fed.clear()
    assert body.unfolds

    assert max(of_step) <= STEP_BYTES
    assert len(of_step) >= len(stream) // STEP_BYTES
    other, other_reader = opened(SSE, removal, label)
    assert passed[0] + body.finish() == other.feed(content) + other.finish()
    assert reader.answer() == other_reader.answer()


def test_of_a_damaged_answer_what_came_before_the_damage_is_read() -> None:
    content = encode("gzip", VLLM + VLLM_USAGE + DONE)
    damaged = content[:-8] + b"\0" * 8
    body, reader = opened(SSE, coding="gzip")

    assert body.feed(damaged) + body.feed(b"more") + body.finish() == damaged + b"more"
    assert reader.answer().usage == Usage(prompt=17, cached=16, completion=3)
    assert reader.answer().unreadable

import json

import pytest

from phoebe_addon import answer_body
from phoebe_addon.answer_body import DocumentBody, EventStreamBody, Strip, open_body
from phoebe_addon.openai_answer import Answer
from phoebe_addon.usage import Usage
from tests.harness.engine_streams import DONE, STREAMS, VLLM, VLLM_USAGE

VLLM_CONTINUOUS = (
    b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"a"}}],'
    b'"usage":{"prompt_tokens":5,"completion_tokens":1,"total_tokens":6}}\n\n'
)


def pass_through(stream: bytes, strip: Strip, prompt_count: int = 1) -> tuple[bytes, Answer]:
    body = open_body("text/event-stream", prompt_count, strip)
    passed = body.feed(stream) + body.finish()
    return passed, body.answer()


@pytest.mark.parametrize(
    "content_type",
    ["text/event-stream", "text/event-stream; charset=utf-8", "Text/Event-Stream", " text/event-stream ;x"],
)
def test_an_event_stream_is_known_by_its_content_type(content_type: str) -> None:
    assert isinstance(open_body(content_type, 1, Strip.NOTHING), EventStreamBody)


@pytest.mark.parametrize("content_type", ["", "application/json", "text/plain", "text/event-stream-x"])
def test_everything_else_is_a_document(content_type: str) -> None:
    assert isinstance(open_body(content_type, 1, Strip.NOTHING), DocumentBody)


@pytest.mark.parametrize(("before", "usage", "after"), STREAMS.values(), ids=STREAMS.keys())
def test_just_the_final_usage_is_taken_out(before: bytes, usage: bytes, after: bytes) -> None:
    passed, answer = pass_through(before + usage + after, Strip.FINAL)

    assert passed == before + after
    assert answer == pass_through(before + usage + after, Strip.NOTHING)[1]


EXPECTED = {
    "vLLM": Usage(prompt=17, cached=16, completion=3),
    "OpenAI": Usage(prompt=9, cached=0, completion=5, reasoning=4),
    "SGLang": Usage(prompt=4, completion=1, reasoning=0),
    "Ollama": Usage(prompt=26, completion=2),
    "TensorRT-LLM": Usage(prompt=7, cached=1, completion=3),
    "error": None,
    "usage last, without its newline": Usage(prompt=17, cached=16, completion=3),
}


@pytest.mark.parametrize(("name", "usage"), EXPECTED.items())
def test_the_usage_of_each_engine_is_found(name: str, usage: Usage | None) -> None:
    assert pass_through(b"".join(STREAMS[name]), Strip.FINAL)[1].usage == usage


def test_tgi_reports_usage_with_the_last_chunk_of_each_prompt() -> None:
    _, answer = pass_through(b"".join(STREAMS["TGI"]), Strip.NOTHING, prompt_count=2)

    assert answer.usage == Usage(prompt=7, completion=10)
    assert answer.finish_reason == "length"


def test_an_error_in_a_stream_is_passed_on_and_noticed() -> None:
    before, usage, after = STREAMS["SGLang, error before usage"]

    passed, answer = pass_through(before + usage + after, Strip.FINAL)

    assert b"the engine core is dead" in passed
    assert answer.failed
    assert answer.usage == Usage(prompt=4, completion=1, reasoning=0)


def test_an_error_that_comes_with_usage_reaches_the_client() -> None:
    error = b'data: {"error":{"message":"no"},"usage":{"prompt_tokens":1}}\n\n'

    assert pass_through(error, Strip.FINAL | Strip.RUNNING)[0] == error


def test_running_usage_is_taken_out_of_its_chunk_and_no_other_byte() -> None:
    passed, answer = pass_through(VLLM_CONTINUOUS, Strip.RUNNING)

    assert passed == b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
    assert answer.usage == Usage(prompt=5, completion=1)


def test_running_usage_is_taken_out_of_data_and_not_of_a_comment_that_repeats_it() -> None:
    data = VLLM_CONTINUOUS.removeprefix(b"data: ").rstrip(b"\n")

    passed, _ = pass_through(b": " + data + b"\n" + VLLM_CONTINUOUS, Strip.RUNNING)

    assert passed.startswith(b": " + data + b"\n")
    assert b"usage" not in passed.removeprefix(b": " + data)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_running_usage_is_taken_out_of_data_over_several_lines(end: bytes) -> None:
    lines = [b"event: x", b"data: {", b'data:"usage":{"prompt_tokens":1,', b'data: "completion_tokens":2},']
    rest = [b'data: "choices":[{"index":0}]', b"data", b"data:}", b"id: 1", b"", b""]

    passed, answer = pass_through(end.join(lines + rest), Strip.RUNNING)

    values = [line[5:].strip() for line in passed.split(end) if line.startswith(b"data")]
    assert json.loads(b"\n".join(values)) == {"choices": [{"index": 0}]}
    assert passed.startswith(b"event: x" + end)
    assert passed.endswith(b"id: 1" + end + end)
    assert answer.usage == Usage(prompt=1, completion=2)


def test_a_stream_without_anything_to_take_out_is_not_held_back() -> None:
    body = open_body("text/event-stream", 1, Strip.NOTHING)

    assert [body.feed(bytes([byte])) for byte in VLLM] == [bytes([byte]) for byte in VLLM]
    assert body.finish() == b""


def test_complete_events_are_passed_on_at_once_and_what_is_unfinished_later() -> None:
    body = open_body("text/event-stream", 1, Strip.FINAL)

    assert body.feed(VLLM + VLLM_USAGE[:50]) == VLLM
    assert body.feed(VLLM_USAGE[50:] + b"data") == b""
    assert body.finish() == b"data"


def test_what_was_said_before_a_cut_is_known() -> None:
    body = open_body("text/event-stream", 1, Strip.FINAL)
    body.feed(VLLM_CONTINUOUS + VLLM_USAGE[:-10])

    assert body.answer().usage == Usage(prompt=5, completion=1)


def test_a_usage_chunk_beyond_the_limit_is_passed_on_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_body, "EVENT_BYTES_MAX", 100)

    passed, answer = pass_through(VLLM_USAGE + DONE, Strip.FINAL)

    assert passed == VLLM_USAGE + DONE
    assert answer == Answer(finished=True)


def test_a_document_is_passed_on_as_it_comes_and_read_at_its_end() -> None:
    content = b'{"model":"m","usage":{"prompt_tokens":1}}'
    body = open_body("application/json", 1, Strip.FINAL | Strip.RUNNING)

    assert [body.feed(content[:20]), body.feed(content[20:])] == [content[:20], content[20:]]
    assert body.answer() == Answer()
    assert body.finish() == b""
    assert body.answer() == Answer("m", Usage(prompt=1), '{"prompt_tokens":1}', finished=True)


def test_a_document_that_was_cut_is_not_read() -> None:
    body = open_body("application/json", 1, Strip.NOTHING)
    body.feed(b'{"model":"m","usage":{"prompt_tokens":4821}}')

    assert body.answer() == Answer()


def test_a_document_beyond_the_limit_is_passed_on_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_body, "DOCUMENT_BYTES_MAX", 12)
    body = open_body("application/json", 1, Strip.NOTHING)

    assert body.feed(b" " * 13) + body.feed(b'{"error":1}') == b" " * 13 + b'{"error":1}'
    assert body.finish() == b""
    assert body.answer() == Answer()

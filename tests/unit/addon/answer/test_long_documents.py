"""Events, lines and documents of many megabytes: what is read of them, and what is taken out."""

import json
from collections.abc import Iterator

import pytest

from phoebe_addon.answer import event_stream, json_body
from phoebe_addon.answer.body import open_body
from phoebe_addon.answer.document import WHOLE_BYTES_MAX
from phoebe_addon.answer.reader import Answer, AnswerReader, RequestFacts
from phoebe_addon.answer.removal import Removal
from phoebe_addon.apis.usage import Usage
from tests.harness.known import family

SSE = "text/event-stream"
LINES = "application/x-ndjson"
JSON = "application/json"
PAD = "x" * 4_300_000
LOGPROBS = [[-0.5, 1234, None]] * 20_000
NOTHING = Removal()


def pieces(content: bytes) -> Iterator[bytes]:
    """Cut as bytes come from sockets."""
    for start in range(0, len(content), 65_535):
        yield content[start : start + 65_535]


def read(
    content: bytes,
    api: str,
    content_type: str = JSON,
    removal: Removal = NOTHING,
    facts: RequestFacts | None = None,
) -> tuple[bytes, Answer]:
    reader = AnswerReader((family(api).answer,), facts or RequestFacts())
    body = open_body(content_type, "", reader, removal)
    passed = b"".join([*map(body.feed, pieces(content)), body.finish()])
    return passed, reader.answer()


def event(document: object) -> bytes:
    return b"data: " + json.dumps(document).encode() + b"\n\n"


def asked_of(api: str) -> Removal:
    """What is taken out where a client asked for nothing."""
    return Removal(family(api).request.usage_switches)


def padded_response(kind: str, status: str, usage: object) -> dict[str, object]:
    inner = {
        "id": "resp_1",
        "model": "m",
        "status": status,
        "metadata": {"a": PAD},
        "output": [],
        "usage": usage,
    }
    return {"type": kind, "response": inner}


def test_metadata_that_an_engine_repeats_does_not_hide_the_usage() -> None:
    usage = {"input_tokens": 9000, "output_tokens": 900, "input_tokens_details": {"cached_tokens": 8}}
    content = event(padded_response("response.created", "in_progress", None)) + event(
        padded_response("response.completed", "completed", usage)
    )

    passed, answer = read(content, "openai.responses", SSE)

    assert passed == content
    assert answer == Answer(
        "m",
        Usage(prompt=9000, cached=8, completion=900),
        json.dumps(usage),
        finish_reason="completed",
        finished=True,
    )


@pytest.mark.parametrize("member", ["user", "safety_identifier", "prompt_cache_key", "instructions", "id"])
def test_it_does_not_matter_which_member_a_client_pads(member: str) -> None:
    usage = {"input_tokens": 9000, "output_tokens": 900}
    response = {member: PAD, "model": "m", "status": "completed", "usage": usage}

    for content, content_type in (
        (event({"type": "response.completed", "response": response}), SSE),
        (json.dumps(response).encode(), JSON),
    ):
        answer = read(content, "openai.responses", content_type)[1]
        assert (answer.usage, answer.finished) == (Usage(prompt=9000, completion=900), True)


@pytest.mark.parametrize(
    "meta",
    [
        {"id": "r" * 4_300_000},
        {"input_token_logprobs": LOGPROBS * 16},
        {"customized_info": {"a": [{"b": PAD}]}},
        {"finish_reason": {"type": "stop", "matched": PAD}},
    ],
    ids=["rid", "logprobs", "nested", "finish reason"],
)
def test_what_pads_the_meta_info_of_sglang_does_not_hide_its_counts(meta: dict[str, object]) -> None:
    counts = {"prompt_tokens": 900, "cached_tokens": 3, "completion_tokens": 7}
    whole = {"finish_reason": {"type": "stop"}, **meta, **counts}
    raw = json.dumps(counts, separators=(",", ": "))

    for content, content_type in (
        (event({"text": "hi", "meta_info": whole}) + b"data: [DONE]\n\n", SSE),
        (json.dumps({"text": "hi", "meta_info": whole}).encode(), JSON),
        (json.dumps({"predictions": [{"text": "hi", "meta_info": whole}]}).encode(), JSON),
    ):
        passed, answer = read(content, "sglang.generate", content_type)

        assert passed == content
        assert answer == Answer(
            None, Usage(prompt=900, cached=3, completion=7), raw, finish_reason="stop", finished=True
        )


def test_the_last_event_of_llama_cpp_may_repeat_the_prompt() -> None:
    last = {"content": "", "stop": True, "model": "m", "tokens_predicted": 7, "tokens_evaluated": 32000}
    content = event({"content": "a", "stop": False}) + event({**last, "prompt": PAD, "stop_type": "eos"})

    assert read(content, "llamacpp.completion", SSE)[1] == Answer(
        "m",
        Usage(prompt=32000, completion=7),
        '{"tokens_predicted": 7,"tokens_evaluated": 32000}',
        finish_reason="eos",
        finished=True,
    )


def test_the_last_line_of_ollama_may_have_many_token_ids() -> None:
    last = {"model": "m", "done": True, "done_reason": "stop", "context": list(range(200_000))}
    counts = {"prompt_eval_count": 5, "eval_count": 2}
    content = b'{"model":"m","done":false}\n' + json.dumps({**last, **counts}).encode() + b"\n"

    for content_type in (LINES, JSON):
        passed, answer = read(content, "ollama.generate", content_type)

        assert passed == content
        assert (answer.usage, answer.finished, answer.finish_reason) == (
            Usage(prompt=5, completion=2),
            True,
            "stop",
        )


def test_an_image_in_a_stream_does_not_hide_its_usage() -> None:
    content = event(
        {
            "type": "image_generation.completed",
            "b64_json": "A" * 6_000_000,
            "usage": {"input_tokens": 50, "output_tokens": 4000},
        }
    )

    assert read(content, "openai.images", SSE)[1].usage == Usage(prompt=50, completion=4000)


def chunk(**members: object) -> dict[str, object]:
    return {"id": PAD, "model": "m", **members}


TEXT = [{"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}]
USAGE = {"prompt_tokens": 3, "completion_tokens": 2}


@pytest.mark.parametrize("api", ["openai.chat", "openai.completions"])
def test_long_chunks_of_usage_are_taken_out_of_a_stream(api: str) -> None:
    of_chunks: tuple[object, ...] = (TEXT, [], [{"delta": {}}])
    text, usage, empty = (event(chunk(choices=choices, usage=USAGE)) for choices in of_chunks)
    without = event(chunk(choices=TEXT))

    for content, passed in (
        (text + usage, without),
        (text + empty, without),
        (text.replace(b"\n", b"\r\n") + usage, without.replace(b"\n", b"\r\n")),
        (b": ping\nid: 7\n" + text + usage, b": ping\nid: 7\n" + without),
    ):
        found, answer = read(content, api, SSE, asked_of(api))
        assert found == passed
        assert answer.usage == Usage(prompt=3, completion=2)


def test_a_long_chunk_with_something_in_its_choice_is_no_chunk_of_usage() -> None:
    text = event(chunk(choices=TEXT))
    for more in (
        {"delta": {"content": PAD}},
        {"delta": {}, "logprobs": LOGPROBS},
        {"delta": {}, "text": "b"},
    ):
        last = event(chunk(choices=[{"index": 0, **more}], usage=USAGE))

        found, _ = read(text + last, "openai.chat", SSE, Removal(asked_of("openai.chat").usage_switches[:1]))
        assert found == text + last


def test_running_usage_is_taken_out_of_a_long_chunk_over_several_lines() -> None:
    lines = [
        b"event: x",
        b'data: {"id":"%s",' % PAD.encode(),
        b'data:"usage":',
        b"data: %s," % json.dumps(USAGE).encode(),
    ]
    content = b"\n".join([*lines, b'data: "choices":[{"index":0}]}', b"", b""])

    found, answer = read(content, "openai.chat", SSE, asked_of("openai.chat"))

    values = [line[5:].strip() for line in found.split(b"\n") if line.startswith(b"data")]
    assert json.loads(b"".join(values)) == {"id": PAD, "choices": [{"index": 0}]}
    assert found.startswith(b"event: x\n")
    assert answer.usage == Usage(prompt=3, completion=2)


@pytest.mark.parametrize("place", range(3))
def test_what_was_asked_for_is_taken_out_of_a_long_document(place: int) -> None:
    members = ['"model_name": "m"', f'"text_output": "{PAD}"']
    added = ['"num_input_tokens" : 7', '"num_output_tokens": 2']
    content = "{ " + " , ".join([*members[:place], *added, *members[place:]]) + " }"
    without = "{ " + " , ".join(members) + " }"

    for content_type, before, after in ((JSON, b"", b""), (SSE, b"data: ", b"\n\n")):
        sent, passed = (before + text.encode() + after for text in (content, without))
        found, answer = read(sent, "triton.generate", content_type, asked_of("triton.generate"))
        assert found == passed
        assert (answer.usage, answer.model) == (Usage(prompt=7, completion=2), "m")


def test_a_long_member_becomes_null_where_a_client_did_not_ask_for_it() -> None:
    details = {"input_length": 7, "generated_tokens": 2, "finish_reason": "length", "tokens": LOGPROBS}
    last = {"generated_text": "ab", "details": details}

    found, answer = read(event(last), "tgi.generate", SSE, asked_of("tgi.generate"))

    assert found == event({"generated_text": "ab", "details": None})
    assert (answer.usage, answer.finish_reason) == (Usage(prompt=7, completion=2), "length")


def test_beyond_what_is_held_back_nothing_is_taken_out_and_all_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (event_stream, json_body):
        monkeypatch.setattr(module, "HELD_BACK_BYTES_MAX", 1_000_000)
    document = json.dumps({"x": PAD, "num_input_tokens": 7, "num_output_tokens": 2}).encode()
    last = event(chunk(choices=[], usage=USAGE))

    for content, api, content_type, usage in (
        (document, "triton.generate", JSON, Usage(prompt=7, completion=2)),
        (last + last, "openai.chat", SSE, Usage(prompt=3, completion=2)),
    ):
        found, answer = read(content, api, content_type, asked_of(api))
        assert found == content
        assert answer.usage == usage


@pytest.mark.untraced  # long, with every line traced
def test_the_results_of_a_long_array_count_when_all_of_it_is_there() -> None:
    result = {"text": "x" * 50, "meta_info": {"prompt_tokens": 2, "completion_tokens": 3}}
    content = json.dumps([result] * 20_000).encode()
    facts = RequestFacts(prompts=20_000)

    assert read(content, "sglang.generate", facts=facts)[1].usage == Usage(prompt=40_000, completion=60_000)
    reader = AnswerReader((family("sglang.generate").answer,), facts)
    body = open_body(JSON, "", reader, NOTHING)
    body.feed(content[:-2])
    body.cut_off()
    assert reader.answer() == Answer(garbled=True)


def test_counts_in_a_usage_object_that_is_long_itself_are_read() -> None:
    usage = {
        "prompt_tokens": 3,
        "x": PAD,
        "completion_tokens": 2,
        "prompt_tokens_details": {"cached_tokens": 1},
    }
    content = json.dumps({"model": "m", "usage": usage}).encode()

    answer = read(content, "openai.chat")[1]

    assert answer.usage == Usage(prompt=3, cached=1, completion=2)
    raw = {name: usage[name] for name in ("prompt_tokens", "completion_tokens", "prompt_tokens_details")}
    assert json.loads(answer.usage_raw or "") == raw


def test_results_are_told_apart_by_an_id_that_is_long() -> None:
    """As by one that is short, of which the first 256 characters count."""
    events = [event({"id": f"{name}{PAD}", "choices": [], "usage": USAGE}) for name in ("p0", "p1", "p1")]

    answer = read(b"".join(events), "openai.completions", SSE, facts=RequestFacts(prompts=2))[1]

    assert answer.usage == Usage(prompt=6, completion=4)


def test_an_error_is_one_however_long_it_is() -> None:
    errors: list[object] = [{"message": PAD}, [PAD], PAD, {"a": {}}]
    others: list[object] = [{}, [], "", None, False]
    for error in (*errors, *others):
        answer = read(event({"x": PAD, "error": error}), "openai.chat", SSE)[1]
        assert answer.failed is (error in errors)


@pytest.mark.parametrize("end", [b"", b"\n", b" \r\n "])
def test_a_long_document_that_is_cut_is_not_read(end: bytes) -> None:
    content = json.dumps({"usage": USAGE, "x": PAD}).encode()

    for cut_bytes, finished in ((0, True), (1, False), (2, False)):
        answer = read(content[: len(content) - cut_bytes] + end, "openai.chat")[1]
        assert (answer.usage is not None) is finished
        assert answer.garbled is not finished


def test_bytes_that_are_no_utf_8_cost_nothing() -> None:
    for size in (10, WHOLE_BYTES_MAX, 10 * WHOLE_BYTES_MAX):
        text = b'{"model":"m","choices":[{"text":"%s\xff\xc3"}],"usage":{"prompt_tokens":3}}' % (b"x" * size)
        for content, content_type in ((text, JSON), (b"data: " + text + b"\n\n", SSE)):
            passed, answer = read(content, "openai.chat", content_type)
            assert passed == content
            assert (answer.usage, answer.failed, answer.garbled) == (Usage(prompt=3), False, False)


@pytest.mark.parametrize("removal", [NOTHING, asked_of("openai.chat")], ids=["asked", "unasked"])
def test_a_long_event_that_is_named_error_is_one(removal: Removal) -> None:
    content = b"event: error\n" + event({"message": PAD})

    passed, answer = read(content, "openai.chat", SSE, removal)

    assert passed == content
    assert answer.failed


@pytest.mark.parametrize("tail", [b"\n", b""])
def test_a_long_line_that_is_no_json_hides_no_other(tail: bytes) -> None:
    counts = json.dumps({"model": "m", "done": True, "prompt_eval_count": 3, "eval_count": 4}).encode()
    content = b'{"model":"m","done":false}\n' + b"{" + PAD.encode() + b"\n" + counts + tail

    passed, answer = read(content, "ollama.chat", LINES)

    assert passed == content
    assert answer.usage == Usage(prompt=3, completion=4)

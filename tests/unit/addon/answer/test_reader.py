import json

import pytest

from phoebe_addon.answer.body import open_body
from phoebe_addon.answer.reader import Answer, AnswerReader, ChunkUsage, RequestFacts
from phoebe_addon.answer.removal import Removal
from phoebe_addon.answer.usage_ledger import USAGE_RAW_BYTES_MAX
from phoebe_addon.apis.usage import Usage
from tests.harness.known import engine, family

CHOICES = [{"index": 0, "delta": {"content": "a"}}]
CHAT = "openai.chat"


def chunk(**members: object) -> bytes:
    return json.dumps(members).encode()


def reader_of(*apis: str, request_facts: RequestFacts | None = None) -> AnswerReader:
    return AnswerReader(tuple(family(api).answer for api in apis or (CHAT,)), request_facts or RequestFacts())


def read_chunks(*chunks: bytes, api: str = CHAT, request_facts: RequestFacts | None = None) -> Answer:
    reader = reader_of(api, request_facts=request_facts)
    for data in chunks:
        reader.read_chunk(data)
    return reader.answer()


def read_document(content: bytes, api: str = CHAT, request_facts: RequestFacts | None = None) -> Answer:
    reader = reader_of(api, request_facts=request_facts)
    reader.read_document(content)
    return reader.answer()


def usage(prompt: int, completion: int) -> dict[str, object]:
    return {"prompt_tokens": prompt, "completion_tokens": completion}


def test_a_document_is_read_whole() -> None:
    answer = read_document(
        b'{"id":"x","model":"m","choices":[{"finish_reason":"length"}],'
        b'"usage": {"prompt_tokens": 3,\n"completion_tokens":2} }'
    )

    assert answer == Answer(
        model="m",
        usage=Usage(prompt=3, completion=2),
        usage_raw='{"prompt_tokens": 3,\n"completion_tokens":2}',
        finish_reason="length",
        finished=True,
    )


def test_a_document_with_an_error_has_failed() -> None:
    assert read_document(b'{"error":{"message":"no"}}').failed


@pytest.mark.parametrize("error", ["null", "{}", '""', "false", "0", "[]"])
def test_an_error_member_that_says_nothing_is_no_error(error: str) -> None:
    assert not read_document(f'{{"error":{error}}}'.encode()).failed


NO_JSON = [
    b"",
    b'{"usage":{"prompt_tokens":1}',
    b"\xff\xfe",
    b"<html>",
    b'{"usage":' + b"[" * 200_000,
    b'{"usage":{"prompt_tokens":' + b"9" * 5000 + b"}",
    b'\xff{"usage":{"prompt_tokens":1}}',
]


@pytest.mark.parametrize("content", NO_JSON, ids=range(len(NO_JSON)))
def test_a_document_that_is_no_json_says_nothing_and_is_said_to_be_none(content: bytes) -> None:
    reader = reader_of()

    assert not reader.read_document(content)
    assert reader.answer() == Answer()
    assert read_chunks(content) == Answer(garbled=content.startswith(b"{"))


NEARLY_JSON = [
    b'{"usage":{"prompt_tokens":1}} x',
    b'{"usage":{"prompt_tokens":1},}',
    b'{"x":nan,"usage":{"prompt_tokens":1}}',
    b'{"x":"\xff","usage":{"prompt_tokens":1}}',
    b'{"x":"a\nb\x00","usage":{"prompt_tokens":1}}',
    b'{"x":"\\q","usage":{"prompt_tokens":1}}',
    b'{"x":[1,2,,],"usage":{"prompt_tokens":1}}',
    b'{"x":' + b"[" * 200_000 + b"]" * 200_000 + b',"usage":{"prompt_tokens":1}}',
]


@pytest.mark.parametrize("content", NEARLY_JSON, ids=range(len(NEARLY_JSON)))
def test_what_is_wrong_elsewhere_in_a_document_does_not_cost_its_usage(content: bytes) -> None:
    reader = reader_of()
    body = open_body("application/json", "", reader, Removal())

    assert body.feed(content) + body.finish() == content
    for answer in (reader.answer(), read_chunks(content)):
        assert (answer.usage, answer.usage_raw) == (Usage(prompt=1), '{"prompt_tokens":1}')
        assert not answer.garbled


@pytest.mark.parametrize("content", [b"null", b"[]", b"7", b'"usage"', b"[[1]]", b"true", b"NaN"])
def test_a_document_that_is_no_object_says_nothing_but_that_it_is_whole(content: bytes) -> None:
    assert read_document(content) == Answer(finished=True)
    assert read_chunks(content) == Answer()


def test_a_byte_order_mark_before_a_document_is_skipped() -> None:
    content = b'\xef\xbb\xbf{"usage":{"prompt_tokens":1}}'

    assert read_document(content).usage == Usage(prompt=1)
    assert read_chunks(content).usage == Usage(prompt=1)


def test_a_number_of_thousands_of_digits_somewhere_does_no_harm() -> None:
    content = b'{"seed":%s,"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}' % (b"9" * 5000)

    assert read_document(content).usage == Usage(prompt=1, completion=2)
    assert read_chunks(content).usage == Usage(prompt=1, completion=2)


def test_a_count_of_thousands_of_digits_is_malformed() -> None:
    content = b'{"usage":{"prompt_tokens":%s}}' % (b"9" * 5000)

    assert read_document(content).malformed
    assert read_chunks(content).malformed


@pytest.mark.parametrize("block", ["null", "[]", '"x"', "7", "[1]", "true"])
def test_usage_that_is_no_object_is_none(block: str) -> None:
    content = f'{{"model":"m","usage":{block}}}'.encode()

    assert read_document(content) == Answer(model="m", finished=True)
    assert read_chunks(content) == Answer(model="m")


def test_an_empty_usage_object_is_kept_and_is_nothing_to_bill_on() -> None:
    assert read_document(b'{"usage":{}}') == Answer(usage_raw="{}", finished=True)


@pytest.mark.parametrize("count", ["-1", "1.5", '"1"', "true", "[]", "NaN", "1e400", str(2**53 + 1)])
def test_a_count_that_is_none_makes_the_usage_malformed_and_keeps_it(count: str) -> None:
    block = f'{{"prompt_tokens":1,"completion_tokens":{count}}}'

    assert read_document(f'{{"usage":{block}}}'.encode()) == Answer(
        usage_raw=block, malformed=True, finished=True
    )


def test_of_several_usage_members_the_last_counts() -> None:
    answer = read_document(b'{"usage":{"prompt_tokens":9},"us\\u0061ge":{"prompt_tokens":1}}')

    assert answer.usage == Usage(prompt=1)
    assert answer.usage_raw == '{"prompt_tokens":1}'


def test_usage_is_read_only_at_its_place() -> None:
    inner = {"usage": usage(9, 9), "choices": [{"delta": {"usage": usage(9, 9)}}]}
    choices = [{"delta": {"content": '"usage":{"prompt_tokens":9}', "usage": usage(9, 9)}}]

    assert read_chunks(chunk(model="m", x=inner, choices=choices)).usage is None
    assert read_document(chunk(model="m", x=inner, choices=choices)).usage is None


@pytest.mark.parametrize(
    "document",
    [
        {"choices": [{"index": 0, "usage": usage(3, 2), "finish_reason": "stop"}]},
        {"choices": CHOICES, "x_groq": {"usage": usage(3, 2)}},
    ],
)
def test_usage_of_the_dialects_of_moonshot_and_groq_is_read(document: dict[str, object]) -> None:
    assert read_chunks(chunk(**document)).usage == Usage(prompt=3, completion=2)


def test_of_several_places_of_usage_the_first_that_has_any_counts() -> None:
    both = {"choices": [{"usage": usage(9, 9)}], "usage": usage(3, 2)}

    assert read_document(chunk(**both)).usage == Usage(prompt=3, completion=2)
    assert read_document(chunk(**{**both, "usage": None})).usage == Usage(prompt=9, completion=9)


def test_timings_of_llamacpp_count_where_it_gives_no_usage() -> None:
    timings = {"cache_n": 4, "prompt_n": 3, "predicted_n": 2, "predicted_ms": 0.5}

    answer = read_chunks(chunk(choices=CHOICES, timings=timings))

    assert answer.usage == Usage(prompt=7, cached=4, completion=2)
    assert json.loads(answer.usage_raw or "") == timings


def test_timings_fill_in_what_usage_leaves_unsaid_and_no_more() -> None:
    answer = read_document(chunk(usage=usage(10, 5), timings={"cache_n": 4, "prompt_n": 3, "predicted_n": 2}))

    assert answer.usage == Usage(prompt=10, cached=4, completion=5)
    assert json.loads(answer.usage_raw or "") == usage(10, 5)


def test_timings_that_are_malformed_do_no_harm_to_a_usage_that_is_not() -> None:
    timings = {"prompt_n": -1}

    assert read_document(chunk(usage=usage(10, 5), timings=timings)).usage == Usage(prompt=10, completion=5)
    assert read_document(chunk(usage={"prompt_tokens": -1}, timings={"prompt_n": 1})).malformed
    assert read_document(chunk(timings=timings)).malformed


def test_the_model_is_the_first_that_is_not_empty() -> None:
    answer = read_chunks(
        chunk(model=""), chunk(model=None), chunk(model=7), chunk(model="a"), chunk(model="b")
    )

    assert answer.model == "a"


def test_the_finish_reason_is_the_last_that_is_not_empty() -> None:
    reasons: list[object] = [None, "", "stop", {"type": "x"}, "", None]

    answer = read_chunks(*(chunk(choices=[{"finish_reason": reason}]) for reason in reasons))

    assert answer.finish_reason == "stop"


@pytest.mark.parametrize(
    "choices", [None, 7, "x", {}, [None], [7], [[]], [{"finish_reason": 7}], [{"index": "0"}]]
)
def test_choices_of_any_shape_are_survived(choices: object) -> None:
    answer = read_chunks(chunk(model="m", choices=choices, usage=usage(1, 2)))

    assert answer == Answer(model="m", usage=Usage(prompt=1, completion=2), usage_raw=json.dumps(usage(1, 2)))


@pytest.mark.parametrize("data", [b"[DONE]", b" [DONE] ", b"[DONE]\r"])
def test_done_finishes_a_stream(data: bytes) -> None:
    assert read_chunks(data) == Answer(finished=True)


@pytest.mark.parametrize("data", [b"DONE", b'"[DONE]"', b"[done]", b"[DONE]x", b'{"x":"[DONE]"}'])
def test_nothing_else_does(data: bytes) -> None:
    assert not read_chunks(data).finished


def test_an_error_in_a_stream_remains_one_after_done() -> None:
    assert read_chunks(chunk(error={"message": "out of memory"}), b"[DONE]") == Answer(
        finished=True, failed=True
    )


def test_what_usage_a_chunk_carries_is_told() -> None:
    reader = reader_of()

    assert reader.read_chunk(chunk(choices=[], usage=usage(1, 1))) is ChunkUsage.FINAL
    assert reader.read_chunk(chunk(choices=CHOICES, usage=usage(1, 1))) is ChunkUsage.RUNNING
    assert reader.read_chunk(chunk(choices=CHOICES, usage=usage(0, 0))) is ChunkUsage.PLACEHOLDER
    assert reader.read_chunk(chunk(choices=[], usage=usage(0, 0))) is ChunkUsage.FINAL
    assert reader.read_chunk(chunk(choices=CHOICES, usage=None)) is ChunkUsage.NONE
    assert reader.read_chunk(chunk(choices=[], usage=None, sglext={})) is ChunkUsage.NONE
    assert reader.read_chunk(chunk(choices=CHOICES)) is ChunkUsage.NONE
    assert reader.read_chunk(chunk(choices=CHOICES, usage={"prompt_tokens": -1})) is ChunkUsage.RUNNING
    assert reader.read_chunk(chunk(choices=[], usage={"prompt_tokens": -1})) is ChunkUsage.FINAL
    assert reader.read_chunk(chunk(choices=[], timings={"prompt_n": 1})) is ChunkUsage.NONE
    assert reader.read_chunk(b"[DONE]") is ChunkUsage.NONE
    assert reader.read_chunk(b"nonsense") is ChunkUsage.NONE


def test_an_error_that_comes_with_usage_is_no_usage_chunk_but_its_usage_is_read() -> None:
    reader = reader_of()

    assert reader.read_chunk(chunk(error={"message": "no"}, choices=[], usage=usage(3, 1))) is ChunkUsage.NONE
    assert reader.answer().usage == Usage(prompt=3, completion=1)
    assert reader.answer().failed


def test_an_event_that_is_an_error_by_its_name_makes_an_answer_fail() -> None:
    reader = reader_of()
    reader.read_error()

    assert reader.answer() == Answer(failed=True)


def test_damage_is_remembered() -> None:
    reader = reader_of()
    reader.read_chunk(chunk(choices=[], usage=usage(3, 1)))
    reader.read_damage()

    assert reader.answer().unreadable
    assert reader.answer().usage == Usage(prompt=3, completion=1)


def test_final_usage_counts_over_running_usage() -> None:
    answer = read_chunks(
        chunk(id="a", choices=CHOICES, usage=usage(3, 1)),
        chunk(id="a", choices=CHOICES, usage=usage(3, 2)),
        chunk(id="a", choices=[], usage={**usage(3, 2), "prompt_tokens_details": {"cached_tokens": 2}}),
    )

    assert answer.usage == Usage(prompt=3, cached=2, completion=2)


def test_final_usages_of_several_prompts_are_added_up() -> None:
    answer = read_chunks(
        chunk(id="a", choices=[], usage=usage(3, 1)),
        chunk(id="b", choices=[], usage=usage(5, 7)),
        request_facts=RequestFacts(prompts=2),
    )

    assert answer.usage == Usage(prompt=8, completion=8)
    assert json.loads(answer.usage_raw or "") == [usage(3, 1), usage(5, 7)]


def test_final_usages_of_one_prompt_have_it_once() -> None:
    answer = read_chunks(
        chunk(id="a", choices=[], usage=usage(5, 1)), chunk(id="b", choices=[], usage=usage(5, 7))
    )

    assert answer.usage == Usage(prompt=5, completion=8)


def test_a_final_usage_that_comes_again_for_the_same_id_replaces_the_first() -> None:
    answer = read_chunks(
        chunk(id="a", choices=[], usage=usage(3, 1)), chunk(id="a", choices=[], usage=usage(3, 2))
    )

    assert answer.usage == Usage(prompt=3, completion=2)


def test_llamacpp_sends_the_final_usages_of_all_results_under_one_id() -> None:
    chunks = [chunk(id="a", choices=[], usage=usage(3, completion)) for completion in (1, 2, 4, 8)]

    assert read_chunks(*chunks, request_facts=RequestFacts(engine=engine("llama.cpp"))).usage == Usage(
        prompt=3, completion=15
    )
    two = RequestFacts(prompts=2, samples=2, engine=engine("llama.cpp"))
    assert read_chunks(*chunks, request_facts=two).usage == Usage(prompt=6, completion=15)
    assert read_chunks(*chunks, request_facts=RequestFacts(engine=engine("vLLM"))).usage == Usage(
        prompt=3, completion=8
    )


def test_running_usage_of_several_choices_has_the_prompt_once() -> None:
    chunks = [
        chunk(id="a", choices=[{"index": index}], usage=usage(3, completion))
        for index, completion in [(0, 1), (1, 1), (0, 2), (1, 4)]
    ]

    assert read_chunks(*chunks).usage == Usage(prompt=3, completion=6)


def test_running_usage_of_one_prompt_is_that_of_its_choices_should_every_chunk_have_an_id_of_its_own() -> (
    None
):
    chunks = [chunk(id=f"chunk-{number}", choices=CHOICES, usage=usage(3, number)) for number in range(1, 5)]

    assert read_chunks(*chunks).usage == Usage(prompt=3, completion=4)


def test_running_usage_of_several_prompts_is_added_up() -> None:
    chunks = [chunk(id="a", choices=[{"index": index}], usage=usage(3, 2)) for index in (0, 1)]

    assert read_chunks(*chunks, request_facts=RequestFacts(prompts=2)).usage == Usage(prompt=6, completion=4)


def test_running_usage_of_several_samples_of_several_prompts_has_each_prompt_once() -> None:
    chunks = [
        chunk(id="a", choices=[{"index": index}], usage=usage(10 + index // 3, 1)) for index in range(6)
    ]

    assert read_chunks(*chunks, request_facts=RequestFacts(prompts=2, samples=3)).usage == Usage(
        prompt=21, completion=6
    )


def test_one_malformed_part_makes_the_whole_malformed() -> None:
    answer = read_chunks(
        chunk(id="a", choices=[], usage=usage(3, 1)), chunk(id="b", choices=[], usage={"prompt_tokens": -1})
    )

    assert (answer.usage, answer.malformed) == (None, True)
    assert json.loads(answer.usage_raw or "") == [usage(3, 1), {"prompt_tokens": -1}]


def test_a_malformed_running_usage_counts_for_nothing_once_the_final_one_came() -> None:
    answer = read_chunks(
        chunk(choices=CHOICES, usage={"prompt_tokens": -1}), chunk(choices=[], usage=usage(3, 1))
    )

    assert (answer.usage, answer.malformed) == (Usage(prompt=3, completion=1), False)


def test_parts_whose_sum_is_no_count_are_malformed() -> None:
    parts = [chunk(id=name, choices=[], usage=usage(2**53, 1)) for name in ("a", "b")]

    assert read_chunks(*parts, request_facts=RequestFacts(prompts=2)).malformed


def test_of_raw_usage_beyond_16_kib_the_counts_are_kept() -> None:
    block: dict[str, object] = {"prompt_tokens": 1, "x": "y" * USAGE_RAW_BYTES_MAX}

    answer = read_document(chunk(usage=block))

    assert answer.usage == Usage(prompt=1)
    assert answer.usage_raw == '{"prompt_tokens": 1}'


def test_the_limit_of_raw_usage_is_in_bytes() -> None:
    umlauts = "ü" * (USAGE_RAW_BYTES_MAX // 2)

    answer = read_document(f'{{"usage":{{"prompt_tokens":1,"x":"{umlauts}"}}}}'.encode())

    assert answer.usage == Usage(prompt=1)
    assert answer.usage_raw is None


def test_raw_usage_of_a_long_document_is_kept() -> None:
    answer = read_document(chunk(text="y" * USAGE_RAW_BYTES_MAX, usage=usage(1, 2), more="z"))

    assert answer.usage_raw == json.dumps(usage(1, 2))


def test_lone_surrogates_and_nul_in_texts_are_survived() -> None:
    answer = read_chunks(
        b'{"id":"\\ud800","model":"\\ud800\\u0000","choices":[],"usage":{"prompt_tokens":1}}'
    )

    assert answer.model == "\ud800\0"
    assert answer.usage == Usage(prompt=1)


ANTHROPIC = "anthropic.messages"
START = chunk(
    type="message_start",
    message={
        "model": "sonnet",
        "usage": {"input_tokens": 25, "cache_read_input_tokens": 5, "output_tokens": 1},
    },
)
DELTA = chunk(type="message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 15})


def test_for_each_count_of_a_messages_stream_the_last_word_holds() -> None:
    answer = read_chunks(START, DELTA, chunk(type="message_stop"), api=ANTHROPIC)

    assert answer.usage == Usage(prompt=30, cached=5, completion=15)
    assert (answer.model, answer.finish_reason, answer.finished) == ("sonnet", "end_turn", True)
    assert json.loads(answer.usage_raw or "") == [
        {"input_tokens": 25, "cache_read_input_tokens": 5, "output_tokens": 1},
        {"output_tokens": 15},
    ]


def test_an_estimate_at_the_start_of_a_messages_stream_is_corrected_downwards() -> None:
    last = chunk(
        type="message_delta", usage={"input_tokens": 7, "cache_read_input_tokens": 0, "output_tokens": 15}
    )

    assert read_chunks(START, last, api=ANTHROPIC).usage == Usage(prompt=7, cached=0, completion=15)


def test_a_prompt_that_came_from_the_cache_alone_is_counted() -> None:
    start = chunk(message={"usage": {"input_tokens": 0, "cache_read_input_tokens": 100, "output_tokens": 0}})

    assert read_chunks(start, DELTA, api=ANTHROPIC).usage == Usage(prompt=100, cached=100, completion=15)
    assert read_chunks(start, api=ANTHROPIC).usage == Usage(prompt=100, cached=100, completion=0)


def test_nulls_of_a_messages_stream_take_nothing_back() -> None:
    last = chunk(usage={"input_tokens": None, "cache_read_input_tokens": None, "output_tokens": 15})

    assert read_chunks(START, last, api=ANTHROPIC).usage == Usage(prompt=30, cached=5, completion=15)


def test_a_malformed_word_of_a_messages_stream_makes_it_malformed_for_good() -> None:
    bad = chunk(usage={"output_tokens": -1})

    for chunks in ((START, bad, DELTA), (bad, START, DELTA), (START, DELTA, bad)):
        assert read_chunks(*chunks, api=ANTHROPIC).malformed


def test_the_number_of_a_content_block_says_nothing_about_usage() -> None:
    numbered = chunk(type="message_delta", index=1, usage={"output_tokens": 15})

    assert read_chunks(START, numbered, api=ANTHROPIC).usage == Usage(prompt=30, cached=5, completion=15)


def test_dashscope_counts_cached_tokens_in_the_prompt() -> None:
    assert read_chunks(
        START, DELTA, api=ANTHROPIC, request_facts=RequestFacts(engine=engine("DashScope"))
    ).usage == Usage(prompt=25, cached=5, completion=15)


RESPONSES = "openai.responses"


@pytest.mark.parametrize(
    ("kind", "status", "finish_reason", "failed"),
    [
        ("response.completed", "completed", "completed", False),
        ("response.incomplete", "incomplete", "max_output_tokens", False),
        ("response.cancelled", "cancelled", "cancelled", False),
        ("response.failed", "failed", "failed", True),
    ],
)
def test_the_terminal_event_of_a_response_has_everything(
    kind: str, status: str, finish_reason: str, failed: bool
) -> None:
    response = {
        "model": "m",
        "status": status,
        "usage": {"input_tokens": 3, "output_tokens": 2, "input_tokens_details": {"cached_tokens": 1}},
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
    }
    first = chunk(type="response.created", response={"model": "m", "status": "in_progress", "usage": None})

    reader = reader_of(RESPONSES)
    reader.read_chunk(first)
    assert reader.answer() == Answer("m")
    reader.read_chunk(chunk(type=kind, response=response))
    answer = reader.answer()

    assert answer.usage == Usage(prompt=3, cached=1, completion=2)
    assert (answer.finish_reason, answer.failed) == (finish_reason, failed)
    assert answer.finished is not failed


def test_the_counts_of_triton_are_added_up_and_those_of_the_prompt_are_not() -> None:
    chunks = [chunk(num_input_tokens=7, num_output_tokens=count, text_output="a") for count in (1, 0, 2)]

    answer = read_chunks(*chunks, api="triton.generate")

    assert answer.usage == Usage(prompt=7, completion=3)
    assert json.loads(answer.usage_raw or "")[0] == {"num_input_tokens": 7, "num_output_tokens": 1}


def test_raw_usage_that_was_not_all_kept_is_none() -> None:
    chunks = [chunk(num_input_tokens=7, num_output_tokens=1) for _ in range(65)]

    assert len(json.loads(read_chunks(*chunks[:64], api="triton.generate").usage_raw or "")) == 64
    answer = read_chunks(*chunks, api="triton.generate")
    assert (answer.usage, answer.usage_raw) == (Usage(prompt=7, completion=65), None)


SGLANG = "sglang.generate"


def meta(prompt: int, completion: int, **more: object) -> dict[str, object]:
    return {"text": "a", "meta_info": {"id": "x", **usage(prompt, completion), **more}}


def test_the_results_of_an_array_are_added_up_by_prompt() -> None:
    results = json.dumps([meta(3, 1), meta(3, 2), meta(5, 4), meta(5, 8)]).encode()

    one_each = read_document(results, SGLANG, RequestFacts(prompts=4))
    assert one_each.usage == Usage(prompt=16, completion=15)
    two_each = read_document(results, SGLANG, RequestFacts(prompts=2, samples=2))
    assert two_each.usage == Usage(prompt=8, completion=15)
    assert json.loads(one_each.usage_raw or "")[1] == usage(3, 2)


def test_the_results_of_a_stream_are_told_apart_by_their_index() -> None:
    chunks = [
        chunk(index=index, **meta(3, completion, finish_reason={"type": "length"}))
        for index, completion in ((0, 1), (1, 1), (0, 5), (1, 7))
    ]

    answer = read_chunks(*chunks, b"[DONE]", api=SGLANG, request_facts=RequestFacts(samples=2))
    assert answer.usage == Usage(prompt=3, completion=12)
    assert (answer.finish_reason, answer.finished) == ("length", True)


def test_the_results_among_predictions_are_read() -> None:
    content = chunk(predictions=[meta(3, 1), meta(4, 2)])

    assert read_document(content, SGLANG, RequestFacts(prompts=2)).usage == Usage(prompt=7, completion=3)


@pytest.mark.parametrize("api", ["vllm.classify", "jina.rerank", "sglang.encode"])
def test_the_documents_that_sglang_scores_are_added_up(api: str) -> None:
    results = json.dumps([{"meta_info": {"prompt_tokens": count}} for count in (20, 22)]).encode()

    assert read_document(results, api).usage == Usage(prompt=42)


@pytest.mark.parametrize("content", [b"[]", b"[null]", b"[7,[],{}]", b'{"predictions":[]}'])
def test_arrays_without_results_say_nothing(content: bytes) -> None:
    assert read_document(content, SGLANG) == Answer(finished=True)


def test_headers_have_the_counts_of_tgi() -> None:
    reader = reader_of("tgi.generate")
    reader.read_headers({"x-prompt-tokens": "7", "x-generated-tokens": "0", "x-compute-time": "x"})

    assert reader.answer().usage == Usage(prompt=7, completion=0)
    assert not reader.answer().finished


@pytest.mark.parametrize("count", ["-1", "1.5", "x", "", "9" * 20, "²", "7, 7"])
def test_headers_whose_counts_are_none_are_malformed(count: str) -> None:
    reader = reader_of("tgi.generate")
    reader.read_headers({"x-prompt-tokens": count, "x-generated-tokens": "1"})

    assert reader.answer().malformed
    assert json.loads(reader.answer().usage_raw or "")["x-prompt-tokens"] == count


def test_other_headers_say_nothing() -> None:
    reader = reader_of("tgi.generate")
    reader.read_headers({"content-type": "application/json"})

    assert reader.answer() == Answer()


def test_a_header_may_be_a_document() -> None:
    reader = reader_of("openai.embeddings")
    reader.read_headers({"metadata": '{"model": "m", "usage": {"prompt_tokens": 3, "total_tokens": 3}}'})
    reader.read_document(b"\0\0\x80?")

    assert reader.answer() == Answer("m", Usage(prompt=3), '{"prompt_tokens": 3, "total_tokens": 3}')


def test_the_shape_of_an_answer_decides_between_the_apis_of_its_path() -> None:
    tgi = chunk(generated_text="a", details={"input_length": 4, "generated_tokens": 2})
    for apis in ((SGLANG, "tgi.generate"), ("tgi.generate", SGLANG)):
        for content, counts in (
            (tgi, Usage(prompt=4, completion=2)),
            (chunk(**meta(3, 1)), Usage(prompt=3, completion=1)),
        ):
            reader = reader_of(*apis)
            reader.read_document(content)

            assert reader.answer().usage == counts


def test_a_failure_in_the_shape_of_any_api_of_the_path_is_one() -> None:
    for apis in ((SGLANG, ANTHROPIC), (ANTHROPIC, SGLANG)):
        reader = reader_of(*apis)
        reader.read_chunk(chunk(type="error"))

        assert reader.answer().failed

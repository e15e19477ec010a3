import json

import pytest

from phoebe_addon.openai_answer import (
    PARTS_MAX,
    USAGE_RAW_BYTES_MAX,
    Answer,
    ChunkUsage,
    OpenAIAnswerReader,
)
from phoebe_addon.usage import Usage

CHOICES = [{"index": 0, "delta": {"content": "a"}}]


def chunk(**members: object) -> bytes:
    return json.dumps(members).encode()


def read_chunks(*chunks: bytes, prompt_count: int = 1) -> Answer:
    reader = OpenAIAnswerReader(prompt_count)
    for data in chunks:
        reader.read_chunk(data)
    return reader.answer()


def read_document(content: bytes) -> Answer:
    reader = OpenAIAnswerReader(1)
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


def test_a_document_with_an_error_has_failed_and_not_finished() -> None:
    assert read_document(b'{"error":{"message":"no"}}') == Answer(failed=True)


@pytest.mark.parametrize("error", ["null", "{}", '""', "false"])
def test_an_error_member_that_says_nothing_is_no_error(error: str) -> None:
    assert not read_document(f'{{"error":{error}}}'.encode()).failed


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b"7",
        b'"usage"',
        b'{"usage":{"prompt_tokens":1}',
        b"\xff\xfe",
        b"<html>",
        b'{"usage":' + b"[" * 200_000,
        b'{"usage":{"prompt_tokens":' + b"9" * 5000 + b"}}",
    ],
)
def test_a_document_that_is_no_answer_says_nothing(content: bytes) -> None:
    assert read_document(content) == Answer()
    assert read_chunks(content) == Answer()


@pytest.mark.parametrize("block", ["null", "[]", '"x"', "7", "[1]"])
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
    inner = {"usage": usage(9, 9), "choices": [{"usage": usage(9, 9), "delta": {"content": '"usage":{}'}}]}

    assert read_chunks(chunk(model="m", x=inner, choices=inner["choices"])).usage is None


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


def test_an_error_in_a_stream_remains_one_after_done() -> None:
    assert read_chunks(chunk(error={"message": "out of memory"}), b"[DONE]") == Answer(
        finished=True, failed=True
    )


def test_what_usage_a_chunk_carries_is_told() -> None:
    reader = OpenAIAnswerReader(1)

    assert reader.read_chunk(chunk(choices=[], usage=usage(1, 1))) is ChunkUsage.FINAL
    assert reader.read_chunk(chunk(choices=CHOICES, usage=usage(1, 1))) is ChunkUsage.RUNNING
    assert reader.read_chunk(chunk(choices=CHOICES, usage=None)) is ChunkUsage.NONE
    assert reader.read_chunk(chunk(choices=[], usage=None, sglext={})) is ChunkUsage.NONE
    assert reader.read_chunk(chunk(choices=CHOICES)) is ChunkUsage.NONE


def test_an_error_that_comes_with_usage_is_no_usage_chunk_but_its_usage_is_read() -> None:
    reader = OpenAIAnswerReader(1)

    assert reader.read_chunk(chunk(error={"message": "no"}, choices=[], usage=usage(3, 1))) is ChunkUsage.NONE
    assert reader.answer().usage == Usage(prompt=3, completion=1)
    assert reader.answer().failed


def test_final_usage_counts_over_running_usage() -> None:
    answer = read_chunks(
        chunk(id="a", choices=CHOICES, usage=usage(3, 1)),
        chunk(id="a", choices=CHOICES, usage=usage(3, 2)),
        chunk(id="a", choices=[], usage={**usage(3, 2), "prompt_tokens_details": {"cached_tokens": 2}}),
    )

    assert answer.usage == Usage(prompt=3, cached=2, completion=2)


def test_final_usages_of_several_ids_are_added_up() -> None:
    answer = read_chunks(
        chunk(id="a", choices=[], usage=usage(3, 1)), chunk(id="b", choices=[], usage=usage(5, 7))
    )

    assert answer.usage == Usage(prompt=8, completion=8)
    assert json.loads(answer.usage_raw or "") == [usage(3, 1), usage(5, 7)]


def test_a_final_usage_that_comes_again_for_the_same_id_replaces_the_first() -> None:
    answer = read_chunks(
        chunk(id="a", choices=[], usage=usage(3, 1)), chunk(id="a", choices=[], usage=usage(3, 2))
    )

    assert answer.usage == Usage(prompt=3, completion=2)


def test_running_usage_of_several_choices_has_the_prompt_once() -> None:
    chunks = [
        chunk(id="a", choices=[{"index": index}], usage=usage(3, completion))
        for index, completion in [(0, 1), (1, 1), (0, 2), (1, 4)]
    ]

    assert read_chunks(*chunks).usage == Usage(prompt=3, completion=6)


def test_running_usage_of_several_prompts_is_added_up() -> None:
    chunks = [chunk(id="a", choices=[{"index": index}], usage=usage(3, 2)) for index in (0, 1)]

    assert read_chunks(*chunks, prompt_count=2).usage == Usage(prompt=6, completion=4)


def test_one_malformed_part_makes_the_whole_malformed() -> None:
    answer = read_chunks(
        chunk(id="a", choices=[], usage=usage(3, 1)), chunk(id="b", choices=[], usage={"prompt_tokens": -1})
    )

    assert (answer.usage, answer.malformed) == (None, True)


def test_parts_whose_sum_is_no_count_are_malformed() -> None:
    parts = [chunk(id=name, choices=[], usage=usage(2**53, 1)) for name in ("a", "b")]

    assert read_chunks(*parts).malformed


def test_raw_usage_beyond_16_kib_is_not_kept_but_counts() -> None:
    block: dict[str, object] = {"prompt_tokens": 1, "x": "y" * USAGE_RAW_BYTES_MAX}

    answer = read_document(chunk(usage=block))

    assert answer.usage == Usage(prompt=1)
    assert answer.usage_raw is None


def test_the_limit_of_raw_usage_is_in_bytes() -> None:
    umlauts = "ü" * (USAGE_RAW_BYTES_MAX // 2)

    answer = read_document(f'{{"usage":{{"prompt_tokens":1,"x":"{umlauts}"}}}}'.encode())

    assert answer.usage == Usage(prompt=1)
    assert answer.usage_raw is None


def test_raw_usage_of_a_long_document_is_kept() -> None:
    answer = read_document(chunk(text="y" * USAGE_RAW_BYTES_MAX, usage=usage(1, 2), more="z"))

    assert answer.usage_raw == json.dumps(usage(1, 2))


def test_more_parts_than_any_request_has_are_not_kept() -> None:
    answer = read_chunks(*(chunk(id=str(n), choices=[], usage=usage(1, 0)) for n in range(PARTS_MAX + 10)))

    assert answer.usage == Usage(prompt=PARTS_MAX, completion=0)


def test_lone_surrogates_and_nul_in_texts_are_survived() -> None:
    answer = read_chunks(
        b'{"id":"\\ud800","model":"\\ud800\\u0000","choices":[],"usage":{"prompt_tokens":1}}'
    )

    assert answer.model == "\ud800\0"
    assert answer.usage == Usage(prompt=1)

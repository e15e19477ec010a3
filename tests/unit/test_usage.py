import pytest

from phoebe_addon.usage import (
    COUNT_MAX,
    MalformedUsageError,
    Usage,
    add_usages,
    read_count,
    read_openai_usage,
)


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (None, None),
        (0, 0),
        (-0.0, 0),
        (7, 7),
        (812.0, 812),
        (COUNT_MAX, COUNT_MAX),
        (float(COUNT_MAX), COUNT_MAX),
    ],
)
def test_counts_are_integers_from_zero_to_two_to_the_53(value: object, count: int | None) -> None:
    assert read_count(value) == count


@pytest.mark.parametrize(
    "value",
    [
        *(-1, -1.0, 0.5, True, False, COUNT_MAX + 1, 10**4000, 1e308),
        *(float("nan"), float("inf"), float("-inf"), "7", "", [], {}, [7]),
    ],
)
def test_anything_else_is_malformed(value: object) -> None:
    with pytest.raises(MalformedUsageError):
        read_count(value)


def test_all_counts_of_the_openai_block_are_read() -> None:
    block: dict[str, object] = {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 15,
        "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 1},
        "completion_tokens_details": {"reasoning_tokens": 3},
    }

    assert read_openai_usage(block) == Usage(prompt=10, cached=4, completion=5, reasoning=3)


def test_what_is_not_reported_is_none_and_zero_is_zero() -> None:
    assert read_openai_usage({}) == Usage()
    assert read_openai_usage({"prompt_tokens": 0, "prompt_tokens_details": {"cached_tokens": 0}}) == Usage(
        prompt=0, cached=0
    )
    assert read_openai_usage(
        {"completion_tokens": 1, "prompt_tokens_details": None, "completion_tokens_details": {}}
    ) == Usage(completion=1)


@pytest.mark.parametrize(
    ("details", "reasoning"),
    [(None, 3), ({}, 3), ({"reasoning_tokens": None}, 3), ({"reasoning_tokens": 0}, 0)],
)
def test_reasoning_at_the_top_counts_only_where_the_details_have_none(
    details: object, reasoning: int | None
) -> None:
    usage = read_openai_usage({"reasoning_tokens": 3, "completion_tokens_details": details})

    assert usage.reasoning == reasoning


def test_more_cached_than_prompt_tokens_are_kept_as_reported() -> None:
    usage = read_openai_usage({"prompt_tokens": 59946, "prompt_tokens_details": {"cached_tokens": 122884}})

    assert usage == Usage(prompt=59946, cached=122884)


@pytest.mark.parametrize(
    "block",
    [
        {"prompt_tokens": 1, "completion_tokens": "2"},
        {"prompt_tokens": 1, "prompt_tokens_details": []},
        {"prompt_tokens": 1, "prompt_tokens_details": {"cached_tokens": -1}},
        {"prompt_tokens": 1, "completion_tokens_details": 7},
        {"prompt_tokens": True},
    ],
)
def test_one_bad_count_makes_the_whole_block_malformed(block: dict[str, object]) -> None:
    with pytest.raises(MalformedUsageError):
        read_openai_usage(block)


@pytest.mark.parametrize(
    ("usage", "billable"),
    [
        (Usage(), False),
        (Usage(cached=1, reasoning=1), False),
        (Usage(prompt=0), True),
        (Usage(completion=0), True),
    ],
)
def test_usage_can_be_billed_on_if_prompt_or_completion_is_known(usage: Usage, billable: bool) -> None:
    assert usage.is_billable() is billable


def test_usages_are_added_field_by_field_and_unknown_stays_unknown() -> None:
    assert add_usages([Usage(prompt=1, cached=0), Usage(prompt=2, completion=3)]) == Usage(
        prompt=3, cached=0, completion=3
    )
    assert add_usages([]) == Usage()


def test_a_sum_beyond_the_largest_count_is_malformed() -> None:
    with pytest.raises(MalformedUsageError):
        add_usages([Usage(prompt=COUNT_MAX), Usage(prompt=1)])

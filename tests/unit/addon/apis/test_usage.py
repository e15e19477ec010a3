import pytest

from phoebe_addon.apis.families.anthropic_messages import FAMILIES as ANTHROPIC
from phoebe_addon.apis.families.cohere import FAMILIES as COHERE
from phoebe_addon.apis.families.openai_chat import OPENAI_COUNTS
from phoebe_addon.apis.usage import (
    COUNT_MAX,
    COUNT_NAMES,
    Counts,
    MalformedUsageError,
    Usage,
    add_counts,
    read_count,
)

ANTHROPIC_COUNTS = ANTHROPIC[0].answer.usage[0].counts
COHERE_COUNTS = COHERE[0].answer.usage[0].counts


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
        pytest.param(10**5000, id="an integer that Python does not print"),
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
        "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 1, "cache_write_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 3, "audio_tokens": 0},
    }

    assert OPENAI_COUNTS.read(block) == Usage(
        prompt=10,
        cached=4,
        cache_write=2,
        prompt_audio=1,
        completion=5,
        reasoning=3,
        completion_audio=0,
    )


def test_what_is_not_reported_is_none_and_zero_is_zero() -> None:
    assert OPENAI_COUNTS.read({}) == Usage()
    assert OPENAI_COUNTS.read({"prompt_tokens": 0, "prompt_tokens_details": {"cached_tokens": 0}}) == Usage(
        prompt=0, cached=0
    )
    assert OPENAI_COUNTS.read(
        {"completion_tokens": 1, "prompt_tokens_details": None, "completion_tokens_details": {}}
    ) == Usage(completion=1)


@pytest.mark.parametrize(
    ("details", "reasoning"),
    [(None, 3), ({}, 3), ({"reasoning_tokens": None}, 3), ({"reasoning_tokens": 0}, 0)],
)
def test_a_second_name_counts_only_where_the_first_says_nothing(
    details: object, reasoning: int | None
) -> None:
    usage = OPENAI_COUNTS.read({"reasoning_tokens": 3, "completion_tokens_details": details})

    assert usage.reasoning == reasoning


def test_more_cached_than_prompt_tokens_are_kept_as_reported() -> None:
    block: dict[str, object] = {"prompt_tokens": 59946, "prompt_tokens_details": {"cached_tokens": 122884}}

    assert OPENAI_COUNTS.whole_prompt(OPENAI_COUNTS.read(block)) == Usage(prompt=59946, cached=122884)


@pytest.mark.parametrize(
    "block",
    [
        {"prompt_tokens": 1, "completion_tokens": "2"},
        {"prompt_tokens": 1, "completion_tokens": -2},
        {"prompt_tokens": 1, "prompt_tokens_details": {"cached_tokens": -1}},
        {"prompt_tokens": 1, "cached_tokens": "1"},
        {"prompt_tokens": True},
        {"prompt_tokens": {}},
    ],
)
def test_one_bad_count_makes_the_whole_block_malformed(block: dict[str, object]) -> None:
    with pytest.raises(MalformedUsageError):
        OPENAI_COUNTS.read(block)


@pytest.mark.parametrize(
    ("details", "bad"),
    [
        ({"prompt_tokens_details": []}, {"cached", "cache_write", "prompt_audio"}),
        ({"prompt_tokens_details": [3]}, {"cached", "cache_write", "prompt_audio"}),
        ({"completion_tokens_details": 7}, {"reasoning", "completion_audio"}),
        (
            {"completion_tokens_details": "none", "prompt_tokens_details": {}},
            {"reasoning", "completion_audio"},
        ),
    ],
)
def test_details_that_are_no_object_are_not_reported_and_the_counts_beside_them_are_good(
    details: dict[str, object], bad: set[str]
) -> None:
    found: set[str] = set()
    usage = OPENAI_COUNTS.read({"prompt_tokens": 31, "completion_tokens": 7, **details}, found)

    assert (usage.prompt, usage.completion) == (31, 7)
    assert all(getattr(usage, name) is None for name in bad)
    assert found == bad


def test_a_detail_that_is_misplaced_may_stand_well_elsewhere() -> None:
    block: dict[str, object] = {"completion_tokens_details": [], "reasoning_tokens": 3}

    assert OPENAI_COUNTS.read(block).reasoning == 3


def test_cached_tokens_that_the_prompt_lacks_are_no_detail() -> None:
    with pytest.raises(MalformedUsageError):
        ANTHROPIC_COUNTS.read({"input_tokens": 3, "cache_read_input_tokens": "many"})


@pytest.mark.parametrize("name", ["cached_tokens", "prompt_cache_hit_tokens"])
def test_cached_tokens_at_the_top_of_the_block_are_read(name: str) -> None:
    block: dict[str, object] = {"prompt_tokens": 310, "completion_tokens": 7, name: 256}

    assert OPENAI_COUNTS.read(block) == Usage(prompt=310, cached=256, completion=7)
    details = {"prompt_tokens_details": {"cached_tokens": 0}}
    assert OPENAI_COUNTS.read({**block, **details}).cached == 0


@pytest.mark.parametrize(
    ("block", "prompt"),
    [
        ({"input_tokens": 0, "output_tokens": 9}, None),
        ({"input_tokens": 0, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0}, None),
        ({"input_tokens": 0, "cache_read_input_tokens": 500}, 0),
        ({"input_tokens": 0, "cache_creation_input_tokens": 500}, 0),
    ],
)
def test_a_message_has_no_empty_prompt_so_that_one_of_0_tokens_was_not_counted(
    block: dict[str, object], prompt: int | None
) -> None:
    assert ANTHROPIC_COUNTS.read(block).prompt == prompt
    assert OPENAI_COUNTS.read({"prompt_tokens": 0}).prompt == 0


def test_a_bad_count_under_a_name_that_is_not_needed_does_no_harm() -> None:
    block: dict[str, object] = {
        "prompt_tokens": 1,
        "total_tokens": "many",
        "completion_tokens_details": {"reasoning_tokens": 2, "accepted_prediction_tokens": -1},
        "reasoning_tokens": "some",
    }

    assert OPENAI_COUNTS.read(block) == Usage(prompt=1, reasoning=2)


def test_cached_tokens_that_stand_beside_the_prompt_are_added_to_it() -> None:
    stated = ANTHROPIC_COUNTS.read(
        {
            "input_tokens": 3,
            "cache_creation_input_tokens": 20,
            "cache_read_input_tokens": 100,
            "cache_creation": {"ephemeral_5m_input_tokens": 20},
            "output_tokens": 7,
        }
    )

    assert stated == Usage(prompt=3, cached=100, cache_write=20, completion=7)
    assert ANTHROPIC_COUNTS.whole_prompt(stated) == Usage(
        prompt=123, cached=100, cache_write=20, completion=7
    )


@pytest.mark.parametrize(
    ("stated", "whole"),
    [
        (Usage(prompt=3), Usage(prompt=3)),
        (Usage(prompt=0, cached=5), Usage(prompt=5, cached=5)),
        (Usage(prompt=3, cache_write=0), Usage(prompt=3, cache_write=0)),
        (Usage(cached=5, completion=1), Usage(cached=5, completion=1)),
    ],
)
def test_a_prompt_that_was_not_stated_is_not_made_up_of_its_parts(stated: Usage, whole: Usage) -> None:
    assert ANTHROPIC_COUNTS.whole_prompt(stated) == whole


def test_a_prompt_beyond_the_largest_count_is_malformed() -> None:
    with pytest.raises(MalformedUsageError):
        ANTHROPIC_COUNTS.whole_prompt(Usage(prompt=COUNT_MAX, cached=1))


def test_an_engine_may_count_cached_tokens_in_the_prompt_of_any_format() -> None:
    counts = ANTHROPIC_COUNTS.with_cached_in_prompt()
    block: dict[str, object] = {"input_tokens": 103, "cache_read_input_tokens": 100, "output_tokens": 7}

    assert counts.whole_prompt(counts.read(block)) == Usage(prompt=103, cached=100, completion=7)
    assert counts.names() == ANTHROPIC_COUNTS.names()


def test_floats_without_a_fraction_are_counts_as_cohere_sends_them() -> None:
    block: dict[str, object] = {"billed_units": {"input_tokens": 812.0, "output_tokens": 3.0}}

    assert COHERE_COUNTS.read(block) == Usage(prompt=812, completion=3)


def test_the_names_of_counts_are_checked() -> None:
    with pytest.raises(TypeError, match="promt"):
        Counts(promt=("prompt_tokens",))


def test_the_members_that_are_read_are_listed_without_what_is_inside_them() -> None:
    counts = Counts(prompt=("a", "b.c"), completion=("d",), cached=("b.e",))

    assert set(counts.names()) == {"a", "b", "d"}


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


def test_usage_is_empty_only_if_no_count_was_reported() -> None:
    assert Usage().is_empty()
    for name in COUNT_NAMES:
        assert not Usage(**{name: 0}).is_empty()


def test_what_one_usage_leaves_unsaid_another_may_say() -> None:
    filled = Usage(prompt=1, cached=0).filled_from(Usage(prompt=2, cached=3, completion=4))

    assert filled == Usage(prompt=1, cached=0, completion=4)


@pytest.mark.parametrize(
    ("counts", "total"), [([], None), ([None, None], None), ([None, 0], 0), ([1, None, 2], 3)]
)
def test_counts_add_up_and_unknown_stays_unknown(counts: list[int | None], total: int | None) -> None:
    assert add_counts(counts) == total


def test_a_sum_beyond_the_largest_count_is_malformed() -> None:
    with pytest.raises(MalformedUsageError):
        add_counts([COUNT_MAX, 1])

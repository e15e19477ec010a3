"""Which values are token counts, and what one that is none does to the usage it stands in."""

import json
import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from phoebe_addon.answer.reader import AnswerReader, RequestFacts
from phoebe_addon.apis.families.openai_chat import OPENAI_COUNTS
from phoebe_addon.apis.usage import COUNT_MAX, MalformedUsageError, Usage, add_counts, read_count
from tests.harness.documents import Json, bad_counts, good_counts, scalars, values
from tests.harness.known import family

anything = st.one_of(
    st.integers(),
    st.floats(),
    st.integers(COUNT_MAX - 2, COUNT_MAX + 2),
    scalars,
    values(("x", "y")),
)


def is_count(value: object) -> bool:
    """What a count is, said in other words: a number without a fraction from 0 to 2^53."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 <= value <= 2**53 and value == math.floor(value)


@given(anything)
@example(-0.0)
@example(10**4000)
@example(10**5000)
def test_counts_are_read_and_everything_else_is_malformed(value: object) -> None:
    if value is None:
        assert read_count(value) is None
    elif is_count(value):
        count = read_count(value)
        assert type(count) is int
        assert count == value
    else:
        with pytest.raises(MalformedUsageError):
            read_count(value)


@given(st.lists(st.one_of(st.none(), st.integers(0, COUNT_MAX)), max_size=5))
def test_a_sum_is_a_count_or_malformed(counts: list[int | None]) -> None:
    expected = sum(count or 0 for count in counts)
    if expected > COUNT_MAX:
        with pytest.raises(MalformedUsageError):
            add_counts(counts)
    else:
        assert add_counts(counts) == (expected if set(counts) - {None} else None)


PLACES = (
    ("prompt_tokens",),
    ("completion_tokens",),
    ("prompt_tokens_details", "cached_tokens"),
    ("prompt_tokens_details", "cache_write_tokens"),
    ("prompt_tokens_details", "audio_tokens"),
    ("completion_tokens_details", "reasoning_tokens"),
    ("completion_tokens_details", "audio_tokens"),
)


@given(st.dictionaries(st.sampled_from(PLACES), good_counts), st.sampled_from(PLACES), bad_counts)
def test_one_bad_count_anywhere_in_a_block_makes_it_malformed(
    good: dict[tuple[str, ...], float], place: tuple[str, ...], bad: object
) -> None:
    block: dict[str, object] = {"total_tokens": "never read"}
    for path, value in {**good, place: bad}.items():
        inside = block.setdefault(path[0], {}) if len(path) == 2 else block
        assert isinstance(inside, dict)
        inside[path[-1]] = value

    with pytest.raises(MalformedUsageError):
        OPENAI_COUNTS.read(block)
    reader = AnswerReader((family("openai.chat").answer,), RequestFacts())
    text = json.dumps(block)
    reader.read_document(f'{{"usage": {text} }}'.encode())
    answer = reader.answer()
    assert (answer.usage, answer.usage_raw, answer.malformed) == (None, text, True)


@given(st.dictionaries(st.sampled_from(PLACES), good_counts), values(("x", "usage", "prompt_tokens")))
def test_what_a_block_says_besides_does_not_matter(good: dict[tuple[str, ...], float], more: Json) -> None:
    block: dict[str, object] = {"total_tokens": more, "x": more, "service_tier": more}
    for path, value in good.items():
        inside = block.setdefault(path[0], {"x": more}) if len(path) == 2 else block
        assert isinstance(inside, dict)
        inside[path[-1]] = value

    names = ("prompt", "completion", "cached", "cache_write", "prompt_audio", "reasoning", "completion_audio")
    assert OPENAI_COUNTS.read(block) == Usage(
        **{name: int(good[path]) for name, path in zip(names, PLACES, strict=True) if path in good}
    )


@settings(max_examples=200)
@given(st.integers(1, 2**53 - 1), st.sampled_from([".0", "", "e0", "E+0", "00e-2"]))
def test_how_a_number_is_written_does_not_matter(number: int, end: str) -> None:
    written = f"{number}{end}"
    reader = AnswerReader((family("openai.chat").answer,), RequestFacts())
    reader.read_document(f'{{"usage":{{"prompt_tokens":{written}}}}}'.encode())

    assert reader.answer().usage == Usage(prompt=number)

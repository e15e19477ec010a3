"""Which values are token counts, and what one that is none does to the usage it stands in."""

import json
import math
from collections.abc import Mapping

import pytest
from hypothesis import example, given
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


PLACES = {
    ("prompt_tokens",): "prompt",
    ("completion_tokens",): "completion",
    ("prompt_tokens_details", "cached_tokens"): "cached",
    ("prompt_tokens_details", "cache_write_tokens"): "cache_write",
    ("prompt_tokens_details", "audio_tokens"): "prompt_audio",
    ("completion_tokens_details", "reasoning_tokens"): "reasoning",
    ("completion_tokens_details", "audio_tokens"): "completion_audio",
}
places = st.sampled_from(sorted(PLACES))


@given(st.dictionaries(places, good_counts), places, bad_counts)
def test_one_bad_count_anywhere_in_a_block_makes_it_malformed(
    good: dict[tuple[str, ...], float], place: tuple[str, ...], bad: object
) -> None:
    block = block_of({**good, place: bad})

    with pytest.raises(MalformedUsageError):
        OPENAI_COUNTS.read(block)
    reader = AnswerReader((family("openai.chat").answer,), RequestFacts())
    text = json.dumps(block)
    reader.read_document(f'{{"usage": {text} }}'.encode())
    answer = reader.answer()
    assert (answer.usage, answer.usage_raw, answer.malformed) == (None, text, True)


@given(
    st.dictionaries(places, good_counts),
    st.sampled_from(["prompt_tokens_details", "completion_tokens_details"]),
    st.one_of(scalars, st.lists(scalars, max_size=2)).filter(
        lambda value: not isinstance(value, dict | None)
    ),
)
def test_details_that_are_no_object_say_nothing_and_take_nothing_away(
    good: dict[tuple[str, ...], float], name: str, details: Json
) -> None:
    others = {path: value for path, value in good.items() if path[0] != name}
    reader = AnswerReader((family("openai.chat").answer,), RequestFacts())
    reader.read_document(json.dumps({"usage": {**block_of(others), name: details}}).encode())
    answer = reader.answer()

    usage = Usage(**{PLACES[path]: int(value) for path, value in others.items()})
    assert answer.usage == (usage if usage.is_billable() else None)
    assert set(answer.bad_details) == {PLACES[path] for path in PLACES if path[0] == name}
    assert not answer.malformed


def block_of(counts: Mapping[tuple[str, ...], object]) -> dict[str, object]:
    """Make a usage object with these counts."""
    block: dict[str, object] = {"total_tokens": "never read"}
    for path, value in counts.items():
        inside = block.setdefault(path[0], {}) if len(path) == 2 else block
        assert isinstance(inside, dict)
        inside[path[-1]] = value
    return block

"""A usage that is split into a form and numbers is the same text when it is put together again."""

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from rater_service.events.usage_form import join_usage, split_usages

KNOWN = st.sampled_from(
    [
        "prompt_tokens",
        "completion_tokens_details",
        "cached_tokens",
        "ephemeral_5m_input_tokens",
        "totalTokenCount",
    ]
)
NUMBERS = st.one_of(
    st.integers(0, 2**53), st.floats(allow_nan=False, allow_infinity=False), st.none(), st.booleans()
)
OBJECTS = st.recursive(
    st.dictionaries(KNOWN, NUMBERS, max_size=5),
    lambda inner: st.dictionaries(KNOWN, st.one_of(NUMBERS, inner, st.lists(inner, max_size=2)), max_size=4),
    max_leaves=6,
)
KNOWN_USAGES = st.builds(
    lambda usage, separators: json.dumps(usage, separators=separators),
    OBJECTS,
    st.sampled_from([(",", ":"), (", ", ": ")]),
)
# Whatever an engine may send instead; the store refuses NUL.
ANY_USAGES = st.one_of(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    st.text(alphabet='{}[]":,#0123456789 tokens'),
    st.just('{"tokens": 007, "time": 1e5}'),
)


@given(st.lists(st.one_of(KNOWN_USAGES, ANY_USAGES)))
def test_a_form_and_its_numbers_make_the_text_again(usages: list[str]) -> None:
    for usage, form, numbers in zip(usages, *split_usages(usages), strict=True):
        if form:
            assert join_usage(form, numbers) == usage
            assert not re.search("[0-9]", form)
            assert numbers
        else:
            assert numbers == ""


@given(KNOWN_USAGES)
def test_a_usage_of_known_words_with_a_number_is_split(usage: str) -> None:
    (form,), _ = split_usages([usage])
    assert bool(form) == bool(re.search("[0-9]", usage))


@given(st.lists(st.one_of(KNOWN_USAGES, ANY_USAGES), min_size=1))
def test_what_stands_beside_a_usage_does_not_matter(usages: list[str]) -> None:
    alone = [split_usages([usage]) for usage in usages]
    forms, numbers = split_usages(usages)
    assert list(zip(forms, numbers, strict=True)) == [(each.forms[0], each.numbers[0]) for each in alone]


@given(st.from_regex(r"[a-z]{4,12}", fullmatch=True).filter(lambda word: "o" not in word and "e" not in word))
def test_a_word_that_may_tell_of_a_person_is_in_no_form(word: str) -> None:
    usages = [
        f'{{"{word}x": 1}}',
        f'{{"tokens": 1, "user": "{word}"}}',
        f"{word} 5",
        f'{{"tokens": [1, "{word}"]}}',
    ]
    assert not any(split_usages(usages).forms)

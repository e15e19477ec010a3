"""Taking out the usage of a chunk: the short way finds what the long way finds, or leaves it to it."""

import json

from hypothesis import example, given
from hypothesis import strategies as st

from phoebe_addon.answer.document import parse
from phoebe_addon.answer.removal import Edit, edited, without_last

EDIT = Edit(frozenset({"usage"}), frozenset())
texts = st.text(st.sampled_from('a,"{}[]:\\ ü\u2028')) | st.sampled_from((',"usage":{', '"usage"', "}}"))
values = st.recursive(
    st.none() | st.integers(0, 99) | texts,
    lambda inside: (
        st.lists(inside, max_size=3) | st.dictionaries(texts | st.just("usage"), inside, max_size=3)
    ),
    max_leaves=8,
)
chunks = st.tuples(
    st.dictionaries(st.sampled_from(("choices", "usage", "x")), values, max_size=3),
    st.dictionaries(texts, values, max_size=3),
)


def written(chunk: tuple[dict[str, object], dict[str, object]], separators: tuple[str, str]) -> bytes:
    """Write a chunk with an object of usage as its last member."""
    rest, usage = chunk
    members = [*rest.items(), ("usage", usage)]
    parts = [
        json.dumps({name: value}, separators=separators, ensure_ascii=False)[1:-1] for name, value in members
    ]
    return f"{{{separators[0].join(parts)}}}".encode()


@given(
    chunks,
    st.sampled_from(((",", ":"), (", ", ": "))),
    st.none() | st.tuples(st.integers(0, 200), st.binary(max_size=2)),
)
@example(({"x": {"y": 1}}, {}), (",", ":"), None)
def test_the_short_way_takes_out_what_the_long_way_does(
    chunk: tuple[dict[str, object], dict[str, object]],
    separators: tuple[str, str],
    damage: tuple[int, bytes] | None,
) -> None:
    content = written(chunk, separators)
    if damage:
        place, other = damage[0] % len(content), damage[1]
        content = content[:place] + other + content[place + 1 :]
    short = without_last(content, b"usage")

    if short is not None and parse(content) is not None:
        assert short == edited(content, EDIT)


@given(st.dictionaries(st.sampled_from(("choices", "x")), st.integers() | st.just("text"), min_size=1))
def test_a_plain_chunk_takes_the_short_way(rest: dict[str, object]) -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 1}}

    assert (
        without_last(written((rest, usage), (",", ":")), b"usage")
        == json.dumps(rest, separators=(",", ":")).encode()
    )

"""How many there are, in words."""

import pytest

from phoebe_runtime.counts import counted, noun


@pytest.mark.parametrize(
    ("count", "words"), [(-1, "-1 events"), (0, "0 events"), (1, "1 event"), (2, "2 events")]
)
def test_only_of_one_the_word_has_no_s(count: int, words: str) -> None:
    assert counted(count, "event") == words


@pytest.mark.parametrize(("count", "words"), [(0, "0 batches"), (1, "1 batch"), (2, "2 batches")])
def test_what_several_are_called_can_be_given(count: int, words: str) -> None:
    assert counted(count, "batch", "batches") == words


def test_the_word_can_be_had_alone() -> None:
    assert f"{12_000:,} {noun(12_000, 'row')}" == "12,000 rows"
    assert noun(1, "row") == "row"

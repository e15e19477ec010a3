"""How long something lasts, in words."""

from datetime import timedelta

import pytest

from phoebe_runtime.durations import in_words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1, "0 seconds"),
        (1, "1 second"),
        (119, "119 seconds"),
        (425, "7 minutes"),
        (7200, "2 hours"),
        (200_000, "2 days"),
    ],
)
def test_it_is_said_in_the_largest_unit_of_which_there_are_two(seconds: int, words: str) -> None:
    assert in_words(timedelta(seconds=seconds)) == words

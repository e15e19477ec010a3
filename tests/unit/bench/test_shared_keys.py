"""What is said of batches of common customers against those of own ones."""

from bench import shared_keys
from bench.ratio import Pair


def test_the_ratio_is_of_events_in_a_second_and_the_note_says_both() -> None:
    result = shared_keys.result_of([Pair(900.0, 1000.0), Pair(1100.0, 1000.0)], rows_per_key=3.0)

    assert (result.ratio.low, result.ratio.high, result.ratio.reference) == (0.9, 1.1, 1000.0)
    assert "1,000 events/s of common customers, 1,000 of own ones; 3.0 rows of sums a key" in result.note

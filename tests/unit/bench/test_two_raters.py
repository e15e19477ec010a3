"""What is said of two raters against one."""

from bench import two_raters
from bench.ratio import Pair
from bench.two_raters import Fed


def test_the_ratio_is_of_events_in_a_second_and_the_note_says_what_cpu_there_was() -> None:
    one = Fed(events=1000, elapsed_s=1.0, rater_cpu_s=0.4, server_cpu_s=0.5)
    rounds = [
        Pair(Fed(events=1000, elapsed_s=0.5, rater_cpu_s=0.4, server_cpu_s=0.55), one),
        Pair(Fed(events=1000, elapsed_s=0.625, rater_cpu_s=0.4, server_cpu_s=0.55), one),
    ]

    result = two_raters.result_of("two_raters", rounds, 2)

    assert (result.ratio.low, result.ratio.high, result.ratio.reference) == (1.6, 2.0, 1000.0)
    assert (
        "share 2 CPUs: of them two raters and PostgreSQL had 1.71, one rater and PostgreSQL 0.90"
        in result.note
    )
    assert "each commit waits" not in result.note
    assert result.note.endswith("400.0 and 400.0 us in the rater, 550.0 and 500.0 us in PostgreSQL")


def test_turns_are_added_up() -> None:
    assert Fed(1, 2.0, 3.0, 4.0).plus(Fed(5, 6.0, 7.0, 8.0)) == Fed(6, 8.0, 10.0, 12.0)


def test_where_commits_are_slow_the_note_says_how_slow() -> None:
    pair = Pair(Fed(1000, 0.5, 0.4, 0.5), Fed(1000, 1.0, 0.4, 0.5))

    assert "each commit waits 30 ms; 1 rounds" in two_raters.result_of("two_raters_slow_disk", [pair], 2).note

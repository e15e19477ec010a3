"""A benchmark's ratio comes from rounds compared one by one."""

import pytest

from bench.errors import BenchError
from bench.ratio import Pair, Ratio, ratio_of


def test_the_ratio_is_the_median_of_the_rounds_with_the_lowest_and_the_highest() -> None:
    rounds = [Pair(6.0, 4.0), Pair(2.0, 4.0), Pair(5.0, 4.0)]
    assert ratio_of(rounds) == Ratio(median=1.25, low=0.5, high=1.5, phoebe=5.0, reference=4.0)


def test_rounds_are_paired_so_that_a_slow_spell_of_the_machine_cancels_out() -> None:
    assert ratio_of([Pair(1.0, 1.0), Pair(20.0, 40.0), Pair(30.0, 30.0)]).median == 1.0


def test_the_median_of_an_even_number_of_rounds_lies_between_the_middle_ones() -> None:
    assert ratio_of([Pair(1.0, 1.0), Pair(2.0, 1.0)]).median == 1.5


@pytest.mark.parametrize("pair", [Pair(0.0, 1.0), Pair(1.0, 0.0)])
def test_a_side_that_measured_nothing_gives_no_ratio(pair: Pair[float]) -> None:
    with pytest.raises(BenchError, match="measured nothing"):
        ratio_of([Pair(1.0, 1.0), pair])


def test_without_a_round_there_is_no_ratio() -> None:
    with pytest.raises(BenchError, match="no round"):
        ratio_of([])

"""How many cores a process may use."""

import os

import pytest

from phoebe_addon.workers.cores import allowed_cores, cores


@pytest.mark.parametrize(
    ("cpu_max", "count"),
    [("max 100000\n", None), ("200000 100000\n", 2), ("150000 100000", 2), ("5000 100000", 1)],
)
def test_a_container_may_use_as_many_as_its_group_says(cpu_max: str, count: int | None) -> None:
    assert allowed_cores(cpu_max) == count


def test_there_is_at_least_one_and_no_more_than_it_runs_on() -> None:
    assert 1 <= cores() <= len(os.sched_getaffinity(0))

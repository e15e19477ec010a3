"""CPU time is that of one process, and the proxies get a CPU of their own."""

import os
import time

import pytest

from bench.cpu import CpuSplit, available_cpus, cpu_time_s, pinned_to, split_cpus

# User and system time are each cut to a clock tick of 10 ms, before and after.
TICKS_S = 0.04


def test_the_cpu_time_of_a_process_is_what_its_own_clock_says() -> None:
    before_s, own_before_s = cpu_time_s(os.getpid()), time.process_time()
    while time.process_time() < own_before_s + 0.2:
        pass
    spent_s, own_spent_s = cpu_time_s(os.getpid()) - before_s, time.process_time() - own_before_s
    assert spent_s == pytest.approx(own_spent_s, abs=TICKS_S)


@pytest.mark.parametrize(
    ("available", "split"),
    [
        ({2, 5, 7}, CpuSplit(proxy=frozenset({2}), others=frozenset({5, 7}))),
        ({0, 1}, CpuSplit(proxy=frozenset({0}), others=frozenset({1}))),
        ({3}, None),
        (set(), None),
    ],
)
def test_the_proxies_get_one_cpu_if_there_is_another_one_for_the_rest(
    available: set[int], split: CpuSplit | None
) -> None:
    assert split_cpus(frozenset(available)) == split


def test_without_cpus_to_pin_to_nothing_changes() -> None:
    before = available_cpus()
    with pinned_to(None):
        assert available_cpus() == before

"""CPU time is that of one process, and the proxies get a CPU of their own."""

import os
import subprocess
import sys
import time

import pytest

from bench.cpu import CpuSplit, available_cpus, cpu_time_s, pinned_to, split_cpus
from bench.errors import BenchError

BUSY = "import time\nwhile time.process_time() < 0.3: pass"
# User and system time are each cut to a clock tick of 10 ms, before and after.
TICKS_S = 0.04

needs_pinning = pytest.mark.skipif(not available_cpus(), reason="this system does not pin processes")


def test_the_cpu_time_of_a_process_is_what_its_own_clock_says() -> None:
    before_s, own_before_s = cpu_time_s(os.getpid()), time.process_time()
    while time.process_time() < own_before_s + 0.2:
        pass
    spent_s, own_spent_s = cpu_time_s(os.getpid()) - before_s, time.process_time() - own_before_s
    assert spent_s == pytest.approx(own_spent_s, abs=TICKS_S)


def test_what_a_child_uses_does_not_count() -> None:
    before_s, own_before_s = cpu_time_s(os.getpid()), time.process_time()
    subprocess.run([sys.executable, "-c", BUSY], check=True)
    spent_s, own_spent_s = cpu_time_s(os.getpid()) - before_s, time.process_time() - own_before_s
    assert spent_s == pytest.approx(own_spent_s, abs=TICKS_S)


def test_a_process_that_is_gone_has_no_cpu_time() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    with pytest.raises(BenchError, match=f"process {ended.pid} has ended"):
        cpu_time_s(ended.pid)


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


@needs_pinning
def test_processes_started_while_pinned_stay_on_their_cpu_and_this_one_goes_back() -> None:
    before = available_cpus()
    one = frozenset({max(before)})
    with pinned_to(one):
        said = subprocess.run(
            [sys.executable, "-c", "import os; print(os.sched_getaffinity(0))"],
            check=True,
            capture_output=True,
            text=True,
        )
    assert said.stdout.strip() == str(set(one))
    assert available_cpus() == before


def test_without_cpus_to_pin_to_nothing_changes() -> None:
    before = available_cpus()
    with pinned_to(None):
        assert available_cpus() == before

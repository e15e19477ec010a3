"""CPU time of processes, and processes on a CPU of their own."""

import os
import time

import pytest

from bench.cpu import available_cpus, cpu_time_s, pinned_to
from bench.errors import BenchError
from tests.harness.python_child import python_child, run_python

# User and system time are each cut to a clock tick of 10 ms, before and after.
TICKS_S = 0.04
BUSY = "import time\nwhile time.process_time() < 0.3: pass"

needs_pinning = pytest.mark.skipif(not available_cpus(), reason="this system does not pin processes")


def test_what_a_child_uses_does_not_count() -> None:
    before_s, own_before_s = cpu_time_s(os.getpid()), time.process_time()
    assert run_python(BUSY).returncode == 0
    spent_s, own_spent_s = cpu_time_s(os.getpid()) - before_s, time.process_time() - own_before_s
    assert spent_s == pytest.approx(own_spent_s, abs=TICKS_S)


def test_a_process_that_is_gone_has_no_cpu_time() -> None:
    with python_child("") as ended:
        ended.end()
    pid = ended.process.pid
    with pytest.raises(BenchError, match=f"process {pid} has ended"):
        cpu_time_s(pid)


@needs_pinning
def test_processes_started_while_pinned_stay_on_their_cpu_and_this_one_goes_back() -> None:
    before = available_cpus()
    one = frozenset({max(before)})
    with pinned_to(one):
        said = run_python("import os; print(os.sched_getaffinity(0))")
    assert said.stdout.strip() == str(set(one))
    assert available_cpus() == before

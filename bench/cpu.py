"""CPU time of a process, and which CPUs processes run on."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

from bench.errors import BenchError


@dataclass(frozen=True, slots=True)
class CpuSplit:
    """CPUs for the proxies, of which one works at a time, and for everything else."""

    proxy: frozenset[int]
    others: frozenset[int]

    @property
    def all(self) -> frozenset[int]:
        """Both, for what has nothing to do with proxies."""
        return self.proxy | self.others


def cpu_time_s(pid: int, *, with_children: bool = False) -> float:
    """User and system time that a process has used so far, all its threads, and maybe all its children.

    The resolution is a clock tick, usually 10 ms. BenchError if one of them is gone.
    """
    try:
        process = psutil.Process(pid)
        children = process.children(recursive=True) if with_children else []
        times = [each.cpu_times() for each in (process, *children)]
    except psutil.NoSuchProcess as gone:
        raise BenchError(f"process {gone.pid} has ended while it was measured") from None
    return float(sum(each.user + each.system for each in times))


def server_cpu_time_s(pid: int) -> float:
    """User and system time that PostgreSQL has used so far: all its processes, also those that have ended.

    pid: of the one that the others are children of.
    """
    server = psutil.Process(pid)
    own = server.cpu_times()
    alive = [each.cpu_times() for each in server.children()]
    used = sum(each.user + each.system for each in (own, *alive))
    return float(used + own.children_user + own.children_system)


def split_cpus(available: frozenset[int]) -> CpuSplit | None:
    """Gives the proxies one CPU, so that neither gains from a second; None if there is but one."""
    if len(available) < 2:
        return None
    first = min(available)
    return CpuSplit(proxy=frozenset({first}), others=available - {first})


def available_cpus() -> frozenset[int]:
    """The CPUs this process may run on; none where the system does not let processes be pinned."""
    return frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else frozenset()


@contextmanager
def pinned_to(cpus: frozenset[int] | None) -> Iterator[None]:
    """Runs this thread, and the processes it starts meanwhile, on these CPUs alone; None changes nothing."""
    if cpus is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)

"""How many cores this process may use: those it may run on, as far as its container may use them."""

import os
from math import ceil
from pathlib import Path

_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


def cores() -> int:
    """Return how many cores this process may use, at least 1."""
    runs_on = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        allowed = allowed_cores(_CPU_MAX.read_text("ascii"))
    except (OSError, ValueError):
        allowed = None
    return max(1, min(runs_on, allowed or runs_on))


def allowed_cores(cpu_max: str) -> int | None:
    """Return how many cores a control group may use, rounded up; None: as many as there are.

    cpu_max: what the file of that name says, time and period in microseconds (the kernel's admin guide on
    cgroup v2). Raises ValueError.
    """
    quota, period = cpu_max.split()
    return None if quota == "max" else ceil(int(quota) / int(period))

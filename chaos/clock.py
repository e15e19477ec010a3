"""A clock that can jump, for a mitmdump: load it before the addon.

It reads how far ahead the clock is from the file that CHAOS_CLOCK names: 8 bytes, microseconds, changed under
way. What asks `time` and `datetime` for the time of day sees it; timers and ids do not.
"""

import datetime as dt
import mmap
import os
import struct
import time
from pathlib import Path
from typing import Self, override

_AHEAD_US = struct.Struct("q")
_Datetime = dt.datetime


def write_clock(path: Path, ahead_s: int) -> None:
    """Set a clock. The file keeps its place, so that whoever has it open sees the change."""
    with path.open("r+b" if path.exists() else "w+b") as file:
        file.write(_AHEAD_US.pack(ahead_s * 1_000_000))


def _install(path: str) -> None:
    with Path(path).open("rb") as file:
        content = mmap.mmap(file.fileno(), _AHEAD_US.size, access=mmap.ACCESS_READ)
    real_ns = time.time_ns

    def time_ns() -> int:
        ahead_us: int = _AHEAD_US.unpack_from(content)[0]
        return real_ns() + ahead_us * 1000

    class JumpingDatetime(_Datetime):
        @override
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> Self:
            return cls.fromtimestamp(time_ns() / 1e9, tz)

    time.time_ns = time_ns
    time.time = lambda: time_ns() / 1e9
    dt.datetime = JumpingDatetime  # type: ignore[misc]


if "CHAOS_CLOCK" in os.environ:
    _install(os.environ["CHAOS_CLOCK"])

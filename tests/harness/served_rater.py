"""The service as operators run it: a process of its own, whose log and memory a test can look at."""

import os
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import psutil

from rig.processes import Running, start
from rig.programs import LISTENING, PROJECT, environment_of_parts, serve


class ServedRater:
    """A running `phoebe serve`; what it says is in a file in `folder`.

    environment: what is Phoebe's own in it; with `DATABASE_URL`, or `PHOEBE_DATA` for an embedded database.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], *options: str) -> None:
        self.running: Running = start(
            "rater",
            serve(*options),
            folder / f"rater-{len(list(folder.glob('rater-*.log')))}.log",
            folder=PROJECT,
            environment={**environment_of_parts(os.environ), **environment},
        )
        self.port = 0

    @property
    def process(self) -> subprocess.Popen[bytes]:
        return self.running.process

    @property
    def resident_bytes(self) -> int:
        return int(psutil.Process(self.process.pid).memory_info().rss)

    def log(self) -> str:
        return self.running.said

    def wait_until_ready(self) -> None:
        self.port = int(self.running.wait_until_says(LISTENING))

    def wait_for_log(self, text: str) -> None:
        self.running.wait_until(lambda: text in self.log(), f"say {text!r}")

    def stop(self) -> int:
        """Ask it to end; returns its status."""
        self.process.terminate()
        return self.process.wait(timeout=30)


@asynccontextmanager
async def served_rater(
    folder: Path, environment: Mapping[str, str], *options: str
) -> AsyncIterator[ServedRater]:
    """A service that answers calls, as long as the context lasts; it is ended if it has not ended before."""
    rater = ServedRater(folder, environment, *options)
    try:
        rater.port = int(await rater.running.until_says(LISTENING))
        yield rater
    finally:
        if rater.process.poll() is None:
            trouble = await rater.running.stop()
            assert trouble is None, trouble

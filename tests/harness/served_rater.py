"""The service as operators run it: a process of its own, whose log and memory a test can look at."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

PROGRAM = "from rater_service.cli import main; main()"


@dataclass
class ServedRater:
    """A running `phoebe serve`; `log` grows by its lines."""

    process: asyncio.subprocess.Process
    port: int
    log: list[str] = field(default_factory=list)

    @property
    def resident_bytes(self) -> int:
        return int(psutil.Process(self.process.pid).memory_info().rss)


@asynccontextmanager
async def served_rater(database_url: str, prices: Path, *options: str) -> AsyncIterator[ServedRater]:
    """Start the service on a free port, and end it; it must live as long as the context."""
    command = ("serve", "--listen", "127.0.0.1:0", "--database-url", database_url, "--prices", str(prices))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, *command, *options, stderr=asyncio.subprocess.PIPE
    )
    rater = ServedRater(process, port=0)
    reading = asyncio.create_task(_keep_log(rater))
    try:
        async with asyncio.timeout(60):
            while not rater.port:
                assert not reading.done(), "".join(rater.log)
                await asyncio.sleep(0.01)
        yield rater
        assert process.returncode is None, "".join(rater.log)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        await reading


async def _keep_log(rater: ServedRater) -> None:
    assert rater.process.stderr is not None
    async for line in rater.process.stderr:
        rater.log.append(line.decode(errors="replace"))
        if "listening on 127.0.0.1:" in rater.log[-1]:
            rater.port = int(rater.log[-1].rpartition(":")[2])

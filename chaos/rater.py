"""The rater: `phoebe serve` on a database that comes and goes."""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import override

from chaos.part import Part
from demo.parts import BIN, PROJECT
from demo.processes import DemoError, Running

PRICES = PROJECT / "demo" / "prices.yaml"


class Rater(Part):
    """One service. Every start has another port, which `on_ready` is told."""

    def __init__(
        self, folder: Path, environment: Mapping[str, str], url: str, on_ready: Callable[[int], None]
    ) -> None:
        super().__init__("rater", folder, {**environment, "DATABASE_URL": url})
        self._on_ready = on_ready
        self._rolling = asyncio.Lock()

    async def roll(self) -> None:
        """Start another, and SIGTERM this one once that serves; not if the other can't start."""
        async with self._rolling:
            await self.up.wait()
            old, new = self._running, self._start()
            assert old
            try:
                await self._until_ready(new)
            except DemoError:
                return
            if self._running is not old or old.process.poll() is not None:
                new.process.kill()  # the old one was killed meanwhile, and has its successor
                return
            self._next = new
            self._serves(new)
            self.expect_end(0)
            await self._terminate(old)

    @override
    def _command(self) -> Sequence[str]:
        return [str(BIN / "phoebe"), "serve", "--listen", "127.0.0.1:0", "--prices", str(PRICES)]

    @override
    async def _until_ready(self, running: Running) -> None:
        await running.until(lambda: _port(running) is not None, "listen")

    @override
    def _serves(self, running: Running) -> None:
        port = _port(running)
        assert port
        self._on_ready(port)

    @override
    def _may_end(self) -> bool:
        return not self.has_served  # without its database it does not start


def _port(running: Running) -> int | None:
    found = re.search(r"listening on 127\.0\.0\.1:(\d+)", running.said)
    return int(found[1]) if found else None

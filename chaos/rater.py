"""The rater: `phoebe serve` on a database that comes and goes."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import override

from chaos.part import Part
from rig.errors import RigError
from rig.processes import Running
from rig.programs import LISTENING, PRICES, serve


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
            except RigError:
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
        return serve("--prices", str(PRICES))

    @override
    async def _until_ready(self, running: Running) -> None:
        await running.until_says(LISTENING)

    @override
    def _serves(self, running: Running) -> None:
        self._on_ready(int(running.found(LISTENING)))

    @override
    def _may_end(self) -> bool:
        return not self.has_served  # without its database it does not start

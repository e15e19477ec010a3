"""PostgreSQL servers of the simulator's own, to be killed and started again."""

import asyncio
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

from chaos.errors import ChaosError
from rater_service.database.schema import migrate
from rig.postgres import Cluster, answers, execute
from rig.processes import POLL_S, Running

TEMPLATE = "chaos_template"
START_TIMEOUT_S = 60.0
# What is committed survives a kill of the server also without fsync: the kernel has it.
_SETTINGS = {
    "fsync": "off",
    "max_connections": "80",
    "shared_buffers": "32MB",
    "log_statement": "none",
}

# Alembic's context is one for the process.
_MIGRATING = asyncio.Lock()


class Postgres:
    """A server on data of its own in a new folder below /tmp, with a migrated template database."""

    def __init__(self, programs: Path) -> None:
        # Its owner can't be root, who may keep others out of the project's folder; sockets have short names.
        self._folder = Path(tempfile.mkdtemp(prefix="phoebe-chaos-"))
        self._cluster = Cluster(programs, self._folder)
        self._running: Running | None = None
        self.log = self._cluster.log

    def url(self, database: str = "postgres", **settings: str) -> str:
        """The URL of a database; settings: of its sessions."""
        more = "".join(f"&{name}={quote(value)}" for name, value in settings.items())
        return f"{self._cluster.url(database)}{more}"

    async def prepare(self) -> None:
        """Make the data and the template, and serve. ChaosError if that can't be done."""
        making = self._cluster.make()
        if await making.ended():
            raise ChaosError(f"PostgreSQL can't be set up: {making.said[-500:]}")
        await self.start()
        await execute(self.url(), f"CREATE DATABASE {TEMPLATE}")
        async with _MIGRATING:
            await migrate(self.url(TEMPLATE))

    async def start(self) -> None:
        """Start it if it does not run, and wait until it answers. ChaosError if it never does."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while not await self._answers():
            if time.monotonic() > deadline:
                raise ChaosError("PostgreSQL does not start")
            if not self._runs():
                self._running = self._cluster.serve(_SETTINGS)
            await asyncio.sleep(POLL_S)

    async def signal(self, number: signal.Signals) -> None:
        """Send the server a signal that ends it, and wait for its end."""
        if self._running and self._runs():
            self._running.process.send_signal(number)
            await self._running.ended()

    async def remove(self) -> None:
        """Stop it at once and delete everything it has."""
        await self.signal(signal.SIGQUIT)
        shutil.rmtree(self._folder, ignore_errors=True)

    @asynccontextmanager
    async def database(self, name: str) -> AsyncIterator[None]:
        """A new database, as long as the context lasts."""
        await self.start()
        await execute(self.url(), f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
        try:
            yield
        finally:
            await self.start()
            await execute(self.url(), f"DROP DATABASE {name} WITH (FORCE)")

    async def _answers(self) -> bool:
        return self._runs() and await answers(self.url())

    def _runs(self) -> bool:
        return self._running is not None and self._running.process.poll() is None

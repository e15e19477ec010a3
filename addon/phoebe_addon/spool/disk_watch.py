"""Whether the disk takes what the spool writes: seen by its transactions, and tried where there are none."""

import asyncio
import shutil
from contextlib import suppress
from typing import NoReturn

from phoebe_addon.spool.spool import Spool, SpoolError

# A proxy that is not ready gets no requests, so that only this finds out that its disk works again.
LOOK_EVERY_S = 5.0
# Longer than any flush to a disk that works. A network file system that is gone answers never.
WRITE_TIMEOUT_S = 10.0


class DiskWatch:
    """Watches the disk of a spool for as long as `keep_watching` runs."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._commits = spool.commits
        self._is_stuck = False
        self.free_bytes = 0
        """Of the disk, as of the last look."""
        self.oldest_s = 0.0
        """When the oldest event that waits ended, in seconds since 1970, at the last look; 0: none waits."""

    @property
    def trouble(self) -> str | None:
        """Why the disk takes nothing, as far as is known; None: it does."""
        if self._is_stuck:
            return f"the disk has not taken a write within {WRITE_TIMEOUT_S:g} seconds"
        return self._spool.trouble

    async def keep_watching(self) -> NoReturn:
        """Look every LOOK_EVERY_S, until cancelled."""
        while True:
            await asyncio.to_thread(self._measure)
            await asyncio.sleep(LOOK_EVERY_S)
            # A proxy whose spool is full gets no requests, so that none would say that there is room again.
            self._spool.tell_whether_full()
            await self.look()

    def _measure(self) -> None:
        with suppress(OSError, SpoolError):  # the disk fails, which is told otherwise
            self.free_bytes = shutil.disk_usage(self._spool.path.parent).free
            self.oldest_s = self._spool.oldest_s()

    async def look(self) -> None:
        """Try the disk, unless a transaction came there since the last look."""
        if self._spool.commits == self._commits:
            try:
                async with asyncio.timeout(WRITE_TIMEOUT_S):
                    await self._spool.touch()
            except TimeoutError:
                self._is_stuck = True
                return
            except SpoolError:
                pass  # the spool says what it was
        self._is_stuck = False
        self._commits = self._spool.commits

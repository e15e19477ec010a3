"""Adoption: bringing to the rater what is in spools whose process is gone.

One spool at a time, so that other processes find theirs when many start at once. Each keeps its own producer;
when the rater has had everything and was told that it was the last, the file goes.
"""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from phoebe_addon.delivery.delivery import Delivery
from phoebe_addon.spool.spool import Spool, SpoolError, adopt

logger = logging.getLogger(__name__)

# The events of a process that crashed wait no longer than this for a living one to look.
LOOK_EVERY_S = 10.0


class Adoption:
    """Looks for spools that nobody has, for as long as `run` runs.

    deliver: makes the delivery of a spool.
    """

    def __init__(self, folder: Path, bytes_max: int, deliver: Callable[[Spool], Delivery]) -> None:
        self._folder = folder
        self._bytes_max = bytes_max
        self._deliver = deliver
        self._spool: Spool | None = None

    def depth(self) -> int:
        """Count the events that wait in the spool that is being delivered."""
        return self._spool.depth() if self._spool else 0

    async def run(self) -> NoReturn:
        """Adopt until cancelled."""
        while True:
            try:
                while self._spool or await self._find():
                    await self._deliver_all()
            except SpoolError as error:
                logger.error("phoebe: no spool can be adopted now: %s", error)
            await asyncio.sleep(LOOK_EVERY_S)

    def close(self) -> None:
        """Give up the spool that is being delivered; what is left in it is for the next."""
        if self._spool:
            self._spool.close()
            self._spool = None

    async def _find(self) -> bool:
        # No task: it can't be cancelled, and what it finds must be closed.
        finding = asyncio.get_running_loop().run_in_executor(None, adopt, self._folder, self._bytes_max)
        try:
            self._spool = await asyncio.shield(finding)
        except asyncio.CancelledError:
            finding.add_done_callback(_close_found)
            raise
        if self._spool:
            logger.warning(
                "phoebe: adopted the spool of a process that is gone: producer %s, %d events, %d cut off",
                *(self._spool.producer_id, self._spool.depth(), self._spool.recovered),
            )
        return self._spool is not None

    async def _deliver_all(self) -> None:
        assert self._spool
        delivery = self._deliver(self._spool)
        delivery.finish()
        await delivery.run()
        await asyncio.to_thread(self._spool.close_and_remove)
        self._spool = None


def _close_found(finding: asyncio.Future[Spool | None]) -> None:
    """Close a spool that was found when nobody wanted it any more."""
    if not finding.cancelled() and not finding.exception() and (spool := finding.result()):
        spool.close()

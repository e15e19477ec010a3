"""Adoption: bringing to the rater what is in spools whose process is gone.

One spool at a time, so that other processes find theirs when many start at once. Each keeps its own producer
and its own installation; when the rater has had everything and was told that it was the last, the file goes.
One that belongs to another installation is named, again and again, and left.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NoReturn

from phoebe_addon.delivery.delivery import Delivery
from phoebe_addon.delivery.trouble import WrongInstallationError, explain
from phoebe_addon.spool.folder import is_left
from phoebe_addon.spool.seat import Seat
from phoebe_addon.spool.spool import Spool, SpoolError
from phoebe_addon.spool.spools import ANY_INSTALLATION, Belonging, adopt
from phoebe_runtime.counts import counted

logger = logging.getLogger(__name__)

# The events of a process that crashed wait no longer than this for a living one to look.
LOOK_EVERY_S = 10.0
# A worker that died is started again in seconds, and takes its spool with the producer.
SPARED_S = 60.0
# An operator may have brought the rater of another installation to the same address.
ASK_AGAIN_S = 60.0


class Adoption:
    """Looks for spools that nobody has, for as long as `run` runs.

    deliver: makes the delivery of a spool. belonging: to which installation spools belong.
    trust_group: whether members of the folder's group are trusted like this user. seat: of this process, if
    it is a worker: what workers of other numbers left is for their next start, and adopted if none comes.
    """

    def __init__(  # noqa: PLR0913 - what there is to say of a folder
        self,
        folder: Path,
        bytes_max: int,
        deliver: Callable[[Spool], Delivery],
        belonging: Belonging = ANY_INSTALLATION,
        *,
        trust_group: bool = False,
        seat: Seat | None = None,
    ) -> None:
        self._seat = seat
        self._seen_free: dict[Path, tuple[float, float]] = {}  # first and last, in monotonic time
        self._belonging = belonging
        self._trust_group = trust_group
        self._folder = folder
        self._bytes_max = bytes_max
        self._deliver = deliver
        self._spool: Spool | None = None
        self._left: dict[Path, float] = {}  # until when each is left alone, in time of the event loop
        self._misdirected: set[Path] = set()

    def depth(self) -> int:
        """Count the events that wait in the spool that is being delivered."""
        return self._spool.depth() if self._spool else 0

    @property
    def misdirected(self) -> int:
        """How many spools that nobody has belong to another installation than the rater that was asked."""
        return len(self._misdirected)

    async def run(self) -> NoReturn:
        """Adopt until cancelled."""
        while True:
            try:
                await self._forget_taken()
                while spool := self._spool or await self._find():
                    await self._deliver_or_leave(spool)
            except SpoolError as error:
                logger.error("phoebe: no spool can be adopted now: %s", error)
            await asyncio.sleep(LOOK_EVERY_S)

    def close(self) -> None:
        """Give up the spool that is being delivered; what is left in it is for the next."""
        if self._spool:
            self._spool.close()
            self._spool = None

    async def _forget_taken(self) -> None:
        """Forget the spools of other installations that another process has now, or that are gone."""
        for path in self._misdirected - ({self._spool.path} if self._spool else set()):
            if not await asyncio.to_thread(is_left, path, trust_group=self._trust_group):
                self._misdirected.discard(path)
                self._left.pop(path, None)

    async def _find(self) -> Spool | None:
        # No task: it can't be cancelled, and what it finds must be closed.
        loop = asyncio.get_running_loop()
        left = {path for path, until_s in self._left.items() if loop.time() < until_s}
        finding = loop.run_in_executor(
            None,
            partial(
                adopt,
                *(self._folder, self._bytes_max, self._belonging),
                without=lambda path: path in left or self._is_spared(path),
                trust_group=self._trust_group,
            ),
        )
        try:
            self._spool = await asyncio.shield(finding)
        except asyncio.CancelledError:
            finding.add_done_callback(_close_found)
            raise
        if self._spool and self._spool.path not in self._misdirected:
            logger.warning(
                "phoebe: adopted the spool of a process that is gone: producer %s, %s, %d cut off",
                *(self._spool.producer_id, counted(self._spool.depth(), "event"), self._spool.recovered),
            )
        return self._spool

    def _is_spared(self, path: Path) -> bool:
        """Whether a spool that nobody has is for the worker of its number, which is about to start again."""
        if self._seat is None or not self._seat.is_of_another(path):
            return False
        now_s = time.monotonic()
        first_s, last_s = self._seen_free.get(path, (now_s, now_s))
        if now_s - last_s > 2 * LOOK_EVERY_S:
            first_s = now_s  # its worker may have had it in between
        self._seen_free[path] = (first_s, now_s)
        return now_s - first_s < SPARED_S

    async def _deliver_or_leave(self, spool: Spool) -> None:
        try:
            await self._deliver(spool).run_to_the_end()
        except WrongInstallationError as error:
            self._leave(spool.path)
            self._misdirected.add(spool.path)
            logger.error("phoebe: the spool %s is left as it is: %s", spool.path, explain(error))
            await self._done_with(spool.close)
        else:
            self._left.pop(spool.path, None)
            self._misdirected.discard(spool.path)
            await self._done_with(spool.close_and_remove)

    async def _done_with(self, close: Callable[[], None]) -> None:
        """Close the spool, which is not to be delivered again whatever comes of that. Raises SpoolError."""
        spool, self._spool = self._spool, None
        try:
            await asyncio.to_thread(close)
        except SpoolError:
            if spool:
                self._leave(spool.path)
            raise

    def _leave(self, path: Path) -> None:
        self._left[path] = asyncio.get_running_loop().time() + ASK_AGAIN_S


def _close_found(finding: asyncio.Future[Spool | None]) -> None:
    """Close a spool that was found when nobody wanted it any more."""
    if not finding.cancelled() and not finding.exception() and (spool := finding.result()):
        spool.close()

"""Loads the price file, loads it again when it changes, and notices when others load another one."""

import asyncio
import logging
import time
from datetime import datetime
from hashlib import sha256
from math import inf
from pathlib import Path
from typing import NoReturn

from phoebe_runtime import followed_files
from phoebe_runtime.followed_files import FileChanges, FollowedFile
from rater_service.database.clock import read_clock
from rater_service.database.database import OPERATOR_ERRORS, UNAVAILABLE_ERRORS, Pool
from rater_service.database.sessions import reason
from rater_service.errors import OperatorError
from rater_service.hours import utc_text
from rater_service.prices.faults import PriceFileError
from rater_service.prices.load import load_price_file
from rater_service.prices.loadings import Loading, Timeline
from rater_service.prices.pricebook import NOTHING_ALLOWED, Allowed
from rater_service.prices.store import read_timeline

logger = logging.getLogger(__name__)


# Between two questions what was loaded last.
COMPARE_EVERY_S = 15.0
# Between two trials of a refused file: a service that was told that its prices are meant may have loaded it.
TRY_AGAIN_S = 60.0


class PriceWatch:
    """A price file that the service follows. One that is refused changes nothing.

    by: who loads it, for the record.
    """

    def __init__(self, pool: Pool, path: Path, by: str) -> None:
        self._pool = pool
        self._path = path
        # For the record: whoever reads it does not know where this process ran.
        self._source = str(path.absolute())
        self._by = by
        self._changes = FileChanges(f"the price file {path}", [FollowedFile(path, f"the price file {path}")])
        self._content_hash = ""
        self._compared_at = -inf
        self._refused_at = inf
        self._lost = ""

    @property
    def changes(self) -> FileChanges:
        """How the file stands: why it is not loaded as it is now, and what became of its changes."""
        return self._changes

    @property
    def is_latest(self) -> bool:
        """Whether what was loaded last is this file, and was not withdrawn, as far as was asked."""
        return not self._lost

    async def load(self, allowed: Allowed = NOTHING_ALLOWED) -> None:
        """Load the file. Raises OperatorError, with all faults, if it is refused or can't be read.

        allowed: prices that are meant now although they look like mistakes; later the file itself says which.
        """
        (file,) = await asyncio.to_thread(self._changes.read)
        try:
            await self._load(file.content, allowed)
        except PriceFileError as error:
            raise OperatorError(_refused(error)) from error
        self._changes.use()

    async def keep_fresh(self) -> NoReturn:
        """Load the file whenever it changed, until cancelled. What can't be loaded is said every minute."""
        while True:
            await asyncio.sleep(followed_files.PERIOD_S)
            await self._look()
            await self._compare()
            self._try_again()

    async def _look(self) -> None:
        found = await asyncio.to_thread(self._changes.look)
        if found is None:
            return
        try:
            await self._load(found[0].content)
        except PriceFileError as error:
            self._changes.refuse(_refused(error))
            self._refused_at = time.monotonic()
        except (OperatorError, *OPERATOR_ERRORS) as error:
            self._changes.postpone(f"the price file {self._path} can't be kept now: {reason(error)}")
        else:
            self._changes.use()

    def _try_again(self) -> None:
        """Offer a refused file again once in a while: what it is judged against may have changed."""
        if time.monotonic() - self._refused_at >= TRY_AGAIN_S:
            self._refused_at = inf
            self._changes.postpone(self._changes.fault)

    async def _load(self, content: bytes, allowed: Allowed = NOTHING_ALLOWED) -> None:
        async with self._pool.acquire() as connection:
            loaded = await load_price_file(connection, content, self._source, self._by, allowed)
        self._content_hash = sha256(content).hexdigest()
        self._lost = self._lost_to(loaded.loading)
        for line in loaded.told(str(self._path)):
            logger.info("%s", line)
        for alarm in loaded.alarms(str(self._path)):
            logger.warning("%s", alarm)

    async def _compare(self) -> None:
        """Say when another file was loaded, or this one withdrawn: this service's file is not what counts."""
        if time.monotonic() - self._compared_at < COMPARE_EVERY_S:
            return
        self._compared_at = time.monotonic()
        try:
            async with self._pool.acquire() as connection:
                timeline = await read_timeline(connection)
                now = (await read_clock(connection)).now
        except UNAVAILABLE_ERRORS:
            return  # the watch of the database says so, and the next question comes soon
        except (OperatorError, *OPERATOR_ERRORS) as error:
            logger.warning("which price file was loaded last can't be asked: %s", reason(error))
            return
        self._tell_of_latest(timeline, now)

    def _tell_of_latest(self, timeline: Timeline, now: datetime) -> None:
        lost = self._lost_to(timeline.latest)
        if lost == self._lost:
            return
        self._lost = lost
        if not lost:
            logger.info("the price file %s is what was loaded last again", self._path)
            return
        logger.warning("THE PRICE FILE %s %s", self._path, lost)
        for line in timeline.outlook(now):
            logger.warning("%s", line)

    def _lost_to(self, latest: Loading | None) -> str:
        """Say why this file is not what counts; empty: it is."""
        if latest is None:
            return (
                "IS NOT LOADED: no price file is, as in a database that was restored from before the first "
                "one. It is loaded when it changes or this service starts"
            )
        if latest.withdrawn_at is not None:
            return (
                f"IS NOT LOADED: {latest.describe()} was loaded last, and was withdrawn "
                f"{utc_text(latest.withdrawn_at)} by {latest.withdrawn_by}. A price file is loaded when it "
                "changes, or when a service starts with another than was loaded last"
            )
        if latest.content_hash == self._content_hash:
            return ""
        return (
            f"IS NOT WHAT WAS LOADED LAST: that is {latest.describe()}. What is loaded last counts; this "
            "file is loaded again when it changes or this service starts. All services on one database "
            "should follow the same file"
        )


def _refused(error: PriceFileError) -> str:
    return f"the price file is refused: {error}"

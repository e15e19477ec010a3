"""Loads the price file, and loads it again when it changes."""

import asyncio
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import asyncpg

from rater_service.database.database import UNAVAILABLE_ERRORS, Pool
from rater_service.errors import OperatorError
from rater_service.prices.faults import PriceFileError
from rater_service.prices.store import StoredBook, read_price_file, store_price_file

logger = logging.getLogger(__name__)

REFRESH_S = 1.0


@dataclass(frozen=True, slots=True)
class _Look:
    """What a look at the file without reading it shows; after any change it shows something else."""

    inode: int
    size: int
    changed_ns: int


class PriceWatch:
    """A price file that the service follows.

    A change is taken once the file has not changed for two looks, so that one that is still being written is
    not: the first half of a price file can be a price file. One that is refused changes nothing.
    """

    def __init__(self, pool: Pool, path: Path) -> None:
        self._pool = pool
        self._path = path
        self._dealt_with: _Look | None = None
        self._last: _Look | None = None
        self._complaint = ""

    @property
    def is_refused(self) -> bool:
        """Whether the file as it is now could not be loaded, so that earlier prices hold."""
        return bool(self._complaint)

    async def load(self) -> None:
        """Load the file. Raises OperatorError, with all faults, if it is refused or can't be read."""
        look = await asyncio.to_thread(self._look)
        content = await asyncio.to_thread(read_price_file, self._path)
        try:
            async with self._pool.acquire() as connection:
                stored = await store_price_file(connection, content, str(self._path), datetime.now(UTC))
        except PriceFileError as error:
            self._dealt_with = look
            raise OperatorError(f"the price file is refused: {error}") from error
        self._dealt_with = self._last = look
        self._complaint = ""
        _log(self._path, stored)

    async def keep_fresh(self) -> None:
        """Load the file whenever it changed, until cancelled. What can't be loaded is reported once."""
        while True:
            await asyncio.sleep(REFRESH_S)
            try:
                if await self._has_settled_anew():
                    await self.load()
            except (OperatorError, asyncpg.PostgresError, *UNAVAILABLE_ERRORS) as error:
                self._complain(error)

    async def _has_settled_anew(self) -> bool:
        look = await asyncio.to_thread(self._look)
        settled = look == self._last
        self._last = look
        return settled and look != self._dealt_with

    def _complain(self, error: Exception) -> None:
        text = str(error) or type(error).__name__
        if text != self._complaint:
            self._complaint = text
            logger.error("THE PRICES IN USE STAY IN USE: %s", text)

    def _look(self) -> _Look:
        try:
            found = self._path.stat()
        except OSError as error:
            raise OperatorError(f"can't read the price file {self._path}: {error.strerror}") from error
        return _Look(found.st_ino, found.st_size, found.st_ctime_ns)


def _log(path: Path, stored: StoredBook) -> None:
    for warning in stored.warnings:
        logger.warning("price file %s: %s", path, warning)
    since = stored.in_force.in_force_from
    logger.info(
        "price file %s: book %s, in force from %s",
        path,
        stored.in_force.book.content_hash,
        "the beginning" if since is None else since.isoformat(),
    )
    if (superseded := stored.not_in_force(str(path))) is not None:
        logger.warning("THE PRICE FILE %s", superseded)

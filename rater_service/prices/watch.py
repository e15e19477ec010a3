"""Loads the price file, and loads it again when it changes."""

import asyncio
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import asyncpg

from rater_service import followed_files
from rater_service.database.database import UNAVAILABLE_ERRORS, Pool
from rater_service.errors import OperatorError
from rater_service.followed_files import FileChanges, FollowedFile
from rater_service.hours import utc_text
from rater_service.prices.faults import PriceFileError
from rater_service.prices.store import StoredBook, store_price_file

logger = logging.getLogger(__name__)


class PriceWatch:
    """A price file that the service follows. One that is refused changes nothing."""

    def __init__(self, pool: Pool, path: Path) -> None:
        self._pool = pool
        self._path = path
        self._changes = FileChanges(f"the price file {path}", [FollowedFile(path, f"the price file {path}")])

    @property
    def fault(self) -> str:
        """Why the file as it is now is not loaded, so that earlier prices hold; empty when it is."""
        return self._changes.fault

    async def load(self) -> None:
        """Load the file. Raises OperatorError, with all faults, if it is refused or can't be read."""
        (file,) = await asyncio.to_thread(self._changes.read)
        try:
            await self._store(file.content)
        except PriceFileError as error:
            raise OperatorError(_refused(error)) from error
        self._changes.use()

    async def keep_fresh(self) -> NoReturn:
        """Load the file whenever it changed, until cancelled. What can't be loaded is reported once."""
        while True:
            await asyncio.sleep(followed_files.PERIOD_S)
            await self._look()

    async def _look(self) -> None:
        found = await asyncio.to_thread(self._changes.look)
        if found is None:
            return
        try:
            await self._store(found[0].content)
        except PriceFileError as error:
            self._changes.refuse(_refused(error))
        except (asyncpg.PostgresError, *UNAVAILABLE_ERRORS) as error:
            self._changes.postpone(
                f"the price file {self._path} can't be kept now: {str(error) or type(error).__name__}"
            )
        else:
            self._changes.use()

    async def _store(self, content: bytes) -> None:
        async with self._pool.acquire() as connection:
            stored = await store_price_file(connection, content, str(self._path), datetime.now(UTC))
        _log(self._path, stored)


def _refused(error: PriceFileError) -> str:
    return f"the price file is refused: {error}"


def _log(path: Path, stored: StoredBook) -> None:
    for warning in stored.warnings:
        logger.warning("price file %s: %s", path, warning)
    since = stored.loading.in_force_from
    logger.info(
        "price file %s: book %s, in force from %s",
        path,
        stored.loading.content_hash,
        "the beginning" if since is None else utc_text(since),
    )
    if (superseded := stored.not_in_force(str(path))) is not None:
        logger.warning("THE PRICE FILE %s", superseded)

"""Whether the schema fits this program and a price book is in force: looked at again and again, and told.

Both were so when the service started. A restore, another version's migration or a withdrawal can change it.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from typing import NoReturn

from phoebe_runtime.troubles import Trouble
from rater_service.database.clock import read_clock
from rater_service.database.database import OPERATOR_ERRORS, Pool
from rater_service.database.revisions import Revisions
from rater_service.database.schema import known_revisions, read_fitting_schema
from rater_service.errors import OperatorError
from rater_service.hours import utc_text
from rater_service.prices.loadings import SHORT_HASH_CHARS, Timeline
from rater_service.prices.store import read_timeline
from rater_service.service.health import PRICE_BOOK, SCHEMA

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 10.0
_WHAT_THEN = {
    SCHEMA: "nothing is stored or rated until it fits",
    PRICE_BOOK: "events are stored and can't be rated, and quotes find no price",
}
_OVER = {SCHEMA: "the database schema fits again", PRICE_BOOK: "prices are in force again"}

type Note = Callable[[str, bool, str], None]


class StandingWatch:
    """Looks at the database of a pool.

    note: told of SCHEMA and PRICE_BOOK, by name, whether it holds and in words how it stands.
    """

    def __init__(self, pool: Pool, note: Note, revisions: Revisions | None = None) -> None:
        self._pool = pool
        self._note = note
        self._revisions = revisions or known_revisions()
        self._troubles = {name: Trouble(logger, over) for name, over in _OVER.items()}

    async def keep_watching(self) -> NoReturn:
        """Look every LOOK_EVERY_S, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await self.look()

    async def look(self) -> None:
        """Look once, and tell. While the database can't be asked, what was told before holds."""
        try:
            async with self._pool.acquire() as connection:
                try:
                    schema = await read_fitting_schema(connection, self._revisions)
                except OperatorError as error:
                    self._tell(SCHEMA, False, str(error))
                    return
                self._tell(SCHEMA, True, f"the database schema fits: {schema.current}")
                timeline, now = await read_timeline(connection), (await read_clock(connection)).now
        except (OperatorError, *OPERATOR_ERRORS):
            return  # whoever looks at the database itself says so
        self._tell(PRICE_BOOK, *_priced(timeline, now))

    def _tell(self, name: str, holds: bool, words: str) -> None:
        if holds:
            self._troubles[name].is_over()
        else:
            self._troubles[name].met(f"{words}; {_WHAT_THEN[name]}")
        self._note(name, holds, words)


def _priced(timeline: Timeline, now: datetime) -> tuple[bool, str]:
    loading = timeline.prevailing(now)
    if loading is None:
        return False, "no price file was ever loaded, or all were withdrawn: load one with --prices FILE"
    book = loading.content_hash[:SHORT_HASH_CHARS]
    return True, f"prices are in force: book {book}, loaded {utc_text(loading.loaded_at)}"

"""The price history for many who ask at once: they share a look at the loadings that are kept.

A look serves whoever asks while it is under way or within FRESH_S, so that thousands of quotes a second cost
the database some ten looks, and few who ask wait for one. A look that finds loadings as they were costs the
same however many books are kept. What this process itself loads or withdraws is seen by whoever asks
afterwards.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

import asyncpg

from rater_service.background import spawn
from rater_service.database.database import Pool
from rater_service.hours import hour_of
from rater_service.prices.history import PriceHistory
from rater_service.prices.store import load_history
from rater_service.statements import bound

# Whoever asks may miss what another process has loaded within this time. Nearly all of it is in force from
# the next hour at the earliest.
FRESH_S = 0.1

type Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Read the machine's clock."""
    return datetime.now(UTC)


class OwnChanges:
    """How often this process has changed loadings."""

    def __init__(self) -> None:
        self.count = 0

    def note(self) -> None:
        """Note a change, once it is committed."""
        self.count += 1


OWN_CHANGES = OwnChanges()
"""Those of this process."""


class _Look:
    """A look at the loadings, under way or done. since: the hour from which on it can tell."""

    def __init__(self, seeing: Coroutine[Any, Any, PriceHistory], since: datetime) -> None:
        self.since = since
        self.history = spawn(seeing, "look at the loadings")
        # Nobody awaits it if all who asked are gone.
        self.history.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._began_s = time.monotonic()
        self._own_changes = OWN_CHANGES.count

    def serves(self, present: datetime) -> bool:
        """Tell whether it serves who asks now, in this hour."""
        return (
            time.monotonic() < self._began_s + FRESH_S
            and self._own_changes == OWN_CHANGES.count
            and self.since <= present
        )


class SharedHistory:
    """The history of the present, by the loadings of a database."""

    def __init__(self, pool: Pool, now: Clock = utc_now) -> None:
        self._pool = pool
        self._now = now
        self._look: _Look | None = None
        # What was seen when the history was loaded, and from which hour on it can tell.
        self._state: asyncpg.Record | None = None
        self._since = datetime.max.replace(tzinfo=UTC)
        self._history = PriceHistory(())

    async def at(self, moment: datetime) -> PriceHistory:
        """Give the history that can price a moment (UTC-aware).

        For a moment of the past more books may have to be read, and nobody else is made to wait for that.
        """
        present = hour_of(self._now())
        if moment < present:
            async with self._pool.acquire() as connection:
                return await load_history(connection, moment)
        while self._look is None or not self._look.serves(present):
            if self._look is None or self._look.history.done():
                self._look = _Look(self._see(present), present)
            else:
                # However slow the database is, there is one look at a time.
                await asyncio.wait([self._look.history])
        seen = self._look.history
        return seen.result() if seen.done() else await asyncio.shield(seen)

    async def _see(self, since: datetime) -> PriceHistory:
        async with self._pool.acquire() as connection:
            # Before the history: what is loaded in between is found by the next look.
            state = await connection.fetchrow(*bound("prices/loadings_state"))
            # The machine's clock may have been set back.
            if state != self._state or since < self._since:
                self._history = await load_history(connection, since)
                self._state, self._since = state, since
        return self._history

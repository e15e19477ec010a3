"""The price history for many who ask at once: they share a look at the loadings that are kept.

A look serves whoever asks while it is under way or within FRESH_S, so that thousands of quotes a second cost
the database some twelve looks. As long as quotes are asked for, the next look begins before the last one is
too old, so that nobody waits for it. A look that finds loadings as they were costs the same however many
books are kept. What this process itself loads or withdraws is seen by whoever asks afterwards.
"""

import asyncio
import math
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import asyncpg

from phoebe_runtime.background import spawn
from rater_service.database.database import Pool
from rater_service.hours import hour_of
from rater_service.prices.history import PriceHistory
from rater_service.prices.store import load_history
from rater_service.statements import bound

# Whoever asks may miss what another process has loaded within this time. Nearly all of it is in force from
# the next hour at the earliest.
FRESH_S = 0.1
# After so long the next look begins, if somebody asks. What is left of FRESH_S is more than a look takes in a
# process that is busy.
NEXT_LOOK_AFTER_S = 0.08

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


@dataclass(slots=True)
class _Seen:
    """What a look has seen: the history, which can price any moment from `since` on.

    until_s, next_look_s: by the monotonic clock. own_changes: that it can have seen.
    """

    history: PriceHistory
    since: datetime
    until_s: float
    next_look_s: float
    own_changes: int


_NOTHING_SEEN = _Seen(PriceHistory(()), datetime.max.replace(tzinfo=UTC), 0.0, math.inf, 0)


class SharedHistory:
    """The history of the present, by the loadings of a database."""

    def __init__(self, pool: Pool, now: Clock = utc_now) -> None:
        self._pool = pool
        self._now = now
        self._look: _Look | None = None
        self._seen = _NOTHING_SEEN
        # What was seen when the history was loaded.
        self._state: asyncpg.Record | None = None

    def known(self, moment: datetime) -> PriceHistory | None:
        """Give what `at` gives, if nobody has to wait for it; else None."""
        seen, now_s = self._seen, time.monotonic()
        if now_s >= seen.until_s or moment < seen.since or seen.own_changes != OWN_CHANGES.count:
            return None
        if now_s >= seen.next_look_s:
            # Once: whoever asks when this one is too old begins another, should the next look fail.
            seen.next_look_s = math.inf
            if self._look is None or self._look.history.done():
                self._begin_look(hour_of(self._now()))
        return seen.history

    async def at(self, moment: datetime) -> PriceHistory:
        """Give the history that can price a moment (UTC-aware).

        For a moment of the past more books may have to be read, and nobody else is made to wait for that.
        """
        known = self.known(moment)
        if known is not None:
            return known
        present = hour_of(self._now())
        if moment < present:
            async with self._pool.acquire() as connection:
                return await load_history(connection, moment)
        while self._look is None or not self._look.serves(present):
            if self._look is None or self._look.history.done():
                self._begin_look(present)
            else:
                # However slow the database is, there is one look at a time.
                await asyncio.wait([self._look.history])
        seen = self._look.history
        return seen.result() if seen.done() else await asyncio.shield(seen)

    def _begin_look(self, present: datetime) -> None:
        self._look = _Look(self._see(present), present)

    async def _see(self, since: datetime) -> PriceHistory:
        began_s, own_changes, seen = time.monotonic(), OWN_CHANGES.count, self._seen
        history = seen.history
        async with self._pool.acquire() as connection:
            # Before the history: what is loaded in between is found by the next look.
            state = await connection.fetchrow(*bound("prices/loadings_state"))
            # The machine's clock may have been set back.
            if state != self._state or since < seen.since:
                history = await load_history(connection, since)
                self._state = state
            else:
                since = seen.since
        self._seen = _Seen(history, since, began_s + FRESH_S, began_s + NEXT_LOOK_AFTER_S, own_changes)
        return history

"""Who is in the way of a session that waits for a lock."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

import asyncpg

from phoebe_runtime.background import spawn
from rater_service.database.database import UNAVAILABLE_ERRORS, Connection
from rater_service.statements import bound

# Often enough to catch who is there within a lock timeout of seconds; each look costs the server little.
LOOK_EVERY = timedelta(seconds=0.25)


@dataclass(frozen=True, slots=True)
class Blocker:
    """A session that holds a lock, or waits for one ahead; None: what the server does not tell this role.

    pid: 0 for a prepared transaction. state: what the session does (`active`, `idle in transaction`).
    query_age_s: since when its query runs or, of an idle one, when its last one began.
    """

    pid: int
    application: str | None
    role: str | None
    state: str | None
    query_age_s: float | None
    transaction_age_s: float | None

    def __str__(self) -> str:
        """Say who it is, as a part of a sentence."""
        if self.pid == 0:
            return "a prepared transaction (see pg_prepared_xacts)"
        ages = (("its query began", self.query_age_s), ("its transaction", self.transaction_age_s))
        known = [
            f'application "{self.application}"' if self.application else None,
            f"role {self.role}" if self.role else None,
            self.state,
            *(None if age_s is None else f"{what} {age_s:.0f} s ago" for what, age_s in ages),
        ]
        return f"pid {self.pid} ({', '.join(filter(None, known)) or 'nothing more is told to this role'})"


def named(blockers: Sequence[Blocker]) -> str:
    """Name those in the way."""
    return " and ".join(map(str, blockers))


class LockWatch:
    """Looks, over a connection of its own, who keeps another session waiting.

    tell: called once for whoever is found in the way.
    """

    def __init__(self, connection: Connection, tell: Callable[[str], None]) -> None:
        self._connection = connection
        self._tell = tell
        self._told: set[int] = set()
        self.found: tuple[Blocker, ...] = ()
        """Who was seen in the way last."""

    @asynccontextmanager
    async def over(self, pid: int) -> AsyncIterator[None]:
        """Watch over a session as long as the context lasts."""
        self.found = ()
        looking = spawn(self._look(pid), "lock watch")
        try:
            yield
        finally:
            looking.cancel()
            with suppress(asyncio.CancelledError):
                await looking

    async def _look(self, pid: int) -> None:
        try:
            while True:
                await asyncio.sleep(LOOK_EVERY.total_seconds())
                rows = await self._connection.fetch(*bound("database/blockers", pid=pid))
                if rows:
                    self.found = tuple(Blocker(**row) for row in rows)
                    self._say_new()
        except (asyncpg.PostgresError, *UNAVAILABLE_ERRORS) as error:
            self._tell(f"who is in the way can't be seen: {str(error) or type(error).__name__}")

    def _say_new(self) -> None:
        new = [blocker for blocker in self.found if blocker.pid not in self._told]
        if new:
            self._told.update(blocker.pid for blocker in new)
            self._tell(f"waiting for a lock that is held by {named(new)}")

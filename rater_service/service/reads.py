"""Where a service reads bills, events and runs: a standby while that will do, otherwise the database."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Final, NoReturn

from phoebe_runtime.background import Background
from phoebe_runtime.troubles import Trouble
from rater_service.database.database import COMMAND_TIMEOUT_S, OPERATOR_ERRORS, Pool, open_pool
from rater_service.database.freshness import (
    READ_DATABASE_URL,
    Freshness,
    PrimaryMark,
    read_freshness,
    read_mark,
)
from rater_service.database.schema import require_fitting_schema
from rater_service.database.sessions import reason
from rater_service.database.source import Source
from rater_service.errors import OperatorError

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 2.0
CONNECTIONS_MAX = 4
"""Sessions with the standby for calls: an audit takes one for minutes, a page of rollups for milliseconds."""
STANDBY_TASK: Final = "standby"

type Note = Callable[[Freshness | None], None]
type _Tell = Callable[[Pool | None, Freshness | None], None]


class Reads:
    """Gives what to read from. pool: of the database; without a standby it is always this.

    note: told at each look how current the standby is; None: it can't be read from.
    """

    def __init__(self, pool: Pool, note: Note = lambda _: None) -> None:
        self._pool = pool
        self._note = note
        self._standby: Pool | None = None
        self._freshness: Freshness | None = None
        self._looked_at_s = 0.0
        self._has_run = False
        self._must_have: PrimaryMark | None = None

    @asynccontextmanager
    async def following(
        self,
        url: str | None,
        background: Background,
        *,
        connections_max: int = CONNECTIONS_MAX,
        command_timeout_s: float = COMMAND_TIMEOUT_S,
    ) -> AsyncIterator["Reads"]:
        """Use the standby at a URL, as long as the context lasts; None: there is none.

        It may come later, go and come back: meanwhile the database itself is read.
        """
        if url is None:
            yield self
            return
        async with AsyncExitStack() as stack:

            async def open_standby() -> Pool:
                # It is closed when this context ends, and not when the task does that looks.
                opening = open_pool(
                    url,
                    writes=False,
                    connections_max=connections_max,
                    command_timeout_s=command_timeout_s,
                    read_only=True,
                    variable=READ_DATABASE_URL,
                )
                return await stack.enter_async_context(opening)

            watch = _StandbyWatch(self._pool, open_standby, self._tell)
            await watch.look()
            background.start(STANDBY_TASK, watch.keep_looking, "the standby is not read from")
            try:
                yield self
            finally:
                self._standby = None

    async def source(self) -> Source:
        """Give what to read from now; a standby with how current it was when it was looked at last."""
        standby, freshness = self._standby, self._freshness
        if standby is None or freshness is None or not await self._has_own_runs(standby):
            return self.primary
        since = timedelta(seconds=time.monotonic() - self._looked_at_s)
        return Source(standby, replace(freshness, behind=freshness.behind + since))

    @property
    def primary(self) -> Source:
        """Give the database itself."""
        return Source(self._pool)

    def note_run(self) -> None:
        """Note that this service has changed bills: a standby is read from once it has the change."""
        self._has_run = True

    def _tell(self, standby: Pool | None, freshness: Freshness | None) -> None:
        self._standby, self._freshness = standby, freshness
        self._looked_at_s = time.monotonic()
        self._note(freshness)

    async def _has_own_runs(self, standby: Pool) -> bool:
        if not self._has_run and self._must_have is None:
            return True
        try:
            if self._has_run:
                self._must_have, self._has_run = await _mark_of(self._pool), False
            mark = self._must_have
            async with standby.acquire() as connection:
                has_all = not (await read_freshness(connection, mark)).behind
        except (OperatorError, *OPERATOR_ERRORS):
            return False  # whoever looks at the two says so
        if has_all and self._must_have is mark:
            self._must_have = None
        return has_all


class _StandbyWatch:
    """Looks at a standby again and again, and tells its sessions and how current it is; None: it won't do."""

    def __init__(self, primary: Pool, open_standby: Callable[[], Awaitable[Pool]], tell: _Tell) -> None:
        self._primary = primary
        self._open = open_standby
        self._tell = tell
        self._pool: Pool | None = None
        self._fits = False
        self._trouble = Trouble(logger, "the standby is read from again")

    async def keep_looking(self) -> NoReturn:
        """Look every LOOK_EVERY_S, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await self.look()

    async def look(self) -> None:
        """Look once, and tell."""
        try:
            pool, freshness = await self._looked()
        except (OperatorError, *OPERATOR_ERRORS) as error:
            self._tell(None, None)
            self._trouble.met(f"the standby can't be read from, so the database itself is: {reason(error)}")
        else:
            self._tell(pool, freshness)
            self._trouble.is_over()

    async def _looked(self) -> tuple[Pool, Freshness]:
        if self._pool is None:
            self._pool = await self._open()
        if not self._fits:
            await require_fitting_schema(self._pool)
            self._fits = True
        try:
            mark = await _mark_of(self._primary)
        except OPERATOR_ERRORS:
            mark = None  # a standby is of use without its primary, too
        async with self._pool.acquire() as connection:
            return self._pool, await read_freshness(connection, mark)


async def _mark_of(primary: Pool) -> PrimaryMark:
    async with primary.acquire() as connection:
        return await read_mark(connection)

"""Whether the database can be written to, and keeps what is written: looked at again and again, and told."""

import asyncio
import logging
import math
from collections.abc import Callable
from typing import NoReturn

from phoebe_runtime.troubles import Trouble
from rater_service.database.database import OPERATOR_ERRORS, Pool
from rater_service.database.sessions import ServerState, reason
from rater_service.errors import OperatorError

logger = logging.getLogger(__name__)

# As soon as probes and load balancers ask, mostly.
LOOK_EVERY_S = 2.0
# An operator who did not see the first line shall find another.
REMIND_EVERY_S = 3600.0
SAFE_SETTINGS = {
    "fsync": "a crash of the machine can lose events that were answered for, or the whole database",
    "full_page_writes": "a crash of the machine can damage the database beyond repair",
}
"""Settings of a server that must be on, and what happens without them."""

type NoteUp = Callable[[str | None], None]
type NoteSetting = Callable[[str, bool], None]


class DatabaseWatch:
    """Looks at the database of a pool.

    note_up: told why it can't be written to, None: it can; note_setting: told of each of SAFE_SETTINGS
    whether it is on.
    """

    def __init__(self, pool: Pool, note_up: NoteUp, note_setting: NoteSetting) -> None:
        self._pool = pool
        self._note_up = note_up
        self._note_setting = note_setting
        self._trouble = Trouble(logger, "the database can be used again")
        self._warned_at_s: dict[str, float] = {}

    async def keep_watching(self) -> NoReturn:
        """Look every LOOK_EVERY_S, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await self.look()

    async def look(self) -> None:
        """Look once, and tell. While all sessions are in use, what was told before holds."""
        try:
            state = await self._pool.look()
        except (OperatorError, *OPERATOR_ERRORS) as error:
            self._tell_up(reason(error))
            return
        if state is not None:
            self._tell_up(None)
            self._tell_settings(state)

    def _tell_up(self, trouble: str | None) -> None:
        if trouble:
            self._trouble.met(f"the database can't be used: {trouble}")
        else:
            self._trouble.is_over()
        self._note_up(trouble)

    def _tell_settings(self, state: ServerState) -> None:
        now_s = asyncio.get_running_loop().time()
        for name, without in SAFE_SETTINGS.items():
            is_on = getattr(state, name)
            self._note_setting(name, is_on)
            if is_on:
                self._warned_at_s.pop(name, None)
            elif now_s >= self._warned_at_s.get(name, -math.inf) + REMIND_EVERY_S:
                self._warned_at_s[name] = now_s
                logger.error("the database runs with %s = off: %s; switch it on", name, without)

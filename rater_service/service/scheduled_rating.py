"""Rates the trailing hours again and again, in the service itself."""

import asyncio
import logging
from datetime import datetime
from typing import NoReturn

from phoebe_runtime.counts import counted
from rater_service.database.database import OPERATOR_ERRORS, Pool
from rater_service.database.sessions import reason
from rater_service.errors import OperatorError
from rater_service.hours import InvalidWindow, trailing_window, utc_text
from rater_service.rating.run import Mode, RateRequest
from rater_service.rating.schedule import RatingSchedule
from rater_service.service.rating_queue import Clock, RatingQueue, utc_now
from rater_service.statements import bound

logger = logging.getLogger(__name__)

# Also how long a change of the machine's clock goes unnoticed.
RETRY_S = 60.0


class ScheduledRating:
    """A routine run over the trailing 24 complete hours for each slot of a schedule.

    Of several services on one database the first does it and the others find it done; if they start at once
    they take turns, and the later ones change nothing.
    """

    def __init__(
        self, pool: Pool, queue: RatingQueue, schedule: RatingSchedule, now: Clock = utc_now
    ) -> None:
        self._pool = pool
        self._queue = queue
        self._schedule = schedule
        self._now = now
        self._done: datetime | None = None

    async def keep_rating(self) -> NoReturn:
        """Rate whenever a run is due, also one that was missed before the start, until cancelled.

        A run that fails is logged and tried again after RETRY_S.
        """
        while True:
            await self._see_to(self._schedule.slot(self._now()))
            await asyncio.sleep(min(self._schedule.until_next(self._now()).total_seconds(), RETRY_S))

    async def _see_to(self, slot: datetime) -> None:
        if slot == self._done:
            return
        try:
            await self._rate(slot)
        # A window is invalid when the clock was just set back.
        except (InvalidWindow, OperatorError, *OPERATOR_ERRORS) as error:
            logger.error(
                "the scheduled run of %s failed and will be tried again: %s", utc_text(slot), reason(error)
            )
            return
        self._done = slot

    async def _rate(self, slot: datetime) -> None:
        start, end = trailing_window(slot)
        found = await self._pool.fetchrow(
            *bound("service/scheduled_run", window_start=start, window_end=end, due=self._schedule.due(slot))
        )
        assert found is not None
        if found["run"] is not None:
            logger.info("the scheduled run of %s is done: run %d", utc_text(slot), found["run"])
            return
        result = await self._queue.rate(
            RateRequest(start, end, f"serve --rate-every {self._schedule.words}", Mode.ROUTINE)
        )
        logger.info(
            "run %d rated %s to %s: %s, %s written, total %s USD",
            result.run_id,
            utc_text(start),
            utc_text(end),
            counted(result.events_in_window, "event"),
            counted(result.rollups_written, "rollup"),
            result.total_cost,
        )

"""The rating runs of one service: one after the other, timed and counted."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from rater_service.database.database import Pool
from rater_service.hours import LATE_MAX
from rater_service.rating.rating import rate_window
from rater_service.rating.run import RateRequest, RateResult, refuse_invalid
from rater_service.service.metrics import Metrics

if TYPE_CHECKING:  # it needs libraries that are there only where somebody traces
    from rater_service.service.traced_work import TracedWork

type Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Read the machine's clock."""
    return datetime.now(UTC)


class RatingQueue:
    """Where the runs of a service wait for each other.

    Runs follow each other by a lock of the database in any case. A run that waits there holds a connection,
    and connections are for events. So of each service only one run waits there; the others wait here.
    late_max: how old late usage may be that routine runs take along. traced: makes spans of runs; None: there
    are none.
    """

    def __init__(
        self,
        pool: Pool,
        metrics: Metrics,
        now: Clock = utc_now,
        late_max: timedelta = LATE_MAX,
        traced: "TracedWork | None" = None,
    ) -> None:
        self._pool = pool
        self._metrics = metrics
        self._now = now
        self._late_max = late_max
        self._traced = traced
        self._turn = asyncio.Lock()

    async def rate(self, request: RateRequest) -> RateResult:
        """Rate a window at the time of its turn; see `rate_window`."""
        # Whoever asks for what is impossible need not wait to hear it.
        refuse_invalid(request, self._now())
        with self._metrics.run(request.mode):
            async with self._turn:
                asked = replace(request, late_max=self._late_max)
                rating = rate_window(self._pool, asked, self._now())
                result = await (self._traced.run(asked, rating) if self._traced else rating)
        self._metrics.count_run(request, result)
        return result

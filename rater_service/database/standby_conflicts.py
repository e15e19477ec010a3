"""Reads that a standby cancels, because it has to replay what they are in the way of: they are tried again.

PostgreSQL: "Hot Standby", "Handling Query Conflicts". A statement is cancelled with SQLSTATE 40001, or 40P01
where it waits for a buffer; a session that holds a snapshot and does nothing is ended.
"""

import logging
from collections.abc import Awaitable, Callable

import asyncpg
import tenacity

from rater_service.database.sessions import DatabaseUnavailableError, SessionLostError, reason

logger = logging.getLogger(__name__)

ATTEMPTS = 4
# By default a standby lets a statement go on for 30 seconds before it cancels it, so there is no hurry.
PAUSE_MAX_S = 5.0

_CONFLICTS = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError, SessionLostError)
"""A reading transaction meets none of these on a primary, unless its session is lost."""


class CancelledByStandbyError(DatabaseUnavailableError):
    """A standby has cancelled a read again and again."""

    def __init__(self, attempts: int, last: Exception) -> None:
        super().__init__(
            f"the standby has cancelled it {attempts} times to go on replaying ({reason(last)}): set "
            "hot_standby_feedback = on there, or max_standby_streaming_delay to more than the read takes; or "
            "read a shorter window"
        )


async def read_again[Result](read: Callable[[], Awaitable[Result]], *, attempts: int = ATTEMPTS) -> Result:
    """Read from a standby, and again if it cancels that. Raises CancelledByStandbyError, and what `read`
    raises.

    attempts: 1 for what can be read only once.
    """
    try:
        async for attempt in tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(_CONFLICTS),
            wait=tenacity.wait_random_exponential(multiplier=0.2, max=PAUSE_MAX_S),
            stop=tenacity.stop_after_attempt(attempts),
            before_sleep=_say,
            reraise=True,
        ):
            with attempt:
                return await read()
    except _CONFLICTS as error:
        raise CancelledByStandbyError(attempts, error) from error
    raise AssertionError("the last attempt returns or raises")


def _say(state: tenacity.RetryCallState) -> None:
    assert state.outcome is not None
    error = state.outcome.exception()
    assert isinstance(error, Exception)
    logger.info("the standby has cancelled a read, which is tried again: %s", reason(error))

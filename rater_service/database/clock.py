"""The database's clock, on which several machines agree, against that of this machine."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from rater_service.database.database import Connection, Pool

SKEW_WARNED = timedelta(seconds=5)
"""NTP keeps clocks within milliseconds; what is measured includes the way of a message."""


@dataclass(frozen=True, slots=True)
class ClockReading:
    """What the database's clock says (UTC-aware), and how far this machine's is ahead of it.

    ahead: negative where it is behind.
    """

    now: datetime
    ahead: timedelta

    @property
    def warning(self) -> str | None:
        """Say that the clocks differ by more than SKEW_WARNED; None if they don't."""
        if abs(self.ahead) <= SKEW_WARNED:
            return None
        direction = "ahead of" if self.ahead > timedelta(0) else "behind"
        return (
            f"THE CLOCK of this machine is {abs(self.ahead).total_seconds():.0f} s {direction} the "
            "database's, by which price files come into force: set both"
        )


type Clock = Callable[[Connection], Awaitable[ClockReading]]
"""How the time is asked for."""


async def read_clock(connection: Connection) -> ClockReading:
    """Ask the database what time it is."""
    asked_at = datetime.now(UTC)
    theirs: datetime = await connection.fetchval("SELECT clock_timestamp()")
    return ClockReading(theirs, skew_between(theirs, asked_at, datetime.now(UTC)))


def skew_between(theirs: datetime, asked_at: datetime, answered_at: datetime) -> timedelta:
    """Say how far this machine's clock is ahead of another that said `theirs`; negative: behind.

    asked_at, answered_at: when it was asked and when it had answered, by this machine's clock; off by half of
    what is between them at most.
    """
    return asked_at + (answered_at - asked_at) / 2 - theirs


async def machine_skew(pool: Pool) -> timedelta:
    """Measure how far this machine's clock is ahead of the database's; negative: behind."""
    async with pool.acquire() as connection:
        return (await read_clock(connection)).ahead

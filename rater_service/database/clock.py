"""The database's clock against that of this machine."""

from datetime import UTC, datetime, timedelta

from rater_service.database.database import Pool


def skew_between(theirs: datetime, asked_at: datetime, answered_at: datetime) -> timedelta:
    """Say how far this machine's clock is ahead of another that said `theirs`; negative: behind.

    asked_at, answered_at: when it was asked and when it had answered, by this machine's clock; off by half of
    what is between them at most.
    """
    return asked_at + (answered_at - asked_at) / 2 - theirs


async def machine_skew(pool: Pool) -> timedelta:
    """Measure how far this machine's clock is ahead of the database's; negative: behind."""
    async with pool.acquire() as connection:
        asked_at = datetime.now(UTC)
        theirs: datetime = await connection.fetchval("SELECT clock_timestamp()")
        return skew_between(theirs, asked_at, datetime.now(UTC))

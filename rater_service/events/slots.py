"""The slots of the hourly sums: each batch adds to rows of its own, which are merged when an hour is cold.

What a key adds up to over all slots is right at any time, and whoever reads the sums adds them up. Fewer rows
are read faster.
"""

import asyncio
import logging
from datetime import UTC, datetime
from typing import NoReturn

from rater_service.database.database import OPERATOR_ERRORS, Connection, Pool
from rater_service.database.long_statements import fetch, fetch_value, run
from rater_service.database.sessions import reason
from rater_service.errors import OperatorError
from rater_service.hours import HOUR, hour_of, utc_text
from rater_service.statements import bound

logger = logging.getLogger(__name__)

SLOTS = range(64)
"""All slots; see hourly_usage_slot()."""
COLD_AFTER = 2 * HOUR
"""How long after its end an hour is cold: hardly any batch adds to it any more."""
CHECK_PERIOD_S = 600
# Some tenths of a second, in which batches add to other slots.
PAGE_ROWS = 5_000


async def hold_slots(connection: Connection, slots: range | list[int]) -> None:
    """Wait until nobody adds to some slots, in ascending order, and keep them until the transaction ends."""
    await run(connection, "events/hold_slots", slots=list(slots))


async def merge_hour(connection: Connection, hour: datetime) -> int:
    """Move the sums of an hour to slot 0, some at a time; return how many rows there were in other slots.

    A batch that adds to the hour meanwhile may leave a row in another slot, which is found the next time.
    """
    rows = 0
    while True:
        async with connection.transaction():
            found = await fetch(connection, "events/slots_of_hour", hour=hour)
            slots = [row["slot"] for row in found]
            if not slots:
                return rows
            await hold_slots(connection, [0, *slots])
            moved = await _move(connection, hour, slots, PAGE_ROWS)
        rows += moved
        if moved < PAGE_ROWS:
            return rows


async def merge_held_hour(connection: Connection, hour: datetime) -> None:
    """Do the same at once, in a transaction that holds all slots."""
    await _move(connection, hour, list(SLOTS), None)


async def _move(connection: Connection, hour: datetime, slots: list[int], limit: int | None) -> int:
    moved = await fetch_value(connection, "events/merge_slots", hour=hour, slots=slots, limit=limit)
    assert isinstance(moved, int)
    return moved


async def merge_hours(pool: Pool, since: datetime | None, before: datetime | None) -> int:
    """Merge the sums of hours in [since, before); None: no such bound. Returns how many rows were moved."""
    async with pool.acquire() as connection:
        hours = await connection.fetch(*bound("events/hours_in_slots", since=since, before=before))
        return sum([await merge_hour(connection, row["hour"]) for row in hours])


async def try_to_merge_cold_hours(pool: Pool, now: datetime) -> int:
    """Merge the sums of all cold hours, and say why if that can't be done: the sums are right without it."""
    before = hour_of(now - COLD_AFTER)
    try:
        return await merge_hours(pool, None, before)
    except (OperatorError, *OPERATOR_ERRORS) as error:
        logger.warning(
            "the sums of hours before %s were not merged, which will be tried again: %s",
            utc_text(before),
            reason(error),
        )
    return 0


async def keep_merging(pool: Pool) -> NoReturn:
    """Merge the sums of cold hours, again and again; never returns."""
    while True:
        await asyncio.sleep(CHECK_PERIOD_S)
        await try_to_merge_cold_hours(pool, datetime.now(UTC))

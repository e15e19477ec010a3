"""The slots of the hourly sums: each batch adds to rows of its own, which are merged when an hour is cold.

What a key adds up to over all slots is right at any time, and whoever reads the sums adds them up. Fewer rows
are read faster. Sums of cold hours stand in a table of their own, whose pages are full.
"""

import asyncio
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NoReturn

from rater_service.database.database import OPERATOR_ERRORS, Connection, Pool
from rater_service.database.long_statements import STATEMENT_TIMEOUT_S, fetch, fetch_value, run
from rater_service.database.sessions import reason
from rater_service.errors import OperatorError
from rater_service.hours import HOUR, hour_of, utc_text
from rater_service.statements import bound, source, statement

logger = logging.getLogger(__name__)

SLOTS = range(64)
"""All slots; see hourly_usage_slot()."""
COLD_AFTER = 2 * HOUR
"""How long after its end an hour is cold: hardly any batch adds to it any more."""
CHECK_PERIOD_S = 600
# A database from before there was a table of cold sums has years of hours to move.
CHECK_HOURS = 1_000
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
            arguments = {"hour": hour, "slots": slots, "limit": PAGE_ROWS}
            moved = await _merge(connection, "events/slots_taken", arguments)
        rows += moved
        if moved < PAGE_ROWS:
            return rows


async def merge_held_hour(connection: Connection, hour: datetime) -> None:
    """Do the same at once, in a transaction that holds all slots, and with the cold sums of the hour."""
    await _merge(connection, "events/hour_taken", {"hour": hour})


async def _merge(connection: Connection, taken: str, arguments: Mapping[str, object]) -> int:
    """Move those sums to slot 0 that a statement takes away; return how many rows."""
    merge = statement("events/merge_slots", taken=source(taken))
    moved = await connection.fetchval(*merge.bind(arguments), timeout=STATEMENT_TIMEOUT_S)
    assert isinstance(moved, int)
    return moved


async def cool_hour(connection: Connection, hour: datetime) -> int:
    """Merge the sums of an hour, and move them to the table of cold sums, if there is one; some at a time.

    Returns how many rows there were in slots beside slot 0, and that were moved to the table.
    """
    rows = await merge_hour(connection, hour)
    if not await _are_cold_apart(connection):
        return rows
    is_known = await fetch_value(connection, "events/has_cold_sums", hour=hour)
    while True:
        async with connection.transaction():
            await hold_slots(connection, [0])
            moved = await fetch_value(
                connection, "events/cool_sums", hour=hour, limit=PAGE_ROWS, is_known=is_known
            )
        assert isinstance(moved, int)
        rows += moved
        if moved < PAGE_ROWS:
            return rows


async def _are_cold_apart(connection: Connection) -> bool:
    """Tell whether there is a table of cold sums: since revision 0041, but where sums are distributed."""
    return bool(await connection.fetchval("SELECT to_regclass('hourly_usage_cold') IS NOT NULL"))


async def merge_hours(pool: Pool, before: datetime | None) -> int:
    """Merge the sums of hours before this one (None: of all). Returns how many rows were moved."""
    async with pool.acquire() as connection:
        hours = await connection.fetch(*bound("events/hours_in_slots", before=before))
        return sum([await merge_hour(connection, row["hour"]) for row in hours])


async def cool_hours(pool: Pool, before: datetime) -> int:
    """Cool hours before this one, the oldest first, CHECK_HOURS at most. Returns how many rows were moved."""
    async with pool.acquire() as connection:
        if await _are_cold_apart(connection):
            hours = await connection.fetch(*bound("events/hours_to_cool", before=before, limit=CHECK_HOURS))
            return sum([await cool_hour(connection, row["hour"]) for row in hours])
    return await merge_hours(pool, before)


async def warm_all_hours(connection: Connection) -> None:
    """Move all cold sums back to slot 0, in a transaction that keeps everybody else from the sums."""
    if await _are_cold_apart(connection):
        await _merge(connection, "events/cold_taken", {})


async def try_to_cool_hours(pool: Pool, now: datetime) -> int:
    """Cool the hours that are cold, and say why if that can't be done: the sums are right without it."""
    before = hour_of(now - COLD_AFTER)
    try:
        return await cool_hours(pool, before)
    except (OperatorError, *OPERATOR_ERRORS) as error:
        logger.warning(
            "the sums of hours before %s were not moved, which will be tried again: %s",
            utc_text(before),
            reason(error),
        )
    return 0


async def keep_cooling(pool: Pool) -> NoReturn:
    """Move the sums of cold hours, again and again; never returns."""
    while True:
        await asyncio.sleep(CHECK_PERIOD_S)
        await try_to_cool_hours(pool, datetime.now(UTC))

"""The partitions of stored_event: one for each week or day, made ahead of time by whoever runs."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NoReturn
from uuid import UUID

import asyncpg
import tenacity

from rater_service.database.database import OPERATOR_ERRORS, Connection, Pool
from rater_service.database.sessions import execute_all, reason
from rater_service.errors import OperatorError
from rater_service.statements import bound, statement

logger = logging.getLogger(__name__)

DAY = timedelta(days=1)
WEEK = timedelta(days=7)
CHECK_PERIOD_S = 3600
# Batches end in milliseconds; whoever holds a lock for longer, an audit perhaps, goes on, and batches must
# not queue up behind us meanwhile.
LOCK_TIMEOUT_MS = 500
LOCK_ATTEMPTS = 5
# A second or two, in which no batch is stored.
MOVED_EVENTS_MAX = 100_000


class Width(StrEnum):
    """How wide partitions are."""

    WEEK = "week"
    DAY = "day"


# Time enough for someone to notice that none can be made. Days are made for less: whoever reads by the time
# looks into each partition, empty ones too.
AHEAD = {Width.WEEK: 8 * WEEK, Width.DAY: 2 * WEEK}


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition as the database has it. name: quoted where SQL needs it.

    It takes the ids from lower_id up to, but not, upper_id (None: no bound); the default one, those that no
    other takes.
    """

    name: str
    lower_id: UUID | None
    upper_id: UUID | None
    is_default: bool = False


@dataclass(frozen=True, slots=True)
class MadePartitions:
    """The names of partitions that were made, and of those that were not because the default partition holds
    too many of their events to move them while batches wait.
    """

    made: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


def first_id(moment: datetime) -> UUID:
    """Return the least id that sorts by time (UUID version 7) which can be made at a moment.

    moment: UTC-aware, in whole milliseconds.
    """
    return UUID(int=(int(moment.timestamp() * 1000) << 80))


def week_partition(moment: datetime) -> Partition:
    """Return the partition of the ISO week, in UTC, in which a moment is."""
    monday = _monday(moment)
    return Partition(f"billing_event_{monday:%Gw%V}", first_id(monday), first_id(monday + WEEK))


def day_partition(moment: datetime) -> Partition:
    """Return the partition of the day, in UTC, in which a moment is."""
    day = _midnight(moment)
    return Partition(f"billing_event_{day:%Y%m%d}", first_id(day), first_id(day + DAY))


def _midnight(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _monday(moment: datetime) -> datetime:
    today = _midnight(moment)
    return today - timedelta(days=today.weekday())


def missing_partitions(
    there: Sequence[Partition], width: Width, since: datetime, until: datetime
) -> list[Partition]:
    """Return the partitions to make, so that every moment from `since` to `until` has one.

    there: those that are there, and stay, however wide they are. What they leave of a week is filled up with
    days: so the new width begins where the partitions of another width end. None is made that is over at
    `since`.
    """
    wanted = []
    day = _monday(since)
    while day <= until:
        week = week_partition(day)
        if width is Width.WEEK and day == _monday(day) and not _overlaps(week, there):
            wanted.append(week)
            day += WEEK
            continue
        if day + DAY > since and not _overlaps(day_partition(day), there):
            wanted.append(day_partition(day))
        day += DAY
    return wanted


def _overlaps(wanted: Partition, there: Sequence[Partition]) -> bool:
    assert wanted.lower_id is not None
    assert wanted.upper_id is not None
    return any(
        not other.is_default
        and (other.lower_id is None or other.lower_id < wanted.upper_id)
        and (other.upper_id is None or wanted.lower_id < other.upper_id)
        for other in there
    )


async def read_width(connection: Connection) -> Width:
    """Read how wide new partitions are; a week, if nobody ever said."""
    width = await connection.fetchval(*bound("events/partition_width"))
    return Width.WEEK if width is None else Width(width)


async def set_width(connection: Connection, width: Width, set_by: str) -> None:
    """Say how wide new partitions are, for all who make some; nothing is done if they are so already."""
    if await read_width(connection) is not width:
        await connection.execute(*bound("events/set_partition_width", width=width.value, set_by=set_by))


async def list_partitions(connection: Connection) -> list[Partition]:
    """Read the partitions there are, in the order of their ids, the default one last."""
    return [Partition(**row) for row in await connection.fetch(*bound("events/partition_list"))]


async def list_taken(connection: Connection) -> list[Partition]:
    """Read the partitions there are, and those that were pruned: these must not get another, which would take
    their events a second time.
    """
    return [Partition(**row) for row in await connection.fetch(*bound("events/taken_ranges"))]


async def make_partitions(
    connection: Connection, now: datetime, since: datetime | None = None
) -> MadePartitions:
    """Make the partitions of the running and the coming weeks that are missing, as wide as is set.

    since: also of all weeks from this time on, for events that a restore brings. Safe from several processes
    at once. Batches wait for the moment it takes, and never longer than the lock timeout if it has to wait
    itself; then, and where the role may not make tables, asyncpg's errors are raised and nothing is changed.
    """
    width = await read_width(connection)
    span = (width, min(now, since or now), now + AHEAD[width])
    if not missing_partitions(await list_taken(connection), *span):
        return MadePartitions()
    async for attempt in tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception_type(asyncpg.LockNotAvailableError),
        wait=tenacity.wait_random_exponential(multiplier=0.1, max=2),
        stop=tenacity.stop_after_attempt(LOCK_ATTEMPTS),
        reraise=True,
    ):
        with attempt:
            return await _make(connection, *span)
    raise AssertionError("the last attempt returns or raises")


async def _make(connection: Connection, width: Width, since: datetime, until: datetime) -> MadePartitions:
    made, left = [], []
    async with connection.transaction():
        await connection.execute(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}")
        # No batch is under way then, which might just have found that an event belongs to the default
        # partition; reading goes on. Whoever makes partitions too has made them when this returns.
        await connection.execute("LOCK TABLE stored_event IN SHARE ROW EXCLUSIVE MODE")
        for partition in missing_partitions(await list_taken(connection), width, since, until):
            events = await connection.fetchval(
                *bound(
                    "events/partition_default_events",
                    lower_id=partition.lower_id,
                    upper_id=partition.upper_id,
                    limit=MOVED_EVENTS_MAX + 1,
                )
            )
            if events > MOVED_EVENTS_MAX:
                left.append(partition.name)
                continue
            make = statement(
                "events/partition_make",
                partition=partition.name,
                lower_id=str(partition.lower_id),
                upper_id=str(partition.upper_id),
            )
            await execute_all(connection, make)
            made.append(partition.name)
    return MadePartitions(tuple(made), tuple(left))


async def try_to_make_partitions(pool: Pool, now: datetime, since: datetime | None = None) -> MadePartitions:
    """Do the same, and log what was made, or why it could not be: nothing is lost by that.

    Events for which there is no partition go to the default one.
    """
    try:
        async with pool.acquire() as connection:
            result = await make_partitions(connection, now, since)
    except asyncpg.InsufficientPrivilegeError as error:
        logger.warning(
            "this role may not make partitions for coming weeks (%s): run `phoebe migrate` as the owner of "
            "stored_event every %d weeks; events of weeks without one go to billing_event_default",
            error,
            min(AHEAD.values()) // WEEK,
        )
    except (OperatorError, *OPERATOR_ERRORS) as error:
        logger.warning(
            "no partitions were made for coming weeks, which will be tried again: %s", reason(error)
        )
    else:
        _log(result)
        return result
    return MadePartitions()


def _log(result: MadePartitions) -> None:
    if result.made:
        logger.info("made partitions: %s", ", ".join(result.made))
    if result.left:
        logger.warning(
            "not made, as billing_event_default holds more than %d of their events, which stay there: %s",
            MOVED_EVENTS_MAX,
            ", ".join(result.left),
        )


async def keep_making_partitions(pool: Pool) -> NoReturn:
    """Make partitions ahead of time, again and again; never returns."""
    while True:
        await asyncio.sleep(CHECK_PERIOD_S)
        await try_to_make_partitions(pool, datetime.now(UTC))

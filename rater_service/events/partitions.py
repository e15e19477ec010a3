"""The partitions of stored_event: one for each week, made ahead of time by whoever runs."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NoReturn
from uuid import UUID

import asyncpg
import tenacity

from rater_service.database.database import OPERATOR_ERRORS, Connection, Pool
from rater_service.database.sessions import reason
from rater_service.errors import OperatorError
from rater_service.statements import bound, statement

logger = logging.getLogger(__name__)

WEEK = timedelta(days=7)
# Time enough for someone to notice that none can be made.
WEEKS_AHEAD = 8
CHECK_PERIOD_S = 3600
# Batches end in milliseconds; whoever holds a lock for longer, an audit perhaps, goes on, and batches must
# not queue up behind us meanwhile.
LOCK_TIMEOUT_MS = 500
LOCK_ATTEMPTS = 5
# A second or two, in which no batch is stored.
MOVED_EVENTS_MAX = 100_000


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


def _monday(moment: datetime) -> datetime:
    today = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return today - timedelta(days=today.weekday())


async def list_partitions(connection: Connection) -> list[Partition]:
    """Read the partitions there are, in the order of their ids, the default one last."""
    return [Partition(**row) for row in await connection.fetch(*bound("events/partition_list"))]


async def make_partitions(
    connection: Connection, now: datetime, since: datetime | None = None
) -> MadePartitions:
    """Make the partitions of the running and the coming weeks that are missing.

    since: also of all weeks from this time on, for events that a restore brings. Safe from several processes
    at once. Batches wait for the moment it takes, and never longer than the lock timeout if it has to wait
    itself; then, and where the role may not make tables, asyncpg's errors are raised and nothing is changed.
    """
    past = 0 if since is None else max((_monday(now) - _monday(since)) // WEEK, 0)
    wanted = [week_partition(now + week * WEEK) for week in range(-past, WEEKS_AHEAD + 1)]
    if not _missing(wanted, await list_partitions(connection)):
        return MadePartitions()
    async for attempt in tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception_type(asyncpg.LockNotAvailableError),
        wait=tenacity.wait_random_exponential(multiplier=0.1, max=2),
        stop=tenacity.stop_after_attempt(LOCK_ATTEMPTS),
        reraise=True,
    ):
        with attempt:
            return await _make(connection, wanted)
    raise AssertionError("the last attempt returns or raises")


async def _make(connection: Connection, wanted: Sequence[Partition]) -> MadePartitions:
    made, left = [], []
    async with connection.transaction():
        await connection.execute(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}")
        # No batch is under way then, which might just have found that an event belongs to the default
        # partition; reading goes on. Whoever makes partitions too has made them when this returns.
        await connection.execute("LOCK TABLE stored_event IN SHARE ROW EXCLUSIVE MODE")
        for partition in _missing(wanted, await list_partitions(connection)):
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
            await connection.execute(make.text)
            made.append(partition.name)
    return MadePartitions(tuple(made), tuple(left))


def _missing(wanted: Sequence[Partition], there: Sequence[Partition]) -> list[Partition]:
    return [one for one in wanted if not any(_takes(other, one.lower_id) for other in there)]


def _takes(partition: Partition, request_id: UUID | None) -> bool:
    if partition.is_default or request_id is None:
        return False
    begun = partition.lower_id is None or partition.lower_id <= request_id
    return begun and (partition.upper_id is None or request_id < partition.upper_id)


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
            WEEKS_AHEAD,
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

"""Drops old events that may be dropped, and keeps in the same transaction what is to be known of them."""

from datetime import datetime

import asyncpg
import tenacity

from rater_service.archive.files import ArchivedEvents, record_file
from rater_service.database.database import Connection, Pool
from rater_service.database.long_statements import fetch_value, run
from rater_service.database.sessions import execute_all
from rater_service.errors import OperatorError
from rater_service.events.partitions import LOCK_ATTEMPTS, LOCK_TIMEOUT_MS
from rater_service.retention.csv_export import ExportedEvents
from rater_service.retention.old_events import OldEvents, fetch_of
from rater_service.retention.retention import Verdict
from rater_service.statements import statement

# A batch with events of the partition locks the table first and then waits for the partition, here it is the
# other way round: while such batches keep coming, neither side gets on until one gives up. Then all lock in
# the same order.
FRIENDLY_ATTEMPTS = 2
LOCK_ALL_TIMEOUT_MS = 100
LOCK_ALL = "LOCK TABLE stored_event IN ACCESS EXCLUSIVE MODE"


type Kept = ArchivedEvents | ExportedEvents | None
"""Where events were written to before they are dropped; None: nowhere."""


class EventsCame(Exception):  # noqa: N818 - nothing failed
    """Events were stored after the others were judged, which therefore stay as they are."""

    def __init__(self, judged: int, found: int) -> None:
        super().__init__(f"events when they were judged: {judged}, now: {found}")


async def drop_events(pool: Pool, verdict: Verdict, kept: Kept, pruned_by: str, now: datetime) -> None:
    """Drop events that were found to be free to go, in one transaction; no bill and no sum is touched.

    Batches wait for the moment in which a partition is dropped. Those with events of the partition wait as
    long as it is counted, and the default one deleted from. If such batches keep coming, all wait for that.
    Raises EventsCame if there are others by now, and OperatorError where the role may not, or others keep
    reading the events.
    """
    try:
        async for attempt in tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(asyncpg.LockNotAvailableError),
            wait=tenacity.wait_random_exponential(multiplier=0.2, max=5),
            stop=tenacity.stop_after_attempt(LOCK_ATTEMPTS),
            reraise=True,
        ):
            with attempt:
                async with pool.acquire() as connection, connection.transaction():
                    await connection.execute(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}")
                    if attempt.retry_state.attempt_number > FRIENDLY_ATTEMPTS:
                        await connection.execute(LOCK_ALL)
                    await _drop(connection, verdict, kept, pruned_by, now)
    except asyncpg.LockNotAvailableError as error:
        raise OperatorError(
            f"{verdict.events.partition.name} stays: the events are being read, by an audit perhaps; "
            "try again later"
        ) from error
    except asyncpg.InsufficientPrivilegeError as error:
        raise OperatorError(f"only the owner of stored_event can drop events: {error}") from error


async def _drop(
    connection: Connection,
    verdict: Verdict,
    kept: Kept,
    pruned_by: str,
    now: datetime,
) -> None:
    events = verdict.events
    # Nobody stores events of this partition from here on; those that wait see afterwards what was pruned.
    await connection.execute(f"LOCK TABLE {events.partition.name} IN SHARE ROW EXCLUSIVE MODE")
    ((count,),) = await fetch_of(connection, "retention/count", events.partition, before=events.before)
    if count != events.event_count:
        raise EventsCame(events.event_count, count)
    if count:
        await _record(connection, verdict, kept, pruned_by, now)
    if events.partition.is_default:
        await run(connection, "retention/default_events", before=events.before)
        return
    # Only now, for a moment, all wait: who reads, too. It gives up soon, before PostgreSQL sees a deadlock
    # and ends a batch.
    await connection.execute(f"SET LOCAL lock_timeout = {LOCK_ALL_TIMEOUT_MS}")
    await connection.execute(LOCK_ALL)
    if events.later_events:
        move = statement("retention/keep_later", partition=events.partition.name, before=str(events.before))
        await execute_all(connection, move)
    await connection.execute(f"DROP TABLE {events.partition.name}")


async def _record(
    connection: Connection,
    verdict: Verdict,
    kept: Kept,
    pruned_by: str,
    now: datetime,
) -> None:
    events: OldEvents = verdict.events
    window_start, window_end = events.window
    exported = kept if isinstance(kept, ExportedEvents) else None
    range_id = await fetch_value(
        connection,
        "retention/record",
        partition_name=events.partition.name,
        lower_id=events.partition.lower_id,
        upper_id=events.partition.upper_id,
        event_count=events.event_count,
        prompt_tokens=events.prompt_tokens,
        cached_tokens=events.cached_tokens,
        completion_tokens=events.completion_tokens,
        first_event_time=events.first_event_time,
        last_event_time=events.last_event_time,
        window_start=window_start,
        window_end=window_end,
        accepted=list(verdict.accepted),
        export_path=str(exported.path) if exported else None,
        export_sha256=exported.sha256 if exported else None,
        pruned_by=pruned_by,
        pruned_at=now,
        producer_ids=[producer_id for producer_id, _ in events.numbers],
        numbers=[numbers for _, numbers in events.numbers],
    )
    if isinstance(kept, ArchivedEvents):
        await record_file(connection, range_id, kept, pruned_by, now)

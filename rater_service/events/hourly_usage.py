"""The hourly sums of the events: compared with the events, and made again where they differ.

They are added with every event that is stored. They differ only where something other than Phoebe wrote to
the tables.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import asyncpg

from phoebe_runtime.counts import counted
from rater_service.database.database import Connection, Pool
from rater_service.database.long_statements import STATEMENT_TIMEOUT_S, fetch, fetch_value, run
from rater_service.database.sessions import is_distributed
from rater_service.events.slots import SLOTS, cool_hour, hold_slots, merge_held_hour
from rater_service.hours import HOUR, require_window, utc_text
from rater_service.other_models import OTHER_MODELS
from rater_service.statements import source, statement

DIFFERENCES_MAX = 100
# Any number, as long as every Phoebe takes the same and runs and migrations others.
REBUILD_LOCK = 7_463_310_582_118

# Elsewhere what all producers' sums come to is compared; each producer's have to be mended.
_DIFFERENCES_TO_MEND = source("events/hourly_usage_differences").replace(
    "/*of each producer:", "/*by producer:"
)

type OnProgress = Callable[[str], None]


class EventsPrunedError(Exception):
    """Some hours can't be rebuilt, as events of theirs were pruned. hours: UTC-aware."""

    def __init__(self, hours: list[datetime]) -> None:
        super().__init__(
            f"the events of {counted(len(hours), 'hour')} were pruned, first {utc_text(hours[0])}"
        )
        self.hours = hours


@dataclass(frozen=True, slots=True)
class TokenSums:
    """Sums over events: how many, and their tokens.

    cached_tokens: without those reported beyond an event's prompt. These are excess_cached_tokens, of
    excess_cached_events. partial_usage_events: how many have usage that lacks a count. unbilled_bytes: of
    answers that clients were given a part of and that have no usage; of unbilled_events. echoed_tokens: of
    those whose model's name may only repeat the client's; of echoed_events.
    """

    events: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    billable_prompt_tokens: int
    excess_cached_events: int
    excess_cached_tokens: int
    partial_usage_events: int
    unbilled_events: int
    unbilled_bytes: int
    echoed_events: int
    echoed_tokens: int

    def __str__(self) -> str:
        """Write them out for a human."""
        excess = (
            f", {self.excess_cached_tokens} cached beyond the prompts of "
            f"{counted(self.excess_cached_events, 'event')}"
            if self.excess_cached_events or self.excess_cached_tokens
            else ""
        )
        partial = (
            f", {counted(self.partial_usage_events, 'event')} without a count"
            if self.partial_usage_events
            else ""
        )
        unbilled = (
            f", {counted(self.unbilled_bytes, 'byte')} of {counted(self.unbilled_events, 'answer')} "
            "without usage"
            if self.unbilled_events or self.unbilled_bytes
            else ""
        )
        echoed = (
            f", {counted(self.echoed_tokens, 'token')} of {counted(self.echoed_events, 'event')} under names "
            "that were asked for"
            if self.echoed_events or self.echoed_tokens
            else ""
        )
        return (
            f"{counted(self.events, 'event')}, {self.prompt_tokens} prompt, {self.cached_tokens} cached, "
            f"{self.completion_tokens} completion, {self.billable_prompt_tokens} billable prompt tokens"
            f"{excess}{partial}{unbilled}{echoed}"
        )


@dataclass(frozen=True, slots=True)
class SumsDifference:
    """A key of the sums under which they differ from the events; UTC-aware.

    summed: what was kept; metered: what the events make.
    """

    window_start: datetime
    auth_id: str | None
    resource_id: str | None
    model_id: str | None
    base_model: str | None
    usage_found: bool
    model_untrusted: bool
    completed: bool
    summed: TokenSums
    metered: TokenSums


@dataclass(slots=True)
class Rebuilt:
    """What a rebuild found. differences: the first; difference_count: of all keys that differed."""

    hours: int = 0
    hours_differing: int = 0
    difference_count: int = 0
    differences: list[SumsDifference] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ArchivedHour:
    """What the archived events of an hour add up to, as JSON of rows of `hourly_usage`.

    ranges: which ranges of pruned events that are, of all that have events of the hour.
    """

    sums: str = "[]"
    ranges: tuple[int, ...] = ()


NOTHING_ARCHIVED = ArchivedHour()


async def compare_hour(
    connection: Connection, hour: datetime, limit: int, archived: ArchivedHour = NOTHING_ARCHIVED
) -> tuple[int, list[SumsDifference]]:
    """Compare the sums of an hour with its events; give the number of keys that differ, and the first."""
    rows = await fetch(
        connection,
        "events/hourly_usage_differences",
        window_start=hour,
        window_end=hour + HOUR,
        limit=limit,
        archived=archived.sums,
        archived_ranges=archived.ranges,
    )
    return (rows[0]["differences"] if rows else 0), [_difference(row) for row in rows]


async def rebuild(
    pool: Pool,
    since: datetime | None,
    until: datetime | None,
    *,
    dry_run: bool = False,
    on_progress: OnProgress = lambda _: None,
) -> Rebuilt:
    """Make the sums of [since, until) agree with the events; whole UTC hours, None: as far as there are any.

    Each hour is compared, and corrected in a transaction of its own if it differs. Batches go on meanwhile,
    also those of the hour. Sums that stand in several slots are merged, as those of cold hours, and those of
    all producers, from before a database was distributed, become each producer's. Cut short, it leaves no
    hour half done. dry_run: compare only. Raises InvalidWindow, and EventsPrunedError, before anything is
    changed.
    """
    require_window(since, until)
    hours = await _hours(pool, since, until)
    if pruned := [row["window_start"] for row in hours if row["pruned"]]:
        raise EventsPrunedError(pruned)
    rebuilt = Rebuilt(hours=len(hours))
    for row in hours:
        hour: datetime = row["window_start"]
        on_progress(f"comparing {utc_text(hour)}, hours that differ so far: {rebuilt.hours_differing}")
        async with pool.acquire() as connection:
            count, first = await compare_hour(connection, hour, DIFFERENCES_MAX)
            undivided = not dry_run and await _are_undivided(connection, hour)
            if undivided:
                await _rebuild_hour(connection, hour)
            elif count and not dry_run:
                count, first = await _rebuild_hour(connection, hour)
            if not dry_run:
                await cool_hour(connection, hour)
        rebuilt.hours_differing += count > 0
        rebuilt.difference_count += count
        rebuilt.differences += first[: DIFFERENCES_MAX - len(rebuilt.differences)]
    return rebuilt


async def _are_undivided(connection: Connection, hour: datetime) -> bool:
    """Tell whether an hour has sums of all producers, from before the database was distributed."""
    if not is_distributed(connection):
        return False
    return bool(await fetch_value(connection, "events/has_sums_of_all", hour=hour))


async def _hours(pool: Pool, since: datetime | None, until: datetime | None) -> list[asyncpg.Record]:
    async with pool.acquire() as connection:
        return await fetch(connection, "events/hourly_usage_hours", window_start=since, window_end=until)


async def _rebuild_hour(connection: Connection, hour: datetime) -> tuple[int, list[SumsDifference]]:
    """Give what differed, which may be other than before. Batches wait for the sums only while they are
    written.
    """
    async with connection.transaction():
        # Another rebuild would find the same, and correct it once more.
        await connection.execute(
            "SELECT pg_advisory_xact_lock($1)", REBUILD_LOCK, timeout=STATEMENT_TIMEOUT_S
        )
        # Keeps partitions from being dropped meanwhile. Hours that lost events since are left out.
        await connection.execute("LOCK TABLE stored_event IN ACCESS SHARE MODE", timeout=STATEMENT_TIMEOUT_S)
        await run(connection, "events/hourly_usage_changes")
        rows = await _find_changes(connection, hour)
        await _apply_changes(connection, hour)
    return (rows[0]["differences"] if rows else 0), [_difference(row) for row in rows]


async def _find_changes(connection: Connection, hour: datetime) -> list[asyncpg.Record]:
    """Find what makes the sums of an hour agree with its events; give the first of it."""
    find = statement("events/hourly_usage_find", differences=_DIFFERENCES_TO_MEND)
    window = {"window_start": hour, "window_end": hour + HOUR, "archived": "[]", "archived_ranges": ()}
    return await connection.fetch(
        *find.bind({**window, "limit": None, "first": DIFFERENCES_MAX}), timeout=STATEMENT_TIMEOUT_S
    )


async def sum_under_own_names(connection: Connection, hour: datetime, request_ids: Sequence[UUID]) -> None:
    """Move the sums of an hour's events from those of other models to those of their own models.

    To be called in the transaction that has marked the events so.
    """
    await run(connection, "events/hourly_usage_changes")
    if await _are_undivided(connection, hour):
        # What a producer has of them can't be taken from sums that it does not have.
        await _find_changes(connection, hour)
    else:
        await run(
            connection, "events/hourly_usage_renamed", request_ids=request_ids, other_models=OTHER_MODELS
        )
    await _apply_changes(connection, hour)


async def _apply_changes(connection: Connection, hour: datetime) -> None:
    """Add to the sums of an hour what hourly_usage_change says, in the transaction that found it out."""
    await hold_slots(connection, SLOTS)
    await merge_held_hour(connection, hour)
    await run(connection, "events/hourly_usage_lock")
    await run(connection, "events/hourly_usage_correct")
    await run(connection, "events/hourly_usage_delete", hour=hour)
    await run(connection, "events/hourly_usage_touch", hour=hour)


def _difference(row: asyncpg.Record) -> SumsDifference:
    return SumsDifference(
        window_start=row["window_start"],
        auth_id=row["auth_id"],
        resource_id=row["resource_id"],
        model_id=row["model_id"],
        base_model=row["base_model"],
        usage_found=row["usage_found"],
        model_untrusted=row["model_untrusted"],
        completed=row["completed"],
        summed=_sums(row, "summed"),
        metered=_sums(row, "metered"),
    )


def _sums(row: asyncpg.Record, side: str) -> TokenSums:
    return TokenSums(
        events=row[f"{side}_events"],
        prompt_tokens=int(row[f"{side}_prompt_tokens"]),
        cached_tokens=int(row[f"{side}_cached_tokens"]),
        completion_tokens=int(row[f"{side}_completion_tokens"]),
        billable_prompt_tokens=int(row[f"{side}_billable_prompt_tokens"]),
        excess_cached_events=row[f"{side}_excess_cached_events"],
        excess_cached_tokens=int(row[f"{side}_excess_cached_tokens"]),
        partial_usage_events=row[f"{side}_partial_usage_events"],
        unbilled_events=row[f"{side}_unbilled_events"],
        unbilled_bytes=int(row[f"{side}_unbilled_bytes"]),
        echoed_events=row[f"{side}_echoed_events"],
        echoed_tokens=int(row[f"{side}_echoed_tokens"]),
    )

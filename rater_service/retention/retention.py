"""Which old events may be dropped: those that are billed, and proved to be."""

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from phoebe_runtime.counts import counted
from rater_service.audit.audit import AuditRequest, audit
from rater_service.audit.bills import AuditTimes
from rater_service.audit.findings import ADVICE, Finding
from rater_service.database.database import Pool
from rater_service.events.partitions import MOVED_EVENTS_MAX
from rater_service.events.rejected import OpenEvent, list_open
from rater_service.hours import InvalidWindow, require_whole_hour, utc_text
from rater_service.rating.run import RUN_OVERLAP
from rater_service.retention.old_events import OldEvents, OnProgress, fetch_of, read_old_events

# Of each reason so many examples are named.
EXAMPLES_MAX = 3


class Obstacle(StrEnum):
    """Why events can't be dropped, beside the differences that an audit finds."""

    UNRATED_HOURS = "UNRATED_HOURS"
    OPEN_REJECTED_EVENTS = "OPEN_REJECTED_EVENTS"
    OLDER_EVENTS_STAY = "OLDER_EVENTS_STAY"
    EVENTS_CAME = "EVENTS_CAME"
    MANY_LATER_EVENTS = "MANY_LATER_EVENTS"


ADVICE_ON_OBSTACLES = {
    Obstacle.UNRATED_HOURS: "rate them: phoebe rate --since … --until …",
    Obstacle.OPEN_REJECTED_EVENTS: "see phoebe rejected list, and retry them; or accept that they are never "
    "billed",
    Obstacle.OLDER_EVENTS_STAY: "mend what keeps the older ones",
    Obstacle.MANY_LATER_EVENTS: "prune with a --before that is after their end",
    Obstacle.EVENTS_CAME: "rate their hours, then prune again",
}
# What a human may look at and accept, because dropping the events hides nothing of it. There is no accepting
# that a bill is wrong, or that events may still come.
ACCEPTABLE: tuple[str, ...] = (
    Finding.LOST_EVENTS,
    Finding.UNEXPLAINED_GAP,
    Finding.REPEATED_NUMBERS,
    Finding.LOST_SPOOL_ROWS,
    Obstacle.OPEN_REJECTED_EVENTS,
)


@dataclass(frozen=True, slots=True)
class Reason:
    """Why events stay: what kind of reason, what it is about, and what to do."""

    kind: str
    detail: str
    advice: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether events may be dropped. reasons: why not; none: they may. accepted: what a human accepted."""

    events: OldEvents
    reasons: tuple[Reason, ...]
    accepted: tuple[str, ...] = ()


def refuse_invalid_time(before: datetime, now: datetime) -> None:
    """Raise InvalidWindow unless the time is a whole UTC hour whose past no routine run rates again."""
    require_whole_hour("before", before)
    latest = AuditTimes.at(now).routine_from
    if before > latest:
        raise InvalidWindow(
            "before",
            f"must not be after {utc_text(latest)}: routine runs rate what follows",
        )


async def judge_old_events(
    pool: Pool, before: datetime, now: datetime, accepted: Collection[str], on_progress: OnProgress
) -> AsyncIterator[Verdict]:
    """Judge the events that ended before a time, of the partitions that are over and of the default one.

    They come in the order in which they can be dropped: by the time of their last event. accepted: of
    ACCEPTABLE. Changes nothing.
    """
    refuse_invalid_time(before, now)
    rejected = await list_open(pool)
    is_blocked = False
    for events in await read_old_events(pool, before, on_progress):
        on_progress(f"checking {events.partition.name}: {counted(events.event_count, 'event')}")
        if not events.event_count:
            yield Verdict(events, ())
            continue
        reasons = [
            *await _unrated(pool, events),
            *await _differences(pool, events, now, on_progress),
            *_rejected_within(rejected, events),
            *_many_later(events),
        ]
        kept = tuple(reason for reason in reasons if reason.kind not in accepted)
        if not kept and is_blocked:
            kept = (obstacle(Obstacle.OLDER_EVENTS_STAY, "events of earlier hours can't be dropped"),)
        is_blocked = is_blocked or bool(kept)
        yield Verdict(events, kept, tuple(reason.kind for reason in reasons if reason.kind in accepted))


async def _unrated(pool: Pool, events: OldEvents) -> list[Reason]:
    async with pool.acquire() as connection:
        rows = await fetch_of(
            connection,
            "retention/unrated",
            events.partition,
            before=events.before,
            overlap=RUN_OVERLAP,
        )
    if not rows:
        return []
    # A run that begins sooner may not have seen the last batch.
    enough = counted(int(RUN_OVERLAP.total_seconds()) // 60, "minute")
    examples = [
        f"{utc_text(row['window_start'])} (not rated {enough} or more after its last event was stored)"
        if row["run"]
        else f"{utc_text(row['window_start'])} (never)"
        for row in rows[:EXAMPLES_MAX]
    ]
    return [obstacle(Obstacle.UNRATED_HOURS, _listed(counted(len(rows), "hour"), examples, len(rows)))]


async def _differences(pool: Pool, events: OldEvents, now: datetime, on_progress: OnProgress) -> list[Reason]:
    # What is wrong with other weeks keeps those, when it is their turn.
    request = AuditRequest(*events.window, names_outside=False)
    result = await audit(pool, request, now, on_progress)
    found = result.findings
    return [
        Reason(
            kind,
            _listed(
                f"{count} found by the audit",
                [
                    f"{difference.subject}: {difference.detail}"
                    for difference in found.differences
                    if difference.kind is kind
                ][:EXAMPLES_MAX],
                count,
            ),
            ADVICE[kind],
        )
        for kind, count in found.difference_counts.items()
    ]


def _rejected_within(rejected: Sequence[OpenEvent], events: OldEvents) -> list[Reason]:
    start, end = events.window
    ids = [str(event.id) for event in rejected if start <= event.ended_at < end]
    if not ids:
        return []
    detail = _listed(f"{len(ids)} not settled", ids[:EXAMPLES_MAX], len(ids))
    return [obstacle(Obstacle.OPEN_REJECTED_EVENTS, detail)]


def _many_later(events: OldEvents) -> list[Reason]:
    """Exchanges that began in a partition's week and ended after the time are moved; not if they are many."""
    if events.partition.is_default or events.later_events <= MOVED_EVENTS_MAX:
        return []
    detail = f"{events.later_events} of its events ended later, too many to move while batches wait"
    return [obstacle(Obstacle.MANY_LATER_EVENTS, detail)]


def obstacle(kind: Obstacle, detail: str) -> Reason:
    """Make a reason of an obstacle, with what to do about it."""
    return Reason(kind, detail, ADVICE_ON_OBSTACLES[kind])


def _listed(count: str, examples: Sequence[str], total: int) -> str:
    return f"{count}: {', '.join(examples)}{', …' if total > len(examples) else ''}"

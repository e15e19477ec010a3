"""Usage that came after the last run over its hour, or to an hour that no run has rated."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

import asyncpg

from phoebe_runtime.counts import counted
from rater_service.database.database import Connection
from rater_service.database.long_statements import fetch
from rater_service.hours import HOUR, TRAILING, hour_of, utc_text
from rater_service.rating.advice import advice
from rater_service.rating.run import LATE_USAGE, RUN_OVERLAP, TOKENS_MAX, WINDOW_MAX, Anomaly, Offender

_OFFENDERS_MAX = 10


@dataclass(frozen=True, slots=True)
class LateHour:
    """An hour, UTC-aware, with usage that its last run did not see.

    run: the last one; None: none has rated the hour. knowledge_at: when its snapshot was taken. events and
    tokens (prompt and completion): how many more there are than it saw; fewer than none where something took
    events away since.
    """

    hour: datetime
    run: int | None
    knowledge_at: datetime | None
    events: int
    tokens: int

    @property
    def events_unseen(self) -> int:
        """How many events there are that no run has seen: those that were stored last."""
        return max(self.events, 0)

    @property
    def events_gone(self) -> int:
        """How many events fewer there are than its last run saw."""
        return max(-self.events, 0)


def late_before(now: datetime) -> datetime:
    """Return the beginning of the hours that every routine run rates; usage of earlier ones is late."""
    return hour_of(now) - TRAILING


async def find_late_hours(
    connection: Connection,
    since: datetime | None = None,
    before: datetime | None = None,
    *,
    ahead_from: datetime | None = None,
    outside: tuple[datetime, datetime] | None = None,
) -> list[LateHour]:
    """Find them, oldest first, in [since, before); None: no such bound. outside: not in this window.
    ahead_from: also those from there on.

    Takes as long as there are hours that were touched since they were rated, however many events.
    """
    except_from, except_until = outside or (None, None)
    rows = await fetch(
        connection,
        "rating/late_hours",
        since=since,
        before=before,
        ahead_from=ahead_from,
        except_from=except_from,
        except_until=except_until,
    )
    return [LateHour(**dict(row) | {"tokens": int(row["tokens"])}) for row in rows]


def windows_of(hours: Sequence[LateHour]) -> list[tuple[datetime, datetime]]:
    """Return the windows that hours, oldest first, make: [start, end), no longer than a run may rate."""
    windows = []
    # Of hours that follow each other, the hour less its place among them is always the same.
    for _, run in groupby(enumerate(late.hour for late in hours), key=lambda one: one[1] - one[0] * HOUR):
        each = [hour for _, hour in run]
        first, end = each[0], each[-1] + HOUR
        while first < end:
            windows.append((first, min(first + WINDOW_MAX, end)))
            first += WINDOW_MAX
    return windows


async def late_usage(connection: Connection, hours: Sequence[LateHour]) -> Anomaly:
    """Say whose usage is late in some hours, of which there is one at least: the worst first."""
    worst = sorted(hours, key=lambda late: (-late.events, late.hour))[:_OFFENDERS_MAX]
    rows = await fetch(
        connection,
        "rating/late_offenders",
        window_start=[late.hour for late in worst],
        since=[late.knowledge_at and late.knowledge_at - RUN_OVERLAP for late in worst],
        limit=_OFFENDERS_MAX,
    )
    by_hour = {late.hour: late for late in worst}
    first, end = hours[0].hour, hours[-1].hour + HOUR
    gone = [late for late in hours if late.events_gone]
    offenders = [*(_offender(row, by_hour[row["hour"]]) for row in rows), *map(_gone, gone)]
    return Anomaly(
        reason=LATE_USAGE,
        events=sum(late.events_unseen for late in hours),
        tokens=min(sum(max(late.tokens, 0) for late in hours), TOKENS_MAX),
        money_at_risk=None,
        offenders=tuple(offenders[:_OFFENDERS_MAX]),
        hours=len(hours),
        first_hour=first,
        last_hour=end - HOUR,
        advice=(_advice_on_gone(gone) if gone else "") + advice(LATE_USAGE, first, end),
    )


def _advice_on_gone(gone: Sequence[LateHour]) -> str:
    events = sum(late.events_gone for late in gone)
    return (
        f"rated, and gone since: {counted(events, 'event')} from {len(gone)} of the hours, first "
        f"{utc_text(gone[0].hour)}: find out who took that usage away, and put it back if it is owed, "
        "because rating those hours takes it off the bill; then: "
    )


def _gone(late: LateHour) -> Offender:
    return Offender(
        auth_id=None,
        resource_id=None,
        model_id=None,
        base_model=None,
        events=0,
        tokens=0,
        money_at_risk=None,
        detail=f"{utc_text(late.hour)}: gone since run {late.run}: {counted(late.events_gone, 'event')}",
    )


def _offender(row: asyncpg.Record, late: LateHour) -> Offender:
    if late.run is None or late.knowledge_at is None:
        rated = "no run has rated it"
    else:
        rated = f"run {late.run} rated what was stored by {utc_text(late.knowledge_at)}"
    return Offender(
        auth_id=row["auth_id"],
        resource_id=row["resource_id"],
        model_id=row["model_id"],
        base_model=None,
        events=row["events"],
        tokens=min(int(row["tokens"]), TOKENS_MAX),
        money_at_risk=None,
        detail=f"{utc_text(late.hour)}: {rated}",
    )


def oldest_taken(now: datetime, late_max: timedelta) -> datetime:
    """Return the oldest hour that a routine run takes along."""
    return hour_of(now) - late_max

"""What lies outside of a run's window and is on no bill: late usage, and events whose times are wrong."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from rater_service.database.database import Connection
from rater_service.database.long_statements import fetch
from rater_service.events.proxy_names import proxy_in_words
from rater_service.hours import HOUR, LATE_MAX, hour_of, utc_text
from rater_service.rating.advice import advice
from rater_service.rating.late_usage import LateHour, find_late_hours, late_before
from rater_service.rating.run import OUT_OF_TIME, TOKENS_MAX, Anomaly, Offender

# Clocks are set by hand now and then, but not to another hour.
AHEAD_MAX = timedelta(hours=1)
# A spool may have been cut off before it was first heard of; usage this old is rated without being asked.
BEFORE_FIRST_SEEN_MAX = LATE_MAX
_OFFENDERS_MAX = 10


@dataclass(frozen=True, slots=True)
class Stray:
    """Events of an hour, of one producer (None: it did not say), whose times can't be right.

    name: what people call the producer's proxy; None: it never said.

    is_ahead: they are more than an hour ahead of the rater's clock; otherwise they are older than anything
    the producer can have seen.
    """

    hour: datetime
    producer_id: str | None
    name: str | None
    events: int
    tokens: int
    is_ahead: bool


@dataclass(frozen=True, slots=True)
class Outside:
    """What no run has rated outside of a window: late hours, oldest first, and strays, most events first."""

    late: tuple[LateHour, ...] = ()
    strays: tuple[Stray, ...] = ()


async def find_outside(
    connection: Connection,
    now: datetime,
    *,
    outside: tuple[datetime, datetime] | None = None,
    within: tuple[datetime, datetime] | None = None,
) -> Outside:
    """Find it. now: the rater's clock, UTC-aware. outside: not in this window, within: only there; None:
    anywhere.

    Events are read only of hours that are to be rated yet and are ahead of the clock, or too old to be rated
    without being asked.
    """
    found = await find_late_hours(
        connection, before=late_before(now), ahead_from=hour_of(now + AHEAD_MAX), outside=outside
    )
    if within is not None:
        found = [one for one in found if within[0] <= one.hour < within[1]]
    late = [one for one in found if one.hour < now]
    oldest = now - BEFORE_FIRST_SEEN_MAX
    suspects = [one for one in found if one.hour < oldest or one.hour > now]
    if not suspects:
        return Outside(tuple(late))
    rows = await fetch(
        connection,
        "rating/out_of_time",
        window_start=[one.hour for one in suspects],
        unseen=[one.events_unseen for one in suspects],
        is_rated=[one.run is not None for one in suspects],
        ahead_of=now + AHEAD_MAX,
        age=BEFORE_FIRST_SEEN_MAX,
    )
    strays = tuple(Stray(**dict(row) | {"tokens": int(row["tokens"])}) for row in rows)
    return Outside(_without(late, strays), strays)


def _without(late: Sequence[LateHour], strays: Sequence[Stray]) -> tuple[LateHour, ...]:
    """Leave out of late hours what is out of time: each event has one name."""
    events: Counter[datetime] = Counter()
    tokens: Counter[datetime] = Counter()
    for stray in strays:
        events[stray.hour] += stray.events
        tokens[stray.hour] += stray.tokens
    rest = (
        replace(one, events=one.events - events[one.hour], tokens=one.tokens - tokens[one.hour])
        if one.hour in events
        else one
        for one in late
    )
    return tuple(one for one in rest if one.hour not in events or one.events > 0)


def out_of_time(strays: Sequence[Stray]) -> Anomaly:
    """Say whose events are out of time, of which there is one at least: the worst first."""
    hours = sorted({stray.hour for stray in strays})
    worst = strays[0]
    return Anomaly(
        reason=OUT_OF_TIME,
        events=sum(stray.events for stray in strays),
        tokens=min(sum(stray.tokens for stray in strays), TOKENS_MAX),
        money_at_risk=None,
        offenders=tuple(map(_offender, strays[:_OFFENDERS_MAX])),
        hours=len(hours),
        first_hour=hours[0],
        last_hour=hours[-1],
        advice=advice(OUT_OF_TIME, worst.hour, worst.hour + HOUR) + (" --ahead" if worst.is_ahead else ""),
    )


def _offender(stray: Stray) -> Offender:
    whose = proxy_in_words(stray.producer_id or "unknown", stray.name)
    how = "has not come" if stray.is_ahead else "is long before the producer was first heard of"
    return Offender(
        auth_id=None,
        resource_id=None,
        model_id=None,
        base_model=None,
        events=stray.events,
        tokens=min(stray.tokens, TOKENS_MAX),
        money_at_risk=None,
        detail=f"{whose}: the hour {utc_text(stray.hour)} {how}",
    )

"""What a bill lacks: hours that no run has rated, and usage that is on no bill."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from phoebe_runtime.counts import counted
from rater_service.bills.rollups import AsOf, Selection
from rater_service.database.database import Connection
from rater_service.database.long_statements import fetch
from rater_service.errors import NeedsAttention, OperatorError
from rater_service.hours import HOUR, hour_of, utc_text
from rater_service.rating.late_usage import find_late_hours
from rater_service.rating.not_billed import NotBilled, read_not_billed


class BillHasHolesError(OperatorError):
    """The bill lacks hours, and was asked for only if it is whole."""


class BillHasHoles(NeedsAttention):
    """The bill is as the runs wrote it, and lacks hours."""


@dataclass(frozen=True, slots=True)
class Holes:
    """What a bill lacks of its period.

    hours: complete hours (UTC-aware) with usage that no run has rated, or that came after the last run, and
    unrated_events: how many events that is. not_billed: what of complete hours is on no bill, by reason,
    these events included; empty for a bill of the past. window_open: the period reaches beyond the last
    complete hour. running_hour: the running one, if it has usage of the selection that no run has rated, and
    running_events: how many events that is. It is left out until it ends, and no hole.
    """

    hours: tuple[datetime, ...]
    unrated_events: int
    not_billed: tuple[NotBilled, ...]
    window_open: bool
    running_hour: datetime | None = None
    running_events: int = 0

    def running_in_words(self) -> str | None:
        """Say that the running hour is left out, and how to include it; None: there is nothing in it."""
        if self.running_hour is None:
            return None
        return running_hour_in_words(self.running_hour, self.running_events)

    def in_words(self) -> str:
        """Say which hours are missing, and how to rate them; only for a bill that lacks some."""
        first, end = self.hours[0], self.hours[-1] + HOUR
        return (
            f"not on this bill: {counted(self.unrated_events, 'event')} in "
            f"{counted(len(self.hours), 'hour')}, {utc_text(first)} to {utc_text(end)}, that no run has "
            f"rated, or that came since; next: phoebe rate --since {utc_text(first)} --until {utc_text(end)}"
        )


def running_hour_in_words(hour: datetime, events: int) -> str:
    """Say that the running hour is left out, and how to include it."""
    start, end = utc_text(hour), utc_text(hour + HOUR)
    return (
        f"the running hour, {start} to {end}, is left out until it ends; it has "
        f"{counted(events, 'event')} so far. To include it now: phoebe rate --since {start} --until {end}"
    )


async def find_running_hour(connection: Connection, now: datetime) -> tuple[datetime, int]:
    """Give the running hour (now: UTC-aware), and how many events it has that no run has seen."""
    hour = hour_of(now)
    found = await find_late_hours(connection, hour, hour + HOUR)
    return hour, sum(one.events_unseen for one in found)


async def find_holes(
    connection: Connection, selection: Selection, as_of: AsOf | None, now: datetime
) -> Holes:
    """Find what a bill lacks, in the snapshot that it is read in.

    now: UTC-aware; the running hour is no hole.
    """
    names = {name: value for name, value in asdict(selection).items() if not name.startswith("window_")}
    before = min(selection.window_end, hour_of(now))
    missing = await _missing(connection, selection.window_start, before, as_of, names)
    hours = tuple(hour for hour, _ in missing)
    not_billed: tuple[NotBilled, ...] = ()
    if as_of is None:
        not_billed = await read_not_billed(
            connection, selection.window_start, before, frozenset(hours), names
        )
    window_open = selection.window_end > before
    running = hour_of(now)
    is_in = as_of is None and selection.window_start <= running < selection.window_end
    unrated = await _missing(connection, running, running + HOUR, None, names) if is_in else ()
    return Holes(
        hours=hours,
        unrated_events=sum(events for _, events in missing),
        not_billed=not_billed,
        window_open=window_open,
        running_hour=running if unrated else None,
        running_events=sum(events for _, events in unrated),
    )


async def _missing(
    connection: Connection,
    since: datetime,
    before: datetime,
    as_of: AsOf | None,
    names: dict[str, str | None],
) -> Sequence[tuple[datetime, int]]:
    if as_of is not None:
        rows = await fetch(
            connection,
            "bills/unrated_as_of",
            window_start=since,
            window_end=before,
            run=as_of.run_id,
            moment=as_of.moment,
            **names,
        )
        return [(row["hour"], row["events"]) for row in rows]
    found = await find_late_hours(connection, since, before)
    # A bill does not lack what it has and what is gone since.
    late = [one for one in found if not one.events_gone]
    if not any(names.values()):
        return [(one.hour, one.events_unseen) for one in late]
    # What came late of others is no hole of this bill.
    rows = await fetch(
        connection,
        "bills/unrated_of",
        window_start=[one.hour for one in late],
        unseen=[one.events_unseen for one in late],
        is_rated=[one.run is not None for one in late],
        **names,
    )
    return [(row["hour"], row["events"]) for row in rows]

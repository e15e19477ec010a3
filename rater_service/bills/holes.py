"""What a bill lacks: hours that no run has rated, and usage that is on no bill."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

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
    complete hour.
    """

    hours: tuple[datetime, ...]
    unrated_events: int
    not_billed: tuple[NotBilled, ...]
    window_open: bool

    def in_words(self) -> str:
        """Say which hours are missing, and how to rate them; only for a bill that lacks some."""
        first, end = self.hours[0], self.hours[-1] + HOUR
        return (
            f"not on this bill: {self.unrated_events} events in {len(self.hours)} hours, "
            f"{utc_text(first)} to {utc_text(end)}, that no run has rated, or that came since; "
            f"next: phoebe rate --since {utc_text(first)} --until {utc_text(end)}"
        )


async def find_holes(
    connection: Connection, selection: Selection, as_of: AsOf | None, now: datetime
) -> Holes:
    """Find what a bill lacks, in the snapshot that it is read in.

    now: UTC-aware; the running hour is no hole.
    """
    names = {name: value for name, value in asdict(selection).items() if not name.startswith("window_")}
    before = min(selection.window_end, hour_of(now))
    missing = await _missing(connection, selection, as_of, before, names)
    hours = tuple(hour for hour, _ in missing)
    not_billed: tuple[NotBilled, ...] = ()
    if as_of is None:
        not_billed = await read_not_billed(
            connection, selection.window_start, before, frozenset(hours), names
        )
    return Holes(
        hours=hours,
        unrated_events=sum(events for _, events in missing),
        not_billed=not_billed,
        window_open=selection.window_end > before,
    )


async def _missing(
    connection: Connection,
    selection: Selection,
    as_of: AsOf | None,
    before: datetime,
    names: dict[str, str | None],
) -> Sequence[tuple[datetime, int]]:
    if as_of is not None:
        rows = await fetch(
            connection,
            "bills/unrated_as_of",
            window_start=selection.window_start,
            window_end=before,
            run=as_of.run_id,
            moment=as_of.moment,
            **names,
        )
        return [(row["hour"], row["events"]) for row in rows]
    found = await find_late_hours(connection, selection.window_start, before)
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

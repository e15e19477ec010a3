"""Whole UTC hours: what usage is summed, rated and billed by."""

from datetime import UTC, datetime, timedelta

HOUR = timedelta(hours=1)
TRAILING = timedelta(hours=24)
"""What a routine run rates again, so that events that came late are billed."""
LATE_MAX = timedelta(days=35)
"""How old usage may be that a routine run takes along: a month that is not invoiced yet, and some days."""


class InvalidWindow(ValueError):  # noqa: N818 - the name says it
    """The window breaks a rule; `field` names the bound that has to change."""

    def __init__(self, field: str, fault: str) -> None:
        super().__init__(f"{field} {fault}")
        self.field = field


def hour_of(moment: datetime) -> datetime:
    """Return the beginning of the hour that an aware moment is in, in UTC."""
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def is_whole_hour(moment: datetime) -> bool:
    """Tell whether an aware moment is the beginning of an hour in UTC."""
    return moment == hour_of(moment)


def require_whole_hour(field: str, moment: datetime) -> None:
    """Raise InvalidWindow for that field unless the moment is a whole UTC hour."""
    if not is_whole_hour(moment):
        raise InvalidWindow(field, "must be a whole UTC hour")


def require_window(start: datetime | None, end: datetime | None) -> None:
    """Raise InvalidWindow unless the bounds are whole UTC hours, one after the other; None: no bound."""
    for field, bound in (("window_start", start), ("window_end", end)):
        if bound is not None:
            require_whole_hour(field, bound)
    if start is not None and end is not None and start >= end:
        raise InvalidWindow("window_end", "must be after window_start")


def trailing_window(moment: datetime) -> tuple[datetime, datetime]:
    """Return the 24 complete hours before an aware moment, as [start, end)."""
    end = hour_of(moment)
    return end - TRAILING, end


def utc_text(moment: datetime) -> str:
    """Write an aware moment as ISO 8601 in UTC: 2026-12-01T00:00:00Z."""
    return moment.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z"

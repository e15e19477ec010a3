"""A window given as one word: a day, a month, or two hours."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import typer

from rater_service.hours import is_whole_hour


@dataclass(frozen=True, slots=True)
class Window:
    """A half-open span of time, [start, end), of whole UTC hours."""

    start: datetime
    end: datetime


_MONTH = re.compile(r"\d{4}-\d{2}")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


def parse_window(written: str) -> Window:
    """Read `2026-12-01`, `2026-12` or `START/END` (ISO 8601, whole UTC hours) as a half-open window.

    Raises typer.BadParameter.
    """
    try:
        start, end = _bounds(written)
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"{written!r} is not a window; write a day (2026-12-01), a month (2026-12) or START/END "
            "(2026-12-01T00:00Z/2026-12-01T06:00Z)"
        ) from None
    if not (is_whole_hour(start) and is_whole_hour(end)):
        raise typer.BadParameter(f"{written!r}: both ends must be whole UTC hours")
    if start >= end:
        raise typer.BadParameter(f"{written!r}: the end must be after the start")
    return Window(start, end)


def _bounds(written: str) -> tuple[datetime, datetime]:
    if _MONTH.fullmatch(written):
        start = _moment(f"{written}-01")
        # From the first of a month, 31 days later is in the next one.
        return start, (start + timedelta(days=31)).replace(day=1)
    if _DAY.fullmatch(written):
        return _moment(written), _moment(written) + timedelta(days=1)
    start_text, _, end_text = written.partition("/")
    return _moment(start_text), _moment(end_text)


def _moment(written: str) -> datetime:
    moment = datetime.fromisoformat(written)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)

"""What a page is asked for: a window, and whose usage of what. All of it stands in the URL."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from rater_service.bills.rollups import Selection
from rater_service.hours import HOUR, hour_of, is_whole_hour, utc_text

WINDOW_MAX = timedelta(days=400)
NAME_LENGTH_MAX = 256

_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")
# Beyond these the month before or after may be none that there is.
_YEARS = range(1970, 9000)
_NAMES = ("customer", "resource", "model")


class BadParameterError(ValueError):
    """A parameter of the URL breaks a rule."""

    def __init__(self, name: str, fault: str) -> None:
        super().__init__(f"{name} {fault}")
        self.name = name
        self.fault = fault


@dataclass(frozen=True, slots=True)
class Query:
    """The window [start, end), UTC-aware whole hours, and names; None: any.

    window: the parameters that said so, to be carried on; empty: the running month, so far.
    """

    start: datetime
    end: datetime
    window: tuple[tuple[str, str], ...]
    customer: str | None
    resource: str | None
    model: str | None

    @property
    def selection(self) -> Selection:
        """The rollups that are asked for."""
        return Selection(self.start, self.end, self.customer, self.resource, self.model)

    @property
    def span(self) -> timedelta:
        """How long the window is."""
        return self.end - self.start

    @property
    def names(self) -> dict[str, str]:
        """The names that were given, by parameter."""
        return {name: value for name in _NAMES if (value := getattr(self, name)) is not None}

    @property
    def in_words(self) -> str:
        """Say the window."""
        return f"{utc_text(self.start)} to {utc_text(self.end)}"

    def href(self, path: str, /, **changes: str | int | None) -> str:
        """Give a link that carries window and names on; None takes a parameter away.

        A change of `from`, `until` or `month` replaces the window.
        """
        new_window = {"since", "until", "month"} & changes.keys()
        told: dict[str, str | int | None] = {} if new_window else dict(self.window)
        told |= self.names
        told |= {"from" if name == "since" else name: value for name, value in changes.items()}
        return link(path, told)

    def months(self, now: datetime) -> list[tuple[str, str]]:
        """Name the months around the one that the window begins in, with how a link is to say which it is.

        No next one that begins after now.
        """
        first = self.start.replace(day=1, hour=0)
        before = (first - HOUR).replace(day=1)
        after = (first + timedelta(days=31)).replace(day=1)
        return [(_month(before), "prev"), *([(_month(after), "next")] if after <= now else [])]


def link(path: str, parameters: Mapping[str, str | int | None]) -> str:
    """Give a path with its parameters; those that are None are left out."""
    told = {name: value for name, value in parameters.items() if value is not None}
    return f"{path}?{urlencode(told)}" if told else path


def read_query(parameters: Mapping[str, str], now: datetime) -> Query:
    """Read window and names of a URL. now: UTC-aware. Raises BadParameterError."""
    start, end, window = _window(parameters, now)
    if start >= end:
        raise BadParameterError("until", "must be after from")
    if end - start > WINDOW_MAX:
        raise BadParameterError("until", f"must be at most {WINDOW_MAX.days} days after from")
    return Query(start, end, window, *(read_name(parameters, name) for name in _NAMES))


def read_name(parameters: Mapping[str, str], name: str) -> str | None:
    """Read a name; empty or absent: None. Raises BadParameterError for what no name can be."""
    value = parameters.get(name) or None
    if value is not None and (len(value) > NAME_LENGTH_MAX or "\0" in value):
        raise BadParameterError(name, f"must be at most {NAME_LENGTH_MAX} characters, without NUL")
    return value


def read_moment(parameters: Mapping[str, str], name: str) -> datetime | None:
    """Read a moment, UTC where it names no offset; empty or absent: None. Raises BadParameterError."""
    written = parameters.get(name) or None
    if written is None:
        return None
    try:
        moment = datetime.fromisoformat(written)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadParameterError(
            name, "is not a time; write it like 2026-12-01 or 2026-12-01T05:00Z"
        ) from None
    if moment.year not in _YEARS:
        raise BadParameterError(name, f"must be in the years {_YEARS[0]} to {_YEARS[-1]}")
    return moment


def read_number(parameters: Mapping[str, str], name: str, most: int) -> int | None:
    """Read a whole number, 0 to `most`; empty or absent: None. Raises BadParameterError."""
    written = (parameters.get(name) or "").strip()
    if not written:
        return None
    if not (written.isascii() and written.isdecimal()) or len(written) > 20 or int(written) > most:
        raise BadParameterError(name, f"must be a whole number, 0 to {most}")
    return int(written)


def _window(
    parameters: Mapping[str, str], now: datetime
) -> tuple[datetime, datetime, tuple[tuple[str, str], ...]]:
    running_end = hour_of(now) + HOUR
    month = parameters.get("month") or None
    if month is not None:
        start = _read_month(month)
        end = (start + timedelta(days=31)).replace(day=1)
        return start, min(end, running_end) if start < running_end else end, (("month", month),)
    start_at, end_at = read_moment(parameters, "from"), read_moment(parameters, "until")
    window = tuple((name, parameters[name]) for name in ("from", "until") if parameters.get(name))
    for name, moment in (("from", start_at), ("until", end_at)):
        if moment is not None and not is_whole_hour(moment):
            raise BadParameterError(name, "must be a whole UTC hour: bills are of hours")
    if start_at is None:
        start_at = (end_at - HOUR if end_at else hour_of(now)).replace(day=1, hour=0)
    return start_at, running_end if end_at is None else end_at, window


def _read_month(written: str) -> datetime:
    start = read_moment({"month": f"{written}-01"}, "month") if _MONTH.fullmatch(written) else None
    if start is None:
        raise BadParameterError("month", "is not a month; write it like 2026-12")
    return start


def _month(start: datetime) -> str:
    return utc_text(start)[: len("2026-12")]

"""Lists events, page by page, oldest first."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from rater_service.archive.reading import ArchivedSelection, EventRecord, place_in_time, read_archived
from rater_service.bills.event import StoredEvent, over_events, read_event, stored_event
from rater_service.bills.page_tokens import (
    InvalidPageToken,
    filter_digest,
    make_token,
    read_token,
    refusing_tokens,
    token_moment,
)
from rater_service.bills.rollups import reading
from rater_service.database.database import Connection, Pool
from rater_service.events.validation import EventRow
from rater_service.hours import InvalidWindow

WINDOW_MAX = timedelta(days=1)
"""The events of a longer window can be too many to look through, in one statement, for those of somebody."""


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events: of [window_start, window_end), UTC-aware; None: no such condition.

    trace_id: 32 lower-case hexadecimal digits.
    """

    window_start: datetime
    window_end: datetime
    auth_id: str | None = None
    user_id: str | None = None
    group_id: str | None = None
    resource_id: str | None = None
    model_id: str | None = None
    client_request_id: str | None = None
    trace_id: str | None = None


@dataclass(frozen=True, slots=True)
class _Place:
    """The place of the last event that was listed."""

    event_time: datetime
    request_id: UUID


@dataclass(frozen=True, slots=True)
class StoredEventPage:
    """Some events, and the token for the page after them; None: it was the last one."""

    events: tuple[StoredEvent, ...]
    next_page_token: str | None


@dataclass(frozen=True, slots=True)
class FoundEvents:
    """Some events, oldest first. has_more: there are others behind them."""

    events: tuple[StoredEvent, ...]
    has_more: bool


async def list_stored_events(
    pool: Pool, wanted: EventFilter, page_size: int, page_token: str | None
) -> StoredEventPage:
    """Read a page of at most `page_size` events. Those that are stored meanwhile may come on a later page.

    Raises InvalidWindow for a window of more than a day, or an empty one, and InvalidPageToken.
    """
    if wanted.window_start >= wanted.window_end:
        raise InvalidWindow("window_end", "must be after window_start")
    if wanted.window_end - wanted.window_start > WINDOW_MAX:
        raise InvalidWindow("window_end", "must be at most a day after window_start")
    after = None if page_token is None else _read_token(page_token, wanted)
    async with reading(pool) as connection:
        events = await _read(connection, wanted, after, page_size + 1)
    last = events[page_size - 1].row if len(events) > page_size else None
    return StoredEventPage(events[:page_size], None if last is None else _make_token(last, wanted))


async def find_events(pool: Pool, wanted: EventFilter, limit: int, after: UUID | None = None) -> FoundEvents:
    """Read at most `limit` events of a window of any length, day by day, oldest first.

    after: only those behind this event. Raises NoSuchEventError: there is no event `after`.
    """
    place = None
    if after is not None:
        stored = await read_event(pool, after)
        place = _Place(stored.row.event_time, after)
    found: list[StoredEvent] = []
    start = wanted.window_start if place is None else max(wanted.window_start, place.event_time)
    while start < wanted.window_end and len(found) <= limit:
        end = min(start + WINDOW_MAX, wanted.window_end)
        async with reading(pool) as connection:
            of_day = replace(wanted, window_start=start, window_end=end)
            found += await _read(connection, of_day, place, limit + 1 - len(found))
        start = end
    return FoundEvents(tuple(found[:limit]), len(found) > limit)


async def _read(
    connection: Connection, wanted: EventFilter, after: _Place | None, limit: int
) -> tuple[StoredEvent, ...]:
    stored = await connection.fetch(
        *over_events(
            "bills/events",
            **asdict(wanted),
            after_time=None if after is None else after.event_time,
            after_id=None if after is None else after.request_id,
            limit=limit,
        )
    )
    rows: list[EventRecord] = [dict(record) for record in stored]
    rows += await _read_archived(connection, wanted, after, limit)
    return tuple(map(stored_event, sorted(rows, key=place_in_time)[:limit]))


async def _read_archived(
    connection: Connection, wanted: EventFilter, after: _Place | None, limit: int
) -> Sequence[EventRecord]:
    equal = {
        name: bytes.fromhex(value) if name == "trace_id" else value
        for name, value in asdict(wanted).items()
        if value is not None and name not in {"window_start", "window_end"}
    }
    start = wanted.window_start if after is None else max(wanted.window_start, after.event_time)
    behind = None if after is None else (after.event_time, after.request_id)
    return await read_archived(
        connection, ArchivedSelection(start, wanted.window_end, equal, after=behind, limit=limit)
    )


def _make_token(last: EventRow, wanted: EventFilter) -> str:
    return make_token([filter_digest(asdict(wanted)), last.event_time, str(last.request_id)])


def _read_token(token: str, wanted: EventFilter) -> _Place:
    with refusing_tokens():
        digest, moment, request_id = read_token(token)
        place = _Place(token_moment(moment), UUID(request_id))
    if digest != filter_digest(asdict(wanted)):
        raise InvalidPageToken
    return place

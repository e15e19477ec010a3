"""Reads rated usage, page by page."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

import asyncpg

from rater_service.bills.page_tokens import (
    InvalidPageToken,
    filter_digest,
    make_token,
    read_token,
    refusing_tokens,
    token_moment,
    token_text,
)
from rater_service.bills.rollups import reading
from rater_service.database.database import Connection, Pool
from rater_service.rollup import KEY, RollupKey
from rater_service.statements import bound

_BIGINT_END = 2**63


@dataclass(frozen=True, slots=True)
class RatedUsageFilter:
    """Which rollups to list; None: no such condition. The window is [window_start, window_end), UTC-aware."""

    window_start: datetime | None
    window_end: datetime | None
    auth_id: str | None
    resource_id: str | None

    def digest(self) -> str:
        """Return a short text that differs for every other filter."""
        return filter_digest(asdict(self))


@dataclass(frozen=True, slots=True)
class RatedUsagePage:
    """Rows of `rated_usage`, with its column names, and the token for the page after them, if any."""

    rows: Sequence[asyncpg.Record]
    next_page_token: str | None


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a listing is: the last change there was when it began, and the key of the last rollup shown."""

    last_change: int
    key: RollupKey


async def list_rated_usage(
    pool: Pool, wanted: RatedUsageFilter, page_size: int, page_token: str | None
) -> RatedUsagePage:
    """Read a page of at most `page_size` rollups, ordered by window_start, auth_id, resource_id, model_id.

    All pages show the rollups as they were when the first one was read, whatever runs did since: no rollup is
    skipped, none comes twice, and the costs of a listing add up. Raises InvalidPageToken.
    """
    place = None if page_token is None else _read_token(page_token, wanted)
    async with reading(pool) as connection:
        last_change = place.last_change if place else await read_last_change(connection)
        rows = await connection.fetch(
            *bound(
                "bills/list_rated_usage",
                **asdict(wanted),
                **{f"after_{name}": place and getattr(place.key, name) for name in KEY},
                limit=page_size + 1,
                last_change=last_change,
            )
        )
    if len(rows) <= page_size:
        return RatedUsagePage(rows, None)
    return RatedUsagePage(rows[:page_size], _make_token(rows[page_size - 1], last_change, wanted))


async def read_last_change(connection: Connection) -> int:
    """Read the number of the last change that a run made to a rollup; 0 before the first."""
    number = await connection.fetchval(*bound("bills/last_rated_usage_change"))
    assert isinstance(number, int)
    return number


def _make_token(last: asyncpg.Record, last_change: int, wanted: RatedUsageFilter) -> str:
    key = [last["window_start"], last["auth_id"], last["resource_id"], last["model_id"]]
    return make_token([wanted.digest(), last_change, *key])


def _read_token(token: str, wanted: RatedUsageFilter) -> _Place:
    with refusing_tokens():
        digest, last_change, hour, *names = read_token(token)
        after = token_moment(hour)
        auth_id, resource_id, model_id = map(token_text, names)
    if not isinstance(last_change, int) or not 0 <= last_change < _BIGINT_END:
        raise InvalidPageToken
    if digest != wanted.digest():
        raise InvalidPageToken
    return _Place(last_change, RollupKey(after, auth_id, resource_id, model_id))

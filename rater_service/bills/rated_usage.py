"""Reads rated usage, page by page."""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import sha256

import asyncpg

from rater_service.bills.rollups import reading
from rater_service.database.database import Connection, Pool
from rater_service.rollup import KEY, RollupKey
from rater_service.statements import bound

_BIGINT_END = 2**63
# The longest names, all of them characters that JSON writes as twelve, in base64.
_TOKEN_LENGTH_MAX = 8 * 1024


@dataclass(frozen=True, slots=True)
class RatedUsageFilter:
    """Which rollups to list; None: no such condition. The window is [window_start, window_end), UTC-aware."""

    window_start: datetime | None
    window_end: datetime | None
    auth_id: str | None
    resource_id: str | None

    def digest(self) -> str:
        """Return a short text that differs for every other filter."""
        bounds = [bound and bound.isoformat() for bound in (self.window_start, self.window_end)]
        return sha256(json.dumps([*bounds, self.auth_id, self.resource_id]).encode()).hexdigest()[:16]


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


class InvalidPageToken(ValueError):  # noqa: N818 - the name says it
    """The token was not given out for a listing with these filters."""


async def list_rated_usage(
    pool: Pool, wanted: RatedUsageFilter, page_size: int, page_token: str | None
) -> RatedUsagePage:
    """Read a page of at most `page_size` rollups, ordered by window_start, auth_id, resource_id, model_id.

    All pages show the rollups as they were when the first one was read, whatever runs did since: no rollup is
    skipped, none comes twice, and the costs of a listing add up. Raises InvalidPageToken.
    """
    place = None if page_token is None else _read_token(page_token, wanted)
    async with reading(pool) as connection:
        last_change = place.last_change if place else await _last_change(connection)
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


async def _last_change(connection: Connection) -> int:
    number = await connection.fetchval(*bound("bills/last_rated_usage_change"))
    assert isinstance(number, int)
    return number


def _make_token(last: asyncpg.Record, last_change: int, wanted: RatedUsageFilter) -> str:
    key = [last["window_start"].isoformat(), last["auth_id"], last["resource_id"], last["model_id"]]
    return base64.urlsafe_b64encode(json.dumps([wanted.digest(), last_change, *key]).encode()).decode()


def _read_token(token: str, wanted: RatedUsageFilter) -> _Place:
    if len(token) > _TOKEN_LENGTH_MAX:
        raise InvalidPageToken
    try:
        digest, last_change, hour, *names = json.loads(base64.urlsafe_b64decode(token))
        # A time without an offset would be taken for one of this machine's zone.
        after = datetime.fromisoformat(hour).astimezone(UTC) if hour.endswith("+00:00") else None
        auth_id, resource_id, model_id = (_text(part) for part in names)
    except (ValueError, TypeError, AttributeError, RecursionError, OverflowError, binascii.Error):
        raise InvalidPageToken from None
    if not isinstance(last_change, int) or not 0 <= last_change < _BIGINT_END:
        raise InvalidPageToken
    if digest != wanted.digest() or after is None:
        raise InvalidPageToken
    return _Place(last_change, RollupKey(after, auth_id, resource_id, model_id))


def _text(part: object) -> str:
    """Take a text that PostgreSQL takes too. Raises ValueError."""
    if not isinstance(part, str) or "\0" in part:
        raise ValueError
    part.encode()  # JSON has lone surrogates
    return part

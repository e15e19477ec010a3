"""Pages of rollups as they are, each of which tells whether bills have changed since the first."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import asyncpg

from rater_service.bills.page_tokens import make_token, read_token, refusing_tokens, token_moment, token_text
from rater_service.bills.rated_usage import read_last_change
from rater_service.bills.rollups import Selection
from rater_service.database.database import Connection
from rater_service.rollup import KEY
from rater_service.statements import Bound, bound


@dataclass(frozen=True, slots=True)
class RollupPage:
    """Some rollups. next_token: of those after them; None: there are none.

    has_changed: a run changed a bill since the first page was read, so rows and sums of pages may not agree.
    """

    rows: Sequence[asyncpg.Record]
    next_token: str | None
    has_changed: bool


async def list_rollups(
    connection: Connection, selection: Selection, token: str | None, limit: int
) -> RollupPage:
    """Read a page in the order of the key; token: of an earlier page. Raises InvalidPageToken.

    The place is a key and no row: it stays where it is, whatever runs do to the rollup.
    """
    last_change = await read_last_change(connection)
    first_change, after = (last_change, dict.fromkeys(KEY)) if token is None else _read(token)
    rows = await connection.fetch(*_over_page(selection, after, limit + 1))
    next_token = None
    if len(rows) > limit:
        last = rows[limit - 1]
        next_token = make_token([first_change, *(last[name] for name in KEY)])
    return RollupPage(rows[:limit], next_token, first_change != last_change)


def over_rollups_in_order(selection: Selection) -> Bound:
    """Give the statement that reads all of them, in the order of pages."""
    return _over_page(selection, dict.fromkeys(KEY), None)


def _over_page(selection: Selection, after: Mapping[str, object], limit: int | None) -> Bound:
    places = {f"after_{name}": value for name, value in after.items()}
    return bound("bills/rollups_page", **asdict(selection), **places, limit=limit)


def _read(token: str) -> tuple[int, dict[str, object]]:
    with refusing_tokens():
        first_change, hour, *names = read_token(token)
        auth_id, resource_id, model_id = map(token_text, names)
        return int(first_change), dict(
            zip(KEY, (token_moment(hour), auth_id, resource_id, model_id), strict=True)
        )

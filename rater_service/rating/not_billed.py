"""What of a window is not on a bill, by reason, read without rating it."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import groupby
from operator import attrgetter

import asyncpg

from rater_service.database.database import Connection
from rater_service.database.long_statements import STATEMENT_TIMEOUT_S
from rater_service.money import cost_of_sums, exact_sum
from rater_service.prices.history import PriceHistory, Quote
from rater_service.prices.store import load_history
from rater_service.rating.categories import over_categories
from rater_service.rating.run import LATE_USAGE

# What clients were given of answers that were not completed and have no usage. In runs it is no anomaly.
UNBILLED_OUTPUT = "UNBILLED_OUTPUT"
# How many tokens it is nobody knows.
_WITHOUT_TOKENS = {"MISSING_USAGE", "COUNT_NOT_REPORTED", UNBILLED_OUTPUT}


@dataclass(frozen=True, slots=True)
class NotBilled:
    """Events that are on no bill, or not whole, for one reason: that of an anomaly, or UNBILLED_OUTPUT.

    tokens: prompt and completion, as far as they are known. money_at_risk: what they would cost, USD, as far
    as a price can be assumed; None: for none of them.
    """

    reason: str
    events: int
    tokens: int
    money_at_risk: Decimal | None


@dataclass(frozen=True, slots=True)
class _Part:
    reason: str
    events: int
    tokens: int
    money: Decimal | None


async def read_not_billed(
    connection: Connection,
    window_start: datetime,
    window_end: datetime,
    late: Collection[datetime],
    narrowed: Mapping[str, str | None],
) -> tuple[NotBilled, ...]:
    """Read what of [window_start, window_end) is on no bill, most events first.

    late: the hours that are to be rated yet; what can be priced there is LATE_USAGE. narrowed: auth_id,
    resource_id and model_id, None: whoever, whatever. Prices are those of now.
    """
    rows = await connection.fetch(
        *over_categories("rating/not_billed", window_start=window_start, window_end=window_end, **narrowed),
        timeout=STATEMENT_TIMEOUT_S,
    )
    history = await load_history(connection, window_start)
    parts = sorted(_parts(rows, history, late), key=attrgetter("reason"))
    found = [_sum(reason, list(same)) for reason, same in groupby(parts, key=attrgetter("reason"))]
    return tuple(sorted(found, key=lambda one: (-one.events, one.reason)))


def _parts(rows: list[asyncpg.Record], history: PriceHistory, late: Collection[datetime]) -> Iterator[_Part]:
    ambiguous: dict[tuple[object, ...], list[_Part]] = {}
    for row in rows:
        money = _money(row, history)
        is_late = row["reason"] == "UNPRICED" and money is not None and row["hour"] in late
        reason = LATE_USAGE if is_late else row["reason"]
        part = _Part(reason, row["events"], int(row["tokens"]), money)
        if row["reason"] == "AMBIGUOUS_BASE":
            key = (row["hour"], row["auth_id"], row["resource_id"], row["model_id"])
            ambiguous.setdefault(key, []).append(part)
        else:
            yield part
    for each in ambiguous.values():
        yield max(each, key=lambda part: part.money or 0)  # at the dearest of the bases


def _money(row: asyncpg.Record, history: PriceHistory) -> Decimal | None:
    if row["model_id"] is None or row["reason"] in _WITHOUT_TOKENS:
        return None
    quote = history.resolve(row["model_id"], row["base_model"], row["hour"])
    if not isinstance(quote, Quote):
        return None
    return cost_of_sums(int(row["billable"]), int(row["cached"]), int(row["completion"]), quote.price.billed)


def _sum(reason: str, parts: list[_Part]) -> NotBilled:
    known = [part.money for part in parts if part.money is not None]
    return NotBilled(
        reason=reason,
        events=sum(part.events for part in parts),
        tokens=sum(part.tokens for part in parts),
        money_at_risk=exact_sum(known) if known else None,
    )

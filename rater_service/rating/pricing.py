"""Gives the sums of a run their prices, by the books of its snapshot."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import groupby
from typing import NamedTuple

import asyncpg

from rater_service.database.database import Connection
from rater_service.database.long_statements import fetch
from rater_service.prices.history import PriceHistory, Quote
from rater_service.prices.loadings import BEGINNING
from rater_service.prices.resolution import NoPrice


class PriceRow(NamedTuple):
    """What a model costs in an hour. Rates in USD per token; either these or a reason why there are none."""

    model_id: str
    base_model: str | None
    window_start: datetime
    prompt_rate: Decimal | None = None
    cached_rate: Decimal | None = None
    completion_rate: Decimal | None = None
    price_book: str | None = None
    price_from: datetime | None = None
    no_price_reason: str | None = None


async def read_prices(
    connection: Connection, history: PriceHistory, window_start: datetime, window_end: datetime
) -> dict[str, list[object]]:
    """Find the prices of what was used in [window_start, window_end), as arguments of rating/buckets."""
    keys = await fetch(connection, "rating/price_keys", window_start=window_start, window_end=window_end)
    rows = list(_prices(history, keys))
    return {f"priced_{name}": [row[place] for row in rows] for place, name in enumerate(PriceRow._fields)}


def _prices(history: PriceHistory, keys: Sequence[asyncpg.Record]) -> Iterator[PriceRow]:
    """Yield the prices; the keys come with the hours of a model following each other."""
    for (model_id, base_model), hours in groupby(keys, key=lambda key: (key["model_id"], key["base_model"])):
        found: Quote | NoPrice | None = None
        for key in hours:
            hour: datetime = key["window_start"]
            if not _still_holds(found, hour):
                found = history.resolve(model_id, base_model, hour)
            yield _row(model_id, base_model, hour, found)


def _still_holds(found: Quote | NoPrice | None, hour: datetime) -> bool:
    if not isinstance(found, Quote):
        return False
    begun = found.effective_from is None or found.effective_from <= hour
    return begun and (found.effective_until is None or hour < found.effective_until)


def _row(model_id: str, base_model: str | None, hour: datetime, found: Quote | NoPrice | None) -> PriceRow:
    if isinstance(found, Quote):
        rates = found.price.billed
        return PriceRow(
            model_id,
            base_model,
            hour,
            prompt_rate=rates.prompt,
            cached_rate=rates.cached,
            completion_rate=rates.completion,
            price_book=found.book.content_hash,
            price_from=found.effective_from or BEGINNING,
        )
    assert found is not None
    return PriceRow(model_id, base_model, hour, no_price_reason=found.reason)

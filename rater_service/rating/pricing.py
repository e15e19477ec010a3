"""Gives the sums of a run their prices, by the books of its snapshot."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby

import asyncpg

from rater_service.database.database import Connection
from rater_service.database.long_statements import fetch, run
from rater_service.prices.history import PriceHistory, Quote
from rater_service.prices.resolution import NoPrice

# Before every time there is: a book that is in force from the beginning comes first.
BEGINNING = datetime.min.replace(tzinfo=UTC)


async def price_buckets(connection: Connection, history: PriceHistory) -> None:
    """Fill rating_price, and price the rows of rating_bucket by it."""
    keys = await fetch(connection, "rating/price_keys")
    await connection.copy_records_to_table("rating_price", records=list(_prices(history, keys)))
    await run(connection, "rating/apply_prices")


def _prices(history: PriceHistory, keys: Sequence[asyncpg.Record]) -> Iterator[tuple[object, ...]]:
    """Yield the rows of rating_price; the keys come with the hours of a model following each other."""
    for (model_id, base_model), hours in groupby(keys, key=lambda key: (key["model_id"], key["base_model"])):
        found: Quote | NoPrice | None = None
        for key in hours:
            hour: datetime = key["window_start"]
            if not _still_holds(found, hour):
                found = history.resolve(model_id, base_model, hour)
            yield (model_id, base_model, hour, *_price_columns(found))


def _still_holds(found: Quote | NoPrice | None, hour: datetime) -> bool:
    if not isinstance(found, Quote):
        return False
    begun = found.effective_from is None or found.effective_from <= hour
    return begun and (found.effective_until is None or hour < found.effective_until)


def _price_columns(found: Quote | NoPrice | None) -> tuple[object, ...]:
    if isinstance(found, Quote):
        rates = found.price.billed
        book = found.book.content_hash
        return rates.prompt, rates.cached, rates.completion, book, found.effective_from or BEGINNING, None
    assert found is not None
    return None, None, None, None, None, found.reason

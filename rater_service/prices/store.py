"""Keeps every price book and every loading, and reads them again."""

from collections.abc import Collection
from datetime import datetime
from pathlib import Path

from rater_service.database.database import Connection
from rater_service.errors import OperatorError
from rater_service.prices.file import LoadedPriceFile
from rater_service.prices.history import BookInForce, PriceHistory
from rater_service.prices.loadings import Loading, Timeline, in_turn
from rater_service.prices.parsed_books import PARSED_BOOKS
from rater_service.prices.pricebook import PriceBook
from rater_service.prices.resolution import NoPrice
from rater_service.statements import bound


def read_price_file(path: Path) -> bytes:
    """Read a price file's bytes; OperatorError where that is not possible."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise OperatorError(f"can't read the price file {path}: {error.strerror}") from error


async def load_history(connection: Connection, since: datetime | None = None) -> PriceHistory:
    """Load the price books that can price a moment from `since` on (UTC-aware; None: any moment).

    Of all others nothing is read. The history is false when no price file is loaded.
    """
    rows = await connection.fetch(*bound("prices/history", since=since))
    pricing = in_turn([Loading(**row) for row in rows])
    return PriceHistory(
        [BookInForce(await load_book(connection, one.content_hash), one.in_force_from) for one in pricing],
        since,
    )


async def priced_among(
    connection: Connection, uses: Collection[tuple[str, str | None, datetime]]
) -> set[tuple[str, str | None, datetime]]:
    """Return which of some models, each with its base model (None: not stated) and moment, have a price."""
    if not uses:
        return set()
    history = await load_history(connection, min(moment for _, _, moment in uses))
    if not history:
        return set()
    return {use for use in uses if not isinstance(history.resolve(*use), NoPrice)}


async def load_book(connection: Connection, content_hash: str) -> PriceBook:
    """Load a price book that is kept; what this process has parsed before is not read again."""
    return (await load_kept_file(connection, content_hash)).book


async def load_kept_file(connection: Connection, content_hash: str) -> LoadedPriceFile:
    """Load the price file of a book that is kept, with the lines on which models stand; see `load_book`."""
    known = PARSED_BOOKS.get(content_hash)
    if known is None:
        row = await connection.fetchrow(*bound("prices/book", content_hash=content_hash))
        assert row is not None
        known = await PARSED_BOOKS.parse(row["content"], row["source"])
    return known


async def read_timeline(connection: Connection) -> Timeline:
    """Read all loadings there were, without the books."""
    return Timeline(Loading(**row) for row in await connection.fetch(*bound("prices/loadings")))


async def keep_others_from_loading(connection: Connection) -> None:
    """Let nobody else change loadings until the end of the transaction, and give one to books that have none.

    What is read afterwards is the last word. Nobody who reads has to wait.
    """
    # Of this table, because version 0.1.0, which may run beside this one, takes it too.
    await connection.execute("LOCK TABLE price_book IN SHARE ROW EXCLUSIVE MODE")
    await connection.execute(*bound("prices/adopt_books"))

"""Keeps every price book that was ever loaded, unchanged."""

from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from rater_service.database.database import Connection
from rater_service.errors import OperatorError
from rater_service.prices.faults import Fault
from rater_service.prices.history import BookInForce, Loading, PriceHistory, ever_in_force, in_force_from
from rater_service.prices.parsed_books import PARSED_BOOKS
from rater_service.prices.pricebook import PriceBook
from rater_service.statements import bound


@dataclass(frozen=True, slots=True)
class StoredBook:
    """A price file as it is now kept.

    `is_new` tells whether this content was never loaded before; if it was, `loading` says since when it
    counts. `superseded_by` is what is in force at the time of the call when that is a later loading, else
    None.
    """

    loading: Loading
    warnings: tuple[Fault, ...]
    is_new: bool
    superseded_by: Loading | None

    def not_in_force(self, source: str) -> str | None:
        """Say why the prices of this file are not in force although it was loaded; None if they are."""
        if self.superseded_by is None:
            return None
        return (
            f"{source} IS NOT IN FORCE: its content was loaded before, and since then the book "
            f"{self.superseded_by.content_hash} came into force; to return to these prices, give the "
            "file another effective_from"
        )


@dataclass(frozen=True, slots=True)
class KeptBook:
    """What is known of a price book without reading it.

    `in_force_until` (exclusive; None: further notice) is the same as `in_force_from` for a book that never
    was and never will be in force, because another came into force together with it and was loaded later.
    """

    loading: Loading
    in_force_until: datetime | None

    @property
    def is_never_in_force(self) -> bool:
        """Whether no hour is priced by it."""
        return self.in_force_until is not None and self.in_force_until == self.loading.in_force_from


def read_price_file(path: Path) -> bytes:
    """Read a price file's bytes; OperatorError where that is not possible."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise OperatorError(f"can't read the price file {path}: {error.strerror}") from error


async def load_history(connection: Connection, since: datetime | None = None) -> PriceHistory:
    """Load the price books that can price a moment from `since` on (UTC-aware; None: any moment).

    Of all others nothing is read. The history is false when no price file was ever loaded.
    """
    loadings = ever_in_force(await _loadings(connection, since)).values()
    return PriceHistory(
        [
            BookInForce(
                await load_book(connection, loading.content_hash), loading.in_force_from, loading.loaded_at
            )
            for loading in loadings
        ],
        since,
    )


async def load_book(connection: Connection, content_hash: str) -> PriceBook:
    """Load a price book that is kept; what this process has parsed before is not read again."""
    known = PARSED_BOOKS.get(content_hash)
    if known is None:
        row = await connection.fetchrow(*bound("prices/book", content_hash=content_hash))
        assert row is not None
        known = await PARSED_BOOKS.parse(row["content"], row["source"])
    return known.book


async def list_books(connection: Connection) -> list[KeptBook]:
    """List all price books, in the order in which they are in force."""
    loadings = sorted(await _loadings(connection, None), key=_rank)
    return [
        KeptBook(loading, later.in_force_from if later else None)
        for loading, later in pairwise([*loadings, None])
        if loading
    ]


async def store_price_file(connection: Connection, content: bytes, source: str, now: datetime) -> StoredBook:
    """Check a price file and keep it, in a transaction of its own.

    Content that was kept before stays as it was, with the time it came into force. Raises PriceFileError,
    with all faults, and keeps nothing, if the file breaks a rule.
    """
    loaded = await PARSED_BOOKS.parse(content, source)
    book = loaded.book
    async with connection.transaction():
        # Two services that start together must not both believe theirs is the first book ever.
        await connection.execute("LOCK TABLE price_book IN SHARE ROW EXCLUSIVE MODE")
        earlier = await _loadings(connection, None)
        known = next((loading for loading in earlier if loading.content_hash == book.content_hash), None)
        loading = known or Loading(
            book.content_hash, source, now, in_force_from(book, now, first_ever=not earlier)
        )
        if known is None:
            await connection.execute(
                *bound(
                    "prices/store_book",
                    **asdict(loading),
                    content=book.content,
                    effective_from=book.effective_from,
                )
            )
    later = [other for other in earlier if _rank(loading) < _rank(other) and _has_begun(other, now)]
    return StoredBook(loading, loaded.warnings, known is None, max(later, key=_rank, default=None))


async def _loadings(connection: Connection, since: datetime | None) -> list[Loading]:
    """Read which books can be in force from a moment on (None: at all), without the books."""
    return [Loading(**row) for row in await connection.fetch(*bound("prices/loadings", since=since))]


def _has_begun(loading: Loading, now: datetime) -> bool:
    return loading.in_force_from is None or loading.in_force_from <= now


def _rank(loading: Loading) -> tuple[bool, datetime, datetime]:
    return loading.in_force_from is not None, loading.in_force_from or loading.loaded_at, loading.loaded_at

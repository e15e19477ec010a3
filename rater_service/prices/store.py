"""Keeps every price book that was ever loaded, unchanged."""

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import asyncpg

from rater_service.database.database import Connection
from rater_service.errors import OperatorError
from rater_service.prices.faults import Fault
from rater_service.prices.file import parse_price_file
from rater_service.prices.history import BookInForce, PriceHistory, in_force_from
from rater_service.prices.pricebook import PriceBook
from rater_service.statements import bound

# Far more files than are ever kept; parsing one takes longer than reading it.
PARSED_BOOKS_MAX = 1000


@dataclass(frozen=True, slots=True)
class StoredBook:
    """A price file as it is now kept.

    `is_new` tells whether this content was never loaded before; if it was, `in_force` says since when it
    counts. `superseded_by` is the book in force at the time of the call when that is a later one, else None.
    """

    in_force: BookInForce
    warnings: tuple[Fault, ...]
    is_new: bool
    superseded_by: BookInForce | None

    def not_in_force(self, source: str) -> str | None:
        """Say that the prices of this file do not hold although it was loaded; None if they do."""
        if self.superseded_by is None:
            return None
        return (
            f"{source} IS NOT IN FORCE: its content was loaded before, and since then the book "
            f"{self.superseded_by.book.content_hash} came into force; to return to these prices, give the "
            "file another effective_from"
        )


@dataclass(frozen=True, slots=True)
class KeptBook:
    """A price book as it is kept. `source`: the name of the file when it was first loaded.

    `in_force_until` (exclusive; None: further notice) is the same as `in_force_from` for a book that never
    was and never will be in force, because another came into force together with it and was loaded later.
    """

    in_force: BookInForce
    source: str
    in_force_until: datetime | None

    @property
    def is_never_in_force(self) -> bool:
        """Whether no hour is priced by it."""
        return self.in_force_until is not None and self.in_force_until == self.in_force.in_force_from


def read_price_file(path: Path) -> bytes:
    """Read a price file's bytes; OperatorError where that is not possible."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise OperatorError(f"can't read the price file {path}: {error.strerror}") from error


async def load_history(connection: Connection) -> PriceHistory:
    """Load all price books; the history is false when there are none."""
    return PriceHistory(await _load_books(connection))


async def list_books(connection: Connection) -> list[KeptBook]:
    """List all price books, in the order in which they are in force."""
    records = await connection.fetch(*bound("prices/load_books"))
    sources = {record["content_hash"]: record["source"] for record in records}
    entries = sorted(map(_entry, records), key=_rank)
    return [
        KeptBook(entry, sources[entry.book.content_hash], later.in_force_from if later else None)
        for entry, later in pairwise([*entries, None])
        if entry
    ]


async def store_price_file(connection: Connection, content: bytes, source: str, now: datetime) -> StoredBook:
    """Check a price file and keep it, in a transaction of its own.

    Content that was kept before stays as it was, with the time it came into force. Raises PriceFileError,
    with all faults, and keeps nothing, if the file breaks a rule.
    """
    loaded = parse_price_file(content, source)
    async with connection.transaction():
        # Two services that start together must not both believe theirs is the first book ever.
        await connection.execute("LOCK TABLE price_book IN SHARE ROW EXCLUSIVE MODE")
        earlier = await _load_books(connection)
        known = next(
            (entry for entry in earlier if entry.book.content_hash == loaded.book.content_hash), None
        )
        entry = known or BookInForce(
            loaded.book, in_force_from(loaded.book, now, first_ever=not earlier), now
        )
        if known is None:
            await _insert(connection, entry, source)
    later = [other for other in earlier if _rank(entry) < _rank(other) and _has_begun(other, now)]
    return StoredBook(entry, loaded.warnings, known is None, max(later, key=_rank, default=None))


async def _load_books(connection: Connection) -> list[BookInForce]:
    return [_entry(record) for record in await connection.fetch(*bound("prices/load_books"))]


def _entry(record: asyncpg.Record) -> BookInForce:
    book = _parsed(record["content"], record["source"])
    return BookInForce(book, record["in_force_from"], record["loaded_at"])


@lru_cache(maxsize=PARSED_BOOKS_MAX)
def _parsed(content: bytes, source: str) -> PriceBook:
    return parse_price_file(content, source).book


async def _insert(connection: Connection, entry: BookInForce, source: str) -> None:
    book = entry.book
    await connection.execute(
        *bound(
            "prices/store_book",
            content_hash=book.content_hash,
            content=book.content,
            source=source,
            loaded_at=entry.loaded_at,
            effective_from=book.effective_from,
            in_force_from=entry.in_force_from,
        )
    )


def _has_begun(entry: BookInForce, now: datetime) -> bool:
    return entry.in_force_from is None or entry.in_force_from <= now


def _rank(entry: BookInForce) -> tuple[bool, datetime, datetime]:
    return entry.in_force_from is not None, entry.in_force_from or entry.loaded_at, entry.loaded_at

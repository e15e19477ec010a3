"""Where commands take price books from: files, and the database that keeps what was ever loaded."""

from datetime import datetime
from pathlib import Path

from rater_service.cli.options import open_store
from rater_service.database.database import Pool
from rater_service.errors import NoPriceBookError, OperatorError
from rater_service.prices.file import parse_price_file
from rater_service.prices.history import BookInForce, PriceHistory
from rater_service.prices.pricebook import PriceBook
from rater_service.prices.store import KeptBook, list_books, load_history, read_price_file

# Fewer characters would not tell apart what looks like a hash and what was meant as a file.
HASH_CHARS_MIN = 6
_HASH_DIGITS = frozenset("0123456789abcdef")


def history_of_file(file: Path, loaded_at: datetime) -> PriceHistory:
    """Give the history that has this price file alone. Raises OperatorError and PriceFileError."""
    book = book_of_file(file)
    return PriceHistory([BookInForce(book, book.effective_from, loaded_at)])


def book_of_file(file: Path) -> PriceBook:
    """Read a price file. Raises OperatorError and PriceFileError."""
    return parse_price_file(read_price_file(file), str(file)).book


async def stored_history(moment: datetime, database_url: str | None, data_dir: Path) -> PriceHistory:
    """Load the price books of the database that can price a moment (UTC-aware).

    Raises OperatorError, also if there are none.
    """
    async with open_store(database_url, data_dir) as pool, pool.acquire() as connection:
        history = await load_history(connection, moment)
    if not history:
        raise NoPriceBookError
    return history


async def kept_books(pool: Pool) -> list[KeptBook]:
    """List the price books of the database in the order in which they are in force."""
    async with pool.acquire() as connection:
        return await list_books(connection)


def looks_like_a_hash(name: str) -> bool:
    """Say whether a name can be the first characters of a content hash."""
    return HASH_CHARS_MIN <= len(name) <= 64 and _HASH_DIGITS.issuperset(name.lower())


def find_kept(books: list[KeptBook], name: str) -> KeptBook:
    """Find a kept book by the first characters of its content hash.

    Raises OperatorError if there is none, or several.
    """
    found = [kept for kept in books if kept.loading.content_hash.startswith(name.lower())]
    if len(found) == 1:
        return found[0]
    if found:
        raise OperatorError(f"{len(found)} price books begin with {name}: give more characters")
    raise OperatorError(f"no price book begins with {name}; see `phoebe prices list`")

"""Where commands take price books from: files, and the database that keeps what was ever loaded."""

from datetime import datetime
from pathlib import Path

from rater_service.cli.options import open_store
from rater_service.errors import NoPriceBookError, OperatorError
from rater_service.prices.file import parse_price_file
from rater_service.prices.history import BookInForce, PriceHistory
from rater_service.prices.loadings import Timeline
from rater_service.prices.pricebook import PriceBook
from rater_service.prices.store import load_history, read_price_file

# Fewer characters would not tell apart what looks like a hash and what was meant as a file.
HASH_CHARS_MIN = 6
_HASH_DIGITS = frozenset("0123456789abcdef")


def history_of_file(file: Path) -> PriceHistory:
    """Give the history that has this price file alone. Raises OperatorError and PriceFileError."""
    book = book_of_file(file)
    return PriceHistory([BookInForce(book, book.effective_from)])


def book_of_file(file: Path) -> PriceBook:
    """Read a price file. Raises OperatorError and PriceFileError."""
    return parse_price_file(read_price_file(file), str(file)).book


async def stored_history(moment: datetime, database_url: str | None, data_dir: Path) -> PriceHistory:
    """Load the price books of the database that can price a moment (UTC-aware).

    Raises OperatorError, also if there are none.
    """
    async with open_store(database_url, data_dir, writes=False) as pool, pool.acquire() as connection:
        history = await load_history(connection, moment)
    if not history:
        raise NoPriceBookError
    return history


def looks_like_a_hash(name: str) -> bool:
    """Say whether a name can be the first characters of a content hash."""
    return HASH_CHARS_MIN <= len(name) <= 64 and _HASH_DIGITS.issuperset(name.lower())


def find_book(timeline: Timeline, name: str) -> str:
    """Find the content hash of a book that was loaded by its first characters.

    Raises OperatorError if there is none, or several.
    """
    found = {
        loading.content_hash for loading in timeline.loadings if loading.content_hash.startswith(name.lower())
    }
    if len(found) == 1:
        return found.pop()
    if found:
        raise OperatorError(f"{len(found)} price books begin with {name}: give more characters")
    raise OperatorError(f"no price book begins with {name}; see `phoebe prices list`")


def find_loading(timeline: Timeline, name: str) -> int:
    """Find a loading by its number, or the last one of a book by the first characters of its hash.

    Of a book one that stands comes before others. Raises OperatorError if there is none, or it can't be told
    which is meant.
    """
    numbers = {str(loading.number): loading.number for loading in timeline.loadings}
    if name in numbers:
        return numbers[name]
    if not looks_like_a_hash(name):
        raise OperatorError(f"{name!r} is no loading; see `phoebe prices list`")
    content_hash = find_book(timeline, name)
    of_book = [loading for loading in timeline.loadings if loading.content_hash == content_hash]
    return max(of_book, key=lambda loading: (loading.stands, loading.number)).number

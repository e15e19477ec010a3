"""`phoebe prices list` and `show`: the price books that were loaded into the database."""

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from rater_service.cli.books import HASH_CHARS_MIN, find_kept, looks_like_a_hash
from rater_service.cli.options import DATA_DIR_DEFAULT, AsJson, DatabaseUrl, DataDir, open_store
from rater_service.errors import OperatorError
from rater_service.prices.pricebook import PriceBook
from rater_service.prices.store import KeptBook, list_books, load_book
from rater_service.views.kept_books import kept_book_json, show_kept_books
from rater_service.views.terminal import write_json


def list_prices(
    database_url: DatabaseUrl = None, data: DataDir = DATA_DIR_DEFAULT, as_json: AsJson = False
) -> None:
    """List every price book that was ever loaded, in the order in which they are in force.

    Exit codes: 0 done; 1 failure.
    """
    books = asyncio.run(_with_books(database_url, data))
    now = datetime.now(UTC)
    if as_json:
        write_json([kept_book_json(kept, book, now) for kept, book in books])
    else:
        show_kept_books(books, now)


def show_prices(
    book: Annotated[
        str,
        typer.Argument(
            metavar="HASH", help=f"The book's content hash, or its first {HASH_CHARS_MIN} or more characters."
        ),
    ],
    database_url: DatabaseUrl = None,
    data: DataDir = DATA_DIR_DEFAULT,
) -> None:
    """Write a price book as it was loaded, byte for byte, to standard output.

    Exit codes: 0 done; 1 there is no such book, or something failed.
    """
    if not looks_like_a_hash(book):
        raise OperatorError(f"{book!r} is not the hash of a price book; see `phoebe prices list`")
    content = asyncio.run(_content(book, database_url, data))
    sys.stdout.flush()
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


async def _with_books(database_url: str | None, data_dir: Path) -> list[tuple[KeptBook, PriceBook]]:
    async with open_store(database_url, data_dir) as pool, pool.acquire() as connection:
        return [
            (kept, await load_book(connection, kept.loading.content_hash))
            for kept in await list_books(connection)
        ]


async def _content(name: str, database_url: str | None, data_dir: Path) -> bytes:
    async with open_store(database_url, data_dir) as pool, pool.acquire() as connection:
        kept = find_kept(await list_books(connection), name)
        return (await load_book(connection, kept.loading.content_hash)).content

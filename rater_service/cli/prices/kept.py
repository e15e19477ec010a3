"""`phoebe prices list` and `show`: the loadings of price files, and the books they loaded."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from rater_service.cli.books import HASH_CHARS_MIN, find_book, looks_like_a_hash
from rater_service.cli.options import DATA_DIR_DEFAULT, AsJson, DatabaseUrl, DataDir, open_store
from rater_service.database.clock import read_clock
from rater_service.errors import OperatorError
from rater_service.prices.store import load_book, read_timeline
from rater_service.views.documents import write_json
from rater_service.views.price_loadings import BOOK, LOADINGS, ListedLoadings, loadings_json, show_loadings


def list_prices(
    database_url: DatabaseUrl = None, data: DataDir = DATA_DIR_DEFAULT, as_json: AsJson = False
) -> None:
    """List every loading of a price file, in order: past ones, the one in force, and what is to come.

    Also those that never came into force, because they were replaced before their hour or withdrawn.

    Exit codes: 0 done; 1 failure.
    """
    listed = asyncio.run(_listed(database_url, data))
    if as_json:
        write_json(LOADINGS, loadings_json(listed))
    else:
        show_loadings(listed)


def show_prices(
    book: Annotated[
        str,
        typer.Argument(
            metavar="HASH", help=f"The book's content hash, or its first {HASH_CHARS_MIN} or more characters."
        ),
    ],
    database_url: DatabaseUrl = None,
    data: DataDir = DATA_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Write a price book as it was loaded, byte for byte, to standard output.

    Exit codes: 0 done; 1 there is no such book, or something failed.
    """
    if not looks_like_a_hash(book):
        raise OperatorError(f"{book!r} is not the hash of a price book; see `phoebe prices list`")
    content_hash, content = asyncio.run(_content(book, database_url, data))
    if as_json:
        write_json(BOOK, {"price_book": content_hash, "content": content.decode()})
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


async def _listed(database_url: str | None, data_dir: Path) -> ListedLoadings:
    async with open_store(database_url, data_dir, writes=False) as pool, pool.acquire() as connection:
        timeline = await read_timeline(connection)
        hashes = {loading.content_hash for loading in timeline.loadings}
        books = {content_hash: await load_book(connection, content_hash) for content_hash in hashes}
        return ListedLoadings(timeline, books, (await read_clock(connection)).now)


async def _content(name: str, database_url: str | None, data_dir: Path) -> tuple[str, bytes]:
    async with open_store(database_url, data_dir, writes=False) as pool, pool.acquire() as connection:
        content_hash = find_book(await read_timeline(connection), name)
        return content_hash, (await load_book(connection, content_hash)).content

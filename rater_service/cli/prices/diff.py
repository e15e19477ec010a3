"""`phoebe prices diff`: what another price file would change, by model and, for real usage, in money."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from rater_service.cli.books import book_of_file, find_kept, kept_books, looks_like_a_hash
from rater_service.cli.options import DATA_DIR_DEFAULT, AsJson, DatabaseUrl, DataDir, open_store
from rater_service.cli.window import Window, parse_window
from rater_service.database.database import Pool
from rater_service.errors import NoPriceBookError, OperatorError
from rater_service.prices.comparison import compare_books, impact
from rater_service.prices.pricebook import PriceBook
from rater_service.prices.store import KeptBook, load_book
from rater_service.rating.price_impact import WindowUsage, read_usage
from rater_service.views.price_diff import Impact, as_document, show
from rater_service.views.terminal import progress, write_json


def diff(
    books: Annotated[
        list[str],
        typer.Argument(
            metavar="BOOK",
            show_default=False,
            help="NEW, or OLD and NEW: each a price file, or the first characters of the hash of a book that "
            "was loaded. OLD is what is in force now, if only NEW is given.",
        ),
    ],
    *,
    window: Annotated[
        Window | None,
        typer.Option(
            "--impact",
            metavar="WINDOW",
            parser=parse_window,
            show_default=False,
            help="Also price the usage of this window by both: a day (2026-12-01), a month (2026-12) or "
            "START/END in whole UTC hours.",
        ),
    ] = None,
    database_url: DatabaseUrl = None,
    data: DataDir = DATA_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Show what another price file changes: every model whose price is different, old and new.

    With --impact also in money: the usage that was metered in the window, priced once by OLD and once by NEW
    as if each had held all the time, by customer. Bills are not touched, and need not have been made yet.

    Exit codes: 0 done; 1 failure, for example a file with faults.
    """
    if len(books) > 2:
        raise typer.BadParameter("give one book, NEW, or two, OLD and NEW")
    names = (None, *books)[-2:]
    with progress("comparing"):
        files: dict[str | None, PriceBook] = {
            name: book_of_file(Path(name)) for name in names if name and Path(name).exists()
        }
        if window is not None or any(name not in files for name in names):
            before, after, usage = asyncio.run(_with_database(names, files, window, database_url, data))
        else:
            before, after = (files[name] for name in names)
            usage = None
        changes = compare_books(before, after)
        found = _impact(window, usage, before, after)
    if as_json:
        write_json(as_document(before, after, changes, found))
    else:
        show(before, after, changes, found)


async def _with_database(
    names: Sequence[str | None],
    files: Mapping[str | None, PriceBook],
    window: Window | None,
    database_url: str | None,
    data_dir: Path,
) -> tuple[PriceBook, PriceBook, WindowUsage | None]:
    async with open_store(database_url, data_dir) as pool:
        kept = await kept_books(pool)
        before, after = [
            files[name] if name in files else await _kept_book(pool, name, kept) for name in names
        ]
        return before, after, None if window is None else await read_usage(pool, window.start, window.end)


async def _kept_book(pool: Pool, name: str | None, kept: list[KeptBook]) -> PriceBook:
    wanted = _in_force(kept) if name is None else _named(name, kept)
    async with pool.acquire() as connection:
        return await load_book(connection, wanted.loading.content_hash)


def _named(name: str, kept: list[KeptBook]) -> KeptBook:
    if not looks_like_a_hash(name):
        raise OperatorError(f"there is no file {name}, and it is not the hash of a price book either")
    return find_kept(kept, name)


def _in_force(kept: list[KeptBook]) -> KeptBook:
    now = datetime.now(UTC)
    begun = [each for each in kept if each.loading.in_force_from is None or each.loading.in_force_from <= now]
    if not kept:
        raise NoPriceBookError
    return begun[-1] if begun else kept[0]


def _impact(
    window: Window | None, usage: WindowUsage | None, before: PriceBook, after: PriceBook
) -> Impact | None:
    if window is None or usage is None:
        return None
    return Impact(window.start, window.end, impact(before, after, usage.usage), usage.unbillable_events)

"""`phoebe prices diff`: what another price file would change, by model and, for real usage, in money."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from rater_service.cli.books import book_of_file, find_book, looks_like_a_hash
from rater_service.cli.options import DATA_DIR_DEFAULT, AsJson, DatabaseUrl, DataDir, open_store
from rater_service.cli.window import Window, parse_window
from rater_service.database.clock import read_clock
from rater_service.errors import NoPriceBookError, OperatorError
from rater_service.prices.comparison import compare_books, impact
from rater_service.prices.loadings import Timeline
from rater_service.prices.pricebook import PriceBook
from rater_service.prices.store import load_book, read_timeline
from rater_service.rating.price_impact import WindowUsage, read_usage
from rater_service.views.documents import write_json
from rater_service.views.price_diff import DIFF, Impact, as_document, show
from rater_service.views.terminal import progress, write


@dataclass(frozen=True, slots=True)
class Found:
    """What is compared; outlook: what the database says is in force and to come, where it was asked."""

    before: PriceBook
    after: PriceBook
    usage: WindowUsage | None = None
    outlook: tuple[str, ...] = ()


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
            found = asyncio.run(_with_database(names, files, window, database_url, data))
        else:
            found = Found(files[names[0]], files[names[1]])
        changes = compare_books(found.before, found.after)
        impacts = _impact(window, found)
    if as_json:
        write_json(DIFF, as_document(found.before, found.after, changes, impacts, found.outlook))
        return
    show(found.before, found.after, changes, impacts)
    for line in found.outlook:
        write(line)


async def _with_database(
    names: Sequence[str | None],
    files: Mapping[str | None, PriceBook],
    window: Window | None,
    database_url: str | None,
    data_dir: Path,
) -> Found:
    async with open_store(database_url, data_dir, writes=False) as pool:
        async with pool.acquire() as connection:
            timeline = await read_timeline(connection)
            now = (await read_clock(connection)).now
            before, after = [
                files[name] if name in files else await load_book(connection, _named(name, timeline, now))
                for name in names
            ]
        usage = None if window is None else await read_usage(pool, window.start, window.end)
    return Found(before, after, usage, timeline.outlook(now))


def _named(name: str | None, timeline: Timeline, now: datetime) -> str:
    if name is None:
        return _in_force(timeline, now)
    if not looks_like_a_hash(name):
        raise OperatorError(f"there is no file {name}, and it is not the hash of a price book either")
    return find_book(timeline, name)


def _in_force(timeline: Timeline, now: datetime) -> str:
    prevailing = timeline.prevailing(now)
    if prevailing is None:
        raise NoPriceBookError
    return prevailing.content_hash


def _impact(window: Window | None, found: Found) -> Impact | None:
    if window is None or found.usage is None:
        return None
    customers = impact(found.before, found.after, found.usage.usage)
    return Impact(window.start, window.end, customers, found.usage.unbillable_events)

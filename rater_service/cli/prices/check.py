"""`phoebe prices check`: whether a price file would be loaded, what it bills and from when on."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from rater_service.cli.books import book_of_file
from rater_service.cli.options import (
    DATA_DIR_DEFAULT,
    AllowChange,
    AllowRate,
    AsJson,
    DatabaseUrl,
    DataDir,
    allowed_prices,
    open_store,
)
from rater_service.database.clock import read_clock
from rater_service.database.database import OPERATOR_ERRORS
from rater_service.database.embedded import has_data
from rater_service.errors import OperatorError
from rater_service.prices.faults import Fault, PriceFileError
from rater_service.prices.file import LoadedPriceFile, parse_price_file
from rater_service.prices.guards import judge
from rater_service.prices.pricebook import Allowed, PriceBook
from rater_service.prices.store import load_book, read_price_file, read_timeline
from rater_service.views.documents import write_json
from rater_service.views.price_check import CHECKED, FAULTY, Checked, Standing, checked_json, show_checked
from rater_service.views.terminal import progress


def check(  # noqa: PLR0913 - one parameter per option
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The price file.")],
    *,
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            show_default=False,
            help="Compare with this price file instead of what is in force; no database is used.",
        ),
    ] = None,
    no_database: Annotated[
        bool, typer.Option("--no-database", help="Use no database although one is named: look at FILE alone.")
    ] = False,
    allow_rate: AllowRate = None,
    allow_change: AllowChange = None,
    database_url: DatabaseUrl = None,
    data: DataDir = DATA_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Check a price file as `phoebe serve` would, and show what each model would be billed at.

    Lists every fault with its line, and warns of rates that change by more than 0.1 % when they are rounded
    to 9 decimals. Rates are in USD per token, and beside it per million tokens. Refused, here as when the
    file is loaded, unless it is allowed by name: a rate above 0.001 USD per token, and one that is more than
    ten times the one in force, or less than a tenth of it, or goes from or to free.

    What is in force, and what is to come, is read from the database: the one that is named, or the embedded
    one if there is one in --data. Without a database, changes are judged only with --against.

    Exit codes: 0 the file is good, perhaps with warnings; 1 it has faults or can't be read, or the database
    can't be asked.
    """
    content = read_price_file(file)
    try:
        loaded = parse_price_file(content, str(file))
        with progress("asking what is in force"):
            before, standing = _standing(loaded.book, against, database_url, data, no_database=no_database)
        warnings = _judge(file, loaded, before, standing, allowed_prices(allow_rate, allow_change))
    except PriceFileError as error:
        if not as_json:
            raise
        write_json(FAULTY, {"file": str(file), "valid": False, "faults": error.faults, "warnings": ()})
        raise typer.Exit(1) from error
    checked = Checked(file, loaded.book, (*loaded.warnings, *warnings), standing)
    if as_json:
        write_json(CHECKED, checked_json(checked))
    else:
        show_checked(checked)


def _standing(
    book: PriceBook, against: Path | None, database_url: str | None, data: Path, *, no_database: bool
) -> tuple[PriceBook | None, Standing]:
    """Find what to compare with, and what loading the file would do."""
    if against is not None:
        before = book_of_file(against)
        return before, Standing(f"the file {against}", before.content_hash)
    if no_database or not (database_url or has_data(data)):
        return None, Standing(
            "nothing, so that changes are not judged: no database is used (DATABASE_URL, --data), and no "
            "file is named (--against)"
        )
    return asyncio.run(_standing_in_database(book, database_url, data))


async def _standing_in_database(
    book: PriceBook, database_url: str | None, data: Path
) -> tuple[PriceBook | None, Standing]:
    async with open_store(database_url, data, writes=False) as pool:
        try:
            async with pool.acquire() as connection:
                timeline = await read_timeline(connection)
                now = (await read_clock(connection)).now
                prevailing = timeline.prevailing(now)
                before = None if prevailing is None else await load_book(connection, prevailing.content_hash)
        except OPERATOR_ERRORS as error:
            raise OperatorError(f"what is in force can't be read: {error}; see --no-database") from error
    is_latest = timeline.latest is not None and timeline.latest.content_hash == book.content_hash
    return before, Standing(
        "nothing: no price file was loaded yet" if prevailing is None else f"{prevailing.describe()}",
        None if before is None else before.content_hash,
        None if is_latest else timeline.plan(book.content_hash, book.effective_from, now),
        is_latest,
        timeline.outlook(now),
    )


def _judge(
    file: Path, loaded: LoadedPriceFile, before: PriceBook | None, standing: Standing, allowed: Allowed
) -> tuple[Fault, ...]:
    """Raise PriceFileError for prices that would be refused when the file is loaded; return warnings."""
    if standing.is_latest:
        return ()
    judged = judge(loaded.book, before, allowed, loaded.lines)
    if judged.faults:
        raise PriceFileError(str(file), judged.faults)
    return judged.warnings

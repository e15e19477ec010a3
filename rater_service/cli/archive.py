"""`phoebe archive`: the books of closed years, which files there are, and where they stand."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from phoebe_runtime.counts import counted
from rater_service.archive.listing import ListedFile, list_archived
from rater_service.archive.reading import require_parquet
from rater_service.audit.bills import AuditTimes
from rater_service.cli.options import DATA_DIR_DEFAULT, AsJson, DatabaseUrl, DataDir, open_store
from rater_service.cli.plugins import WholeLines
from rater_service.database.database import Pool
from rater_service.errors import OperatorError
from rater_service.hours import utc_text
from rater_service.process_owner import user_name
from rater_service.views.archive import ARCHIVE, archive_json, show_archive
from rater_service.views.documents import write_json
from rater_service.views.terminal import reported_progress, write

app = typer.Typer(
    cls=WholeLines,
    help="Write the books of a year to the archive, list its files, say where it is.",
    no_args_is_help=True,
)


@app.callback()
def archive() -> None:
    """Write the books of a year to the archive, list its files, say where it is."""


@app.command(name="list")
def list_files(
    database_url: DatabaseUrl = None, data: DataDir = DATA_DIR_DEFAULT, as_json: AsJson = False
) -> None:
    """List the files of the archive: where they are, what is in them, how large they are.

    They are not read; `phoebe audit` does.

    Exit codes: 0 done; 1 failure.
    """
    require_parquet()
    files = asyncio.run(_on_database(list_archived, database_url, data, writes=False))
    if as_json:
        write_json(ARCHIVE, archive_json(files))
    else:
        show_archive(files)


@app.command()
def books(  # noqa: PLR0913 - one parameter per option
    year: Annotated[
        int, typer.Argument(metavar="YEAR", min=2000, max=2099, help="A year that is over, UTC.")
    ],
    *,
    to: Annotated[
        str,
        typer.Option("--archive", metavar="URL", help="The archive: a folder, or s3://BUCKET/PREFIX."),
    ],
    by: Annotated[
        str | None, typer.Option(metavar="NAME", show_default=False, help="Who says so. Default: the user.")
    ] = None,
    database_url: DatabaseUrl = None,
    data: DataDir = DATA_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Write the books of a closed year to the archive: its hourly sums, rollups, their changes, its runs.

    They are copies, proved by what the database adds up: what bills are read from stays there. When something
    of the year changed since, run it again: the files are replaced. Audit the year first.

    Exit codes: 0 done; 1 failure.
    """
    require_parquet()
    from rater_service.archive.books import archive_books  # noqa: PLC0415 - see require_parquet

    now = datetime.now(UTC)
    closed = AuditTimes.at(now).routine_from
    if datetime(year + 1, 1, 1, tzinfo=UTC) > closed:
        raise OperatorError(f"{year} is not closed: routine runs rate what ends after {utc_text(closed)}")
    with reported_progress("reading the books") as on_part:

        async def run(pool: Pool) -> Sequence[ListedFile]:
            written = await archive_books(pool, year, to, by or user_name(), now, on_part)
            names = {book.name for book in written}
            return [file for file in await list_archived(pool) if file.year == year and file.name in names]

        files = asyncio.run(_on_database(run, database_url, data, writes=True))
    if as_json:
        write_json(ARCHIVE, archive_json(files))
    else:
        show_archive(files)


@app.command()
def move(
    old: Annotated[str, typer.Argument(metavar="OLD", help="Where it was, as `phoebe archive list` says.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="Where it is: a folder, or s3://BUCKET/PREFIX.")],
    database_url: DatabaseUrl = None,
    data: DataDir = DATA_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Say that an archive stands elsewhere now: a folder with another name, or a bucket it was copied to.

    Copy the files first, and delete the old ones afterwards. Every file is read at its new place, and must be
    the one that was archived; otherwise nothing is changed.

    Exit codes: 0 done; 1 failure.
    """
    from rater_service.archive.listing import move_archive  # noqa: PLC0415 - see require_parquet

    require_parquet()
    with reported_progress("reading the archive") as on_part:

        async def run(pool: Pool) -> Sequence[ListedFile]:
            return await move_archive(pool, old, new, on_part)

        files = asyncio.run(_on_database(run, database_url, data, writes=True))
    if as_json:
        write_json(ARCHIVE, archive_json(files))
    else:
        write(f"{counted(len(files), 'file')} of {old}: read in {new} from now on")


async def _on_database(
    work: Callable[[Pool], Awaitable[Sequence[ListedFile]]],
    database_url: str | None,
    data_dir: Path,
    *,
    writes: bool,
) -> Sequence[ListedFile]:
    async with open_store(database_url, data_dir, writes=writes) as pool:
        return await work(pool)

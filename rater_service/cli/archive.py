"""`phoebe archive`: which files there are, and saying that they stand elsewhere now."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rater_service.archive.reading import require_parquet
from rater_service.cli.options import DATA_DIR_DEFAULT, AsJson, DatabaseUrl, DataDir, open_store
from rater_service.cli.plugins import WholeLines
from rater_service.database.database import Pool
from rater_service.views.archive import ARCHIVE, archive_json, show_archive
from rater_service.views.documents import write_json
from rater_service.views.terminal import reported_progress, write

if TYPE_CHECKING:
    from rater_service.archive.listing import ListedFile

app = typer.Typer(
    cls=WholeLines,
    help="See and move the archive: events that were dropped, as Parquet files.",
    no_args_is_help=True,
)


@app.callback()
def archive() -> None:
    """See and move the archive: events that were dropped, as Parquet files."""


@app.command(name="list")
def list_files(
    database_url: DatabaseUrl = None, data: DataDir = DATA_DIR_DEFAULT, as_json: AsJson = False
) -> None:
    """List the files of the archive: where they are, what is in them, how large they are.

    They are not read; `phoebe audit` does.

    Exit codes: 0 done; 1 failure.
    """
    from rater_service.archive.listing import list_archived  # noqa: PLC0415 - see require_parquet

    require_parquet()
    files = asyncio.run(_on_database(list_archived, database_url, data, writes=False))
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

        async def run(pool: Pool) -> "Sequence[ListedFile]":
            return await move_archive(pool, old, new, on_part)

        files = asyncio.run(_on_database(run, database_url, data, writes=True))
    if as_json:
        write_json(ARCHIVE, archive_json(files))
    else:
        write(f"{len(files)} files of {old} are read in {new} from now on")


async def _on_database(
    work: "Callable[[Pool], Awaitable[Sequence[ListedFile]]]",
    database_url: str | None,
    data_dir: Path,
    *,
    writes: bool,
) -> "Sequence[ListedFile]":
    async with open_store(database_url, data_dir, writes=writes) as pool:
        return await work(pool)

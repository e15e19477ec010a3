"""`phoebe runs`: who rated what and when, and what each run found and changed."""

import asyncio
from datetime import datetime
from typing import Annotated

import typer

from rater_service.bills.rollups import reading
from rater_service.bills.runs import KeptRun, RunPage, list_runs, read_run, read_run_changes
from rater_service.cli.options import (
    DATA_DIR_DEFAULT,
    AsJson,
    DatabaseUrl,
    DataDir,
    moment_option,
)
from rater_service.cli.plugins import WholeLines
from rater_service.cli.reading import Databases, ReadDatabaseUrl, read_bills
from rater_service.database.freshness import Freshness
from rater_service.database.source import Source
from rater_service.rating.run import BillChanges
from rater_service.views.documents import write_json
from rater_service.views.freshness import read_from_json, show_freshness
from rater_service.views.kept_runs import RUN, RUNS, show_kept_run, show_kept_runs
from rater_service.views.terminal import progress

_RUN_MAX = 2**63 - 1
_CHANGES_MAX = 1000

app = typer.Typer(
    cls=WholeLines,
    help="See the rating runs: who asked for each, what it found and changed.",
    no_args_is_help=True,
)


@app.callback()
def runs() -> None:
    """See the rating runs: who asked for each, what it found and changed."""


@app.command(name="list")
def show_list(  # noqa: PLR0913 - one parameter per option
    *,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many runs at most.")] = 20,
    before: Annotated[
        int | None,
        typer.Option(
            min=1, max=_RUN_MAX, metavar="RUN", show_default=False, help="Only runs before this one."
        ),
    ] = None,
    hour: Annotated[
        datetime | None, moment_option("--hour", "Only runs over the hour of this moment, UTC.")
    ] = None,
    dry_runs: Annotated[
        bool, typer.Option("--dry-runs/--no-dry-runs", help="Also those that changed nothing on purpose.")
    ] = True,
    database_url: DatabaseUrl = None,
    read_database_url: ReadDatabaseUrl = None,
    data: DataDir = DATA_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """List the runs, the last one first.

    Exit codes: 0 done; 1 failure.
    """
    with progress("reading"):
        databases = Databases(database_url, read_database_url, data)
        page, freshness = asyncio.run(_list(limit, before, hour, dry_runs, databases))
    if as_json:
        write_json(RUNS, {"runs": page.runs, "has_more": page.has_more, **read_from_json(freshness)})
    else:
        show_freshness(freshness)
        show_kept_runs(page)


@app.command()
def show(  # noqa: PLR0913 - one parameter per option
    run: Annotated[int, typer.Argument(metavar="RUN", min=1, max=_RUN_MAX, help="Its number.")],
    *,
    limit: Annotated[
        int, typer.Option(min=1, max=_CHANGES_MAX, help="How many customers whose bills changed, at most.")
    ] = 20,
    database_url: DatabaseUrl = None,
    read_database_url: ReadDatabaseUrl = None,
    data: DataDir = DATA_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Show one run: who asked for it, what it counted, what needed a human, whose bills it changed.

    Exit codes: 0 done; 1 there is no such run, or another failure.
    """
    with progress("reading"):
        databases = Databases(database_url, read_database_url, data)
        (kept, changes), freshness = asyncio.run(_read(run, limit, databases))
    if as_json:
        write_json(RUN, {"run": kept, "changes": changes, **read_from_json(freshness)})
    else:
        show_freshness(freshness)
        show_kept_run(kept, changes)


async def _list(
    limit: int, before: int | None, hour: datetime | None, dry_runs: bool, databases: Databases
) -> tuple[RunPage, Freshness | None]:
    async def read(source: Source) -> RunPage:
        return await list_runs(source.pool, limit, before=before, dry_runs=dry_runs, hour=hour)

    return await read_bills(databases, read)


async def _read(
    run: int, limit: int, databases: Databases
) -> tuple[tuple[KeptRun, BillChanges], Freshness | None]:
    async def read(source: Source) -> tuple[KeptRun, BillChanges]:
        kept = await read_run(source.pool, run)
        async with reading(source.pool) as connection:
            return kept, await read_run_changes(connection, kept, limit)

    return await read_bills(databases, read)

"""`phoebe runs`: who rated what and when, and what each run found and changed."""

import asyncio
from datetime import datetime
from pathlib import Path
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
    open_store,
)
from rater_service.cli.period import explained_read_errors
from rater_service.cli.plugins import WholeLines
from rater_service.rating.run import BillChanges
from rater_service.views.documents import write_json
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
    data: DataDir = DATA_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """List the runs, the last one first.

    Exit codes: 0 done; 1 failure.
    """
    with progress("reading"):
        page = asyncio.run(_list(limit, before, hour, dry_runs, database_url, data))
    if as_json:
        write_json(RUNS, {"runs": page.runs, "has_more": page.has_more})
    else:
        show_kept_runs(page)


@app.command()
def show(
    run: Annotated[int, typer.Argument(metavar="RUN", min=1, max=_RUN_MAX, help="Its number.")],
    *,
    limit: Annotated[
        int, typer.Option(min=1, max=_CHANGES_MAX, help="How many customers whose bills changed, at most.")
    ] = 20,
    database_url: DatabaseUrl = None,
    data: DataDir = DATA_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Show one run: who asked for it, what it counted, what needed a human, whose bills it changed.

    Exit codes: 0 done; 1 there is no such run, or another failure.
    """
    with progress("reading"):
        kept, changes = asyncio.run(_read(run, limit, database_url, data))
    if as_json:
        write_json(RUN, {"run": kept, "changes": changes})
    else:
        show_kept_run(kept, changes)


async def _list(  # noqa: PLR0913, PLR0917 - what the options say
    limit: int,
    before: int | None,
    hour: datetime | None,
    dry_runs: bool,
    database_url: str | None,
    data_dir: Path,
) -> RunPage:
    async with open_store(database_url, data_dir, writes=False) as pool:
        with explained_read_errors():
            return await list_runs(pool, limit, before=before, dry_runs=dry_runs, hour=hour)


async def _read(
    run: int, limit: int, database_url: str | None, data_dir: Path
) -> tuple[KeptRun, BillChanges]:
    async with open_store(database_url, data_dir, writes=False) as pool:
        with explained_read_errors():
            kept = await read_run(pool, run)
            async with reading(pool) as connection:
                return kept, await read_run_changes(connection, kept, limit)

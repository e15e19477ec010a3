"""`phoebe sums`: the hourly sums that rating reads, and those by the day for the console, made again."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from rater_service.cli.options import (
    DATA_DIR_DEFAULT,
    AsJson,
    DatabaseUrl,
    DataDir,
    WindowEnd,
    WindowStart,
    explained_windows,
    open_store,
)
from rater_service.cli.plugins import WholeLines
from rater_service.database.database import OPERATOR_ERRORS, Pool
from rater_service.errors import NeedsAttention, OperatorError
from rater_service.events.hourly_usage import EventsPrunedError, rebuild
from rater_service.rating.day_sums import rebuild_days
from rater_service.views.documents import write_json
from rater_service.views.sums import DAY_SUMS, SUMS, day_sums_json, show_rebuilt, show_rebuilt_days, sums_json
from rater_service.views.terminal import reported_progress

app = typer.Typer(
    cls=WholeLines, help="Make the sums again that rating and the console read.", no_args_is_help=True
)


class SumsDiffered(NeedsAttention):
    """Some sums were not those of the events."""


@app.callback()
def sums() -> None:
    """Make the sums again that rating and the console read."""


@app.command(name="rebuild")
def rebuild_sums(  # noqa: PLR0913 - one parameter per option
    *,
    since: WindowStart = None,
    until: WindowEnd = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what differs.")] = False,
    database_url: DatabaseUrl = None,
    data: DataDir = DATA_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Compare the hourly sums with the events, and make those again that differ.

    Without bounds: all hours. The sums are kept with every event that is stored, so they differ only if
    something other than Phoebe wrote to the tables. Bills do not change: rate the hours again afterwards.
    Safe while events are stored. Hours whose events were pruned can't be made again; a window with one is
    refused.

    Exit codes: 0 all sums were those of the events; 1 failure; 2 some were not, and are now, but for
    --dry-run.
    """
    with reported_progress("comparing sums with events") as on_part:
        run = partial(rebuild, since=since, until=until, dry_run=dry_run, on_progress=on_part)
        rebuilt = asyncio.run(_rebuild(run, database_url, data, writes=not dry_run))
    if as_json:
        write_json(SUMS, sums_json(rebuilt, dry_run=dry_run))
    else:
        show_rebuilt(rebuilt, dry_run=dry_run)
    if rebuilt.difference_count:
        raise SumsDiffered


@app.command(name="rebuild-days")
def rebuild_day_sums(  # noqa: PLR0913 - one parameter per option
    *,
    since: WindowStart = None,
    until: WindowEnd = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what differs.")] = False,
    database_url: DatabaseUrl = None,
    data: DataDir = DATA_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Compare the sums by the day with the rollups, and make those again that differ.

    Without bounds: all days. The sums are kept with every change of a rollup, so they differ only if
    something other than Phoebe wrote to the tables, or data was restored while triggers were off. Only the
    console reads them; bills do not change. Runs wait while a day is made again.

    Exit codes: 0 all sums were those of the rollups; 1 failure; 2 some were not, and are now, but for
    --dry-run.
    """
    with reported_progress("comparing sums with rollups") as on_part:
        run = partial(rebuild_days, since=since, until=until, dry_run=dry_run, on_progress=on_part)
        rebuilt = asyncio.run(_rebuild(run, database_url, data, writes=not dry_run))
    if as_json:
        write_json(DAY_SUMS, day_sums_json(rebuilt, dry_run=dry_run))
    else:
        show_rebuilt_days(rebuilt, dry_run=dry_run)
    if rebuilt.difference_count:
        raise SumsDiffered


async def _rebuild[Result](
    run: Callable[[Pool], Awaitable[Result]], database_url: str | None, data_dir: Path, *, writes: bool
) -> Result:
    async with open_store(database_url, data_dir, writes=writes) as pool:
        try:
            with explained_windows():
                return await run(pool)
        except EventsPrunedError as error:
            raise OperatorError(
                f"{error}: their sums are all that is known of them; choose a window without them"
            ) from error
        except OPERATOR_ERRORS as error:
            raise OperatorError(f"it was cut short: {str(error) or type(error).__name__}") from error

"""`phoebe sums`: the hourly sums that rating reads, made again from the events."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from rater_service.cli.options import (
    DATA_DIR_DEFAULT,
    AsJson,
    DatabaseUrl,
    DataDir,
    moment_option,
    open_store,
)
from rater_service.cli.terminal import reported_progress, write, write_json, write_table
from rater_service.database.database import OPERATOR_ERRORS, Pool
from rater_service.errors import NeedsAttention, OperatorError
from rater_service.events.hourly_usage import EventsPrunedError, Rebuilt, SumsDifference, rebuild
from rater_service.hours import InvalidWindow, utc_text

app = typer.Typer(help="Make the hourly sums again that rating reads.", no_args_is_help=True)


class SumsDiffered(NeedsAttention):
    """Some sums were not those of the events."""


@app.callback()
def sums() -> None:
    """Make the hourly sums again that rating reads."""


@app.command(name="rebuild")
def rebuild_sums(  # noqa: PLR0913 - one parameter per option
    *,
    since: Annotated[
        datetime | None, moment_option("--since", "Start of the window, inclusive: a whole hour, UTC.")
    ] = None,
    until: Annotated[
        datetime | None, moment_option("--until", "End of the window, exclusive: a whole hour, UTC.")
    ] = None,
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
        rebuilt = asyncio.run(_rebuild(run, database_url, data))
    if as_json:
        write_json({"dry_run": dry_run, **asdict(rebuilt)})
    else:
        _show(rebuilt, dry_run=dry_run)
    if rebuilt.difference_count:
        raise SumsDiffered


async def _rebuild(
    run: Callable[[Pool], Awaitable[Rebuilt]], database_url: str | None, data_dir: Path
) -> Rebuilt:
    async with open_store(database_url, data_dir) as pool:
        try:
            return await run(pool)
        except InvalidWindow as error:
            flags = str(error).replace("window_start", "--since").replace("window_end", "--until")
            raise OperatorError(flags) from error
        except EventsPrunedError as error:
            raise OperatorError(
                f"{error}: their sums are all that is known of them; choose a window without them"
            ) from error
        except OPERATOR_ERRORS as error:
            raise OperatorError(f"it was cut short: {str(error) or type(error).__name__}") from error


def _show(rebuilt: Rebuilt, *, dry_run: bool) -> None:
    if not rebuilt.difference_count:
        write(f"{rebuilt.hours} hours: all sums are those of the events")
        return
    fate = "dry run, nothing changed" if dry_run else "made again; rate these hours again"
    write_table(
        f"{rebuilt.difference_count} sums in {rebuilt.hours_differing} of {rebuilt.hours} hours differed: "
        f"{fate}",
        ("hour", "auth_id", "resource_id", "model_id", "base_model", "kind", "was", "events make"),
        map(_row, rebuilt.differences),
    )


def _row(difference: SumsDifference) -> tuple[str | None, ...]:
    return (
        utc_text(difference.window_start),
        difference.auth_id,
        difference.resource_id,
        difference.model_id,
        difference.base_model,
        _kind(difference),
        str(difference.summed),
        str(difference.metered),
    )


def _kind(difference: SumsDifference) -> str:
    words = ["usage" if difference.usage_found else "no usage"]
    if difference.model_untrusted:
        words.append("untrusted model")
    words.append("completed" if difference.completed else "not completed")
    return ", ".join(words)

"""`phoebe rate`: rates a window and reports what needs a human."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from phoebe_runtime.log_lines import LogFormat
from rater_service.bills.holes import find_running_hour, running_hour_in_words
from rater_service.cli.options import (
    DATA_DIR_DEFAULT,
    LATE_DAYS_DEFAULT,
    AllowChange,
    AllowRate,
    AsJson,
    DatabaseUrl,
    DataDir,
    LateDays,
    LogStyle,
    WindowStart,
    allowed_prices,
    explained_windows,
    moment_option,
    open_store,
)
from rater_service.database.database import UNAVAILABLE_ERRORS, Pool
from rater_service.errors import NeedsAttention, OperatorError
from rater_service.hours import trailing_window, utc_text
from rater_service.prices.load import load_price_file
from rater_service.prices.pricebook import Allowed
from rater_service.prices.store import read_price_file
from rater_service.process_owner import process_owner
from rater_service.rating.rating import rate_window
from rater_service.rating.run import (
    REQUESTED_BY_LENGTH_MAX,
    WINDOW_MAX,
    Mode,
    RateRequest,
    RateResult,
    is_requester,
    refuse_invalid,
)
from rater_service.views.documents import write_json
from rater_service.views.runs import RATE, rate_json, show_findings, summary
from rater_service.views.terminal import OnPart, complain, log_to_stderr, reported_progress, write

# Ten years and more; a typing error in a year should not rate emptiness for minutes.
RUNS_MAX = 120


class AnomaliesFound(NeedsAttention):
    """The run went through and found something that needs a human."""


@dataclass(frozen=True, slots=True)
class _PriceFile:
    """A price file to load before rating; allowed: what is meant although it looks like a mistake."""

    content: bytes
    source: str
    allowed: Allowed


class _ModeName(StrEnum):
    ROUTINE = "routine"
    BACKFILL = "backfill"


def _by(written: str) -> str:
    if not is_requester(written):
        raise typer.BadParameter(f"must be 1 to {REQUESTED_BY_LENGTH_MAX} printable characters")
    return written


def rate(  # noqa: PLR0913 - one parameter per option
    *,
    since: WindowStart = None,
    until: Annotated[
        datetime | None,
        moment_option(
            "--until",
            f"End of the window, exclusive: a whole hour, UTC. More than {WINDOW_MAX.days} days are rated in "
            "several runs, one after the other.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change no bill; show whose would change, and by how much.")
    ] = False,
    reprice: Annotated[
        bool,
        typer.Option(
            "--reprice",
            help="Apply the prices in force also to what was billed before, which otherwise keeps its rates.",
        ),
    ] = False,
    mode: Annotated[
        _ModeName | None,
        typer.Option(
            show_default=False,
            help="Why this runs: routine also alarms when a bill disappears. "
            "Default: routine without bounds, backfill with bounds.",
        ),
    ] = None,
    ahead: Annotated[
        bool,
        typer.Option(
            "--ahead", help="Also rate hours that have not come: for events of a clock that was wrong."
        ),
    ] = False,
    late_days: LateDays = LATE_DAYS_DEFAULT,
    by: Annotated[
        str | None,
        typer.Option(
            parser=_by,
            metavar="NAME",
            show_default=False,
            help="Who the run is kept for. Default: cli:USER@HOST.",
        ),
    ] = None,
    prices: Annotated[
        Path | None,
        typer.Option("--prices", metavar="FILE", show_default=False, help="Load this price file first."),
    ] = None,
    allow_rate: AllowRate = None,
    allow_change: AllowChange = None,
    database_url: DatabaseUrl = None,
    data: DataDir = DATA_DIR_DEFAULT,
    as_json: AsJson = False,
    log_format: LogStyle = LogFormat.HUMAN,
) -> None:
    """Rate the metered events of a window into bills.

    Without bounds: the trailing 24 complete hours, and earlier hours to which usage came since they were
    rated. Running it again changes nothing. Every event of the window is counted once; those that may be owed
    but could not be billed are listed by name, with the money at risk, in USD, and with what to do.

    What needs a human is also logged, a line each, with what to do next.

    Exit codes: 0 all is well; 1 failure, nothing was changed (of several runs: by the one that failed and
    those after it); 2 rated, but something needs a human.
    """
    # What needs a human, as one line each; tables are the result.
    log_to_stderr(style=log_format)
    now = datetime.now(UTC)
    chosen = Mode.ROUTINE if since is None else Mode.BACKFILL
    request = RateRequest(
        *_window(since, until, now),
        requested_by=by or f"cli:{process_owner()}",
        mode=chosen if mode is None else Mode[mode.name],
        dry_run=dry_run,
        reprice=reprice,
        late_max=timedelta(days=late_days),
        ahead=ahead,
    )
    parts = list(_parts(request, now))
    price_file = (
        None
        if prices is None
        else _PriceFile(
            read_price_file(prices), str(prices.absolute()), allowed_prices(allow_rate, allow_change)
        )
    )
    with reported_progress("rating") as on_part:
        results, left_out = asyncio.run(_rate(parts, price_file, database_url, data, on_part))
    every_run = [run for result in results for run in result.all_runs()]
    if as_json:
        write_json(RATE, rate_json(request, results))
    else:
        write(summary(results, dry_run=dry_run))
        for late in (late for result in results for late in result.late_runs):
            write(f"late usage was rated, too: {summary([late], dry_run=dry_run)}")
        for run in every_run:
            show_findings(run, bills=dry_run or request.mode is Mode.BACKFILL, dry_run=dry_run)
    if left_out:
        complain(left_out)
    if any(run.anomalies for run in every_run):
        raise AnomaliesFound


def _window(since: datetime | None, until: datetime | None, now: datetime) -> tuple[datetime, datetime]:
    if (since is None) != (until is None):
        raise typer.BadParameter("--since and --until go together: give both or neither")
    return trailing_window(now) if since is None or until is None else (since, until)


def _parts(request: RateRequest, now: datetime) -> Iterator[RateRequest]:
    """Cut the window into what one run can rate. Raises OperatorError before anything is rated."""
    if request.window_end - request.window_start > WINDOW_MAX * RUNS_MAX:
        raise OperatorError(f"--since must be at most {WINDOW_MAX.days * RUNS_MAX} days before --until")
    start = request.window_start
    while True:
        rest = request.window_end - start
        end = request.window_end if rest <= WINDOW_MAX else start + WINDOW_MAX
        is_last = end >= request.window_end
        # What lies outside of one part may be inside of the next.
        part = replace(request, window_start=start, window_end=end, names_outside=is_last)
        with explained_windows():
            refuse_invalid(part, now)
        yield part
        start = end
        if is_last:
            return


async def _rate(
    parts: list[RateRequest],
    price_file: _PriceFile | None,
    database_url: str | None,
    data_dir: Path,
    on_part: OnPart,
) -> tuple[list[RateResult], str | None]:
    """Rate, and say what newcomers should know of the running hour; see `_left_out`."""
    results: list[RateResult] = []
    async with open_store(database_url, data_dir, writes=True) as pool:
        if price_file is not None:
            await _load(pool, price_file)
        for part in parts:
            if len(parts) > 1:
                on_part(f"rating {utc_text(part.window_start)} to {utc_text(part.window_end)}")
            try:
                results.append(await rate_window(pool, part, datetime.now(UTC)))
            except UNAVAILABLE_ERRORS as error:
                raise OperatorError(_not_rated(part, error)) from error
            if len(parts) > 1:
                done = summary(results[-1:], dry_run=part.dry_run)
                complain(f"{len(results)} of {len(parts)}: {done}")
        left_out = await _left_out(pool, results)
    return results, left_out


async def _left_out(pool: Pool, results: list[RateResult]) -> str | None:
    """Say that the running hour is left out, where nothing was billed so far and the hour has events.

    Whoever tries Phoebe has just sent their first requests. Later it is the usual case.
    """
    if any(result.events_in_window for result in results):
        return None
    async with pool.acquire() as connection:
        hour, events = await find_running_hour(connection, datetime.now(UTC))
    return running_hour_in_words(hour, events) if events else None


def _not_rated(part: RateRequest, error: Exception) -> str:
    window = f"{utc_text(part.window_start)} to {utc_text(part.window_end)}"
    reason = str(error) or type(error).__name__
    return f"the database can't be used now, and {window} was not rated; try again: {reason}"


async def _load(pool: Pool, file: _PriceFile) -> None:
    by = f"cli:{process_owner()}"
    async with pool.acquire() as connection:
        loaded = await load_price_file(connection, file.content, file.source, by, file.allowed)
    if loaded.plan is not None:
        for line in loaded.told(file.source):
            complain(line)
    for alarm in loaded.alarms(file.source):
        complain(f"warning: {alarm}")

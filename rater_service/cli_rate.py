"""`phoebe rate`: rates a window and reports what needs a human."""

import asyncio
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from rater_service.cli_options import (
    DATA_DIR_DEFAULT,
    AsJson,
    DatabaseUrl,
    DataDir,
    moment_option,
    open_store,
)
from rater_service.console import complain, progress, utc_text, write, write_json, write_table
from rater_service.errors import NeedsAttention, OperatorError
from rater_service.money import decimal_text
from rater_service.price_store import read_price_file, store_price_file
from rater_service.producers import IncompleteProducer
from rater_service.rating import (
    INCOMPLETE_HOURS,
    Anomaly,
    InvalidWindow,
    Mode,
    RateRequest,
    RateResult,
    rate_window,
)

_DEFAULT_WINDOW = timedelta(hours=24)


class AnomaliesFound(NeedsAttention):
    """The run went through and found something that needs a human."""


class _ModeName(StrEnum):
    ROUTINE = "routine"
    BACKFILL = "backfill"


def rate(  # noqa: PLR0913 - one parameter per option
    *,
    since: Annotated[
        datetime | None, moment_option("--since", "Start of the window, inclusive: a whole hour, UTC.")
    ] = None,
    until: Annotated[
        datetime | None,
        moment_option("--until", "End of the window, exclusive: a whole hour, UTC, at most 31 days later."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Compute everything, change no bill.")] = False,
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
    prices: Annotated[
        Path | None,
        typer.Option("--prices", metavar="FILE", show_default=False, help="Load this price file first."),
    ] = None,
    database_url: DatabaseUrl = None,
    data: DataDir = DATA_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Rate the metered events of a window into bills.

    Without bounds: the trailing 24 complete hours. Running it again changes nothing. Every event of the
    window is counted once; those that may be owed but could not be billed are listed by name, with the money
    at risk, in USD.

    Exit codes: 0 all is well; 1 failure, nothing was changed; 2 rated, but something needs a human.
    """
    request = _request(since, until, mode, dry_run=dry_run, reprice=reprice)
    price_file = None if prices is None else (read_price_file(prices), str(prices))
    with progress("rating"):
        result = asyncio.run(_rate(request, price_file, database_url, data))
    if as_json:
        write_json({"dry_run": dry_run, "reprice": reprice, "mode": request.mode, **asdict(result)})
    else:
        _show(result, dry_run=dry_run)
    if result.anomalies:
        raise AnomaliesFound


def _request(
    since: datetime | None, until: datetime | None, mode: _ModeName | None, *, dry_run: bool, reprice: bool
) -> RateRequest:
    if (since is None) != (until is None):
        raise typer.BadParameter("--since and --until go together: give both or neither")
    default = Mode.ROUTINE if since is None else Mode.BACKFILL
    this_hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    return RateRequest(
        window_start=since or this_hour - _DEFAULT_WINDOW,
        window_end=until or this_hour,
        mode=default if mode is None else Mode[mode.name],
        dry_run=dry_run,
        reprice=reprice,
    )


async def _rate(
    request: RateRequest, price_file: tuple[bytes, str] | None, database_url: str | None, data_dir: Path
) -> RateResult:
    async with open_store(database_url, data_dir) as pool:
        if price_file is not None:
            async with pool.acquire() as connection:
                stored = await store_price_file(connection, *price_file, datetime.now(UTC))
            for warning in stored.warnings:
                complain(f"warning: {warning}")
            if (superseded := stored.not_in_force(price_file[1])) is not None:
                complain(f"warning: {superseded}")
        try:
            return await rate_window(pool, request, datetime.now(UTC))
        except InvalidWindow as error:
            flags = str(error).replace("window_start", "--since").replace("window_end", "--until")
            raise OperatorError(flags) from error


def _show(result: RateResult, *, dry_run: bool) -> None:
    write(_summary(result, dry_run=dry_run))
    for anomaly in result.anomalies:
        if anomaly.reason == INCOMPLETE_HOURS:
            _show_incomplete(result)
            continue
        write_table(
            _headline(anomaly),
            ("auth_id", "resource_id", "model_id", "base_model", "events", "tokens", "USD at risk", "detail"),
            (tuple(asdict(offender).values()) for offender in anomaly.offenders),
        )


def _summary(result: RateResult, *, dry_run: bool) -> str:
    window = f"{utc_text(result.window_start)} to {utc_text(result.window_end)}"
    still_open = " (its last hour is still running)" if result.window_open else ""
    return (
        f"run {result.run_id}{', dry run, nothing changed' if dry_run else ''}: {window}{still_open}: "
        f"{result.events_in_window} events = {result.events_rated} rated + {result.unpriced_events} unpriced "
        f"+ {result.unattributable_events} unattributable + {result.ambiguous_base_events} ambiguous base "
        f"+ {result.missing_usage_events} missing usage + {result.zero_charge_events} zero charge; "
        f"rollups: {result.rollups_written} written, {result.rollups_unchanged} unchanged, "
        f"{result.reconciled_deletions} deleted; total {decimal_text(result.total_cost)} USD"
    )


def _show_incomplete(result: RateResult) -> None:
    write(
        f"{INCOMPLETE_HOURS}: {result.incomplete_producer_count} producers may still have events for the "
        "window's complete hours; if one never comes back: phoebe producers retire ID"
    )
    write_table(
        f"the first {len(result.incomplete_producers)}, furthest behind first",
        ("producer_id", "complete until", "spooled", "open", "last seen"),
        (_incomplete_row(producer) for producer in result.incomplete_producers),
    )


def _incomplete_row(producer: IncompleteProducer) -> tuple[str | int | None, ...]:
    until = producer.complete_until
    return (
        producer.producer_id,
        "never said" if until is None else utc_text(until),
        producer.spooled_events,
        producer.open_exchanges,
        utc_text(producer.last_seen),
    )


def _headline(anomaly: Anomaly) -> str:
    money = "" if anomaly.money_at_risk is None else f", {decimal_text(anomaly.money_at_risk)} USD at risk"
    return f"{anomaly.reason}: {anomaly.events} events, {anomaly.tokens} tokens{money}"

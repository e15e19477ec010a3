"""`phoebe prune`: drops events that are billed and proved to be, and says what keeps the others."""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from phoebe_runtime.counts import counted
from rater_service.archive.reading import require_parquet
from rater_service.cli.options import (
    DATA_DIR_DEFAULT,
    AsJson,
    DatabaseUrl,
    DataDir,
    moment_option,
    open_store,
)
from rater_service.database.database import OPERATOR_ERRORS, Pool
from rater_service.errors import NeedsAttention, OperatorError
from rater_service.hours import InvalidWindow
from rater_service.process_owner import user_name
from rater_service.retention.csv_export import export_events
from rater_service.retention.drop import EventsCame, Kept, drop_events
from rater_service.retention.old_events import OldEvents
from rater_service.retention.retention import (
    ACCEPTABLE,
    Obstacle,
    Reason,
    Verdict,
    judge_old_events,
    obstacle,
)
from rater_service.views.documents import write_json
from rater_service.views.pruning import PRUNE, Outcome, outcome_json, show_dropped, show_verdicts
from rater_service.views.terminal import OnPart, reported_progress


class EventsStay(NeedsAttention):
    """Some of the old events were not dropped."""


def prune(  # noqa: PLR0913 - one parameter per option
    *,
    before: Annotated[datetime, moment_option("--before", "Drop what ended before this: a whole hour, UTC.")],
    export: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            show_default=False,
            help="First write the events to files in this folder: CSV, compressed with gzip, each with a "
            "manifest, and read back before anything is dropped.",
        ),
    ] = None,
    archive: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            show_default=False,
            help="First write the events to the archive, a folder or s3://BUCKET/PREFIX: Parquet, each file "
            "with a manifest, read back and compared with the database before anything is dropped. Other "
            "commands read them there.",
        ),
    ] = None,
    accept: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND",
            show_default=False,
            help=f"A finding that was looked at and shall not keep the events: {', '.join(ACCEPTABLE)}. "
            "Can be given several times.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be dropped, and what keeps the rest.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Drop without asking.")] = False,
    by: Annotated[
        str | None, typer.Option(metavar="NAME", show_default=False, help="Who says so. Default: the user.")
    ] = None,
    database_url: DatabaseUrl = None,
    data: DataDir = DATA_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Drop old events, week by week: those that are rated, and proved to be, by an audit of their hours.

    Bills, their history and the sums by hour stay as they are, so that hours can still be audited and rated
    again. What is known of the events stays too: how many there were, and the numbers their producers gave
    them, so that an event that comes again is known.

    Exit codes: 0 all that is old was dropped, or there is none; 1 failure; 2 some events stay, and why.
    """
    if unknown := set(accept or ()) - set(ACCEPTABLE):
        raise typer.BadParameter(f"--accept {', '.join(sorted(unknown))}: not one of {', '.join(ACCEPTABLE)}")
    if archive is not None and export is not None:
        raise typer.BadParameter("give one of --archive and --export")
    if archive is not None:
        require_parquet()
    if not (dry_run or yes) and (as_json or not sys.stdin.isatty()):
        raise OperatorError("nobody can be asked here: add --yes, or --dry-run")
    work = _Prune(
        before=before,
        folder=export,
        archive=archive,
        accepted=tuple(accept or ()),
        by=by or user_name(),
        now=datetime.now(UTC),
        is_dry=dry_run,
        asks=not yes,
        shows=not as_json,
    )
    outcomes = asyncio.run(_prune(work, database_url, data))
    if as_json:
        write_json(
            PRUNE, {"before": before, "dry_run": dry_run, "partitions": list(map(outcome_json, outcomes))}
        )
    if any(outcome.reasons for outcome in outcomes):
        raise EventsStay


@dataclass(frozen=True, slots=True)
class _Prune:
    before: datetime
    folder: Path | None
    archive: str | None
    accepted: tuple[str, ...]
    by: str
    now: datetime
    is_dry: bool
    asks: bool
    shows: bool


async def _prune(work: _Prune, database_url: str | None, data_dir: Path) -> list[Outcome]:
    async with open_store(database_url, data_dir, writes=not work.is_dry) as pool:
        try:
            verdicts = await _judge(pool, work)
            if work.shows:
                show_verdicts(verdicts)
            free = [verdict for verdict in verdicts if not verdict.reasons]
            if work.is_dry or not free:
                return [Outcome(one.events, one.reasons, one.accepted) for one in verdicts]
            if work.asks:
                events = sum(verdict.events.event_count for verdict in free)
                typer.confirm(f"Drop {counted(events, 'event')} for good?", abort=True, err=True)
            outcomes = await _drop_all(pool, verdicts, work)
        except InvalidWindow as error:
            raise OperatorError(f"--{error}") from error
        except OPERATOR_ERRORS as error:
            raise OperatorError(f"it was broken off: {str(error) or type(error).__name__}") from error
    if work.shows:
        show_dropped(outcomes)
    return outcomes


async def _judge(pool: Pool, work: _Prune) -> list[Verdict]:
    with reported_progress("looking for old events") as on_progress:
        judged = judge_old_events(pool, work.before, work.now, work.accepted, on_progress)
        return [verdict async for verdict in judged]


async def _drop_all(pool: Pool, verdicts: Sequence[Verdict], work: _Prune) -> list[Outcome]:
    """Drop what is free to go, oldest first; from the first that events came to, all stay."""
    outcomes: list[Outcome] = []
    came: tuple[Reason, ...] = ()
    with reported_progress("dropping events") as on_progress:
        for verdict in verdicts:
            outcome = Outcome(verdict.events, verdict.reasons or came, verdict.accepted)
            if not outcome.reasons:
                on_progress(f"dropping {verdict.events.partition.name}, {len(outcomes)} done")
                try:
                    outcome = await _drop(pool, verdict, work, on_progress)
                except EventsCame as error:
                    came = (obstacle(Obstacle.EVENTS_CAME, str(error)),)
                    outcome = replace(outcome, reasons=came)
            outcomes.append(outcome)
    return outcomes


async def _drop(pool: Pool, verdict: Verdict, work: _Prune, on_progress: OnPart) -> Outcome:
    kept = await _keep(pool, verdict.events, work, on_progress) if verdict.events.event_count else None
    await drop_events(pool, verdict, kept, work.by, datetime.now(UTC))
    return Outcome(verdict.events, (), verdict.accepted, is_dropped=True, kept=kept)


async def _keep(pool: Pool, events: OldEvents, work: _Prune, on_progress: OnPart) -> Kept:
    """Write events to where the options say."""
    if work.archive is not None:
        from rater_service.retention.archiving import archive_events  # noqa: PLC0415 - an optional extra

        def tell(written: int) -> None:
            on_progress(
                f"archiving {events.partition.name}, {written} of {counted(events.event_count, 'event')}"
            )

        return await archive_events(pool, events, work.archive, work.now, tell)
    return None if work.folder is None else await export_events(pool, events, work.folder, work.now)

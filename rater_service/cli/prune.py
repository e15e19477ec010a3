"""`phoebe prune`: drops events that are billed and proved to be, and says what keeps the others."""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
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
    user_name,
)
from rater_service.cli.terminal import reported_progress, write, write_json, write_table
from rater_service.database.database import OPERATOR_ERRORS, Pool
from rater_service.errors import NeedsAttention, OperatorError
from rater_service.hours import InvalidWindow, utc_text
from rater_service.retention.archive import ArchivedEvents, archive_events
from rater_service.retention.drop import EventsCame, drop_events
from rater_service.retention.old_events import OldEvents
from rater_service.retention.retention import (
    ACCEPTABLE,
    Obstacle,
    Reason,
    Verdict,
    judge_old_events,
    obstacle,
)


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
    if not (dry_run or yes) and (as_json or not sys.stdin.isatty()):
        raise OperatorError("nobody can be asked here: add --yes, or --dry-run")
    work = _Prune(
        before=before,
        folder=export,
        accepted=tuple(accept or ()),
        by=by or user_name(),
        now=datetime.now(UTC),
        is_dry=dry_run,
        asks=not yes,
        shows=not as_json,
    )
    outcomes = asyncio.run(_prune(work, database_url, data))
    if as_json:
        write_json({"before": before, "dry_run": dry_run, "partitions": list(map(_as_json, outcomes))})
    if any(outcome.reasons for outcome in outcomes):
        raise EventsStay


@dataclass(frozen=True, slots=True)
class _Prune:
    before: datetime
    folder: Path | None
    accepted: tuple[str, ...]
    by: str
    now: datetime
    is_dry: bool
    asks: bool
    shows: bool


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of a partition's old events; with reasons they stay."""

    events: OldEvents
    reasons: tuple[Reason, ...]
    accepted: tuple[str, ...]
    is_dropped: bool = False
    archived: ArchivedEvents | None = None


async def _prune(work: _Prune, database_url: str | None, data_dir: Path) -> list[_Outcome]:
    async with open_store(database_url, data_dir) as pool:
        try:
            verdicts = await _judge(pool, work)
            if work.shows:
                _show(verdicts)
            free = [verdict for verdict in verdicts if not verdict.reasons]
            if work.is_dry or not free:
                return [_Outcome(one.events, one.reasons, one.accepted) for one in verdicts]
            if work.asks:
                events = sum(verdict.events.event_count for verdict in free)
                typer.confirm(f"Drop {events} events for good?", abort=True, err=True)
            outcomes = await _drop_all(pool, verdicts, work)
        except InvalidWindow as error:
            raise OperatorError(f"--{error}") from error
        except OPERATOR_ERRORS as error:
            raise OperatorError(f"it was broken off: {str(error) or type(error).__name__}") from error
    if work.shows:
        _show_dropped(outcomes)
    return outcomes


async def _judge(pool: Pool, work: _Prune) -> list[Verdict]:
    with reported_progress("looking for old events") as on_progress:
        judged = judge_old_events(pool, work.before, work.now, work.accepted, on_progress)
        return [verdict async for verdict in judged]


async def _drop_all(pool: Pool, verdicts: Sequence[Verdict], work: _Prune) -> list[_Outcome]:
    """Drop what is free to go, oldest first; from the first that events came to, all stay."""
    outcomes: list[_Outcome] = []
    came: tuple[Reason, ...] = ()
    with reported_progress("dropping events") as on_progress:
        for verdict in verdicts:
            outcome = _Outcome(verdict.events, verdict.reasons or came, verdict.accepted)
            if not outcome.reasons:
                on_progress(f"dropping {verdict.events.partition.name}, {len(outcomes)} done")
                try:
                    outcome = await _drop(pool, verdict, work)
                except EventsCame as error:
                    came = (obstacle(Obstacle.EVENTS_CAME, str(error)),)
                    outcome = replace(outcome, reasons=came)
            outcomes.append(outcome)
    return outcomes


async def _drop(pool: Pool, verdict: Verdict, work: _Prune) -> _Outcome:
    archived = None
    if work.folder is not None and verdict.events.event_count:
        archived = await archive_events(pool, verdict.events, work.folder, work.now)
    await drop_events(pool, verdict, archived, work.by, datetime.now(UTC))
    return _Outcome(verdict.events, (), verdict.accepted, is_dropped=True, archived=archived)


def _show(verdicts: Sequence[Verdict]) -> None:
    if not verdicts:
        write("there are no events to drop")
        return
    write_table(
        f"{len(verdicts)} partitions",
        ("partition", "events", "first", "last", "verdict"),
        (
            (
                verdict.events.partition.name,
                verdict.events.event_count,
                _time(verdict.events.first_event_time),
                _time(verdict.events.last_event_time),
                "stays" if verdict.reasons else "may be dropped",
            )
            for verdict in verdicts
        ),
    )
    for verdict in verdicts:
        _show_reasons(verdict.events, verdict.reasons)


def _show_reasons(events: OldEvents, reasons: Sequence[Reason]) -> None:
    for reason in reasons:
        write(f"{events.partition.name} stays: {reason.kind}: {reason.detail}: {reason.advice}")


def _show_dropped(outcomes: Sequence[_Outcome]) -> None:
    dropped = [outcome for outcome in outcomes if outcome.is_dropped]
    for outcome in dropped:
        if outcome.archived:
            write(f"exported {outcome.archived.event_count} events to {outcome.archived.path}")
    for outcome in outcomes:
        if any(reason.kind == Obstacle.EVENTS_CAME for reason in outcome.reasons):
            _show_reasons(outcome.events, outcome.reasons)
    events = sum(outcome.events.event_count for outcome in dropped)
    write(f"dropped {events} events of {len(dropped)} partitions; bills and sums stay as they are")


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else utc_text(moment)


def _as_json(outcome: _Outcome) -> dict[str, object]:
    events, archived = outcome.events, outcome.archived
    return {
        "partition": events.partition.name,
        "events": events.event_count,
        "first_event_time": events.first_event_time,
        "last_event_time": events.last_event_time,
        "dropped": outcome.is_dropped,
        "accepted": list(outcome.accepted),
        "reasons": [asdict(reason) for reason in outcome.reasons],
        "export": None if archived is None else {"path": str(archived.path), "sha256": archived.sha256},
    }

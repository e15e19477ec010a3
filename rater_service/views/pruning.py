"""How it is shown what became of old events, and why some stay."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict

from phoebe_runtime.counts import counted
from rater_service.archive.files import ArchivedEvents
from rater_service.hours import utc_text
from rater_service.retention.drop import Kept
from rater_service.retention.old_events import OldEvents
from rater_service.retention.retention import (
    Obstacle,
    Reason,
    Verdict,
)
from rater_service.views.documents import Kind
from rater_service.views.layout import Words
from rater_service.views.terminal import write, write_table


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a partition's old events; with reasons they stay."""

    events: OldEvents
    reasons: tuple[Reason, ...]
    accepted: tuple[str, ...]
    is_dropped: bool = False
    kept: Kept = None


class FileJson(TypedDict):
    """A file that events were exported or archived to."""

    path: str
    sha256: str


class PartitionJson(TypedDict):
    """What became of a partition's old events."""

    partition: str
    events: int
    first_event_time: datetime | None
    last_event_time: datetime | None
    dropped: bool
    accepted: Sequence[str]
    reasons: Sequence[Reason]
    export: FileJson | None
    archive: FileJson | None


class PruneJson(TypedDict):
    """What became of old events."""

    before: datetime
    dry_run: bool
    partitions: Sequence[PartitionJson]


PRUNE = Kind("prune", PruneJson)


def show_verdicts(verdicts: Sequence[Verdict]) -> None:
    """Show which partitions may be dropped, and why the others stay."""
    if not verdicts:
        write("there are no events to drop: no partition whose ids are all from before then has any")
        return
    write_table(
        counted(len(verdicts), "partition"),
        ("partition", "events", "first", "last", "verdict"),
        (
            (
                verdict.events.partition.name,
                verdict.events.event_count,
                _time(verdict.events.first_event_time),
                _time(verdict.events.last_event_time),
                Words("stays" if verdict.reasons else "may be dropped"),
            )
            for verdict in verdicts
        ),
    )
    for verdict in verdicts:
        _show_reasons(verdict.events, verdict.reasons)


def show_dropped(outcomes: Sequence[Outcome]) -> None:
    """Say what was exported and dropped, and what events came to in the meantime."""
    dropped = [outcome for outcome in outcomes if outcome.is_dropped]
    for outcome in dropped:
        if outcome.kept:
            did = "archived" if isinstance(outcome.kept, ArchivedEvents) else "exported"
            write(f"{did} {counted(outcome.kept.event_count, 'event')} to {outcome.kept.path}")
    for outcome in outcomes:
        if any(reason.kind == Obstacle.EVENTS_CAME for reason in outcome.reasons):
            _show_reasons(outcome.events, outcome.reasons)
    events = sum(outcome.events.event_count for outcome in dropped)
    write(
        f"dropped {counted(events, 'event')} of {counted(len(dropped), 'partition')}; "
        "bills and sums stay as they are"
    )


def outcome_json(outcome: Outcome) -> PartitionJson:
    """Return what is written of a partition as JSON."""
    events, kept = outcome.events, outcome.kept
    file: FileJson | None = None if kept is None else {"path": str(kept.path), "sha256": kept.sha256}
    is_archived = isinstance(kept, ArchivedEvents)
    return {
        "partition": events.partition.name,
        "events": events.event_count,
        "first_event_time": events.first_event_time,
        "last_event_time": events.last_event_time,
        "dropped": outcome.is_dropped,
        "accepted": list(outcome.accepted),
        "reasons": outcome.reasons,
        "export": None if is_archived else file,
        "archive": file if is_archived else None,
    }


def _show_reasons(events: OldEvents, reasons: Sequence[Reason]) -> None:
    for reason in reasons:
        write(f"{events.partition.name} stays: {reason.kind}: {reason.detail}: {reason.advice}")


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else utc_text(moment)

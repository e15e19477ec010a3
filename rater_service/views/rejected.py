"""How events that were kept aside are shown."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import TypedDict

from phoebe_runtime.counts import counted
from rater_service.events.rejected import RejectedEvent, Retried
from rater_service.events.store import Fate
from rater_service.hours import HOUR, hour_of, utc_text
from rater_service.views.documents import Kind
from rater_service.views.layout import Words
from rater_service.views.terminal import write, write_table


class RejectedJson(TypedDict):
    """Events that were kept aside, oldest first; see `RejectedEvent`."""

    events: Sequence[RejectedEvent]


class RetriedJson(TypedDict):
    """What became of another attempt; see `Retried`."""

    events: Sequence[Retried]


REJECTED = Kind("rejected", RejectedJson)
RETRIED = Kind("retried", RetriedJson)


def show_rejected(found: Sequence[RejectedEvent]) -> None:
    """Show them as a table."""
    write_table(
        counted(len(found), "event"),
        ("id", "kind", "request_id", "producer_id", "number", "received", "reason"),
        (_row(event) for event in found),
    )


def show_retried(tried: Sequence[Retried]) -> None:
    """Show what became of another attempt, and which hours are to be rated again."""
    fates = Counter(event.fate for event in tried)
    summary = ", ".join(f"{count} {fate}" for fate, count in fates.items()) or "nothing to try"
    write_table(
        summary,
        ("id", "request_id", "outcome", "reason"),
        ((event.id, event.request_id, event.fate, Words(event.reason)) for event in tried),
    )
    times = [event.event_time for event in tried if event.fate is Fate.STORED and event.event_time]
    if times:
        since = hour_of(min(times))
        until = hour_of(max(times)) + HOUR
        write(f"rate their hours again: phoebe rate --since {utc_text(since)} --until {utc_text(until)}")


def _row(event: RejectedEvent) -> tuple[str | int | None, ...]:
    differs = [
        f"{field}: {json.dumps(first)}, then {json.dumps(other)}"
        for field, (first, other) in event.differs.items()
    ]
    return (
        event.id,
        event.kind,
        event.request_id,
        event.producer_id,
        event.producer_seq,
        utc_text(event.received_at),
        Words("; ".join(differs) or event.reason),
    )

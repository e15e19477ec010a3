"""How producers of events are shown."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal, TypedDict

from phoebe_runtime.counts import counted
from phoebe_runtime.durations import in_words
from rater_service.events.producers import Producer
from rater_service.hours import utc_text
from rater_service.views.documents import Kind
from rater_service.views.layout import Words
from rater_service.views.terminal import write_table

type State = Literal["running", "stopped", "retired"]


class ProducerJson(TypedDict):
    """A producer; see `Producer`. clock_skew and silent_s: in seconds."""

    producer_id: str
    name: str | None
    state: State
    first_seen: datetime
    last_seen: datetime
    silent_s: float | None
    last_seq: int
    spooled_events: int
    open_exchanges: int
    complete_until: datetime | None
    stopped: bool
    lost_rows: int
    retired: bool
    retired_at: datetime | None
    retired_by: str | None
    clock_skew: float | None
    version: str | None


class ProducersJson(TypedDict):
    """Producers, those furthest behind first."""

    producers: Sequence[ProducerJson]


class RetiredJson(TypedDict):
    """A producer that will never come back, by somebody's word."""

    producer_id: str
    retired_by: str


PRODUCERS = Kind("producers", ProducersJson)
RETIRED = Kind("retired", RetiredJson)


def show_producers(found: Sequence[Producer]) -> None:
    """Show them as a table."""
    write_table(
        counted(len(found), "producer"),
        (
            "proxy",
            "producer_id",
            "state",
            "last seen",
            "complete until",
            "last number",
            "spooled",
            "open",
            "lost rows",
            "clock, s",
            "version",
        ),
        (_row(producer, datetime.now(UTC)) for producer in found),
    )


def producer_json(producer: Producer) -> ProducerJson:
    """Return what is written of a producer as JSON."""
    skew, silent = producer.clock_skew, producer.silent_for(datetime.now(UTC))
    return {
        "producer_id": producer.producer_id,
        "name": producer.name,
        "state": producer_state(producer),
        "first_seen": producer.first_seen,
        "last_seen": producer.last_seen,
        "silent_s": None if silent is None else round(silent.total_seconds(), 1),
        "last_seq": producer.last_seq,
        "spooled_events": producer.spooled_events,
        "open_exchanges": producer.open_exchanges,
        "complete_until": producer.complete_until,
        "stopped": producer.stopped,
        "lost_rows": producer.lost_rows,
        "retired": producer.retired,
        "retired_at": producer.retired_at,
        "retired_by": producer.retired_by,
        "clock_skew": None if skew is None else skew.total_seconds(),
        "version": producer.version,
    }


def _row(producer: Producer, now: datetime) -> tuple[str | int | None, ...]:
    until = producer.complete_until
    return (
        producer.name,
        producer.producer_id,
        Words(standing_text(producer, now)),
        utc_text(producer.last_seen),
        None if until is None else utc_text(until),
        producer.last_seq,
        producer.spooled_events,
        producer.open_exchanges,
        producer.lost_rows,
        None if producer.clock_skew is None else f"{producer.clock_skew.total_seconds():+.1f}",
        producer.version or "unknown",
    )


def standing_text(producer: Producer, now: datetime) -> str:
    """Say whether it runs, stopped or was retired, and since when it has been silent if it should not be."""
    silent = producer.silent_for(now)
    return producer_state(producer) if silent is None else f"silent for {in_words(silent)}"


def producer_state(producer: Producer) -> State:
    """Say whether a producer runs, stopped cleanly, or will never come back."""
    if producer.retired:
        return "retired"
    return "stopped" if producer.stopped else "running"

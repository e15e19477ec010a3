"""How producers of events are shown."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from rater_service.durations import in_words
from rater_service.events.producers import Producer
from rater_service.hours import utc_text
from rater_service.views.terminal import write_table


def show_producers(found: Sequence[Producer]) -> None:
    """Show them as a table."""
    write_table(
        f"{len(found)} producers",
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
        ),
        (_row(producer, datetime.now(UTC)) for producer in found),
    )


def producer_json(producer: Producer) -> dict[str, object]:
    """Return what is written of a producer as JSON."""
    skew, silent = producer.clock_skew, producer.silent_for(datetime.now(UTC))
    return asdict(producer) | {
        "state": producer_state(producer),
        "silent_s": None if silent is None else round(silent.total_seconds(), 1),
        "clock_skew": None if skew is None else skew.total_seconds(),
    }


def _row(producer: Producer, now: datetime) -> tuple[str | int | None, ...]:
    until = producer.complete_until
    return (
        producer.name,
        producer.producer_id,
        _standing(producer, now),
        utc_text(producer.last_seen),
        None if until is None else utc_text(until),
        producer.last_seq,
        producer.spooled_events,
        producer.open_exchanges,
        producer.lost_rows,
        None if producer.clock_skew is None else f"{producer.clock_skew.total_seconds():+.1f}",
    )


def _standing(producer: Producer, now: datetime) -> str:
    silent = producer.silent_for(now)
    return producer_state(producer) if silent is None else f"silent for {in_words(silent)}"


def producer_state(producer: Producer) -> str:
    """Say whether a producer runs, stopped cleanly, or will never come back."""
    if producer.retired:
        return "retired"
    return "stopped" if producer.stopped else "running"

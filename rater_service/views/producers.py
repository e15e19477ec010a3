"""How producers of events are shown."""

from collections.abc import Sequence
from dataclasses import asdict

from rater_service.events.producers import Producer
from rater_service.hours import utc_text
from rater_service.views.terminal import write_table


def show_producers(found: Sequence[Producer]) -> None:
    """Show them as a table."""
    write_table(
        f"{len(found)} producers",
        (
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
        (_row(producer) for producer in found),
    )


def producer_json(producer: Producer) -> dict[str, object]:
    """Return what is written of a producer as JSON."""
    skew = producer.clock_skew
    return asdict(producer) | {
        "state": _state(producer),
        "clock_skew": None if skew is None else skew.total_seconds(),
    }


def _row(producer: Producer) -> tuple[str | int | None, ...]:
    until = producer.complete_until
    return (
        producer.producer_id,
        _state(producer),
        utc_text(producer.last_seen),
        None if until is None else utc_text(until),
        producer.last_seq,
        producer.spooled_events,
        producer.open_exchanges,
        producer.lost_rows,
        None if producer.clock_skew is None else f"{producer.clock_skew.total_seconds():+.1f}",
    )


def _state(producer: Producer) -> str:
    if producer.retired:
        return "retired"
    return "stopped" if producer.stopped else "running"

"""How an audit is shown, to people and to programs."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TypedDict

from phoebe_runtime.counts import counted
from rater_service.audit.findings import AuditedProducer, AuditResult, Difference, Finding
from rater_service.hours import utc_text
from rater_service.money import decimal_text
from rater_service.views.documents import Kind
from rater_service.views.freshness import ReadJson
from rater_service.views.layout import Words
from rater_service.views.terminal import write, write_table


class DifferenceJson(TypedDict):
    """What is wrong, and what to do."""

    kind: Finding
    subject: str
    detail: str
    advice: str


class AuditJson(ReadJson):
    """An audit; see `Findings`."""

    proven: bool
    audited_at: datetime
    window_start: datetime | None
    window_end: datetime | None
    events: int
    unnumbered_events: int
    part_events: int
    rollups: int
    billed_events: int
    total_cost: Decimal
    runs: int
    late_events: int
    unrated_hours: int
    pruned_events: int
    archived_events: int
    producer_count: int
    producers: Sequence[AuditedProducer]
    differences: Sequence[DifferenceJson]
    difference_counts: Mapping[Finding, int]


AUDIT = Kind("audit", AuditJson)


def audit_json(result: AuditResult) -> AuditJson:
    """Return what is written of an audit as JSON."""
    found = result.findings
    return {
        "proven": result.proven,
        "audited_at": result.audited_at,
        "window_start": result.window_start,
        "window_end": result.window_end,
        "events": found.events,
        "unnumbered_events": found.unnumbered_events,
        "part_events": found.part_events,
        "rollups": found.rollups,
        "billed_events": found.billed_events,
        "total_cost": found.total_cost,
        "runs": found.runs,
        "late_events": found.late_events,
        "unrated_hours": found.unrated_hours,
        "pruned_events": found.pruned_events,
        "archived_events": found.archived_events,
        "producer_count": found.producer_count,
        "producers": found.producers,
        "differences": [_difference_json(difference) for difference in found.differences],
        "difference_counts": found.difference_counts,
    }


def show_findings(result: AuditResult) -> None:
    """Show what each producer numbered, what was counted, and every difference with what to do about it."""
    found = result.findings
    write_table(
        f"{counted(found.producer_count, 'producer')}: admitted = stored + rejected + spooled + lost, by "
        "number; and what is still running",
        (
            *(
                "proxy",
                "producer_id",
                "state",
                "from",
                "to",
                "admitted",
                "stored",
                "rejected",
                "spooled",
                "lost",
            ),
            *("pruned", "repeated", "running", "complete until"),
        ),
        map(_producer_row, found.producers),
    )
    write(_summary(result))
    for kind, count in found.difference_counts.items():
        examples = [difference for difference in found.differences if difference.kind is kind]
        write(f"{kind}: {count}{_advice(examples)}")
        write_table(
            f"the first {len(examples)}",
            ("which", "what"),
            ((Words(example.subject), Words(example.detail)) for example in examples),
        )
    write("proven: no differences" if result.proven else "NOT PROVEN: differences were found")


def _difference_json(difference: Difference) -> DifferenceJson:
    return {
        "kind": difference.kind,
        "subject": difference.subject,
        "detail": difference.detail,
        "advice": difference.advice,
    }


def _advice(examples: list[Difference]) -> str:
    return f": {examples[0].advice}" if examples else ""


def _producer_row(producer: AuditedProducer) -> tuple[str | int | None, ...]:
    until = producer.complete_until
    return (
        producer.name,
        producer.producer_id,
        _state(producer),
        producer.first_seq,
        producer.last_seq,
        producer.last_seq - producer.first_seq + 1,
        producer.stored,
        producer.rejected,
        producer.spooled,
        producer.lost,
        producer.pruned,
        producer.repeated,
        producer.open_exchanges,
        None if until is None else utc_text(until),
    )


def _state(producer: AuditedProducer) -> str:
    if producer.last_seen is None:
        return "sends no status"
    if producer.retired:
        return "retired"
    return "stopped" if producer.stopped else "running"


def _summary(result: AuditResult) -> str:
    found = result.findings
    if result.window_start is None or result.window_end is None:
        return "there are no events and no bills"
    window = f"{utc_text(result.window_start)} to {utc_text(result.window_end)}"
    return (
        f"{window}, as of {utc_text(result.audited_at)}: "
        f"{counted(found.events, 'event')} ({found.unnumbered_events} without a number"
        + (f", {counted(found.part_events, 'part')} of exchanges" if found.part_events else "")
        + "); "
        f"billed: {counted(found.rollups, 'rollup')} of {counted(found.billed_events, 'event')}, "
        f"total {decimal_text(found.total_cost)} USD; {counted(found.runs, 'run')} checked; "
        f"{counted(found.late_events, 'event')} came after the last run and will be rated by the next one; "
        f"{counted(found.unrated_hours, 'complete hour')} not rated yet"
        + (f"; pruned: {counted(found.pruned_events, 'event')}" if found.pruned_events else "")
        + (
            f"; read in the archive: {counted(found.archived_events, 'event')}"
            if found.archived_events
            else ""
        )
    )

"""How `phoebe rate` shows what runs found and did."""

from collections.abc import Sequence
from dataclasses import asdict
from decimal import Decimal
from typing import TypedDict

from phoebe_runtime.counts import counted
from rater_service.events.producers import IncompleteProducer
from rater_service.hours import utc_text
from rater_service.money import decimal_text, exact_sum
from rater_service.rating.run import (
    INCOMPLETE_HOURS,
    BillChange,
    Mode,
    Offender,
    RateRequest,
    RateResult,
)
from rater_service.views.documents import Kind
from rater_service.views.layout import Words
from rater_service.views.terminal import write_table


class RateJson(TypedDict):
    """Runs whose windows follow each other, and how they rated; see `RateResult`."""

    dry_run: bool
    reprice: bool
    mode: Mode
    runs: Sequence[RateResult]


RATE = Kind("rate", RateJson)


def rate_json(request: RateRequest, results: Sequence[RateResult]) -> RateJson:
    """Return what is written of runs as JSON."""
    return {
        "dry_run": request.dry_run,
        "reprice": request.reprice,
        "mode": request.mode,
        "runs": results,
    }


def summary(results: Sequence[RateResult], *, dry_run: bool) -> str:
    """Say in one line what runs, whose windows follow each other, found and did."""
    first, last = results[0], results[-1]
    runs = f"run {first.run_id}" if first is last else f"runs {first.run_id} to {last.run_id}"
    window = f"{utc_text(first.window_start)} to {utc_text(last.window_end)}"
    still_open = " (its last hour is still running)" if last.window_open else ""

    def count(field: str) -> int:
        return sum(getattr(result, field) for result in results)

    return (
        f"{runs}{', dry run, nothing changed' if dry_run else ''}: {window}{still_open}: "
        f"{counted(count('events_in_window'), 'event')} = {count('events_rated')} rated "
        f"+ {count('unpriced_events')} unpriced + {count('unattributable_events')} unattributable "
        f"+ {count('ambiguous_base_events')} ambiguous base + {count('missing_usage_events')} missing usage "
        f"+ {count('zero_charge_events')} zero charge; rollups: {count('rollups_written')} written, "
        f"{count('rollups_unchanged')} unchanged, {count('reconciled_deletions')} deleted; "
        f"total {decimal_text(exact_sum(result.total_cost for result in results))} USD"
    )


def show_findings(result: RateResult, *, bills: bool, dry_run: bool) -> None:
    """Show the names behind what needs a human in a run and, if asked for, whose bills it changes.

    How much it is and what to do about it is logged, and not said here as well.
    """
    if bills and result.changes.auth_ids:
        _show_changes(result, dry_run=dry_run)
    for anomaly in result.anomalies:
        if anomaly.reason == INCOMPLETE_HOURS:
            _show_incomplete(result)
            continue
        write_table(
            f"{anomaly.reason}: whose events, most first",
            ("auth_id", "resource_id", "model_id", "base_model", "events", "tokens", "USD at risk", "detail"),
            map(_offender_row, anomaly.offenders),
        )
    if result.unbilled_output_events:
        _show_unbilled_output(result)


def _offender_row(offender: Offender) -> tuple[str | int | Decimal | None, ...]:
    return (
        offender.auth_id,
        offender.resource_id,
        offender.model_id,
        offender.base_model,
        offender.events,
        offender.tokens,
        offender.money_at_risk,
        None if offender.detail is None else Words(offender.detail),
    )


def _show_unbilled_output(result: RateResult) -> None:
    by_auth = result.unbilled_output_by_auth
    write_table(
        f"answers without usage: the first {len(by_auth)} of "
        f"{counted(result.unbilled_output_auth_count, 'customer')}, most bytes first",
        ("auth_id", "answers", "bytes", "most of them from"),
        (tuple(asdict(customer).values()) for customer in by_auth),
    )


def _show_changes(result: RateResult, *, dry_run: bool) -> None:
    changes = result.changes
    left_out = changes.auth_ids - len(changes.by_auth)
    rows: list[tuple[str | int | Decimal | None, ...]] = [
        _change_row(change.auth_id, change) for change in changes.by_auth
    ]
    if left_out:
        rows.append((f"{left_out} more", *[None] * 6))
    rows.append(_change_row("all, unchanged ones included", changes.total))
    write_table(
        f"run {result.run_id}: bills that {'would change' if dry_run else 'changed'}, most first: "
        "rollups, and USD in this window",
        ("auth_id", "inserted", "updated", "deleted", "before", "after", "difference"),
        rows,
    )


def _change_row(name: str | None, change: BillChange) -> tuple[str | int | Decimal | None, ...]:
    return (
        name,
        change.rollups_inserted,
        change.rollups_updated,
        change.rollups_deleted,
        change.cost_before,
        change.cost_after,
        change.difference,
    )


def _show_incomplete(result: RateResult) -> None:
    write_table(
        f"{INCOMPLETE_HOURS}: the first {len(result.incomplete_producers)} of "
        f"{counted(result.incomplete_producer_count, 'producer')}, furthest behind first",
        ("proxy", "producer_id", "complete until", "spooled", "open", "last seen"),
        (_incomplete_row(producer) for producer in result.incomplete_producers),
    )


def _incomplete_row(producer: IncompleteProducer) -> tuple[str | int | None, ...]:
    until = producer.complete_until
    return (
        producer.name,
        producer.producer_id,
        "never said" if until is None else utc_text(until),
        producer.spooled_events,
        producer.open_exchanges,
        utc_text(producer.last_seen),
    )

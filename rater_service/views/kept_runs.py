"""How runs that are kept are shown, to people and to programs."""

from collections.abc import Sequence
from decimal import Decimal

from phoebe_runtime.counts import counted
from rater_service.bills.runs import KeptRun, RunPage
from rater_service.hours import utc_text
from rater_service.money import decimal_text
from rater_service.rating.run import BillChange, BillChanges
from rater_service.views.documents import Kind
from rater_service.views.freshness import ReadJson
from rater_service.views.layout import Words
from rater_service.views.terminal import write, write_table


class RunsJson(ReadJson):
    """Runs, the last one first. has_more: others came before them."""

    runs: Sequence[KeptRun]
    has_more: bool


class RunJson(ReadJson):
    """One run, and whose bills it changed."""

    run: KeptRun
    changes: BillChanges


RUNS = Kind("runs", RunsJson)
RUN = Kind("run", RunJson)


def show_kept_runs(page: RunPage) -> None:
    """Show runs as a table, and how to see those before them."""
    if not page.runs:
        write("no run yet: phoebe rate")
        return
    write_table(
        "runs, the last one first",
        (
            "run",
            "finished",
            "from",
            "until",
            "how",
            "asked for by",
            "events",
            "written",
            "deleted",
            "USD",
            "anomalies",
        ),
        map(_row, page.runs),
    )
    if page.has_more:
        write(f"there are more: --before {page.runs[-1].id}")


def show_kept_run(run: KeptRun, changes: BillChanges) -> None:
    """Show one run, from top to bottom."""
    write(f"run {run.id}: {utc_text(run.window_start)} to {utc_text(run.window_end)}, {how_text(run)}")
    write(
        f"asked for by {run.requested_by}; started {utc_text(run.started_at)}, finished "
        f"{utc_text(run.finished_at)}, knowing what was stored by {utc_text(run.knowledge_at)}"
    )
    write(conservation_text(run))
    write(
        f"rollups: {run.rollups_written} written, {run.rollups_unchanged} unchanged, "
        f"{run.reconciled_deletions} deleted; total {decimal_text(run.total_cost)} USD"
    )
    for book in run.price_books:
        write(f"price book {book}")
    for anomaly in run.anomalies:
        write(anomaly.in_words())
    if not run.anomalies:
        write("nothing needed a human")
    if changes.auth_ids:
        _show_changes(run, changes)


def how_text(run: KeptRun) -> str:
    """Say in which way it rated."""
    ways = [run.mode.lower()]
    ways += ["repriced"] if run.reprice else []
    ways += ["dry run"] if run.dry_run else []
    ways += ["reached into the running hour"] if run.window_open else []
    return ", ".join(ways)


def conservation_text(run: KeptRun) -> str:
    """Say into which counts the events of its window went: together they are all of them."""
    return (
        f"{counted(run.events_in_window, 'event')} = {run.events_rated} rated + "
        f"{run.unpriced_events} unpriced + {run.unattributable_events} unattributable "
        f"+ {run.ambiguous_base_events} ambiguous base + {run.missing_usage_events} missing usage "
        f"+ {run.zero_charge_events} zero charge"
    )


def _row(run: KeptRun) -> tuple[str | int | Decimal | None, ...]:
    return (
        run.id,
        utc_text(run.finished_at),
        utc_text(run.window_start),
        utc_text(run.window_end),
        Words(how_text(run)),
        run.requested_by,
        run.events_in_window,
        run.rollups_written,
        run.reconciled_deletions,
        run.total_cost,
        Words(", ".join(anomaly.reason for anomaly in run.anomalies)),
    )


def _show_changes(run: KeptRun, changes: BillChanges) -> None:
    left_out = changes.auth_ids - len(changes.by_auth)
    rows = [_change_row(change.auth_id, change) for change in changes.by_auth]
    if left_out:
        rows.append((f"{left_out} more", *[None] * 6))
    rows.append(_change_row("all", changes.total))
    write_table(
        f"bills that {'would change' if run.dry_run else 'changed'}, most first: USD of the changed rollups",
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

"""How sums of bills are shown: as a table, as CSV and as JSON."""

import csv
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal

from rater_service.bills.report import BillSums, Grouping, Report, ReportRow
from rater_service.bills.rollups import AsOf, Selection
from rater_service.hours import utc_text
from rater_service.money import decimal_text
from rater_service.views.terminal import write, write_table

COLUMNS = {
    Grouping.DAY: "day",
    Grouping.HOUR: "hour",
    Grouping.CUSTOMER: "auth_id",
    Grouping.RESOURCE: "resource_id",
    Grouping.MODEL: "model_id",
}

_SUMS = (
    *("rollups", "events", "prompt_tokens", "cached_tokens", "billable_prompt_tokens", "completion_tokens"),
    "cost",
)

_HEADINGS = ("rollups", "events", "prompt", "cached", "billable", "completion", "USD")

type Cell = str | int | Decimal | None


def show_report(result: Report) -> None:
    """Show the sums as a table, with the total in the last line."""
    if not result.rows:
        write(f"{window_text(result.selection)}{as_of_text(result.as_of)}: nothing was billed")
        _show_not_billed(result)
        return
    if result.as_of is not None:
        write(as_of_text(result.as_of).removeprefix(", "))
    total = ("total", *[None] * (len(result.by) - 1), *_sum_cells(result.total))
    write_table(
        window_text(result.selection),
        (*(COLUMNS[grouping] for grouping in result.by), *_HEADINGS),
        [*map(_cells, result.rows), total],
    )
    _show_not_billed(result)


def _show_not_billed(result: Report) -> None:
    if result.holes.not_billed:
        write_table(
            "not billed, by reason; USD where a price can be assumed",
            ("reason", "events", "tokens", "USD at risk"),
            [tuple(asdict(one).values()) for one in result.holes.not_billed],
        )


def write_report_csv(result: Report) -> None:
    """Write the sums to standard output as CSV, without a total."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([*(COLUMNS[grouping] for grouping in result.by), *_SUMS])
    for row in result.rows:
        writer.writerow(decimal_text(cell) if isinstance(cell, Decimal) else cell for cell in _cells(row))


def report_json(result: Report) -> dict[str, object]:
    """Return what is written of the sums as JSON."""
    return {
        "window_start": result.selection.window_start,
        "window_end": result.selection.window_end,
        "auth_id": result.selection.auth_id,
        "resource_id": result.selection.resource_id,
        "model_id": result.selection.model_id,
        **as_of_json(result.as_of),
        "by": [COLUMNS[grouping] for grouping in result.by],
        "rows": [
            {COLUMNS[grouping]: _name(grouping, value) for grouping, value in row.names.items()}
            | asdict(row.sums)
            for row in result.rows
        ],
        "total": asdict(result.total),
        "window_open": result.holes.window_open,
        "unrated_hours": result.holes.hours,
        "unrated_events": result.holes.unrated_events,
        "not_billed": [asdict(one) for one in result.holes.not_billed],
    }


def window_text(selection: Selection) -> str:
    """Say what is shown: the window, and what it is narrowed down to."""
    names = (
        ("auth id", selection.auth_id),
        ("resource", selection.resource_id),
        ("model", selection.model_id),
    )
    narrowed = "".join(f", {name} {value}" for name, value in names if value is not None)
    return f"{utc_text(selection.window_start)} to {utc_text(selection.window_end)}{narrowed}"


def as_of_text(as_of: AsOf | None) -> str:
    """Say of which moment it is, and which run had the last word then."""
    if as_of is None:
        return ""
    if as_of.run is None:
        return f", as of {utc_text(as_of.moment)}, before the first run"
    run = as_of.run
    return f", as of {utc_text(as_of.moment)}: run {run.id}, finished {utc_text(run.finished_at)}"


def as_of_json(as_of: AsOf | None) -> dict[str, object]:
    """Say the same for programs."""
    if as_of is None:
        return {"as_of": None, "run": None}
    return {"as_of": as_of.moment, "run": None if as_of.run is None else asdict(as_of.run)}


def _cells(row: ReportRow) -> tuple[Cell, ...]:
    return (*(_name(grouping, value) for grouping, value in row.names.items()), *_sum_cells(row.sums))


def _name(grouping: Grouping, value: str | datetime) -> str:
    if isinstance(value, str):
        return value
    return value.astimezone(UTC).date().isoformat() if grouping is Grouping.DAY else utc_text(value)


def _sum_cells(sums: BillSums) -> tuple[int | Decimal, ...]:
    return tuple(asdict(sums)[name] for name in _SUMS)

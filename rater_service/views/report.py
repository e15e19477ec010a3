"""How sums of bills are shown: as a table, as CSV and as JSON."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from typing import NotRequired, TypedDict

from rater_service.bills.explanation import RunStamp
from rater_service.bills.report import BY_EVENT, BillSums, Grouping, Report, ReportRow
from rater_service.bills.rollups import AsOf, Selection
from rater_service.csv_lines import csv_writer
from rater_service.hours import utc_text
from rater_service.money import decimal_text, exact_sum, in_cents
from rater_service.rating.not_billed import NotBilled
from rater_service.views.documents import Kind
from rater_service.views.freshness import ReadJson
from rater_service.views.terminal import write, write_table

COLUMNS = {
    Grouping.MONTH: "month",
    Grouping.DAY: "day",
    Grouping.HOUR: "hour",
    Grouping.CUSTOMER: "auth_id",
    Grouping.RESOURCE: "resource_id",
    Grouping.MODEL: "model_id",
    Grouping.USER: "user_id",
    Grouping.GROUP: "group_id",
    Grouping.API: "api",
}

_SUMS = (
    *("rollups", "events", "prompt_tokens", "cached_tokens", "billable_prompt_tokens", "completion_tokens"),
    "cost",
)

_HEADINGS = ("rollups", "events", "prompt", "cached", "billable", "completion", "USD")

_UNKNOWN = "(not known)"

type Cell = str | int | Decimal | None


class TotalJson(TypedDict):
    """What all rows add up to. cost_in_cents: only if it was asked for."""

    rollups: int
    events: int
    prompt_tokens: int
    cached_tokens: int
    billable_prompt_tokens: int
    completion_tokens: int
    cost: Decimal
    cost_in_cents: NotRequired[Decimal]


class ReportJson(ReadJson):
    """Sums of bills. rows: the columns that `by` names, with text, and the members of `total`; by user, group
    or API also `events_known`, true or false.
    """

    window_start: datetime
    window_end: datetime
    auth_id: str | None
    resource_id: str | None
    model_id: str | None
    as_of: datetime | None
    run: RunStamp | None
    by: Sequence[str]
    rows: Sequence[Mapping[str, bool | int | Decimal | str | None]]
    total: TotalJson
    window_open: bool
    unrated_hours: Sequence[datetime]
    unrated_events: int
    running_hour: datetime | None
    running_events: int
    not_billed: Sequence[NotBilled]


REPORT = Kind("report", ReportJson)


def show_report(result: Report, *, cents: bool = False) -> None:
    """Show the sums as a table, with the total in the last line. cents: also rounded; see `rounded_total`."""
    if not result.rows:
        write(f"{window_text(result.selection)}{as_of_text(result.as_of)}: nothing was billed")
        _show_not_billed(result)
        return
    if result.as_of is not None:
        write(as_of_text(result.as_of).removeprefix(", "))
    total = ("total", *[None] * (len(result.by) - 1), *_sum_cells(result.total))
    rows = [*map(_cells, result.rows), total]
    if cents:
        each = [in_cents(row.sums.cost) for row in result.rows]
        rows = [(*row, rounded) for row, rounded in zip(rows, (*each, rounded_total(result)), strict=True)]
    write_table(
        window_text(result.selection),
        (*(COLUMNS[grouping] for grouping in result.by), *_HEADINGS, *(["in cents"] if cents else [])),
        rows,
    )
    if cents:
        difference = exact_sum((rounded_total(result), -result.total.cost))
        write(
            "in cents: each row is rounded once, half-up, and the total is the sum of the rounded rows; it "
            f"differs from the exact total by {decimal_text(difference)} USD"
        )
    if not all(row.events_known for row in result.rows):
        write(
            f"{_UNKNOWN}: of rollups whose events were pruned, or changed since they were rated, nobody "
            "knows whose they are"
        )
    _show_not_billed(result)


def rounded_total(result: Report) -> Decimal:
    """Add up what invoices of the rows would state in cents, USD.

    Each row is rounded once, half-up; the total is the sum of the rounded rows: invoices add up to it.
    """
    return exact_sum(in_cents(row.sums.cost) for row in result.rows)


def _show_not_billed(result: Report) -> None:
    if result.holes.not_billed:
        write_table(
            "not billed, by reason; USD where a price can be assumed",
            ("reason", "events", "tokens", "USD at risk"),
            [tuple(asdict(one).values()) for one in result.holes.not_billed],
        )


def report_table(result: Report, *, cents: bool = False) -> tuple[tuple[str, ...], list[tuple[Cell, ...]]]:
    """Give the names of the columns and the rows of a report for programs, without a total."""
    by_event = not BY_EVENT.isdisjoint(result.by)
    names = (*(COLUMNS[grouping] for grouping in result.by), *_SUMS)
    more = (*(["events_known"] if by_event else []), *(["cost_in_cents"] if cents else []))
    rows = []
    for row in result.rows:
        known = [str(row.events_known).lower()] if by_event else []
        rounded = [in_cents(row.sums.cost)] if cents else []
        rows.append((*_name_cells(row), *_sum_cells(row.sums), *known, *rounded))
    return (*names, *more), rows


def write_report_csv(result: Report, *, cents: bool = False) -> None:
    """Write the sums to standard output as CSV, without a total."""
    writer = csv_writer(sys.stdout)
    names, rows = report_table(result, cents=cents)
    writer.writerow(names)
    for row in rows:
        writer.writerow(decimal_text(cell) if isinstance(cell, Decimal) else cell for cell in row)


def report_json(result: Report, *, cents: bool = False) -> ReportJson:
    """Return what is written of the sums as JSON."""
    by_event = not BY_EVENT.isdisjoint(result.by)
    as_of = result.as_of
    return {
        "window_start": result.selection.window_start,
        "window_end": result.selection.window_end,
        "auth_id": result.selection.auth_id,
        "resource_id": result.selection.resource_id,
        "model_id": result.selection.model_id,
        "as_of": None if as_of is None else as_of.moment,
        "run": None if as_of is None else as_of.run,
        "by": [COLUMNS[grouping] for grouping in result.by],
        "rows": [
            {COLUMNS[grouping]: _name(grouping, value) for grouping, value in row.names.items()}
            | asdict(row.sums)
            | ({"events_known": row.events_known} if by_event else {})
            | ({"cost_in_cents": in_cents(row.sums.cost)} if cents else {})
            for row in result.rows
        ],
        "total": _total_json(result, cents),
        "window_open": result.holes.window_open,
        "unrated_hours": result.holes.hours,
        "unrated_events": result.holes.unrated_events,
        "running_hour": result.holes.running_hour,
        "running_events": result.holes.running_events,
        "not_billed": result.holes.not_billed,
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


def _total_json(result: Report, cents: bool) -> TotalJson:
    total = result.total
    told: TotalJson = {
        "rollups": total.rollups,
        "events": total.events,
        "prompt_tokens": total.prompt_tokens,
        "cached_tokens": total.cached_tokens,
        "billable_prompt_tokens": total.billable_prompt_tokens,
        "completion_tokens": total.completion_tokens,
        "cost": total.cost,
    }
    if cents:
        told["cost_in_cents"] = rounded_total(result)
    return told


def _cells(row: ReportRow) -> tuple[Cell, ...]:
    names = _name_cells(row)
    if not row.events_known:
        pairs = zip(row.names, names, strict=True)
        names = tuple(_UNKNOWN if grouping in BY_EVENT else name for grouping, name in pairs)
    return (*names, *_sum_cells(row.sums))


def _name_cells(row: ReportRow) -> tuple[str | None, ...]:
    return tuple(_name(grouping, value) for grouping, value in row.names.items())


def _name(grouping: Grouping, value: str | datetime | None) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if grouping is Grouping.HOUR:
        return utc_text(value)
    day = value.astimezone(UTC).date().isoformat()
    return day if grouping is Grouping.DAY else day[: len("2026-12")]


def _sum_cells(sums: BillSums) -> tuple[int | Decimal, ...]:
    return tuple(asdict(sums)[name] for name in _SUMS)

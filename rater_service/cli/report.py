"""`phoebe report`: what the bills add up to."""

import asyncio
import csv
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from rater_service.bills.report import BillSums, Grouping, Report, ReportRow, make_report
from rater_service.bills.rollups import AsOf, Selection
from rater_service.cli.options import DATA_DIR_DEFAULT, AsJson, DatabaseUrl, DataDir, open_store
from rater_service.cli.period import (
    AsOfMoment,
    Customer,
    Model,
    Resource,
    Since,
    Until,
    Window,
    explained_read_errors,
    read_period,
)
from rater_service.cli.terminal import progress, write, write_json, write_table
from rater_service.hours import utc_text
from rater_service.money import decimal_text

_COLUMNS = {
    Grouping.DAY: "day",
    Grouping.HOUR: "hour",
    Grouping.CUSTOMER: "auth_id",
    Grouping.RESOURCE: "resource_id",
    Grouping.MODEL: "model_id",
}
_OTHER_NAMES = {"auth": Grouping.CUSTOMER} | {column: grouping for grouping, column in _COLUMNS.items()}
_SUMS = (
    *("rollups", "events", "prompt_tokens", "cached_tokens", "billable_prompt_tokens", "completion_tokens"),
    "cost",
)
_HEADINGS = ("rollups", "events", "prompt", "cached", "billable", "completion", "USD")

type Cell = str | int | Decimal | None


class _Format(StrEnum):
    TABLE = "table"
    CSV = "csv"
    JSON = "json"


def report(  # noqa: PLR0913 - one parameter per option
    window: Window = None,
    *,
    since: Since = None,
    until: Until = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAMES",
            show_default=False,
            help="What to break it down by: hour, day, customer, resource, model, or several with commas; "
            "the first orders the rows. Default: customer.",
        ),
    ] = None,
    auth: Customer = None,
    resource: Resource = None,
    model: Model = None,
    as_of: AsOfMoment = None,
    form: Annotated[_Format, typer.Option("--format", help="How to write it.")] = _Format.TABLE,
    database_url: DatabaseUrl = None,
    data: DataDir = DATA_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Add up what was billed, in USD, by customer, day, hour, resource and model.

    Reads what the rating runs wrote, to the last digit; what no run has rated yet is not in it. Days and
    hours are UTC. The parts add up to the total, which stands in the last line; CSV has no such line.

    With --as-of: what the bills said at that moment, and which run had said it.

    Exit codes: 0 done, also if there was nothing billed; 1 failure.
    """
    start, end = read_period(window, since, until, datetime.now(UTC))
    selection = Selection(start, end, auth or None, resource or None, model or None)
    groupings = _groupings(by or [Grouping.CUSTOMER])
    with progress("adding up"):
        result = asyncio.run(_report(selection, groupings, as_of, database_url, data))
    if as_json or form is _Format.JSON:
        write_json(_as_json(result))
    elif form is _Format.CSV:
        _write_csv(result)
    else:
        _show(result)


def _groupings(written: Sequence[str]) -> list[Grouping]:
    found: list[Grouping] = []
    for name in (part.strip() for text in written for part in text.split(",")):
        try:
            grouping = _OTHER_NAMES.get(name) or Grouping(name)
        except ValueError:
            known = ", ".join(Grouping)
            raise typer.BadParameter(f"--by: {name!r} is none of {known}") from None
        if grouping not in found:
            found.append(grouping)
    return found


async def _report(
    selection: Selection,
    by: Sequence[Grouping],
    as_of: datetime | None,
    database_url: str | None,
    data_dir: Path,
) -> Report:
    async with open_store(database_url, data_dir) as pool:
        with explained_read_errors():
            return await make_report(pool, selection, by, as_of)


def _show(result: Report) -> None:
    if not result.rows:
        write(f"{window_text(result.selection)}{as_of_text(result.as_of)}: nothing was billed")
        return
    if result.as_of is not None:
        write(as_of_text(result.as_of).removeprefix(", "))
    total = ("total", *[None] * (len(result.by) - 1), *_sum_cells(result.total))
    write_table(
        window_text(result.selection),
        (*(_COLUMNS[grouping] for grouping in result.by), *_HEADINGS),
        [*map(_cells, result.rows), total],
    )


def _cells(row: ReportRow) -> tuple[Cell, ...]:
    return (*(_name(grouping, value) for grouping, value in row.names.items()), *_sum_cells(row.sums))


def _name(grouping: Grouping, value: str | datetime) -> str:
    if isinstance(value, str):
        return value
    return value.astimezone(UTC).date().isoformat() if grouping is Grouping.DAY else utc_text(value)


def _sum_cells(sums: BillSums) -> tuple[int | Decimal, ...]:
    return tuple(asdict(sums)[name] for name in _SUMS)


def _write_csv(result: Report) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([*(_COLUMNS[grouping] for grouping in result.by), *_SUMS])
    for row in result.rows:
        writer.writerow(decimal_text(cell) if isinstance(cell, Decimal) else cell for cell in _cells(row))


def _as_json(result: Report) -> dict[str, object]:
    return {
        "window_start": result.selection.window_start,
        "window_end": result.selection.window_end,
        "auth_id": result.selection.auth_id,
        "resource_id": result.selection.resource_id,
        "model_id": result.selection.model_id,
        **as_of_json(result.as_of),
        "by": [_COLUMNS[grouping] for grouping in result.by],
        "rows": [
            {_COLUMNS[grouping]: _name(grouping, value) for grouping, value in row.names.items()}
            | asdict(row.sums)
            for row in result.rows
        ],
        "total": asdict(result.total),
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

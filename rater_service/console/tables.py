"""Tables: what a page shows, and the same as CSV and as JSON. Money and times stay exact."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from rater_service.hours import utc_text
from rater_service.money import decimal_text

type Value = str | int | Decimal | datetime | None

# What a spreadsheet takes for the beginning of a formula, some in the wide letters of East Asian scripts.
_FORMULA_STARTS = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


class Kind(StrEnum):
    """What a column holds, and so how it stands."""

    TEXT = "text"
    NAME = "name"
    """What customers and engines call things: any characters."""
    COUNT = "count"
    MONEY = "money"
    RATE = "rate"
    TIME = "time"
    CODE = "code"
    """A command to copy, or a line of a file."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column. name: in CSV and JSON. label: on the page, with the unit."""

    name: str
    label: str
    kind: Kind = Kind.TEXT


@dataclass(frozen=True, slots=True)
class Cell:
    """A value. href: where it leads to. shown: what stands there on the page instead. anchor: its id."""

    value: Value
    href: str | None = None
    shown: str | None = None
    anchor: str | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A table. name: in its download's URL. total: its last line, over all rows there are, shown or not.

    more: the link to the rows after these, or to all. is_cut: there are more rows than these. empty: what is
    said instead of no rows. of_estimates: its money is on no bill.
    """

    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: Sequence[tuple[Cell, ...]]
    total: tuple[Cell, ...] | None = None
    more: str | None = None
    is_cut: bool = False
    empty: str = "Nothing."
    note: str | None = None
    of_estimates: bool = False


def row(*values: Value | Cell) -> tuple[Cell, ...]:
    """Make a row."""
    return tuple(value if isinstance(value, Cell) else Cell(value) for value in values)


def value_text(value: Value) -> str:
    """Write a value in full, as downloads have it."""
    match value:
        case None:
            return ""
        case Decimal():
            return decimal_text(value)
        case datetime():
            return utc_text(value)
    return str(value)


def table_csv(table: Table, *, for_spreadsheets: bool = False) -> str:
    """Write a table as CSV, without its total.

    for_spreadsheets: no cell can be taken for a formula. All are quoted then: where a semicolon parts cells,
    a name could else begin one in its middle.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(
        text, lineterminator="\n", quoting=csv.QUOTE_ALL if for_spreadsheets else csv.QUOTE_MINIMAL
    )
    writer.writerow([column.name for column in table.columns])
    for cells in table.rows:
        written = [value_text(cell.value) for cell in cells]
        if for_spreadsheets:
            written = [_no_formula(cell.value, one) for cell, one in zip(cells, written, strict=True)]
        writer.writerow(written)
    return text.getvalue()


def table_json(table: Table) -> str:
    """Write a table as JSON: money, rates and times as texts; absent is null."""
    names = [column.name for column in table.columns]
    told = {
        "table": table.name,
        "estimate": table.of_estimates,
        "rows": [_json_row(names, cells) for cells in table.rows],
        "total": None if table.total is None else _json_row(names, table.total),
    }
    return json.dumps(told, indent=1)


def _json_row(names: Sequence[str], cells: Sequence[Cell]) -> dict[str, object]:
    return {
        name: cell.value if isinstance(cell.value, int | None) else value_text(cell.value)
        for name, cell in zip(names, cells, strict=True)
    }


def _no_formula(value: Value, written: str) -> str:
    return f"'{written}" if isinstance(value, str) and written.startswith(_FORMULA_STARTS) else written

"""Tables as files: exact, and for spreadsheets without a formula."""

import csv
import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from rater_service.console.table_forms import Csv, Form, Json
from rater_service.console.tables import Cell, Column, Kind, Row, Table, row

COLUMNS = (
    Column("name", "name", Kind.NAME),
    Column("count", "count", Kind.COUNT),
    Column("usd", "USD", Kind.MONEY),
)


def table(*rows: tuple[Cell, ...]) -> Table:
    return Table("some", "Some", COLUMNS, rows, total=row("total", 1, Decimal("0.1")))


def written(form: Form, rows: Sequence[Row]) -> str:
    """Write a file whose rows come one at a time."""
    pieces = [form.rows([one], first=place == 0) for place, one in enumerate(rows)]
    return form.head() + "".join(pieces) + form.tail(row("total", 1, Decimal("0.1")))


def table_csv(table: Table, *, for_spreadsheets: bool = False) -> str:
    return written(Csv(table, for_spreadsheets), table.rows)


def table_json(table: Table) -> str:
    return written(Json(table), table.rows)


def read(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


@pytest.mark.parametrize(
    "name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1+1", "\uff0b1"]
)
def test_for_a_spreadsheet_no_name_begins_a_formula(name: str) -> None:
    text = table_csv(table(row(name, 1, Decimal("-0.5"))), for_spreadsheets=True)
    assert read(text)[1] == [f"'{name}", "1", "-0.5"]
    assert read(table_csv(table(row(name, 1, None))))[1] == [name, "1", ""], "bills must match otherwise"


def test_for_a_spreadsheet_every_cell_is_quoted() -> None:
    text = table_csv(table(row("a;=1+1", 1, Decimal(1))), for_spreadsheets=True)
    assert text.splitlines()[1] == '"a;=1+1","1","1"'


def test_nothing_is_rounded() -> None:
    exact = row("a", 2**63 - 1, Decimal("123456789012345678901.000000001"))
    assert read(table_csv(table(exact)))[1][1:] == [str(2**63 - 1), "123456789012345678901.000000001"]
    (told,) = json.loads(table_json(table(exact)))["rows"]
    assert told == {"name": "a", "count": 2**63 - 1, "usd": "123456789012345678901.000000001"}


def test_absent_is_not_zero_and_times_are_of_utc() -> None:
    when = datetime(2026, 12, 1, 5, tzinfo=UTC)
    told = json.loads(table_json(table(row(when, None, Decimal(0)))))
    assert told["rows"] == [{"name": "2026-12-01T05:00:00Z", "count": None, "usd": "0"}]
    assert told["total"]["usd"] == "0.1"


@pytest.mark.parametrize("count", [0, 1, 3])
def test_json_has_as_many_rows_as_there_are(count: int) -> None:
    told = json.loads(table_json(table(*[row("a", 1, None)] * count)))
    assert (len(told["rows"]), told["total"]["name"]) == (count, "total")

"""Tables as files: exact, and for spreadsheets without a formula."""

import csv
import io
import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from rater_service.console.tables import Cell, Column, Kind, Table, row, table_csv, table_json

COLUMNS = (
    Column("name", "name", Kind.NAME),
    Column("count", "count", Kind.COUNT),
    Column("usd", "USD", Kind.MONEY),
)


def table(*rows: tuple[Cell, ...]) -> Table:
    return Table("some", "Some", COLUMNS, rows, total=row("total", 1, Decimal("0.1")))


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

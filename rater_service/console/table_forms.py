"""Tables as CSV and as JSON, piece by piece. Money and times stay exact."""

import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, override

from rater_service.console.tables import Row, Table, Value, value_text
from rater_service.csv_lines import csv_writer

# What a spreadsheet takes for the beginning of a formula, some in the wide letters of East Asian scripts.
_FORMULA_STARTS = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


class Form(Protocol):
    """A table as a file, piece by piece: what it begins with, some rows at a time, what it ends with."""

    media_type: str

    def head(self) -> str:
        """Write what stands before the first row."""

    def rows(self, rows: Sequence[Row], *, first: bool) -> str:
        """Write some rows. first: none were written before."""

    def tail(self, total: Row | None) -> str:
        """Write what stands behind the last row."""


@dataclass(frozen=True, slots=True)
class Csv(Form):
    """CSV, without the total.

    for_spreadsheets: no cell can be taken for a formula. All are quoted then: where a semicolon parts cells,
    a name could else begin one in its middle.
    """

    table: Table
    for_spreadsheets: bool = False
    media_type: str = "text/csv"

    @override
    def head(self) -> str:
        return self._lines([[column.name for column in self.table.columns]])

    @override
    def rows(self, rows: Sequence[Row], *, first: bool) -> str:
        return self._lines(map(self._cells, rows))

    @override
    def tail(self, total: Row | None) -> str:
        return ""

    def _cells(self, cells: Row) -> list[str]:
        written = [value_text(cell.value) for cell in cells]
        if self.for_spreadsheets:
            return [_no_formula(cell.value, one) for cell, one in zip(cells, written, strict=True)]
        return written

    def _lines(self, lines: Iterable[Sequence[str]]) -> str:
        text = io.StringIO(newline="")
        csv_writer(text, quoted=self.for_spreadsheets).writerows(lines)
        return text.getvalue()


@dataclass(frozen=True, slots=True)
class Json(Form):
    """JSON, a row a line: money, rates and times as texts; absent is null."""

    table: Table
    media_type: str = "application/json"

    @override
    def head(self) -> str:
        told = {"table": self.table.name, "estimate": self.table.of_estimates}
        return f'{json.dumps(told)[:-1]}, "rows": ['

    @override
    def rows(self, rows: Sequence[Row], *, first: bool) -> str:
        written = ",\n".join(map(self._row, rows))
        return f"{'' if first else ','}\n{written}"

    @override
    def tail(self, total: Row | None) -> str:
        return f'\n], "total": {"null" if total is None else self._row(total)}}}\n'

    def _row(self, cells: Row) -> str:
        return json.dumps(
            {
                column.name: cell.value if isinstance(cell.value, int | None) else value_text(cell.value)
                for column, cell in zip(self.table.columns, cells, strict=True)
            }
        )


def _no_formula(value: Value, written: str) -> str:
    return f"'{written}" if isinstance(value, str) and written.startswith(_FORMULA_STARTS) else written

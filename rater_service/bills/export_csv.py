"""Exports as CSV: UTF-8, first a line of names; decimals in full, times in UTC, nothing for absent."""

import io
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import BinaryIO

from rater_service.bills.export_layout import Cell, Column
from rater_service.csv_lines import csv_writer
from rater_service.hours import utc_text


class CsvWriter:
    """Writes rows to a binary file as they come."""

    def __init__(self, file: BinaryIO, columns: Sequence[Column]) -> None:
        self._text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=False)
        self._csv = csv_writer(self._text)
        self._csv.writerow([column.name for column in columns])

    def write(self, rows: Iterable[tuple[Cell, ...]]) -> None:
        """Write some rows."""
        self._csv.writerows([_text(cell) for cell in row] for row in rows)

    def finish(self) -> None:
        """Write what is left. The file stays open."""
        self._text.flush()
        self._text.detach()


def _text(cell: Cell) -> str | int | None:
    if isinstance(cell, Decimal):
        return format(cell, "f")
    if isinstance(cell, datetime):
        return utc_text(cell)
    return cell

"""Exports as Parquet: decimals as decimal128, never as floating point; times in UTC to the microsecond."""

from collections.abc import Iterable, Sequence
from typing import BinaryIO

import pyarrow as pa
from pyarrow import parquet

from rater_service.bills.export_layout import Cell, Column, ColumnKind
from rater_service.errors import OperatorError

_TYPES = {
    ColumnKind.TEXT: pa.string(),
    ColumnKind.INTEGER: pa.int64(),
    ColumnKind.MONEY: pa.decimal128(38, 9),
    ColumnKind.RATE: pa.decimal128(20, 9),
    ColumnKind.TIME: pa.timestamp("us", tz="UTC"),
}
# Enough rows for a group to compress well, and few enough to hold in memory.
_GROUP_ROWS = 20_000


class ParquetWriter:
    """Writes rows to a binary file in groups of rows."""

    def __init__(self, file: BinaryIO, columns: Sequence[Column]) -> None:
        self._schema = pa.schema(
            [
                pa.field(column.name, _TYPES[column.kind], nullable=not column.is_required)
                for column in columns
            ]
        )
        self._file = file
        self._writer: parquet.ParquetWriter | None = None
        self._rows: list[tuple[Cell, ...]] = []

    def write(self, rows: Iterable[tuple[Cell, ...]]) -> None:
        """Take some rows. Raises OperatorError for a sum that does not fit its type."""
        self._rows.extend(rows)
        if len(self._rows) >= _GROUP_ROWS:
            self._write_group()

    def finish(self) -> None:
        """Write what is left. The file stays open."""
        if self._rows:
            self._write_group()
        self._opened().close()

    def _opened(self) -> parquet.ParquetWriter:
        # Not before there is something to write: one that is not closed tries to write as it goes.
        if self._writer is None:
            self._writer = parquet.ParquetWriter(self._file, self._schema, compression="zstd")
        return self._writer

    def _write_group(self) -> None:
        columns = zip(*self._rows, strict=True)
        try:
            arrays = [
                pa.array(cells, type=field.type) for cells, field in zip(columns, self._schema, strict=True)
            ]
        except pa.ArrowInvalid as error:
            raise OperatorError(f"a value does not fit its Parquet type: {error}") from error
        self._opened().write_table(pa.Table.from_arrays(arrays, schema=self._schema))
        self._rows = []

"""Writes the books of a closed year to the archive: its hourly sums, rollups, their changes, and its runs.

They are copies: what bills are read from stays in the database. Each file is proved by what the database adds
up in the same snapshot.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, localcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from phoebe_runtime.counts import counted
from rater_service.archive.files import FileState
from rater_service.archive.layout import FORMAT, GROUP_EVENTS, footer, installation_of
from rater_service.archive.place import Place, explained, place_of
from rater_service.archive.storing import SUFFIX, store_file, store_manifest
from rater_service.database.database import Connection, Pool
from rater_service.database.installation import read_installation
from rater_service.database.long_statements import STATEMENT_TIMEOUT_S
from rater_service.errors import OperatorError
from rater_service.hours import utc_text
from rater_service.statements import bound, statement

FOLDER = "books"
# Each table, by which columns its rows are in order, and the column of the customer.
TABLES: Mapping[str, tuple[str, str]] = {
    "hourly_usage": (
        "window_start, auth_id, resource_id, model_id, base_model, usage_found, model_untrusted, "
        "completed, slot",
        "auth_id",
    ),
    "rated_usage": ("window_start, auth_id, resource_id, model_id", "auth_id"),
    "rated_usage_change": ("run, rollup, kind", "auth_id"),
    "rating_run": ("id", "NULL::text"),
}
_LEVEL = 9
# As many as any sum of PostgreSQL needs here.
_DIGITS = 100

type OnProgress = Callable[[str], None]
type _Sums = dict[tuple[object, ...], tuple[Decimal, ...]]


@dataclass(frozen=True, slots=True)
class ArchivedBook:
    """A table of a year in the archive: where, what is in it, and how many rows."""

    table: str
    archive: str
    name: str
    state: FileState
    row_count: int


async def archive_books(  # noqa: PLR0913, PLR0917 - one for each thing that is known
    pool: Pool, year: int, url: str, by: str, now: datetime, on_progress: OnProgress
) -> Sequence[ArchivedBook]:
    """Write the books of a year, whose hours nothing rates any more by itself, and return the files.

    What an earlier run of it wrote is replaced: the database still has all of it. Raises OperatorError if a
    file can't be written, is not what the database has, or is another installation's.
    """
    place = await asyncio.to_thread(place_of, url)
    window = (datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC))
    books = []
    async with pool.acquire() as connection:
        installation = str((await read_installation(connection)).id)
    with TemporaryDirectory(prefix="phoebe-archive-") as folder:
        # One snapshot: sums, bills and runs that agree with each other.
        async with pool.snapshot() as snapshot:
            for table in TABLES:
                draft = Path(folder) / f"{table}{SUFFIX}"
                book = _Book(snapshot, table, window, installation, on_progress)
                try:
                    rows = await book.write(draft)
                except OSError as error:
                    raise OperatorError(f"{table} of {year} can't be written: {error}") from error
                await book.prove(draft, rows)
                books.append((table, draft, rows))
        done = []
        for table, draft, rows in books:
            on_progress(f"storing {table}")
            name = f"{FOLDER}/{year}/{table}{SUFFIX}"
            await asyncio.to_thread(_require_own, place, name, installation)
            state = await asyncio.to_thread(store_file, place, name, draft)
            about = {
                "format": FORMAT,
                "kind": table,
                "installation": installation,
                "year": year,
                "rows": rows,
            }
            about |= {"archived_at": utc_text(now)}
            await asyncio.to_thread(store_manifest, place, name, state, about)
            done.append(ArchivedBook(table, place.url, name, state, rows))
    async with pool.acquire() as connection, connection.transaction():
        for one in done:
            await _record(connection, one, year, by, now)
    return done


async def _record(connection: Connection, book: ArchivedBook, year: int, by: str, now: datetime) -> None:
    await connection.execute(
        *bound(
            "archive/record_books",
            kind=book.table,
            year=year,
            archive=book.archive,
            name=book.name,
            sha256=book.state.sha256,
            size=book.state.size,
            row_count=book.row_count,
            archived_by=by,
            archived_at=now,
        )
    )


def _require_own(place: Place, name: str, installation: str) -> None:
    """Refuse to replace a file of another installation."""
    if place.size(name) is None:
        return
    with explained(place, name, "read"), place.open(name) as file:
        try:
            metadata = parquet.ParquetFile(file).metadata.metadata or {}
        except pa.ArrowException as error:
            raise OperatorError(
                f"{name} of the archive {place.url} is no Parquet file: move it away ({error})"
            ) from error
    if installation_of(metadata) != installation:
        raise OperatorError(
            f"{name} of the archive {place.url} is another installation's: name another archive"
        )


@dataclass(frozen=True, slots=True)
class _Book:
    """A table of a year, within one snapshot."""

    connection: Connection
    table: str
    window: tuple[datetime, datetime]
    installation: str
    on_progress: OnProgress

    async def write(self, draft: Path) -> int:
        """Write its rows to a local file, and return how many there are."""
        schema = await self._schema()
        order, _ = TABLES[self.table]
        query = statement("archive/rows_of_year", table=self.table, sorted=order)
        cursor = await self.connection.cursor(*query.bind(self._bounds()), timeout=STATEMENT_TIMEOUT_S)
        writer = parquet.ParquetWriter(
            str(draft),
            schema.with_metadata(footer(self.installation)),
            compression="zstd",
            compression_level=_LEVEL,
            write_page_checksum=True,
        )
        written = 0
        while rows := await cursor.fetch(GROUP_EVENTS, timeout=STATEMENT_TIMEOUT_S):
            await asyncio.to_thread(writer.write_table, _table([dict(row) for row in rows], schema))
            written += len(rows)
            self.on_progress(f"writing {self.table}, {counted(written, 'row')}")
        await asyncio.to_thread(writer.close)
        return written

    async def prove(self, draft: Path, rows: int) -> None:
        """Compare what is in the file with what the database adds up, by month and customer."""
        schema = await self._schema()
        summed = [field.name for field in schema if _is_number(field.type)]
        _, customer = TABLES[self.table]
        query = statement(
            "archive/sums_of_year",
            table=self.table,
            customer=customer,
            sums=", ".join(f"coalesce(sum({name}), 0) AS {name}" for name in summed),
        )
        expected = await self.connection.fetch(*query.bind(self._bounds()), timeout=STATEMENT_TIMEOUT_S)
        found = await asyncio.to_thread(_sums, draft, summed, customer)
        if found != {_month(row): _numbers(row, summed) for row in map(dict, expected)}:
            raise OperatorError(
                f"what was written of {self.table}, {counted(rows, 'row')}, does not add up to what the "
                "database has: the disk is damaged"
            )

    async def _schema(self) -> pa.Schema:
        columns = await self.connection.fetch(*bound("archive/columns", table=self.table))
        return pa.schema([pa.field(row["name"], _type(row["type"])) for row in columns])

    def _bounds(self) -> dict[str, object]:
        return {"window_start": self.window[0], "window_end": self.window[1]}


_TYPES: Mapping[str, pa.DataType] = {
    "bigint": pa.int64(),
    "integer": pa.int32(),
    "smallint": pa.int16(),
    "boolean": pa.bool_(),
    "text": pa.string(),
    "jsonb": pa.string(),
    "text[]": pa.list_(pa.string()),
    "timestamp with time zone": pa.timestamp("us", tz="UTC"),
    "numeric": pa.decimal128(38, 9),
}


def _type(written: str) -> pa.DataType:
    """Give the type of a column. Sums of money have 9 decimals, whatever digits the database allows."""
    if written.startswith("numeric("):
        scale = int(written.removesuffix(")").rpartition(",")[2])
        return pa.decimal128(38, scale)
    if written not in _TYPES:
        raise OperatorError(f"this version of Phoebe can't archive a column of the type {written}")
    return _TYPES[written]


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_decimal(kind))


def _table(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    try:
        arrays = [pa.array([row[field.name] for row in rows], type=field.type) for field in schema]
    except pa.ArrowException as error:
        raise OperatorError(f"a value does not fit its Parquet type: {error}") from error
    return pa.Table.from_arrays(arrays, schema=schema)


def _sums(draft: Path, summed: Sequence[str], customer: str) -> _Sums:
    file = parquet.ParquetFile(str(draft), page_checksum_verification=True)
    found: _Sums = {}
    with localcontext() as exact:
        exact.prec = _DIGITS
        for group in range(file.metadata.num_row_groups):
            _add(found, file.read_row_group(group), summed, customer)
    return found


def _add(
    found: dict[tuple[object, ...], tuple[Decimal, ...]],
    table: pa.Table,
    summed: Sequence[str],
    customer: str,
) -> None:
    months = [(month.year, month.month) for month in table.column("window_start").to_pylist()]
    whose = table.column(customer).to_pylist() if customer in table.column_names else [None] * len(months)
    numbers = zip(*(table.column(name).to_pylist() for name in summed), strict=True)
    for month, who, row in zip(months, whose, numbers, strict=True):
        before = found.get((month, who), (Decimal(0),) * (len(summed) + 1))
        found[month, who] = tuple(one + (other or 0) for one, other in zip(before, (1, *row), strict=True))


def _month(row: Mapping[str, Any]) -> tuple[object, ...]:
    month = row["month"].astimezone(UTC)
    return (month.year, month.month), row["customer"]


def _numbers(row: Mapping[str, Any], summed: Sequence[str]) -> tuple[Decimal, ...]:
    return tuple(Decimal(row[name]) for name in ("row_count", *summed))

"""Exports rollups, row by row in bounded memory, from one snapshot."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Protocol

from rater_service.bills.export_file import CannotWriteError
from rater_service.bills.export_layout import Cell, Layout
from rater_service.bills.holes import BillHasHolesError, Holes, find_holes
from rater_service.bills.rollups import (
    AsOf,
    Selection,
    find_as_of,
    over_rollups,
    reading,
)
from rater_service.database.database import Pool
from rater_service.database.long_statements import STATEMENT_TIMEOUT_S

# Rows that come from the database at a time.
_FETCHED_ROWS = 5_000

type OnCount = Callable[[int], None]


class Writer(Protocol):
    """Takes the rows of an export."""

    def write(self, rows: Iterable[tuple[Cell, ...]]) -> None:
        """Take some rows."""

    def finish(self) -> None:
        """Write what is left."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What was exported: how many rollups, of which moment (None: as the bills are now), what they lack."""

    rollups: int
    as_of: AsOf | None
    holes: Holes


async def export_rollups(  # noqa: PLR0913 - one for each thing that can be chosen
    pool: Pool,
    selection: Selection,
    as_of: datetime | None,
    layout: Layout,
    writer: Writer,
    *,
    now: datetime,
    strict: bool = False,
    on_count: OnCount = lambda _: None,
) -> Exported:
    """Write the rollups selected, in their order, as they are or as they were at a moment (UTC-aware).

    now: UTC-aware. strict: write nothing if hours are missing. on_count: told from time to time how many
    rollups are written. Raises OperatorError: see `find_as_of`; BillHasHolesError if strict;
    CannotWriteError.
    """
    count = 0
    async with reading(pool) as connection:
        past = None if as_of is None else await find_as_of(connection, as_of, now)
        holes = await find_holes(connection, selection, past, now)
        if strict and holes.hours:
            raise BillHasHolesError(holes.in_words())
        cursor = await connection.cursor(
            *over_rollups("bills/rollups_in_order", selection, past), timeout=STATEMENT_TIMEOUT_S
        )
        while records := await cursor.fetch(_FETCHED_ROWS, timeout=STATEMENT_TIMEOUT_S):
            with _writing():
                writer.write(chain.from_iterable(map(layout.rows, records)))
            count += len(records)
            on_count(count)
    with _writing():
        writer.finish()
    return Exported(count, past, holes)


@contextmanager
def _writing() -> Iterator[None]:
    # Told apart here from the errors of the database's connection.
    try:
        yield
    except OSError as error:
        raise CannotWriteError("the export", error) from error

"""Reads events where they were archived, as if they were still in `billing_event`."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from phoebe_runtime.counts import counted
from rater_service.archive.files import ArchivedFile, list_files
from rater_service.database.database import Connection
from rater_service.distribution import how_to_install
from rater_service.errors import OperatorError
from rater_service.hours import utc_text

if TYPE_CHECKING:
    import pyarrow as pa  # slow to import, and an optional extra

    from rater_service.archive.layout import EventFile

type EventRecord = Mapping[str, Any]
"""An event: the columns of `billing_event` that were asked for."""


@dataclass(frozen=True, slots=True)
class ArchivedSelection:
    """Which events: of [start, end), UTC-aware, whose columns have these values.

    columns: what to read of them; none: all. after, limit: of those behind this time and id only the first,
    by their times and ids; None: all.
    """

    start: datetime
    end: datetime
    equal: Mapping[str, object] = field(default_factory=dict)
    columns: Sequence[str] = ()
    after: tuple[datetime, UUID] | None = None
    limit: int | None = None


def require_parquet() -> None:
    """Raise OperatorError where the library is not installed that reads and writes the archive."""
    try:
        import pyarrow.parquet  # noqa: F401, PLC0415 - an optional extra
    except ImportError:
        raise OperatorError(
            f"the archive needs pyarrow, which is not installed: {how_to_install(['export'])}"
        ) from None


async def read_archived(connection: Connection, wanted: ArchivedSelection) -> list[EventRecord]:
    """Read archived events, of each partition in the order of their ids. Raises OperatorError where a file
    can't be read.
    """
    files = await list_files(connection, wanted.start, wanted.end)
    if not files:
        return []
    require_parquet()
    return [row for file in files for row in await asyncio.to_thread(_read, file, wanted)]


def as_json(rows: Sequence[EventRecord]) -> str:
    """Write events as PostgreSQL takes them for rows of `billing_event`."""
    return json.dumps(rows, default=_written)


def _written(value: object) -> str:
    if isinstance(value, bytes):
        return f"\\x{value.hex()}"
    return utc_text(value) if isinstance(value, datetime) else str(value)


def place_in_time(row: EventRecord) -> tuple[datetime, UUID]:
    """Say by what an event comes before others in lists."""
    return row["event_time"], row["request_id"]


async def find_archived(connection: Connection, request_id: UUID) -> EventRecord | None:
    """Find an event by its id. Raises OperatorError if a file can't be read that may have it."""
    files = await list_files(connection, request_id=request_id)
    if files:
        require_parquet()
    for file in files:
        row = await asyncio.to_thread(_find, file, request_id)
        if row is not None:
            return row
    return None


def open_file(file: ArchivedFile) -> "EventFile":
    """Open a file of events. Raises OperatorError."""
    from rater_service.archive.layout import EventFile  # noqa: PLC0415 - see require_parquet
    from rater_service.archive.place import place_of  # noqa: PLC0415 - see require_parquet

    opened = EventFile(place_of(file.archive), file.name)
    if opened.events != file.event_count:
        opened.close()
        raise OperatorError(
            f"{file.place_text} has {counted(opened.events, 'event')} and should have {file.event_count}: "
            "it is another file; put the right one back"
        )
    return opened


def _read(file: ArchivedFile, wanted: ArchivedSelection) -> list[EventRecord]:
    from rater_service.archive.layout import COLUMNS, rows_of  # noqa: PLC0415 - see require_parquet

    rows: list[EventRecord] = []
    columns = tuple(dict.fromkeys(("request_id", *wanted.columns))) if wanted.columns else COLUMNS
    with open_file(file) as opened:
        for group in opened.groups:
            first, last = opened.extent(group, "event_time")
            if first < wanted.end and last >= wanted.start:
                chosen = _chosen(opened.read(group, ("event_time", "request_id", *wanted.equal)), wanted)
                if len(chosen):
                    rows += rows_of(opened.read(group, columns).take(chosen))
                if wanted.limit is not None:
                    rows = sorted(rows, key=place_in_time)[: wanted.limit]
    return rows


def _chosen(table: "pa.Table", wanted: ArchivedSelection) -> "pa.Array":
    """Return the places of the events that are wanted."""
    import pyarrow as pa  # noqa: PLC0415 - see require_parquet
    from pyarrow import compute  # noqa: PLC0415 - see require_parquet

    ended = table.column("event_time")
    start, end = (pa.scalar(moment, ended.type) for moment in (wanted.start, wanted.end))
    mask = compute.and_(compute.greater_equal(ended, start), compute.less(ended, end))
    for name, value in wanted.equal.items():
        column = table.column(name)
        mask = compute.and_kleene(mask, compute.equal(column, pa.scalar(value, column.type)))
    # What is unknown is not equal to anything.
    chosen = compute.indices_nonzero(compute.fill_null(mask, False))
    return chosen if wanted.limit is None else _first(table.take(chosen), chosen, wanted)


def _first(table: "pa.Table", places: "pa.Array", wanted: ArchivedSelection) -> "pa.Array":
    """Return the places of the first events, by their times and ids."""
    import pyarrow as pa  # noqa: PLC0415 - see require_parquet

    from rater_service.archive.layout import rows_of  # noqa: PLC0415 - see require_parquet

    rows = rows_of(table.select(["event_time", "request_id"]))
    numbers = sorted(range(len(rows)), key=lambda number: place_in_time(rows[number]))
    behind = [
        number for number in numbers if wanted.after is None or place_in_time(rows[number]) > wanted.after
    ]
    return places.take(pa.array(behind[: wanted.limit], pa.int64()))


def _find(file: ArchivedFile, request_id: UUID) -> EventRecord | None:
    import pyarrow as pa  # noqa: PLC0415 - see require_parquet

    from rater_service.archive.layout import rows_of  # noqa: PLC0415 - see require_parquet

    with open_file(file) as opened:
        for group in opened.groups:
            first, last = opened.extent(group, "request_id")
            if not first <= request_id.bytes <= last:
                continue
            ids = opened.read(group, ("request_id",)).column("request_id").combine_chunks().storage
            place = ids.index(pa.scalar(request_id.bytes, ids.type)).as_py()
            if place >= 0:
                (row,) = rows_of(opened.read(group).slice(place, 1))
                return row
    return None
